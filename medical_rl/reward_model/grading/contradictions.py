"""Contradictions among the training texts: without them a reward model trusts any tidy text that it was not trained on.

Two deserve -6: the own thought with a wrong answer (hallucinated), and the text of another picture in synonyms. One deserves 0:
the right answer after a thought that is untrue of the picture. The pairs of truth and untruth that are the probes' alone
(`wrong.is_probed`) are not used here, and the words are those of the training's source of synonyms.
"""

from __future__ import annotations

from medical_rl.reward_model.graded import GRADES, Graded
from medical_rl.reward_model.grading.criteria import criteria, of_donor
from medical_rl.reward_model.grading.making import Making, of_another_picture, reworded
from medical_rl.reward_model.grading.wrong import (
    answered,
    is_one_pair,
    is_probed,
    is_wrong,
    untrue_thoughts,
    wrong_answers,
)
from medical_rl.sample import Sample
from medical_rl.seeding import stream


def contradiction(sample: Sample, making: Making) -> Graded | None:
    """One of CONTRADICTIONS, drawn for the row; the next where it cannot be made; None where none can.

    None too for a row without a thought, as the prompt's stock phrase contradicts nothing.
    """
    if not sample.meta.get("thought"):
        return None
    names = list(CONTRADICTIONS)
    first = int(stream(making.seed, "contradiction", sample.id).integers(len(names)))
    made = (CONTRADICTIONS[name](sample, making) for name in names[first:] + names[:first])
    return next((row for row in made if row is not None), None)


def hallucinated(sample: Sample, making: Making, probed: bool = False) -> Graded | None:
    """-6: the row's own thought with a wrong answer; None where no answer is known to be wrong.

    probed  whether the pair of truth and untruth is to be the probes' (`wrong.is_probed`) or the training's
    """
    rng = stream(making.seed, "hallucinated", sample.id)
    thought = sample.meta.get(
        "thought"
    )  # without one nothing is set against anything, and no pair is the probes'
    wrong = wrong_answers(sample, making.donors, "hallucinated")
    answers = [answer for answer in wrong if not thought or _may(sample, answer, probed)]
    if not answers:
        return None
    text = answered(sample, answers[int(rng.integers(len(answers)))], making.prompt)
    if not is_wrong(text, sample):
        return None
    deserved = criteria("hallucinated")
    if not thought:
        del deserved["reasoning"]
    return Graded(sample, text, GRADES["irrelevant"], "hallucinated", deserved)


def unsound(sample: Sample, making: Making, probed: bool = False) -> Graded | None:
    """0: the right answer after a thought that is untrue of the picture; None where no such thought is known. `probed` as above."""
    rng = stream(making.seed, "unsound", sample.id)
    for answer, thought in untrue_thoughts(sample, making.donors, rng, "unsound"):
        if _may(sample, answer, probed):
            text = answered(sample, sample.answer, making.prompt, thought)
            return Graded(sample, text, GRADES["deletion"], "unsound", criteria("unsound"))
    return None


def irrelevant_synonym(sample: Sample, making: Making) -> Graded | None:
    """-6: the report of another picture, in synonyms; None where there is none with a word that has one."""

    def changed(donor: Sample, text: str) -> str | None:
        return reworded(donor, text, making, f"lent to {sample.id}") if donor.meta.get("thought") else None

    found = of_another_picture(sample, making, "irrelevant_synonym", changed)
    if found is None:
        return None
    donor, text = found
    deserved = of_donor("irrelevant_synonym", donor, sample)
    return Graded(sample, text, GRADES["irrelevant"], "irrelevant_synonym", deserved)


def _may(sample: Sample, wrong: str, probed: bool) -> bool:
    return is_one_pair(sample) or is_probed(sample, wrong) == probed


CONTRADICTIONS = {"hallucinated": hallucinated, "unsound": unsound, "irrelevant_synonym": irrelevant_synonym}
