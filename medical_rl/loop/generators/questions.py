"""What can be asked of a row by its own metadata: right triplets, each with a wrong one beside it.

A row whose set says all that is true of its picture is asked about any of it; any other row is asked its own
question in other words, and its wrong answers and thoughts are other rows'.
"""

import collections
import dataclasses
import importlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

from medical_rl.errors import unknown
from medical_rl.loop.generators.triplets import Triplet
from medical_rl.parsing.response import gold
from medical_rl.parsing.text import label_key
from medical_rl.sample import Sample

# Sets whose rows say in meta["facts"] all that is true of their picture: {source: module}. The module has
# QUESTION_TYPES, WORDINGS {type: further ways to ask}, facts_question(type, facts) and changed_facts(type,
# facts, rng), untrue ones.
SETS_WITH_FACTS = {"phantom_vqa": "medical_rl.tiny.phantom_vqa"}
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


def has_facts(row: Sample) -> bool:
    """Whether the row's set says all that is true of its picture."""
    return row.source in SETS_WITH_FACTS and "facts" in row.meta


def check_types(types: Sequence[str] | None) -> None:
    """Raise UserError for a type of question that no set with facts has."""
    if not types:
        return
    known = []
    for source in SETS_WITH_FACTS:
        known += _facts_module(source).QUESTION_TYPES
    for name in types:
        if name not in known:
            raise unknown("type of question about phantoms", name, known)


def cases_of_facts(
    row: Sample, types: Sequence[str] | None, wordings: int, rng
) -> Iterator[tuple[Triplet, Triplet]]:
    """(right triplet, wrong one) for ever: every type in every wording once before any comes again.

    types  those that are asked; None means all. The start is random.
    """
    facts, module = row.meta["facts"], _facts_module(row.source)
    ways = list(itertools.product(range(wordings), types or module.QUESTION_TYPES))
    for wording, type_ in _cycle_from(ways, rng):
        wrong = module.changed_facts(type_, facts, rng)
        yield _fact_triplet(module, type_, wording, facts), _fact_triplet(module, type_, wording, wrong)


def cases_of_row(
    row: Sample, bank: AnswerBank, wordings: int, rng
) -> Iterator[tuple[Triplet, Triplet | None]]:
    """(right triplet, wrong one or None) for ever: every wording once, from a random start."""
    right, wrong_answers = answer_of(row), bank.wrong_answers(row)
    order = _cycle_from(range(wordings), rng)
    thought = thought_of(row) or bank.thought(row, right, rng)
    for wording in order:
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


def _cycle_from(ways: Sequence, rng) -> Iterator:
    """The ways for ever, from a start that is drawn now."""
    start = int(rng.integers(len(ways)))
    return itertools.islice(itertools.cycle(ways), start, None)


def _facts_module(source: str):
    return importlib.import_module(SETS_WITH_FACTS[source])


def _fact_triplet(module, question_type: str, wording: int, facts: dict) -> Triplet:
    case = module.facts_question(question_type, facts)
    triplet = Triplet(
        question=case["question"],
        answer=case["answer"],
        rationale=case["thought"],
        options=case["choices"],
        kind=case["kind"],
        knowledge=case["knowledge"],
        known={"question_type": question_type},
    )
    if wording:
        return dataclasses.replace(triplet, question=module.WORDINGS[question_type][wording - 1])
    return triplet


def _row_triplet(row: Sample, wording: int, answer: str, thought: str) -> Triplet:
    question = row.question
    if wording:
        question = WORDINGS[row.kind][wording - 1].format(question=question)
    return Triplet(question, answer, thought, row.choices, row.kind, row.knowledge)
