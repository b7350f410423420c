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

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data import concepts
from medical_rl.data.inspect.check import card_of, split_files
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import card as cards
from medical_rl.errors import UserError, unknown
from medical_rl.judges.ask_all import ask_all, usage_since
from medical_rl.judges.endpoint import refuse_restricted
from medical_rl.rewards.load import load_judge, load_max_failure_rate
from medical_rl.sample import Sample

# The rows that rewards score; nothing reads the concepts of test rows.
SPLITS = ("warm_start", "train", "val")


def store_concepts(folder: Path, overrides: Sequence[str], splits: Sequence[str] | None = None) -> list[str]:
    """Ask for the concepts of every question and write them into the rows; what was done, a line each.

    Each different question is asked once, by itself: no image, answer or report is sent. A question that
    fails, or in which the judge finds nothing, keeps the concepts it has.
    Raises UserError without a judge and for restricted rows it may not be sent, AskingStopped (exit 1) where
    too much failed or a cap was met; then no file has changed.
    """
    card = card_of(folder)
    names = _file_names(folder, card, splits)
    judge = load_judge(folder, overrides)
    before = judge.totals()
    rows = [read_samples(folder / name, with_images=False) for name in names]
    samples = itertools.chain.from_iterable(rows)
    of_question, failures, asked = ask_concepts(judge, samples, load_max_failure_rate(overrides))

    def with_concepts(sample: Sample) -> Sample:
        return dataclasses.replace(sample, concepts=of_question.get(sample.question, sample.concepts))

    count, model = len(of_question), judge.endpoint.model
    if card:
        stems = [Path(name).stem for name in names]
        source = {"by": model, "splits": stems, "questions": count, "left": asked - count}
        card = {**card, "concepts": source}
    changes = rewrite_samples(folder, names, with_concepts, card)
    lines = [f"{count:,} of {asked:,} questions have the concepts that {model} lists"]
    if asked > count:
        empty = asked - count - len(failures)
        lines.append(f"  {len(failures):,} failed and {empty:,} have none: they keep the concepts they had")
    for name, changed in changes.items():
        lines.append(f"  {name}: {changed:,} rows changed")
    lines.append(f"  {usage_since(judge, before)}")
    return lines


def ask_concepts(
    judge, samples: Iterable[Sample], max_failure_rate: float
) -> tuple[dict[str, tuple[str, ...]], dict, int]:
    """({question: its concepts, if any}, {question: why it failed}, number of different questions).

    max_failure_rate  share of the questions that may fail

    Raises UserError for a restricted row it may not be sent, before anything is.
    """
    questions = {}
    for sample in samples:
        refuse_restricted(judge.endpoint, sample.restricted, sample.source)
        if sample.question not in questions:
            # Whether it may be sent was asked above, by the client's own rule, and the client asks again.
            options = {"allow_restricted": True, "restricted": sample.restricted, "source": sample.source}
            questions[sample.question] = functools.partial(concepts.ask_judge, judge, sample, **options)
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


def rewrite_samples(
    folder: Path, names: Sequence[str], change: Callable[[Sample], Sample], card: Mapping
) -> dict[str, int]:
    """Put `change` to every sample (without its images) of the files `names`; {file: rows changed}.

    card  the new card, saved with the new checksums; {} where the folder has none

    A file whose rows all stay is not touched. All files are written before the first is moved, and the card
    is gone while they are, so that a mixture is never taken for whole. A column that was made of the sample
    (the prompt, say) is not made anew.
    """
    try:
        staging = tempfile.TemporaryDirectory(prefix=".rewriting-", dir=folder)
    except OSError as error:
        raise UserError(
            f"The folder {folder.absolute()} cannot be written: {error.strerror or error}."
        ) from error
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
        if card and card != card_of(folder):
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
