"""Graded rows with the image exchanged or taken away: what R_phi says then shows whether it looked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from medical_rl.errors import UserError
from medical_rl.images import encode_png, image_size
from medical_rl.reward_model.graded import Graded

GREY = 128


def swapped(rows: Sequence[Graded], seed: int) -> list[Graded]:
    """The rows, each with the images of another sample that has the same question, as many images and another answer.

    Rows without such a partner are left out; UserError where none has one.
    """
    rng = np.random.default_rng(seed)
    pool: dict[tuple, dict[str, list]] = {}
    for sample in {row.sample.id: row.sample for row in rows}.values():
        pool.setdefault((sample.question, len(sample.images)), {}).setdefault(sample.answer, []).append(
            sample
        )
    found = []
    for row in rows:
        answers = pool[row.sample.question, len(row.sample.images)]
        others = [
            sample for answer, samples in answers.items() if answer != row.sample.answer for sample in samples
        ]
        if others and row.sample.images:
            images = others[int(rng.integers(len(others)))].images
            found.append(dataclasses.replace(row, sample=dataclasses.replace(row.sample, images=images)))
    if not found:
        raise UserError(
            f"None of {len(rows)} graded rows has a partner with the same question and another answer, so that no image can "
            "be exchanged."
        )
    return found


def grey(rows: Sequence[Graded]) -> list[Graded]:
    """The rows with every image replaced by an even grey one of its size: what is left is the text."""
    return [
        dataclasses.replace(r, sample=dataclasses.replace(r.sample, images=_grey(r.sample.images)))
        for r in rows
    ]


def _grey(images: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(encode_png(np.full(image_size(data), GREY, np.uint8)) for data in images)
