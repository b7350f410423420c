"""Phantom questions of several types about phantoms of several "modalities", for MedGR2 at a tiny scale.

One picture, one disc graded 0 (none) to 4 by its size, drawn in one of three ways; two questions about it. A row's
meta["facts"] says all that is true of its picture, so that a generator may ask about any of it, and meta["thought"]
is a short report from which the answer follows: a text that can be graded, worded anew or contradicted.
"""

from __future__ import annotations

import numpy as np

from medical_rl.tiny.drawing import SIDE, background, finish, soft_disc

MODALITIES = ("bright", "dark", "speckled")
QUESTION_TYPES = ("grading", "side")
SIZES = ("no", "small", "medium", "large", "huge")
SIDES = ("left", "right", "none")


def vqa(rng, index: int, modalities=MODALITIES, question_types=QUESTION_TYPES) -> dict:
    """A phantom's picture, question, truth and report; index runs over grades, then modalities, then question types."""
    grade = index % len(SIZES)
    modality = modalities[index // len(SIZES) % len(modalities)]
    kind = question_types[index // (len(SIZES) * len(modalities)) % len(question_types)]
    image, side = _picture(rng, grade, modality)
    facts = {"grade": grade, "side": side}
    truth, wrong = ask(kind, facts), ask(kind, another(kind, facts, rng))
    return {
        "image": image,
        "kind": truth["kind"],
        "question": truth["question"],
        "choices": truth["choices"],
        "knowledge": truth["knowledge"],
        "truth": truth["answer"],
        "thought": truth["thought"],
        "wrong": wrong["answer"],
        "wrong_thought": wrong["thought"],
        "meta": {"facts": facts, "modality": modality, "question_type": kind},
    }


def ask(question_type: str, facts: dict) -> dict:
    """{"question", "kind", "choices", "knowledge", "answer", "thought"}: what `question_type` asks of a picture with these facts.

    >>> ask("grading", {"grade": 3, "side": "left"})["thought"]
    'a large disc is seen'
    """
    if question_type == "grading":
        return {
            "question": "What is the grade of the disc, from 0 to 4?",
            "kind": "grade",
            "choices": tuple(str(g) for g in range(len(SIZES))),
            "knowledge": "0 no disc; 1 small; 2 medium; 3 large; 4 huge",
            "answer": str(facts["grade"]),
            "thought": f"{'a ' if facts['grade'] else ''}{SIZES[facts['grade']]} disc is seen",
        }
    told = "no disc is seen" if facts["side"] == "none" else f"the disc lies on the {facts['side']}"
    return {
        "question": "On which side is the disc?",
        "kind": "label",
        "choices": SIDES,
        "knowledge": "",
        "answer": facts["side"],
        "thought": told,
    }


def another(question_type: str, facts: dict, rng) -> dict:
    """`facts` with what `question_type` asks about changed to something untrue."""
    if question_type == "grading":
        grade = (facts["grade"] + int(rng.integers(1, len(SIZES)))) % len(SIZES)
        return {**facts, "grade": grade}
    others = [side for side in SIDES if side != facts["side"]]
    return {**facts, "side": others[int(rng.integers(len(others)))]}


def _picture(rng, grade: int, modality: str) -> tuple[np.ndarray, str]:
    """(the picture, the side its disc lies on: left, right or none)."""
    image = background(rng)
    if modality == "speckled":
        image = image * rng.gamma(6.0, 1 / 6.0, image.shape)
    side = "none"
    if grade:
        radius = 3 + 4 * grade + rng.uniform(-0.7, 0.7)
        margin = min(radius, SIDE / 2 - 4)
        centre = rng.uniform(margin, SIDE - margin, 2)
        if abs(centre[1] - SIDE / 2) < 3:  # a disc in the middle has no side
            centre[1] = SIDE / 2 + (3 if centre[1] >= SIDE / 2 else -3)
        side = "left" if centre[1] < SIDE / 2 else "right"
        image = image + rng.uniform(90, 120) * soft_disc(centre, radius)
    return finish(220 - image if modality == "dark" else image), side
