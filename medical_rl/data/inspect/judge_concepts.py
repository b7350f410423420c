"""`python -m medical_rl.data concepts DIR`: concepts of prepared questions, from a judge.

The prepared files are rewritten all or nothing: the `sample` column anew, everything else as it was.
"""

import dataclasses
import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data.inspect.check import split_files
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import card as cards
from medical_rl.errors import RewardFailed, UserError, unknown
from medical_rl.judges.endpoint import refuse_restricted
from medical_rl.judges.judge import ask_all, usage_since
from medical_rl.rewards.load import load_judge, load_settings
from medical_rl.sample import Sample

# The rows that rewards score; nothing reads the concepts of test rows.
SPLITS = ("warm_start", "train", "val")
# The paper's example has three; a question rarely holds more than this.
MAX_CONCEPTS = 8

SCHEMA = {
    "type": "object",
    "properties": {"concepts": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_CONCEPTS}},
    "required": ["concepts"],
    "additionalProperties": False,
}

_TASK = (
    "You list the medical concepts that a question is about, for scoring whether an answer speaks of them. "
    "Name findings, diseases, anatomy, devices and the kind of image, each in its usual short form, in lower "
    f"case, at most {MAX_CONCEPTS}. Leave out words such as evidence, sign or patient, and never answer the "
    "question."
)


def store_concepts(folder: Path, overrides: Sequence[str], splits: Sequence[str] | None = None) -> list[str]:
    """Ask for the concepts of every question and write them into the rows; what was done, a line each.

    Each different question is asked once, by itself: no image, answer or report is sent. A question that
    fails, or in which the judge finds nothing, keeps the concepts it has.
    Raises UserError without a judge and for restricted rows it may not be sent, AskingStopped (exit 1) where
    too much failed or a cap was met; then no file has changed.
    """
    card = cards.read_card(folder)
    names = _file_names(folder, card, splits)
    judge = load_judge(folder, overrides)
    before = judge.totals()
    samples = itertools.chain(*(read_samples(folder / name, with_images=False) for name in names))
    rate = float(load_settings(overrides)["rewards"]["max_failure_rate"])
    of_question, failures, asked = ask_concepts(judge, samples, rate)

    def with_concepts(sample: Sample) -> Sample:
        return dataclasses.replace(sample, concepts=of_question.get(sample.question, sample.concepts))

    count, model = len(of_question), judge.endpoint.model
    if card:
        stems = [Path(name).stem for name in names]
        card["concepts"] = {"by": model, "splits": stems, "questions": count, "left": asked - count}
    changes = _rewrite_samples(folder, names, with_concepts, card)
    lines = [f"{count:,} of {asked:,} questions have the concepts that {model} lists"]
    if asked > count:
        empty = asked - count - len(failures)
        lines.append(f"  {len(failures):,} failed and {empty:,} have none: they keep the concepts they had")
    lines += [f"  {name}: {changed:,} rows changed" for name, changed in changes.items()]
    return lines + [f"  {usage_since(judge, before)}"]


def ask_concepts(
    judge, samples: Iterable[Sample], max_failure_rate: float
) -> tuple[dict[str, tuple[str, ...]], dict, int]:
    """({question: its concepts, if any}, {question: why it failed}, number of different questions).

    Raises UserError for a restricted row it may not be sent, before anything is.
    """
    questions = {}
    for sample in samples:
        refuse_restricted(judge.endpoint, sample.restricted, sample.source)
        if sample.question not in questions:
            # Whether it may be sent was asked above, by the client's own rule, and the client asks again.
            options = {"allow_restricted": True, "restricted": sample.restricted, "source": sample.source}
            questions[sample.question] = functools.partial(ask_judge, judge, sample, **options)
    answers, failures = ask_all(questions, "concepts", max_failure_rate)
    return {text: names for text, names in answers.items() if names}, failures, len(questions)


def _file_names(folder: Path, card: dict, splits: Sequence[str] | None) -> list[str]:
    """The names of the files to rewrite; each is the one that the card tells of."""
    paths = {path.stem: path for path in split_files(folder, card)}
    for split in splits or ():
        if split not in paths:
            raise unknown(f"split in {folder}", split, paths)
    names = [path.name for split, path in paths.items() if split in (splits or SPLITS)]
    if not names:
        raise UserError(
            f"{folder} has no rows that rewards score ({', '.join(SPLITS)}), only {', '.join(paths)}. "
            "Name one: --split."
        )
    for name in names:
        if card and cards.sha256(folder / name) != card["files"].get(name):
            raise UserError(
                f"{folder / name} is not the file that card.json tells of. Prepare the folder again first."
            )
    return names


def _rewrite_samples(
    folder: Path, names: Sequence[str], change: Callable[[Sample], Sample], card: Mapping
) -> dict[str, int]:
    """Put `change` to every sample (without its images) of the files `names`; {file: rows changed}.

    A file whose rows all stay is not touched. All files are written before the first is moved, and the card
    (the new one, with the new checksums) is gone while they are: a mixture is never taken for whole.
    """
    try:
        staging = tempfile.TemporaryDirectory(prefix=".rewriting-", dir=folder)
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"The folder {folder.absolute()} cannot be written: {why}.") from error
    with staging as scratch:
        changes, sums = {}, {}
        for name in names:
            changes[name] = _rewrite_file(folder / name, Path(scratch, name), change)
            if changes[name]:
                sums[name] = cards.sha256(Path(scratch, name))
        if card:
            card = {**card, "files": {**card["files"], **sums}}
        if sums:
            (folder / "card.json").unlink(missing_ok=True)
        for name in sums:
            os.replace(Path(scratch, name), folder / name)
        if card and card != cards.read_card(folder):
            cards.write_card(card, folder)
    return changes


def _rewrite_file(path: Path, out: Path, change: Callable[[Sample], Sample]) -> int:
    """Write `out`, the changed copy of `path`, one row group at a time; the number of rows that differ."""
    changed = 0
    try:
        with pq.ParquetFile(path) as file, pq.ParquetWriter(out, file.schema_arrow) as writer:
            column = file.schema_arrow.get_field_index("sample")
            field = file.schema_arrow.field(column)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                texts = table.column(column).to_pylist()
                for i, text in enumerate(texts):
                    texts[i] = change(Sample.from_json(text)).to_json()
                    changed += texts[i] != text
                writer.write_table(table.set_column(column, field, pa.array(texts, field.type)))
    except (pa.ArrowInvalid, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read back: {error!r}. `python -m medical_rl.data check` tells what is wrong."
        ) from error
    return changed


async def ask_judge(
    judge: Any, sample: Sample, *, allow_restricted: bool = False, **options
) -> tuple[str, ...]:
    """The concepts that a judge finds in the sample's question; only the question is sent.

    judge             anything with `await judge.ask(messages, schema, **options) -> dict`
    allow_restricted  the endpoint is local or covered by the agreement of a restricted source

    Raises UserError for a restricted sample without it, RewardFailed for an answer that is not of the schema.
    """
    if sample.restricted and not allow_restricted:
        raise UserError(
            f"Sample {sample.id!r} is of a restricted source: its question is not sent to a judge. Use the "
            "lexicon (concepts=lexicon), or a judge whose endpoint is declared local or covered."
        )
    question = {"role": "user", "content": f"Question: {sample.question}"}
    answer = await judge.ask([{"role": "system", "content": _TASK}, question], SCHEMA, **options)
    listed = answer.get("concepts") if isinstance(answer, dict) else None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise RewardFailed(
            f"The judge's concepts for {sample.id!r} are not a list of texts: {str(answer)[:200]}."
        )
    names = [" ".join(name.casefold().split()).strip(" .,;") for name in listed]
    return tuple(dict.fromkeys(filter(None, names)))[:MAX_CONCEPTS]
