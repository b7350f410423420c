"""Probes: texts and pictures on which a reward model that learned the training mix alone fails.

Take them of rows that R_phi was not trained on. What text_against_answer sets against each other is the
probes' alone (`grades.is_probed`); unseen words are those of the held-out table that the training's source
does not give. To add one, write it here and name it in PROBES. Beside them stand graded rows with the image
exchanged or taken away: what R_phi says of these shows whether it looked.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from medical_rl.errors import UserError
from medical_rl.images import encode_png, image_size
from medical_rl.reward_model.graded import GRADES, Graded, criteria
from medical_rl.reward_model.grading.grades import hallucinated, irrelevant_synonym, is_one_pair, unsound
from medical_rl.reward_model.grading.synonyms import Synonyms, Unseen, load
from medical_rl.reward_model.grading.text_maker import (
    Donors,
    TextMaker,
    build_rows,
    donors_of,
    named_builders,
)
from medical_rl.sample import Sample
from medical_rl.seeding import rank


def probe_rows(
    samples: Iterable[Sample],
    prompt_cfg: Mapping,
    seed: int,
    trained: Synonyms,
    *,
    donors: Donors | None = None,
    probes: Sequence[str] | None = None,
    skipped: collections.Counter | None = None,
) -> Iterator[Graded]:
    """For each sample one row of each probe, `made_by` its name, with the grade it deserves; streamed.

    trained  the source of synonyms that the training texts used: none of its words is a probe's
    donors, skipped  as in `graded_rows`

    Raises UserError for an unknown probe or a target that cannot be filled.
    """
    builders = named_builders(PROBES if probes is None else probes, PROBES, "probe of the reward model named")
    words = Unseen(load("held_out"), trained)
    maker = TextMaker(prompt_cfg, seed, words, donors_of(samples, seed, donors), share=1.0)
    yield from build_rows(samples, builders, maker, skipped)


def wrong_image_synonym(sample: Sample, maker: TextMaker) -> Graded | None:
    """-6: the report of another picture in unseen words; None where there is none."""
    row = irrelevant_synonym(sample, maker)
    return row and dataclasses.replace(row, made_by="wrong_image_synonym")


def text_against_answer(sample: Sample, maker: TextMaker) -> Graded | None:
    """-6 for a wrong answer to the own thought, or 0 for the right one after an untrue thought.

    Which of both is drawn for the row.
    Where two answers are all there are, and so the training's too, the thought is in unseen words. None where
    it cannot be made, and for a row without a thought.
    """
    if not sample.meta.get("thought"):
        return None
    first, second = hallucinated, unsound
    if rank(str(maker.seed), "against", sample.id) >= 0.5:
        first, second = second, first
    row = first(sample, maker, probed=True) or second(sample, maker, probed=True)
    if row is None:
        return None
    text = row.text
    if is_one_pair(sample):
        text = maker.reworded(sample, text, "text_against_answer")
    return text and dataclasses.replace(row, text=text, made_by="text_against_answer")


def unseen_wording(sample: Sample, maker: TextMaker) -> Graded | None:
    """6, as a right report in other words: with synonyms that no builder uses; None where no word has one."""
    text = maker.reworded(sample, maker.text(sample), "unseen_wording")
    return text and Graded(sample, text, GRADES["synonym"], "unseen_wording", criteria("synonym"))


def grey_image(sample: Sample, maker: TextMaker) -> Graded | None:
    """-6: the right report beside even grey pictures of the same sizes; None for a row without pictures."""
    if not sample.images:
        return None
    text, grade = maker.text(sample), GRADES["irrelevant"]
    return with_grey_images(Graded(sample, text, grade, "grey_image", criteria("grey_image")))


PROBES = {
    "wrong_image_synonym": wrong_image_synonym,
    "text_against_answer": text_against_answer,
    "unseen_wording": unseen_wording,
    "grey_image": grey_image,
}


def with_swapped_images(rows: Sequence[Graded], seed: int) -> list[Graded]:
    """The rows with the images of a sample with the same question, as many images, another answer.

    Rows without such a partner are left out. Raises UserError where none has one.
    """
    rng = np.random.default_rng(seed)
    partners: dict[tuple, dict[str, list]] = {}
    for sample in {row.sample.id: row.sample for row in rows}.values():
        by_answer = partners.setdefault((sample.question, len(sample.images)), {})
        by_answer.setdefault(sample.answer, []).append(sample)
    exchanged = []
    for row in rows:
        others = []
        for answer, samples in partners[row.sample.question, len(row.sample.images)].items():
            if answer != row.sample.answer:
                others += samples
        if others and row.sample.images:
            exchanged.append(_with_images(row, others[int(rng.integers(len(others)))].images))
    if not exchanged:
        raise UserError(
            f"None of {len(rows)} graded rows has a partner with the same question and another answer, so "
            "that no image can be exchanged."
        )
    return exchanged


def with_grey_images(row: Graded) -> Graded:
    """The row with every image replaced by an even grey one of its size: what is left is the text."""
    images = []
    for data in row.sample.images:
        images.append(encode_png(np.full(image_size(data), 128, np.uint8)))
    return _with_images(row, tuple(images))


def _with_images(row: Graded, images: tuple[bytes, ...]) -> Graded:
    return dataclasses.replace(row, sample=dataclasses.replace(row.sample, images=images))
