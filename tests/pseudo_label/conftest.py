"""Fixtures: settings and errors of calibrations, settings of labellers, yes/no rows with a picture of their own, reports."""

import functools

import numpy as np
import pytest

from medical_rl.data.reports import Report
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.images import encode_png
from medical_rl.pseudo_label.calibration.learn_then_test import calibration_settings
from medical_rl.pseudo_label.label import LabelQuestion
from medical_rl.sample import Sample

LIMITS = {"min_pixels": 3136, "max_pixels": 3136}
ENGINE = {"device": "cpu", "dtype": "float32", "gpu_memory_utilization": 0.5}
GIVEN = {
    "candidates": [1, 2, 4], "alpha": 0.2, "delta": 0.1, "method": "bonferroni", "on_empty": "stop", "of_labelled": False,
}  # fmt: skip


@pytest.fixture
def settings(serving):
    """A function that gives the settings of conf/labeller=NAME, with changes; `service` may be given in part."""
    return functools.partial(serving, "labeller")


@pytest.fixture(scope="session")
def prompt(composed):
    """conf/prompt=yes_no."""
    return composed("conf/prompt=yes_no", "+conf/labeller=rule")["prompt"]


@pytest.fixture
def make_row():
    """A function that makes a yes/no row with one picture of its own, its grey levels from `seed`."""

    def make(seed=0, question="Is there a pleural effusion?", **fields):
        picture = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
        defaults = {
            "id": str(seed),
            "source": "demo",
            "kind": "yes_no",
            "answer": "no",
            "choices": ("yes", "no"),
        }
        return Sample(
            **{
                **defaults,
                "question": question,
                "images": (encode_png(picture),),
                "group": str(seed),
                **fields,
            }
        )

    return make


@pytest.fixture
def ask(make_row):
    """A function from a question and the texts of reports r1, r2, ... to an `Asked`."""

    def make(question, *texts, **fields):
        reports = tuple(Report(f"r{n}", text, f"study {n}") for n, text in enumerate(texts, 1))
        return LabelQuestion(make_row(question=question, **fields), reports)

    return make


@pytest.fixture
def work(tmp_path):
    """The work of a stage in the test's folder."""
    return RoundContext(1, 5, tmp_path / "stage", tmp_path, LIMITS, ENGINE)


@pytest.fixture
def rule():
    """Makes settings as conf/calibration gives them, with what is named changed."""
    return lambda **changed: calibration_settings(GIVEN | changed)


@pytest.fixture
def wrong():
    """Makes the errors of n questions of which so many are wrong: wrong(200, {1: 30, 2: 20})."""
    return lambda n, counts: {k: [1] * count + [0] * (n - count) for k, count in counts.items()}
