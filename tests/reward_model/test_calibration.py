"""The figures by which R_phi is trusted, on numbers worked out by hand."""

import dataclasses

import numpy as np
import pytest

from medical_rl.errors import UserError
from medical_rl.images import decode, encode_png
from medical_rl.reward_model import calibration
from medical_rl.reward_model.calibration import calibrate, markdown, write_report
from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.grading.probes import with_grey_images, with_swapped_images
from medical_rl.sample import Sample

GRADES = {"original": 10.0, "synonym": 6.0, "deletion": 0.0, "irrelevant": -6.0, "probe": -6.0}


def picture(level: int) -> bytes:
    return encode_png(np.full((8, 8), level, np.uint8))


def sample(number: int, question: str = "Grade?") -> Sample:
    return Sample(f"s{number}", "demo", question, "grade", str(number % 2), images=(picture(number),))


@pytest.fixture
def rows():
    return [
        Graded(sample(i), made_by, grade, made_by) for i in range(20) for made_by, grade in GRADES.items()
    ]


def test_a_perfect_model(rows):
    found = calibrate(rows, [row.grade for row in rows])
    assert found["spearman"] == pytest.approx(1.0) and found["mae"] == 0.0 and found["order_accuracy"] == 1.0
    assert found["in_order"] is True and found["probe_gaps"]["probe"] == {
        "gap": 16.0,
        "share_above": 0.0,
        "n": 20,
    }


def test_a_constant_model_has_no_rank_correlation(rows):
    found = calibrate(rows, [4.0] * len(rows))
    # |4-10| + |4-6| + |4-0| + |4+6| + |4+6| = 32, a fifth of it
    assert found["spearman"] is None and found["mae"] == pytest.approx(6.4)
    assert found["order_accuracy"] == 0.5 and found["in_order"] is False


def test_a_reversed_model_is_not_in_order(rows):
    found = calibrate(rows, [-row.grade for row in rows])
    assert (
        found["spearman"] == pytest.approx(-1.0)
        and found["order_accuracy"] == 0.0
        and found["in_order"] is False
    )


def test_order_is_asked_within_a_sample_only():
    rows = [
        Graded(sample(0), "a", 10.0, "original"),
        Graded(sample(0), "b", 0.0, "deletion"),
        Graded(sample(1), "c", 6.0, "synonym"),
    ]
    # 10 above 0 is right; the 6 of another sample is compared with neither
    assert calibration.order_accuracy(rows, [1.0, 0.0, 99.0]) == 1.0
    assert calibration.order_accuracy(rows[2:], [1.0]) is None


def test_a_probe_that_passes_for_true_shows_in_its_gap(rows):
    fooled = [9.0 if row.made_by == "probe" else row.grade for row in rows]
    # the originals' mean 10 less 9; all twenty are above the midpoint (10 - 6) / 2 = 2
    assert calibrate(rows, fooled)["probe_gaps"]["probe"] == {"gap": 1.0, "share_above": 1.0, "n": 20}


def test_kinds_are_counted_whole_even_beyond_the_histogram(rows):
    found = calibration.figures_by_kind(
        rows, [1000.0 if row.made_by == "original" else -1000.0 for row in rows]
    )
    assert found["original"]["histogram"][-1] == 20 == sum(found["original"]["histogram"])
    assert found["probe"]["histogram"][0] == 20 and found["original"]["mean"] == 1000.0


def test_a_model_of_pairs_has_no_mae(rows):
    assert calibrate(rows, [row.grade for row in rows], scale="free")["mae"] is None


def test_exchanged_images_bring_a_looking_model_down_and_a_blind_one_not(rows):
    exchanged = with_swapped_images(rows, seed=0)
    assert len(exchanged) == len(rows)
    looking = [-6.0 if row.grade == 10 else row.grade for row in exchanged]
    found = calibrate(rows, [row.grade for row in rows], swapped=(exchanged, looking))["swapped"]
    assert found == {"n": 20, "before": 10.0, "after": -6.0, "drop": 16.0, "low": 16.0, "high": 16.0}
    blind = calibrate(
        rows, [row.grade for row in rows], swapped=(exchanged, [row.grade for row in exchanged])
    )["swapped"]
    assert blind["drop"] == 0.0 and blind["low"] <= 0 <= blind["high"]


def test_the_interval_of_the_drop_is_seeded_and_holds_its_mean(rows):
    exchanged = with_swapped_images(rows, seed=0)
    noise = np.random.default_rng(0).normal(4, 3, len(rows)).tolist()
    one, two = (
        calibration.swapped_drop(rows, [row.grade for row in rows], exchanged, noise, seed=seed)
        for seed in (1, 1)
    )
    assert one == two and one["low"] < one["drop"] < one["high"]
    # a standard error of 3 / sqrt(20) = 0.67: the interval is some four of them wide
    assert 1.5 < one["high"] - one["low"] < 4.5


def test_an_exchanged_image_has_the_same_question_and_another_answer(rows):
    odd = Graded(sample(50, "Side?"), "x", 10.0, "original")
    exchanged = with_swapped_images([*rows, odd], seed=3)
    own = {row.sample.images: row.sample for row in rows}
    assert len(exchanged) == len(rows), "a row without a partner is left out"
    for row in exchanged:
        assert own[row.sample.images].answer != row.sample.answer
    assert with_swapped_images(rows, seed=3) == exchanged != with_swapped_images(rows, seed=4)
    with pytest.raises(UserError, match="no image can"):
        with_swapped_images([odd], seed=0)


def test_a_grey_image_keeps_its_size_and_nothing_else(rows):
    wide = dataclasses.replace(rows[0].sample, images=(encode_png(np.eye(4, 9, dtype=np.uint8)), picture(7)))
    found = with_grey_images(dataclasses.replace(rows[0], sample=wide))
    images = [np.asarray(decode(data)) for data in found.sample.images]
    assert [image.shape for image in images] == [(4, 9, 3), (8, 8, 3)] and all(
        (i == 128).all() for i in images
    )


def test_drift_is_the_change_on_the_same_rows(rows):
    scores = [row.grade for row in rows]
    found = calibrate(rows, scores, previous=[s - 0.5 for s in scores])["drift"]
    assert found == {"shift": 0.5, "spread": 0.0, "spearman": pytest.approx(1.0)}


def test_scores_of_other_rows_are_refused(rows):
    with pytest.raises(UserError, match="100 rows and 3 scores"):
        calibrate(rows, [1.0, 2.0, 3.0])


def test_the_report_says_what_a_reader_must_know(rows, tmp_path):
    figures = calibrate(rows, [row.grade - 1.0 for row in rows])
    write_report(figures, tmp_path / "calibration", "round 1", phantom=True)
    text = (tmp_path / "calibration.md").read_text()
    assert "Not for clinical use." in text and "phantom" in text and "| original | 20 | 10.0 | 9.00 |" in text
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert "phantom" not in markdown(figures, "round 1")
