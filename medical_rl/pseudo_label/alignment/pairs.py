"""RULE's preference pairs: questions answered rightly alone and wrongly with retrieved reports.

What it knew and retrieval took away is what preference tuning gives back ("knowledge-balanced"). A pair's
prompt is the one WITH the reports, as in RULE's published alignment files: over-reliance on them can be
unlearned only where they stand. Chosen is the gold answer, rejected the answer given with retrieval, both in
the form that the prompt's target teaches.

Every row of a held-out study is kept for measuring, whichever way it was answered. The held-out pairs alone
would flatter: they were chosen for being wrong before, so whatever changes the model makes some of them
right.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from medical_rl.data.parquet import read_records, write_records
from medical_rl.data.prompts import IMAGE, target
from medical_rl.errors import UserError
from medical_rl.parsing.response import parse, read
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.sample import Sample, group_key
from medical_rl.seeding import hash_order

CELLS = ("right_right", "right_wrong", "wrong_right", "wrong_wrong")  # without retrieval, then with it
PAIRED = "right_wrong"
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "study": pa.string(),
        "cell": pa.string(),
        "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "images": pa.list_(pa.binary()),
        "chosen": pa.string(),
        "rejected": pa.string(),
        "sample": pa.string(),
    }
)


@dataclasses.dataclass(frozen=True)
class Preference:
    """A question with its reports, its gold answer and, in a pair, the answer to unlearn.

    messages  chat turns up to the answer, with the retrieved reports; one `<image>` for each of `images`
    chosen    the gold answer in the form of the prompt's target
    rejected  the wrong answer in the same form; None where the row is measured but is no pair
    sample    the row itself, without its images: how answers are read, and the gold one
    """

    id: str
    study: str
    cell: str
    messages: tuple[dict[str, str], ...]
    images: tuple[bytes, ...]
    chosen: str
    rejected: str | None
    sample: Sample

    @classmethod
    def of(
        cls,
        sample: Sample,
        cell: str,
        messages: Sequence[Mapping[str, str]],
        chosen: str,
        rejected: str | None,
    ) -> "Preference":
        """The row of a sample. Raises UserError unless its messages have one `<image>` an image."""
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
        marks = sum(turn["content"].count(IMAGE) for turn in turns)
        if marks != len(sample.images):
            raise UserError(
                f"The prompt of row {sample.id!r} has {marks} {IMAGE} for {len(sample.images)} images; the "
                "two must be equal."
            )
        bare = dataclasses.replace(sample, images=())
        return cls(sample.id, group_key(sample), cell, tuple(turns), sample.images, chosen, rejected, bare)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The training pairs, all rows of the held-out studies (pairs among them), and the counts."""

    train: list[Preference]
    held_out: list[Preference]
    counts: dict


def write_preferences(rows: Iterable[Preference], path: Path | str) -> int:
    """Write the rows to the parquet file `path`, atomically; returns their number."""
    records = ({**vars(row), "sample": row.sample.to_json()} for row in rows)
    return write_records(records, path, SCHEMA, rows_per_group=128)


def read_preferences(path: Path | str) -> Iterator[Preference]:
    """The rows of a file in order, a row group in memory at a time. Raises UserError for another file."""
    for row in read_records(path, SCHEMA):
        row["messages"], row["images"] = tuple(row["messages"]), tuple(row["images"])
        row["sample"] = Sample.from_json(row["sample"])
        yield Preference(**row)


def cell(sample: Sample, without: str, with_reports: str) -> str:
    """Which of CELLS a row falls into; an answer that cannot be read is wrong.

    >>> row = Sample(id="1", source="demo", question="Effusion?", kind="yes_no", answer="no")
    >>> cell(row, "<answer>no</answer>", "<answer>yes</answer>"), cell(row, "no", "<answer>No.</answer>")
    ('right_wrong', 'wrong_right')
    """

    def judge(response: str) -> str:
        return "right" if accuracy(parse(response), sample) == 1.0 else "wrong"

    return f"{judge(without)}_{judge(with_reports)}"


def rejected_text(sample: Sample, response: str, prompt: Mapping) -> str | None:
    """The answer of `response` in the form of the prompt's target; None where this form can hold none.

    The thought is the response's own where the gold row has one too. Else neither side has one: a pair that
    differs in more than its answer teaches the difference in style first.
    """
    parsed = parse(response)
    answer = read(parsed, sample)
    if answer is None:
        return None
    thought = (parsed.thought or "") if sample.meta.get("thought") else ""
    wrong = dataclasses.replace(sample, answer=answer, meta={**sample.meta, "thought": thought})
    text = target(wrong, prompt)
    return text if read(parse(text), sample) == answer else None


def make_pairs(
    rows: Sequence[Sample],
    without: Mapping[str, str | None],
    with_reports: Mapping[str, str | None],
    asked: Callable[[Sample], Sequence[Mapping[str, str]]],
    prompt: Mapping,
    *,
    held_out: float,
    seed: int,
) -> Pairs:
    """Pairs and measured rows of gold rows answered twice by the labeller.

    without, with_reports  {row id: response}; None where the labeller could not be asked, which is no answer
                           and is left out
    asked     the chat messages of a row with its reports, `<image>` where an image stands
    prompt    whose target gives both answers their form
    held_out  share of the studies in (0, 1) that is measured and never trained on, drawn by (seed, study)
    counts    the four CELLS over all rows; `unreadable` pairs without a rejected text; `not_asked`;
              `train_pairs`, `held_out_pairs`, `held_out_rows`, `studies`, `held_out_studies`; `train_answers`
              {gold answer: training pairs}: pairs that all have one answer teach that answer, whatever the
              image
    Raises UserError for a row without an answer in either mapping, or without an image.
    """
    preferences, counts = [], dict.fromkeys(CELLS + ("unreadable", "not_asked"), 0)
    for sample in rows:
        for responses, how in ((without, "without"), (with_reports, "with")):
            if sample.id not in responses:
                raise UserError(
                    f"Row {sample.id!r} has no answer {how} retrieval; every gold row must be asked both "
                    f"ways before pairs are made ({len(responses)} rows have one)."
                )
        if not sample.images:
            raise UserError(
                f"Row {sample.id!r} has no image; preference tuning of a vision-language model needs one."
            )
        alone, shown = without[sample.id], with_reports[sample.id]
        if alone is None or shown is None:
            counts["not_asked"] += 1
            continue
        kind = cell(sample, alone, shown)
        counts[kind] += 1
        rejected = None
        if kind == PAIRED:
            rejected = rejected_text(sample, shown, prompt)
            counts["unreadable"] += rejected is None
        preferences.append(Preference.of(sample, kind, asked(sample), target(sample, prompt), rejected))
    studies = {row.study for row in preferences}
    apart = held_out_studies(studies, held_out, seed)
    train = [row for row in preferences if row.study not in apart and row.rejected is not None]
    measured = [row for row in preferences if row.study in apart]
    answers = collections.Counter(row.sample.answer for row in train)
    counts |= {
        "train_pairs": len(train), "held_out_pairs": sum(row.rejected is not None for row in measured),
        "held_out_rows": len(measured), "studies": len(studies), "held_out_studies": len(apart),
        "train_answers": dict(sorted(answers.items())),
    }  # fmt: skip
    return Pairs(train, measured, counts)


def held_out_studies(studies: Iterable[str], share: float, seed: int) -> set[str]:
    """The share of the studies that is held out: those of the smallest hash of (seed, study)."""
    if not 0 < share < 1:
        raise UserError(f"conf.alignment.held_out is a share of the studies between 0 and 1, not {share}.")
    ordered = sorted(set(studies), key=lambda study: hash_order(f"{seed}:{study}"))
    return set(ordered[: max(1, round(share * len(ordered)))])


def limit_rows(rows: Sequence[Preference], most: int | None, seed: int) -> list[Preference]:
    """At most `most` of the rows in their order, of the studies of smallest hash; all where it is None."""
    ordered = sorted(rows, key=lambda row: hash_order(f"{seed}:{row.study}"))
    selected = {row.id for row in ordered[:most]}
    return [row for row in rows if row.id in selected]


def refuse_overlap(rows: Iterable[Sample], others: Mapping[str, Iterable[str]]) -> None:
    """Raise UserError naming a study that is also in one of `others`, {"the test set": studies, ...}.

    RULE tunes on samples that the retriever never used: a labeller aligned on rows of the calibration set
    would void its guarantee, on rows of the test set its figures, and on rows of the corpus it would meet its
    own reports.
    """
    own = set(map(group_key, rows))
    for name, studies in others.items():
        both = sorted(own.intersection(studies))
        if both:
            raise UserError(
                f"{len(both)} of the {len(own)} studies for preference pairs are also in {name}, {both[0]!r} "
                "for instance. Pairs must come from studies outside the retriever's corpus, the calibration "
                "set and the test set: give them a split of their own, or switch alignment off with "
                "conf/alignment=none."
            )


def cells_clause(counts: Mapping[str, int]) -> str:
    """The counts of the four CELLS as a clause, "right/wrong 3" and so on."""
    return ", ".join(f"{name.replace('_', '/')} {counts[name]}" for name in CELLS)


def require_enough(counts: Mapping[str, int], least: int) -> None:
    """Raise UserError with the counts for fewer than `least` training pairs, or no held-out pair."""
    if counts["train_pairs"] >= least and counts["held_out_pairs"] > 0:
        return
    raise UserError(
        f"{counts['train_pairs']} preference pairs to train on and {counts['held_out_pairs']} to measure "
        f"with; wanted are {least} and 1. Of the gold rows, answered without/with retrieval: "
        f"{cells_clause(counts)}; {counts['unreadable']} of the right/wrong rows have no readable answer, "
        f"and {counts['not_asked']} rows could not be asked. Give more gold rows, lower "
        "conf.alignment.min_pairs, or go on with the labeller as it is: conf/alignment=none. Few "
        "right/wrong rows mean that retrieval seldom misleads this labeller, so there is little to align."
    )
