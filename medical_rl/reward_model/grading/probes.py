"""Probes: texts from outside the training mix, on which a reward model that learned the mix alone fails.

| probe               | what it is                                                          | deserves |
|---------------------|---------------------------------------------------------------------|----------|
| wrong_image_synonym | the report of another picture, in words that training never uses     | -6       |
| text_against_answer | the own thought with a wrong answer, or an untrue thought before the | -6       |
|                     | right answer                                                         | 0        |
| unseen_wording      | the right report, in words that training never uses                  | 6        |
| grey_image          | the right report beside a grey picture of the same size              | -6       |

Take them of rows that R_phi was not trained on. What text_against_answer sets against each other is the probes' alone
(`wrong.is_probed`); unseen words are those of the held-out table that the training's source does not give. To add one, write it here and name it in PROBES.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medical_rl.data.prompts import target
from medical_rl.reward_model.graded import GRADES, Graded
from medical_rl.reward_model.grading.contradictions import hallucinated, irrelevant_synonym, unsound
from medical_rl.reward_model.grading.counterfactual import grey
from medical_rl.reward_model.grading.criteria import criteria
from medical_rl.reward_model.grading.donors import Donors
from medical_rl.reward_model.grading.making import Making, chosen, donors_of, made, reworded
from medical_rl.reward_model.grading.synonyms import Synonyms, Unseen, load
from medical_rl.reward_model.grading.wrong import is_one_pair
from medical_rl.sample import Sample
from medical_rl.seeding import rank


def probe_rows(
    samples: Iterable[Sample],
    prompt_cfg: Mapping,
    seed: int,
    trained: Synonyms,
    *,
    wording: Synonyms | None = None,
    donors: Donors | None = None,
    probes: Sequence[str] | None = None,
    share: float = 1.0,
    skipped: collections.Counter | None = None,
) -> Iterator[Graded]:
    """For each sample one row of each probe, `made_by` its name, with the grade it deserves; streamed.

    trained  the source of synonyms that the training texts used: none of its words is a probe's
    wording  the source of the probes' words; None takes the held-out table
    donors, share, skipped  as in `graded_rows`

    Raises UserError for an unknown probe or a target that cannot be filled.
    """
    building = chosen(PROBES if probes is None else probes, PROBES, "probe of the reward model named")
    words = Unseen(load("held_out") if wording is None else wording, trained)
    making = Making(prompt_cfg, seed, words, donors_of(samples, seed, donors), share)
    yield from made(samples, building, making, skipped)


def wrong_image_synonym(sample: Sample, making: Making) -> Graded | None:
    """-6: the report of another picture in unseen words; None where there is none."""
    return _named(irrelevant_synonym(sample, making), "wrong_image_synonym")


def text_against_answer(sample: Sample, making: Making) -> Graded | None:
    """-6 for a wrong answer to the own thought, 0 for the right one after an untrue thought: which, is drawn for the row.

    Where two answers are all there are, and so the training's too, the thought is in unseen words. None where it cannot be made, and for
    a row without a thought.
    """
    if not sample.meta.get("thought"):
        return None
    kinds = (
        (hallucinated, unsound)
        if rank(str(making.seed), "against", sample.id) < 0.5
        else (unsound, hallucinated)
    )
    rows = (build(sample, making, probed=True) for build in kinds)
    row = next((row for row in rows if row is not None), None)
    if row is not None and is_one_pair(sample):
        text = reworded(sample, row.text, making, "text_against_answer")
        row = text and dataclasses.replace(row, text=text)
    return _named(row, "text_against_answer")


def unseen_wording(sample: Sample, making: Making) -> Graded | None:
    """6, as a right report in other words: with synonyms that no builder uses; None where no word has one."""
    text = reworded(sample, target(sample, making.prompt), making, "unseen_wording")
    return text and Graded(sample, text, GRADES["synonym"], "unseen_wording", criteria("synonym"))


def grey_image(sample: Sample, making: Making) -> Graded | None:
    """-6: the right report beside pictures of one grey, of the same sizes; None for a row without pictures."""
    if not sample.images:
        return None
    own = Graded(
        sample, target(sample, making.prompt), GRADES["irrelevant"], "grey_image", criteria("grey_image")
    )
    return grey([own])[0]


def _named(row: Graded | None, name: str) -> Graded | None:
    return row and dataclasses.replace(row, made_by=name)


PROBES = {
    "wrong_image_synonym": wrong_image_synonym,
    "text_against_answer": text_against_answer,
    "unseen_wording": unseen_wording,
    "grey_image": grey_image,
}
