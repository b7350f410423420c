"""Questions of several types about phantoms of several "modalities", for MedGR2 at a tiny scale.

One picture, one disc graded 0 (none) to 4 by its size, drawn in one of three ways; two questions about it. A
row's meta["facts"] says all that is true of its picture, so that a generator may ask about any of it, and
meta["thought"] is a short report from which the answer follows: a text that can be graded, worded anew or
contradicted.
"""

import numpy as np

from medical_rl.tiny.drawing import SIDE, background, graded_place, grey_levels, soft_disc

MODALITIES = ("bright", "dark", "speckled")
QUESTION_TYPES = ("grading", "side")
# Further ways to ask than `facts_question`'s own, for a generator.
WORDINGS = {
    "grading": ("Which grade from 0 to 4 has the disc?", "How is the disc graded, from 0 to 4?"),
    "side": ("Where is the disc: on which side?", "The disc lies on which side?"),
}
SIZES = ("no", "a small", "a medium", "a large", "a huge")
SIDES = ("left", "right", "none")


def vqa(rng, index: int, modalities=MODALITIES, question_types=QUESTION_TYPES) -> dict:
    """A phantom's picture, question, truth and report.

    `index` runs over grades, then modalities, then question types.
    """
    rest, grade = divmod(index, len(SIZES))
    rest, number = divmod(rest, len(modalities))
    modality, question_type = modalities[number], question_types[rest % len(question_types)]
    image, side = _picture(rng, grade, modality)
    facts = {"grade": grade, "side": side}
    question = facts_question(question_type, facts)
    wrong, wrong_thought = untrue_statement(question_type, facts, rng)
    return {
        "image": image,
        "kind": question["kind"],
        "question": question["question"],
        "choices": question["choices"],
        "knowledge": question["knowledge"],
        "truth": question["answer"],
        "thought": question["thought"],
        "wrong": wrong,
        "wrong_thought": wrong_thought,
        "meta": {"facts": facts, "modality": modality, "question_type": question_type},
    }


def facts_question(question_type: str, facts: dict) -> dict:
    """What is asked of a picture: {"question", "kind", "choices", "knowledge", "answer", "thought"}.

    >>> facts_question("grading", {"grade": 3, "side": "left"})["thought"]
    'a large disc is seen'
    """
    if question_type == "grading":
        grade = facts["grade"]
        return {
            "question": "What is the grade of the disc, from 0 to 4?",
            "kind": "grade",
            "choices": ("0", "1", "2", "3", "4"),
            "knowledge": "0 no disc; 1 small; 2 medium; 3 large; 4 huge",
            "answer": str(grade),
            "thought": f"{SIZES[grade]} disc is seen",
        }
    side = facts["side"]
    return {
        "question": "On which side is the disc?",
        "kind": "label",
        "choices": SIDES,
        "knowledge": "",
        "answer": side,
        "thought": "no disc is seen" if side == "none" else f"the disc lies on the {side}",
    }


def changed_facts(question_type: str, facts: dict, rng) -> dict:
    """`facts` with what `question_type` asks about changed to something untrue."""
    if question_type == "grading":
        return facts | {"grade": (facts["grade"] + int(rng.integers(1, len(SIZES)))) % len(SIZES)}
    others = [side for side in SIDES if side != facts["side"]]
    return facts | {"side": others[int(rng.integers(len(others)))]}


def untrue_statement(question_type: str, facts: dict, rng) -> tuple[str, str]:
    """(answer, thought) of `question_type` where the picture is another than these facts say."""
    other = facts_question(question_type, changed_facts(question_type, facts, rng))
    return other["answer"], other["thought"]


def _picture(rng, grade: int, modality: str) -> tuple[np.ndarray, str]:
    """(the picture, the side its disc lies on: left, right or none)."""
    image = background(rng)
    if modality == "speckled":
        image = image * rng.gamma(6.0, 1 / 6.0, image.shape)
    side = "none"
    if grade:
        radius, centre = graded_place(rng, grade)
        side, inner = ("left", SIDE / 2 - 3) if centre[1] < SIDE / 2 else ("right", SIDE / 2 + 3)
        if abs(centre[1] - SIDE / 2) < 3:  # a disc in the middle has no side
            centre[1] = inner
        image = image + rng.uniform(90, 120) * soft_disc(centre, radius)
    return grey_levels(220 - image if modality == "dark" else image), side
