"""MedGR2's multi-grade supervision: of each row the four texts on which R_phi is trained, and contradictions.

Grade 1 (10) is the row's own text, grade 2 (6) the same in synonyms, grade 3 (0) what deleted phrases leave
of it, grade 4 (-6) the text of another picture. A builder is `(sample, maker) -> Graded | None`, pure, with a
random stream named by the seed, the grade and the row: what it makes of a row does not depend on the other
rows' order. To add one, write it here and name it in BUILDERS.

Without contradictions a reward model trusts any tidy text that it was not trained on. Two deserve -6: the own
thought with a wrong answer (hallucinated), and the text of another picture in synonyms. One deserves 0: the
right answer after a thought that is untrue of the picture. The pairs of truth and untruth that are the
probes' alone (`is_probed`) are not used for training, and the words are those of the training's source of
synonyms.
"""

import collections
import itertools
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.parsing.response import gold, parse, read
from medical_rl.parsing.text import normalise
from medical_rl.reward_model.graded import GRADES, Graded, criteria, deletion_criteria, donor_criteria
from medical_rl.reward_model.grading.synonyms import Synonyms
from medical_rl.reward_model.grading.text_changes import delete
from medical_rl.reward_model.grading.text_maker import (
    Donors,
    TextMaker,
    build_rows,
    donors_of,
    is_wrong,
    named_builders,
)
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample
from medical_rl.seeding import rank

LENT = 8  # donors whose answers are looked at
DRAWS = 16  # of statements that are untrue of a picture with known facts
PROBED = 0.25  # share of the pairs (truth, wrong answer) that only the probes may use
# Sets whose rows say all that is true of their picture in meta["facts"]: {source: "module:function"}. The
# function is (meta["question_type"], facts, rng) -> (answer, thought), a statement drawn by rng that is
# untrue of such a picture.
UNTRUE_STATEMENTS = {"phantom_vqa": "medical_rl.tiny.phantoms:untrue_statement"}


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
                    reworded text of another picture; 0 leaves the paper's four grades
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
    return _lent(sample, maker, "irrelevant") or hallucinated(sample, maker)


BUILDERS = {"original": original, "synonym": synonym, "deletion": deletion, "irrelevant": irrelevant}


def contradiction(sample: Sample, maker: TextMaker) -> Graded | None:
    """One of CONTRADICTIONS, drawn for the row; the next where it cannot be made; None where none can.

    None too for a row without a thought, as the prompt's stock phrase contradicts nothing.
    """
    if not sample.meta.get("thought"):
        return None
    names = list(CONTRADICTIONS)
    first = int(maker.rng("contradiction", sample.id).integers(len(names)))
    for name in names[first:] + names[:first]:
        row = CONTRADICTIONS[name](sample, maker)
        if row is not None:
            return row
    return None


def hallucinated(sample: Sample, maker: TextMaker, probed: bool = False) -> Graded | None:
    """-6: the row's own thought with a wrong answer; None where no answer is known to be wrong.

    probed  whether the pair of truth and untruth is to be the probes' (`is_probed`) or the training's
    """
    thought = sample.meta.get("thought")
    answers = wrong_answers(sample, maker.donors, "hallucinated")
    if thought:  # without one nothing is set against anything, and no pair is the probes'
        answers = [answer for answer in answers if _may_use(sample, answer, probed)]
    if not answers:
        return None
    index = int(maker.rng("hallucinated", sample.id).integers(len(answers)))
    text = maker.text(sample, answers[index])
    if not is_wrong(text, sample):
        return None
    deserved = criteria("hallucinated")
    if not thought:
        del deserved["reasoning"]
    return Graded(sample, text, GRADES["irrelevant"], "hallucinated", deserved)


def unsound(sample: Sample, maker: TextMaker, probed: bool = False) -> Graded | None:
    """0: the right answer after a thought that is untrue of the picture; None where none is known."""
    rng = maker.rng("unsound", sample.id)
    for answer, thought in untrue_thoughts(sample, maker.donors, rng, "unsound"):
        if _may_use(sample, answer, probed):
            text = maker.text(sample, thought=thought)
            return Graded(sample, text, GRADES["deletion"], "unsound", criteria("unsound"))
    return None


def irrelevant_synonym(sample: Sample, maker: TextMaker) -> Graded | None:
    """-6: the report of another picture, in synonyms; None where there is none with a word that has one."""

    def reworded(donor: Sample, text: str) -> str | None:
        if not donor.meta.get("thought"):
            return None
        return maker.reworded(donor, text, f"lent to {sample.id}")

    return _lent(sample, maker, "irrelevant_synonym", reworded)


def _lent(sample: Sample, maker: TextMaker, made_by: str, change=None) -> Graded | None:
    lent = maker.of_another_picture(sample, made_by, change)
    if lent is None:
        return None
    donor, text = lent
    return Graded(sample, text, GRADES["irrelevant"], made_by, donor_criteria(made_by, donor, sample))


def _may_use(sample: Sample, wrong: str, probed: bool) -> bool:
    return is_one_pair(sample) or is_probed(sample, wrong) == probed


CONTRADICTIONS = {"hallucinated": hallucinated, "unsound": unsound, "irrelevant_synonym": irrelevant_synonym}


def wrong_answers(sample: Sample, donors: Donors, purpose: str = "") -> list[str]:
    """Answers of the sample's kind that are not its gold one, in a fixed order.

    The other choices where there are choices, the other of yes and no; else the answers of other rows, each
    once.
    """
    if sample.kind == "yes_no":
        return ["no" if gold(sample) == "yes" else "yes"]
    answers = sample.choices
    if not answers:
        lenders = itertools.islice(donors.of(sample, purpose), LENT)
        answers = dict.fromkeys(donor.answer for donor in lenders)
    return [answer for answer in answers if not right(_read(answer, sample), sample)]


def is_probed(sample: Sample, wrong: str) -> bool:
    """True if setting `wrong` against the sample's truth is left to the probes.

    It is the same for every seed, row and direction.
    Of the pairs of classes or grades the PROBED share, at least one, is the probes'; of those of options and
    free answers that share by their names. Yes and no, and two classes, are one pair, which none keeps: see
    `is_one_pair`.

    >>> from dataclasses import replace
    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="a", choices=("a", "b", "c"))
    >>> [is_probed(replace(s, answer=one), other) for one, other in ("ab", "bc", "ac", "ca")]
    [False, False, True, True]
    """

    def pair_rank(pair: tuple[str, str]) -> float:
        return rank("pair", *pair)

    if is_one_pair(sample):
        return False
    answer = _read(wrong, sample)
    pair = tuple(sorted((str(gold(sample)), wrong if answer is None else answer)))
    if sample.kind not in ("label", "grade") or not sample.choices:
        return pair_rank(pair) < PROBED
    in_order = sorted(itertools.combinations(sorted(sample.choices), 2), key=pair_rank)
    return pair in in_order[: max(1, round(PROBED * len(in_order)))]


def is_one_pair(sample: Sample) -> bool:
    """True where there are two answers in all, so that training and probes share them and differ in words."""
    return sample.kind == "yes_no" or len(sample.choices) == 2


def untrue_thoughts(sample: Sample, donors: Donors, rng, purpose: str) -> Iterator[tuple[str, str]]:
    """(answer that follows, thought) of thoughts untrue of the picture, in an order drawn for the row.

    From the facts of its picture, where its set says some (UNTRUE_STATEMENTS); else those of donors to the
    same question.
    """
    facts, question_type = sample.meta.get("facts"), sample.meta.get("question_type")
    statements = []
    if sample.source in UNTRUE_STATEMENTS and facts and question_type:
        untrue_statement = pkgutil.resolve_name(UNTRUE_STATEMENTS[sample.source])
        for _ in range(DRAWS):
            statements.append(untrue_statement(question_type, facts, rng))
    else:
        for donor in donors.of(sample, purpose):
            # what is said to another question may be true of this picture as well
            if normalise(donor.question) == normalise(sample.question):
                statements.append((str(gold(donor)), donor.meta.get("thought") or ""))
    for answer, thought in dict.fromkeys(statements):
        if thought and thought != (sample.meta.get("thought") or ""):
            yield answer, thought


def _read(answer: str, sample: Sample) -> str | None:
    return read(parse(f"<answer>{answer}</answer>"), sample)
