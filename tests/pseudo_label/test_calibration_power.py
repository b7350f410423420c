"""The default calibration has questions enough: a labeller as good as RULE's passes, one at alpha does not."""

import numpy as np
import pytest

from medical_rl.data.prepare import readers
from medical_rl.data.rows import Drops
from medical_rl.errors import UserError
from medical_rl.pseudo_label.calibration.calibrate import NothingKept, calibrate
from medical_rl.pseudo_label.calibration.learn_then_test import calibration_settings
from medical_rl.pseudo_label.parts import training_parts
from medical_rl.sample import Sample

DRAWS = 2000
RULE = 0.878  # accuracy of RULE's labeller on IU-Xray (Xia et al., 2024, table 1)


@pytest.fixture(scope="module")
def conf(composed):
    return composed("+conf/calibration=ltt")["calibration"]


@pytest.fixture(scope="module")
def questions(realdata):
    """The real training questions as the recipe prepares them, without their images."""
    reader = readers.load_reader("iu_xray")
    options = {"questions": "rule_iuxray_test.jsonl", "require_images": False}
    return list(reader.rows(realdata / "iu_xray", "train", drops=Drops(), **options))


def share_passed(accuracy: float, n: int, conf) -> float:
    """Of so many calibrations on n questions the share that keeps some k, where all k err on the same ones: the hardest."""
    settings, passed = calibration_settings(conf), {}
    wrong_counts = np.random.default_rng(0).binomial(n, 1 - accuracy, DRAWS)
    for wrong in set(wrong_counts.tolist()):
        errors = [1] * wrong + [0] * (n - wrong)
        try:
            passed[wrong] = bool(calibrate(dict.fromkeys(settings.candidates, errors), settings).kept)
        except NothingKept:
            passed[wrong] = False
    return float(np.mean([passed[wrong] for wrong in wrong_counts.tolist()]))


@pytest.mark.parametrize("pairs_share", [0.25, 0.0], ids=["with alignment", "without"])
def test_a_labeller_as_good_as_rules_passes_on_the_real_questions_and_one_at_alpha_does_not(
    questions, conf, pairs_share
):
    parts = training_parts(questions, conf, pairs_share, seed=1)
    n = len(parts.calibration)
    assert share_passed(RULE, n, conf) > 0.9, n
    assert share_passed(1 - conf["alpha"], n, conf) < conf["delta"]


def test_one_question_a_study_and_no_question_in_two_parts(questions, conf):
    parts = training_parts(questions, conf, 0.25, seed=1)
    study = {row.id: row.group for row in questions}
    asked = [study[name] for name in parts.calibration]
    assert len(asked) == len(set(asked))
    assert not set(parts.calibration) & {*parts.pairs, *parts.labelled}
    assert not set(asked) & {study[name] for name in parts.pairs}
    apart = training_parts(questions, {**conf, "of_labelled": False}, 0.25, seed=1)
    assert set(apart.calibration) < set(parts.calibration) and apart.pairs == parts.pairs
    # what calibrates is not labelled, and nothing else is lost
    assert set(apart.labelled) - set(parts.labelled) == set(parts.calibration) - set(apart.calibration)
    assert {study[name] for name in apart.labelled} == {study[name] for name in parts.labelled}


def test_a_study_with_one_question_keeps_it_for_its_label(conf):
    rows = [
        Sample(id=str(i), source="d", question="?", kind="yes_no", answer="yes", group=f"s{i}")
        for i in range(40)
    ]
    apart = training_parts(rows, {**conf, "of_labelled": False}, 0.0, seed=1)
    assert training_parts(rows, conf, 0.0, seed=1) == apart


def test_of_labelled_is_yes_or_no(conf):
    with pytest.raises(UserError, match="conf.calibration.of_labelled=3 must be true or false"):
        calibration_settings({**conf, "of_labelled": 3})
