"""`python -m medical_rl.data concepts DIR`: the concepts of prepared questions from a judge, in place of the lexicon's.

Prepared files with some samples changed: the `sample` column anew, everything else as it was, all or nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data import concepts
from medical_rl.data.inspect import asking
from medical_rl.data.inspect.check import card_of, split_files
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import card as cards
from medical_rl.errors import UserError, unknown
from medical_rl.judges.restricted import refuse_restricted
from medical_rl.sample import Sample

# The rows that rewards score; nothing reads the concepts of test rows.
SPLITS = ("warm_start", "train", "val")


def store(folder: Path, overrides: Sequence[str], splits: Sequence[str] | None = None) -> list[str]:
    """What was done, a line each, after the concepts of every question were asked for and written into the rows.

    Each different question is asked once, by itself: no image, answer or report is sent. A question that fails, or in which the
    judge finds nothing, keeps the concepts it has. Raises UserError without a judge and for restricted rows it may not be sent,
    AskingStopped (exit 1) where too much failed or a cap was met; then no file has changed.
    """
    card = card_of(folder)
    names = _files(folder, card, splits)
    judge = asking.judge_for(folder, overrides)
    before, samples = (
        judge.totals(),
        (s for name in names for s in read_samples(folder / name, with_images=False)),
    )
    found, failures, asked = listed(judge, samples, asking.allowed_failures(overrides))

    def change(sample: Sample) -> Sample:
        return dataclasses.replace(sample, concepts=found.get(sample.question, sample.concepts))

    if card:
        told = {
            "by": judge.endpoint.model,
            "splits": [Path(name).stem for name in names],
            "questions": len(found),
        }
        card = {**card, "concepts": {**told, "left": asked - len(found)}}
    counts = rewrite(folder, names, change, card)
    lines = [f"{len(found):,} of {asked:,} questions have the concepts that {judge.endpoint.model} lists"]
    if asked > len(found):
        empty = asked - len(found) - len(failures)
        lines.append(f"  {len(failures):,} failed and {empty:,} have none: they keep the concepts they had")
    lines += [f"  {name}: {changed:,} rows changed" for name, changed in counts.items()]
    return [*lines, f"  {asking.spent(judge, before)}"]


def listed(judge, samples: Iterable[Sample], allowed: float) -> tuple[dict[str, tuple[str, ...]], dict, int]:
    """({question: its concepts, where it has any}, {question: why it failed}, number of different questions).

    allowed  share of the questions that may fail. Raises UserError for a restricted row it may not be sent, before anything is.
    """
    asked: dict[str, Sample] = {}
    for sample in samples:
        refuse_restricted(judge.endpoint, sample.restricted, sample.source)
        asked.setdefault(sample.question, sample)
    questions = {text: functools.partial(_ask, judge, sample) for text, sample in asked.items()}
    answers, failures = asking.ask_all(questions, "concepts", allowed)
    return {text: names for text, names in answers.items() if names}, failures, len(asked)


def _ask(judge, sample: Sample):
    # Whether it may be sent was asked above, by the client's own rule, and the client asks again.
    return concepts.ask(
        judge, sample, allow_restricted=True, restricted=sample.restricted, source=sample.source
    )


def _files(folder: Path, card: dict, splits: Sequence[str] | None) -> list[str]:
    """The names of the files to rewrite; each is the one that the card tells of."""
    paths = {path.stem: path for path in split_files(folder, card)}
    for split in splits or ():
        if split not in paths:
            raise unknown(f"split in {folder}", split, paths)
    chosen = [path for split, path in paths.items() if split in (splits or SPLITS)]
    if not chosen:
        raise UserError(
            f"{folder} has no rows that rewards score ({', '.join(SPLITS)}), only {', '.join(paths)}. Name one: --split."
        )
    for path in chosen:
        if card and cards.sha256(path) != card["files"].get(path.name):
            raise UserError(
                f"{path} is not the file that card.json tells of. Prepare the folder again first."
            )
    return [path.name for path in chosen]


def rewrite(
    folder: Path, names: Sequence[str], change: Callable[[Sample], Sample], card: Mapping
) -> dict[str, int]:
    """{file: rows changed} after `change` was put to every sample (without its images) of the files `names`.

    card  the new card, saved with the new checksums; {} where the folder has none

    A file whose rows all stay is not touched. All files are written before the first is moved, and the card is gone while they
    are, so that a mixture is never taken for whole. A column that was made of the sample (the prompt, say) is not made anew.
    """
    try:
        staging = tempfile.TemporaryDirectory(prefix=".rewriting-", dir=folder)
    except OSError as error:
        raise UserError(
            f"The folder {folder.absolute()} cannot be written: {error.strerror or error}."
        ) from error
    with staging as scratch:
        counts = {name: _written(folder / name, Path(scratch, name), change) for name in names}
        moved = [name for name, changed in counts.items() if changed]
        if card:
            sums = {name: cards.sha256(Path(scratch, name)) for name in moved}
            card = {**card, "files": {**card["files"], **sums}}
        if moved:
            (folder / "card.json").unlink(missing_ok=True)
        for name in moved:
            os.replace(Path(scratch, name), folder / name)
        if card and card != card_of(folder):
            cards.save(card, folder)
    return counts


def _written(path: Path, out: Path, change: Callable[[Sample], Sample]) -> int:
    """The number of rows that differ in `out`, a copy of `path` held one row group at a time."""
    changed = 0
    try:
        with pq.ParquetFile(path) as file, pq.ParquetWriter(out, file.schema_arrow) as writer:
            column = file.schema_arrow.get_field_index("sample")
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                before = table.column(column).to_pylist()
                after = [change(Sample.from_json(text)).to_json() for text in before]
                changed += sum(one != other for one, other in zip(before, after, strict=True))
                field = file.schema_arrow.field(column)
                writer.write_table(table.set_column(column, field, pa.array(after, field.type)))
    except (pa.ArrowInvalid, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read back: {error!r}. `python -m medical_rl.data check` tells what is wrong."
        ) from error
    return changed
