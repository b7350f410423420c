"""What each made response deserves by the four criteria of MedGR2's reward model.

| made_by             | grade | factual          | format         | reasoning | relevance               |
|---------------------|-------|------------------|----------------|-----------|-------------------------|
| original            |  10   |  10              | 10             | 10        | 10                      |
| synonym             |   6   |   6              | 10             |  6        | 10                      |
| deletion            |   0   |  10, no answer 0 | 10, torn 0     |  0        | 10                      |
| irrelevant          |  -6   |  -6              | 10             | 10        | 10, other question -6   |
| irrelevant_synonym  |  -6   |  -6              | 10             | 10        | 10, other question -6   |
| hallucinated        |  -6   |  -6              | 10             | -6        | 10                      |
| unsound             |   0   |  10              | 10             | -6        | 10                      |
| grey_image          |  -6   |  -6              | 10             | 10        | -6                      |

10 is right, 6 right in other words, 0 missing or broken, -6 wrong. The report of another picture is coherent by itself, so its
reasoning is sound: what is wrong is what it says of this one. The grade is the paper's; it is no mean of the criteria, which the
paper does not grade: these numbers are ours.
"""

from __future__ import annotations

from medical_rl.parsing.response import parse, read
from medical_rl.parsing.text import normalise
from medical_rl.reward_model.graded import CRITERIA, HIGH, LOW
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample

REWORDED, BROKEN = 6.0, 0.0
TABLE = {
    "original": (HIGH, HIGH, HIGH, HIGH),
    "synonym": (REWORDED, HIGH, REWORDED, HIGH),
    "deletion": (HIGH, HIGH, BROKEN, HIGH),
    "irrelevant": (LOW, HIGH, HIGH, HIGH),
    "hallucinated": (LOW, HIGH, LOW, HIGH),
    "irrelevant_synonym": (LOW, HIGH, HIGH, HIGH),
    "unsound": (HIGH, HIGH, LOW, HIGH),
    "grey_image": (LOW, HIGH, HIGH, LOW),
}


def criteria(made_by: str, **changed: float) -> dict[str, float]:
    """{criterion: grade} of the table's row, with what is `changed` in this response.

    >>> criteria("irrelevant", relevance=-6.0)
    {'factual': -6.0, 'format': 10.0, 'reasoning': 10.0, 'relevance': -6.0}
    """
    return {**dict(zip(CRITERIA, TABLE[made_by], strict=True)), **changed}


def of_deletion(text: str, original: str, sample: Sample) -> dict[str, float]:
    """The criteria of a response with deleted phrases: what is left of its answer and of its form."""
    left, whole = parse(text), parse(original)
    form = bool(left.answer) and (left.thought is None) == (whole.thought is None)
    factual = HIGH if right(read(left, sample), sample) else BROKEN
    return criteria("deletion", factual=factual, format=HIGH if form else BROKEN)


def of_donor(made_by: str, donor: Sample, sample: Sample) -> dict[str, float]:
    """The criteria of a donor's text: off the question too, where its thought is about another one."""
    off = donor.meta.get("thought") and normalise(donor.question) != normalise(sample.question)
    return criteria(made_by, relevance=LOW) if off else criteria(made_by)
