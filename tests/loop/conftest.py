"""Fixtures of the loop's tests: the settings of conf/generator, phantoms with facts, rows of other data, the policy's prompt."""

import functools

import numpy as np
import pytest

from medical_rl.data.images import encode_png
from medical_rl.sample import Sample
from medical_rl.tiny import phantoms


@functools.cache
def composed(name):
    from omegaconf import OmegaConf

    from medical_rl.compose import compose

    overrides = ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", f"+conf/generator={name}"]
    return OmegaConf.to_container(compose(overrides), resolve=True)["conf"]


@pytest.fixture
def settings():
    """A function that gives the settings of conf/generator=NAME, with changes; `service` may be given in part."""

    def make(name, service=None, **changes):
        found = {**composed(name)["generator"], **changes}
        if service is not None:
            at = found["service"]
            found["service"] = {**at, **service, "endpoint": {**at["endpoint"], **service.get("endpoint", {})}}
        return found

    return make


@pytest.fixture(scope="session")
def prompt():
    """The policy's prompt at the tiny scale."""
    return composed("template")["prompt"]


@pytest.fixture(scope="session")
def facts_rows():
    """A function that draws `n` phantoms whose rows say all that is true of their pictures."""
    return functools.cache(lambda n, split="train": list(phantoms.rows(None, split, task="vqa", sizes={split: n})))


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
