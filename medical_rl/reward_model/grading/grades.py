"""MedGR2's multi-grade supervision: of each row the four texts on which R_phi is trained.

Grade 1 (10) is the row's own text, grade 2 (6) the same in synonyms, grade 3 (0) what deleted phrases leave
of it, grade 4 (-6) the text of another picture. A builder is `(sample, maker) -> Graded | None`, pure, with a
random stream named by the seed, the grade and the row: what it makes of a row does not depend on the other
rows' order. To add one, write it here and name it in BUILDERS.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.reward_model.graded import GRADES, Graded, criteria, deletion_criteria, donor_criteria
from medical_rl.reward_model.grading.contradictions import contradiction, hallucinated
from medical_rl.reward_model.grading.deletion import delete
from medical_rl.reward_model.grading.donors import Donors
from medical_rl.reward_model.grading.synonyms import Synonyms
from medical_rl.reward_model.grading.text_maker import TextMaker, build_rows, donors_of, named_builders
from medical_rl.sample import Sample
from medical_rl.seeding import rank


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
    """For each sample a row of each grade in `builders`, for a share of them a contradiction; streamed.

    samples         gone through once, and once before where `donors` is not given: then a list, not a
                    generator
    donors          `Donors` of the rows whose texts are lent, for a set too large for memory
    contradictions  share of samples with one more row, whose thought and answer are at odds, or that is a
                    reworded text of another picture (contradictions.py); 0 leaves the paper's four grades
    share           of the words that have a synonym, how many are replaced
    skipped         counts by name the rows that could not be made (no synonym, nothing to delete, no other
                    picture)

    Raises UserError for an unknown builder, a share outside [0, 1] or a target that cannot be filled.
    """
    for name, value in (("contradictions", contradictions), ("share", share)):
        if not 0 <= value <= 1:
            raise UserError(f"{name}={value} of the graded texts is a share, from 0 to 1.")
    of_grades = named_builders(builders, BUILDERS, "builder of graded texts named")
    with_contradiction = of_grades + [("contradiction", contradiction)]
    maker = TextMaker(prompt_cfg, seed, synonyms, donors_of(samples, seed, donors), share)
    for sample in samples:
        contradicted = rank(str(seed), "contradicted", sample.id) < contradictions
        yield from build_rows([sample], with_contradiction if contradicted else of_grades, maker, skipped)


def original(sample: Sample, maker: TextMaker) -> Graded:
    """Grade 1: the row's own text, as SFT teaches it."""
    return Graded(sample, maker.text(sample), GRADES["original"], "original", criteria("original"))


def synonym(sample: Sample, maker: TextMaker) -> Graded | None:
    """Grade 2: the row's text with synonyms in its thought; None where it has no word with a synonym."""
    text = maker.reworded(sample, maker.text(sample), "synonym")
    return text and Graded(sample, text, GRADES["synonym"], "synonym", criteria("synonym"))


def deletion(sample: Sample, maker: TextMaker) -> Graded | None:
    """Grade 3: the row's text with phrases deleted; None where there is nothing to delete."""
    whole = maker.text(sample)
    text = delete(whole, sample, maker.rng("deletion", sample.id))
    return text and Graded(
        sample, text, GRADES["deletion"], "deletion", deletion_criteria(text, whole, sample)
    )


def irrelevant(sample: Sample, maker: TextMaker) -> Graded | None:
    """Grade 4: the text of another picture, wrong here; without one, the own thought answered wrong."""
    lent = maker.of_another_picture(sample, "irrelevant")
    if lent is None:
        return hallucinated(sample, maker)
    donor, text = lent
    deserved = donor_criteria("irrelevant", donor, sample)
    return Graded(sample, text, GRADES["irrelevant"], "irrelevant", deserved)


BUILDERS = {"original": original, "synonym": synonym, "deletion": deletion, "irrelevant": irrelevant}
