"""MedGR2's multi-grade supervision: of each row the four texts on which R_phi is trained.

Grade 1 (10) is the row's own text, grade 2 (6) the same in synonyms, grade 3 (0) what deleted phrases leave of it, grade 4 (-6)
the text of another picture. A builder is `(sample, making) -> Graded | None`, pure, with a random stream named by the seed, the
grade and the row: what it makes of a row does not depend on the other rows' order. To add one, write it here and name it in
BUILDERS.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.reward_model.graded import GRADES, Graded
from medical_rl.reward_model.grading.contradictions import contradiction, hallucinated
from medical_rl.reward_model.grading.criteria import criteria, of_deletion, of_donor
from medical_rl.reward_model.grading.deletion import delete
from medical_rl.reward_model.grading.donors import Donors
from medical_rl.reward_model.grading.making import (
    Making,
    chosen,
    donors_of,
    made,
    of_another_picture,
    reworded,
)
from medical_rl.reward_model.grading.synonyms import Synonyms
from medical_rl.sample import Sample
from medical_rl.seeding import rank, stream


def graded_rows(
    samples: Iterable[Sample],
    prompt_cfg: Mapping,
    seed: int,
    synonyms: Synonyms,
    *,
    donors: Donors | None = None,
    builders: Sequence[str] = tuple(GRADES),
    contradictions: float = 0.25,
    share: float = 0.5,
    skipped: collections.Counter | None = None,
) -> Iterator[Graded]:
    """For each sample one row of each grade in `builders`, and for a share of them a contradiction; streamed.

    samples         gone through once, and once before where `donors` is not given: then a list, not a generator
    donors          `Donors` of the rows whose texts are lent, for a set too large for memory
    contradictions  share of samples with one more row, whose thought and answer are at odds, or that is a reworded text of another
                    picture (medical_rl.reward_model.grading.contradictions); 0 leaves the paper's four grades
    share           of the words that have a synonym, how many are replaced
    skipped         counts by name the rows that could not be made (no synonym, nothing to delete, no other picture)

    Raises UserError for an unknown builder, a share outside [0, 1] or a target that cannot be filled.
    """
    for name, value in (("contradictions", contradictions), ("share", share)):
        if not 0 <= value <= 1:
            raise UserError(f"{name}={value} of the graded texts is a share, from 0 to 1.")
    building = chosen(builders, BUILDERS, "builder of graded texts named")
    making = Making(prompt_cfg, seed, synonyms, donors_of(samples, seed, donors), share)
    for sample in samples:
        more = (
            [("contradiction", contradiction)]
            if rank(str(seed), "contradicted", sample.id) < contradictions
            else []
        )
        yield from made([sample], building + more, making, skipped)


def original(sample: Sample, making: Making) -> Graded:
    """Grade 1: the row's own text, as SFT teaches it."""
    return Graded(sample, target(sample, making.prompt), GRADES["original"], "original", criteria("original"))


def synonym(sample: Sample, making: Making) -> Graded | None:
    """Grade 2: the row's text with synonyms in its thought; None where it has no word with a synonym."""
    text = reworded(sample, target(sample, making.prompt), making, "synonym")
    return text and Graded(sample, text, GRADES["synonym"], "synonym", criteria("synonym"))


def deletion(sample: Sample, making: Making) -> Graded | None:
    """Grade 3: the row's text with phrases deleted; None where there is nothing to delete."""
    whole = target(sample, making.prompt)
    text = delete(whole, sample, stream(making.seed, "deletion", sample.id))
    return text and Graded(sample, text, GRADES["deletion"], "deletion", of_deletion(text, whole, sample))


def irrelevant(sample: Sample, making: Making) -> Graded | None:
    """Grade 4: the text of another picture whose answer is wrong here; where there is none, a wrong answer to the own thought."""
    found = of_another_picture(sample, making, "irrelevant")
    if found is None:
        return hallucinated(sample, making)
    donor, text = found
    return Graded(sample, text, GRADES["irrelevant"], "irrelevant", of_donor("irrelevant", donor, sample))


BUILDERS = {"original": original, "synonym": synonym, "deletion": deletion, "irrelevant": irrelevant}
