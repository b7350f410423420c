"""`python -m medical_rl.data concepts DIR`: the concepts of prepared questions from a judge, in place of the lexicon's."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from medical_rl.data import asking, concepts
from medical_rl.data import card as cards
from medical_rl.data.checks.run import card_of, split_files
from medical_rl.data.parquet import read_samples
from medical_rl.data.rewrite import rewrite
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
    before, samples = judge.totals(), (s for name in names for s in read_samples(folder / name, with_images=False))
    found, failures, asked = listed(judge, samples, asking.allowed_failures(overrides))

    def change(sample: Sample) -> Sample:
        return dataclasses.replace(sample, concepts=found.get(sample.question, sample.concepts))

    if card:
        told = {"by": judge.endpoint.model, "splits": [Path(name).stem for name in names], "questions": len(found)}
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
    return concepts.ask(judge, sample, allow_restricted=True, restricted=sample.restricted, source=sample.source)


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
            raise UserError(f"{path} is not the file that card.json tells of. Prepare the folder again first.")
    return [path.name for path in chosen]
