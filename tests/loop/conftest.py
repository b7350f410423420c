"""Fixtures of the loop's tests: the settings of conf/generator, phantoms with facts, rows of other data, the policy's prompt."""

import functools

import numpy as np
import pytest

from medical_rl.images import encode_png
from medical_rl.sample import Sample
from medical_rl.tiny import phantoms


@pytest.fixture
def settings(serving):
    """A function that gives the settings of conf/generator=NAME, with changes; `service` may be given in part."""
    return functools.partial(serving, "generator")


@pytest.fixture(scope="session")
def prompt(composed):
    """The policy's prompt at the tiny scale."""
    return composed("+conf/generator=template")["prompt"]


@pytest.fixture(scope="session")
def facts_rows():
    """A function that draws `n` phantoms whose rows say all that is true of their pictures."""
    return functools.cache(
        lambda n, split="train": list(phantoms.rows(None, split, task="vqa", sizes={split: n}))
    )


@pytest.fixture
def make_row():
    """A function that makes a row with one picture of its own, its grey levels from `seed`."""

    def make(seed=0, **fields):
        picture = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
        defaults = {
            "id": str(seed),
            "source": "demo",
            "question": "Which?",
            "kind": "label",
            "answer": "a",
            "split": "train",
        }
        return Sample(**{**defaults, "images": (encode_png(picture),), "group": f"patient {seed}", **fields})

    return make
