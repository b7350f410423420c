"""The template generator, without a model: it asks what a row's metadata knows, and errs on purpose.

A row whose set says all that is true of its picture is asked about any of it; any other row is asked its own
question in other words, and its wrong answers and thoughts are other rows'. Each error is one of
    wrong         answer and rationale are of another picture: they fit each other and not this one
    unsound       the right answer, after the rationale of another
    contradicted  the right rationale, and then another answer
and is known as such in the row's meta ("is_error", "error", "truth"), which nothing but measurements may
read.
"""

import collections
import dataclasses
import importlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError, unknown
from medical_rl.loop.generators.triplets import KINDS, Proposals, Triplet
from medical_rl.parsing.response import gold
from medical_rl.parsing.text import label_key
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order

MOST_WORDINGS = 3
ERRORS = ("wrong", "unsound", "contradicted")
# Sets whose rows say in meta["facts"] all that is true of their picture: {source: module}. The module has
# QUESTION_TYPES, WORDINGS {type: further ways to ask}, facts_question(type, facts) and changed_facts(type,
# facts, rng), untrue ones.
SETS_WITH_FACTS = {"phantom_vqa": "medical_rl.tiny.phantoms"}
# Further ways to ask, by kind; the first way is the row's own question.
WORDINGS = {
    "label": ("Look at the image. {question}", "{question} Name the class that fits best."),
    "choice": ("Look at the image. {question}", "{question} Choose the option that fits best."),
    "grade": ("Look at the image. {question}", "{question} Give the number."),
    "yes_no": ("Look at the image. {question}", "{question} Decide yes or no."),
}
# A thought where no row has one.
THOUGHTS = {
    "label": "The image fits {answer} best.",
    "choice": "The image fits {answer} best.",
    "grade": "The findings are those of grade {answer}.",
    "yes_no": "What is asked about can {be} seen.",
}


def propose(settings: Mapping[str, Any], rows: Sequence[Sample], context: RoundContext) -> Proposals:
    """`per_image` triplets a row, an `error_rate` of them wrong; the same for the same (seed, round, row).

    Where a row has no facts, a wrong answer is one of its other choices or, without choices, another row's;
    the thought that leads to it is one of a row that has that answer. So `rows` count too. A free answer that
    no other row differs from is never wrong.
    """
    check(settings)
    wordings, types = int(settings["wordings"]), settings.get("question_types")
    bank = AnswerBank(row for row in rows if row.kind in KINDS)
    proposals = Proposals()
    for row in rows:
        rng = np.random.default_rng(hash_order(f"{context.seed}/{context.round}/{row.source}/{row.id}"))
        if row.source in SETS_WITH_FACTS and "facts" in row.meta:
            cases = cases_of_facts(row, types, wordings, rng)
        elif row.kind in KINDS:
            cases = cases_of_row(row, bank, wordings, rng)
        else:
            proposals.add(row, [], [f"rows of kind {row.kind} are not asked about"])
            continue
        triplets = _with_errors(row, cases, settings, rng)
        proposals.add(row, list(itertools.islice(triplets, int(settings["per_image"]))))
    return proposals


def check(settings: Mapping[str, Any]) -> None:
    """Raise UserError for settings that could not work."""
    if not 0 <= settings["error_rate"] <= 1:
        raise UserError(f"conf.generator.error_rate={settings['error_rate']} is no share between 0 and 1.")
    if not 1 <= settings["wordings"] <= MOST_WORDINGS:
        raise UserError(
            f"conf.generator.wordings={settings['wordings']}: there are 1 to {MOST_WORDINGS} wordings."
        )
    for name, share in settings["errors"].items():
        if name not in ERRORS:
            raise unknown("kind of error", name, ERRORS)
        if share < 0:
            raise UserError(f"conf.generator.errors.{name}={share} is negative.")
    if not sum(settings["errors"].values()):
        raise UserError(
            "conf.generator.errors are all 0: at least one kind of error needs a share; for none, "
            "error_rate=0."
        )
    known = []
    for source in SETS_WITH_FACTS:
        known += _facts_module(source).QUESTION_TYPES
    for name in settings.get("question_types") or ():
        if name not in known:
            raise unknown("type of question about phantoms", name, known)


def _with_errors(
    row: Sample, cases: Iterator[tuple[Triplet, Triplet | None]], settings: Mapping[str, Any], rng
) -> Iterator[Triplet]:
    """A triplet of each case with what is known of it: right, or at `error_rate` a drawn error."""
    kinds, weights = list(settings["errors"]), np.array(list(settings["errors"].values()), float)
    for right, wrong in cases:
        is_error = rng.random() < float(settings["error_rate"])
        kind = str(rng.choice(kinds, p=weights / weights.sum()))
        if not is_error or wrong is None:
            yield _labelled(row, right, right, "")
            continue
        triplet = wrong
        if kind == "unsound":
            triplet = dataclasses.replace(right, rationale=wrong.rationale)
        elif kind == "contradicted":
            triplet = dataclasses.replace(wrong, rationale=right.rationale)
        if triplet == right:
            # Some phantoms have one thought for all answers, and another's does not make it unsound.
            triplet, kind = wrong, "wrong"
        yield _labelled(row, triplet, right, kind)


def _labelled(row: Sample, triplet: Triplet, right: Triplet, error: str) -> Triplet:
    """`triplet` with what is known of it. A row may itself be wrong on purpose; then its truth is another."""
    knows_all = row.source in SETS_WITH_FACTS and "facts" in row.meta
    truth = right.answer if knows_all else str(row.meta.get("truth", right.answer))
    known = {"truth": truth, "is_error": bool(error) or triplet.answer != truth, "error": error}
    return dataclasses.replace(triplet, known=triplet.known | known)


class AnswerBank:
    """Answers and thoughts of rows, by question: wrong answers and their thoughts are borrowed here."""

    def __init__(self, rows: Iterable[Sample]):
        self.answers: dict[str, dict[str, None]] = collections.defaultdict(dict)
        self.thoughts: dict[tuple[str, str], dict[str, None]] = collections.defaultdict(dict)
        for row in rows:
            question, answer, thought = label_key(row.question), answer_of(row), thought_of(row)
            self.answers[question].setdefault(answer)
            if thought:
                self.thoughts[question, answer].setdefault(thought)

    def wrong_answers(self, row: Sample) -> list[str]:
        """Wrong answers to the row's question: its other choices, else other rows' answers, or none."""
        right = answer_of(row)
        if row.kind == "yes_no":
            return ["no" if right == "yes" else "yes"]
        others = [
            answer for answer in row.choices or self.answers[label_key(row.question)] if answer != right
        ]
        if not others and row.kind == "grade":
            return [str(int(right) + 1)] if int(right) < 1 else [str(int(right) - 1)]
        return others

    def thought(self, row: Sample, answer: str, rng) -> str:
        """A thought that leads to `answer`: that of a row with this answer, else a plain sentence."""
        known = list(self.thoughts.get((label_key(row.question), answer), ()))
        if known:
            return known[int(rng.integers(len(known)))]
        return THOUGHTS[row.kind].format(answer=answer, be="be" if answer == "yes" else "not be")


def cases_of_facts(
    row: Sample, types: Sequence[str] | None, wordings: int, rng
) -> Iterator[tuple[Triplet, Triplet]]:
    """(right triplet, wrong one) for ever: every type in every wording once before any comes again.

    types  those that are asked; None means all. The start is random.
    """
    facts, module = row.meta["facts"], _facts_module(row.source)
    ways = list(itertools.product(range(wordings), types or module.QUESTION_TYPES))
    start = int(rng.integers(len(ways)))
    for wording, type_ in itertools.islice(itertools.cycle(ways), start, None):
        wrong = module.changed_facts(type_, facts, rng)
        yield _fact_triplet(module, type_, wording, facts), _fact_triplet(module, type_, wording, wrong)


def cases_of_row(
    row: Sample, bank: AnswerBank, wordings: int, rng
) -> Iterator[tuple[Triplet, Triplet | None]]:
    """(right triplet, wrong one or None) for ever: every wording once, from a random start."""
    right, wrong_answers = answer_of(row), bank.wrong_answers(row)
    start = int(rng.integers(wordings))
    thought = thought_of(row) or bank.thought(row, right, rng)
    for wording in itertools.islice(itertools.cycle(range(wordings)), start, None):
        wrong = None
        if wrong_answers:
            answer = wrong_answers[int(rng.integers(len(wrong_answers)))]
            wrong = _row_triplet(row, wording, answer, bank.thought(row, answer, rng))
        yield _row_triplet(row, wording, right, thought), wrong


def answer_of(row: Sample) -> str:
    """The row's gold answer in its canonical form; a free label, or one without such a form, as it is."""
    return row.answer if row.kind == "label" and not row.choices else gold(row) or row.answer


def thought_of(row: Sample) -> str:
    """What leads to the row's answer, if it says so."""
    return str(row.meta.get("thought") or "")


def _facts_module(source: str):
    return importlib.import_module(SETS_WITH_FACTS[source])


def _fact_triplet(module, question_type: str, wording: int, facts: dict) -> Triplet:
    case = module.facts_question(question_type, facts)
    question = module.WORDINGS[question_type][wording - 1] if wording else case["question"]
    parts = (question, case["answer"], case["thought"], case["choices"], case["kind"], case["knowledge"])
    return Triplet(*parts, known={"question_type": question_type})


def _row_triplet(row: Sample, wording: int, answer: str, thought: str) -> Triplet:
    form = WORDINGS[row.kind][wording - 1] if wording else "{question}"
    question = form.format(question=row.question)
    return Triplet(question, answer, thought, row.choices, row.kind, row.knowledge)
