"""The detection reward: thresholds, several boxes, frames, and the traps of public code."""

import pytest

from medical_rl.boxes import resized
from medical_rl.errors import UserError, WrongKind
from medical_rl.parsing.response import parse
from medical_rl.rewards.terms.accuracy import accuracy, detection
from medical_rl.sample import Sample


def item(answer, size=None):
    return Sample("1", "test", "?", "box", answer, size=size)


def said(text):
    return parse(f"<think>x</think><answer>{text}</answer>")


HALF = item("[0, 0, 4, 4]")


def test_exactly_the_threshold_is_a_hit_only_by_equation_2():
    response = said("[0, 0, 4, 2]")  # 8 of 16 pixels: IoU 0.5
    assert detection(response, HALF) == 0.0  # equation 11: >
    assert detection(response, HALF, compare=">=") == 1.0  # equation 2
    assert detection(response, HALF, threshold=0.4) == 1.0


def test_the_continuous_option_is_the_iou_itself():
    assert detection(said("[0, 0, 4, 3.0]"), HALF, continuous=True) == pytest.approx(0.75)


def test_decimals_are_not_lost():
    assert detection(said("[0.5, 0.5, 4.5, 4.5]"), item("[0.5, 0.5, 4.5, 4.5]"), continuous=True) == 1.0


def test_a_one_pixel_box_matches_itself():
    assert detection(said("[3, 3, 4, 4]"), item("[3, 3, 4, 4]")) == 1.0


def test_boxes_are_matched_one_to_one_whatever_their_order():
    truth = item("[[0, 0, 2, 2], [10, 10, 14, 14]]")
    assert detection(said("[[10, 10, 14, 14], [0, 0, 2, 2]]"), truth) == 1.0
    assert detection(said("[0, 0, 2, 2]"), truth) == 0.5  # one of two found
    assert detection(said("[[0, 0, 2, 2], [0, 0, 2, 2]]"), truth) == 0.5  # the same box cannot hit both


def test_boxes_too_many_cost_as_much_as_boxes_missed():
    # one right box in a list of four: 1 / max(4, 1)
    spam = "[[0, 0, 4, 4], [9, 9, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]"
    assert detection(said(spam), HALF) == 0.25


def test_a_prediction_in_the_processors_pixels_is_scaled_back():
    # 450 x 600 within 501760 pixels becomes 448 x 588 (16 x 28, 21 x 28): x by 600/588, y by 450/448
    assert resized((450, 600), 3136, 501760) == (448, 588)
    truth = item("[60, 45, 120, 90]", size=(450, 600))
    predicted = "[58.8, 44.8, 117.6, 89.6]"  # the same box after resizing
    assert detection(
        said(predicted), truth, frame="resized", max_pixels=501760, continuous=True
    ) == pytest.approx(1.0)
    assert detection(said(predicted), truth, continuous=True) < 1.0


def test_a_prediction_in_thousandths_is_scaled_back():
    truth = item("[60, 45, 120, 90]", size=(450, 600))
    assert detection(said("[100, 100, 200, 200]"), truth, frame="relative", continuous=True) == pytest.approx(
        1.0
    )


def test_an_unreadable_box_scores_0_and_wrong_data_raise():
    assert detection(said("upper left"), HALF) == 0.0
    assert detection(said("[4, 4, 0, 0]"), HALF) == 0.0, "an inverted box covers nothing"
    with pytest.raises(UserError, match="size"):
        detection(said("[0, 0, 1, 1]"), HALF, frame="relative")
    with pytest.raises(WrongKind):
        detection(said("[0, 0, 1, 1]"), Sample("1", "test", "?", "grade", "1"))
    with pytest.raises(UserError, match="original, relative, resized"):
        detection(said("[0, 0, 1, 1]"), HALF, frame="pixels")


@pytest.mark.parametrize(
    "beyond", ["[0, 0, 700, 450]", "[0, 0, 600, 520]", "[-40, 0, 600, 450]", "[0, -40, 600, 450]"]
)
def test_a_box_beyond_the_image_is_no_answer(beyond):
    whole = item("[0, 0, 600, 450]", size=(450, 600))
    for continuous in (False, True):
        assert detection(said(beyond), whole, continuous=continuous) == 0.0, "its IoU is above 0.85"
    assert accuracy(said(beyond), whole) == 0.0


def test_rounding_to_another_frame_is_not_beyond_the_image():
    whole = item("[0, 0, 600, 450]", size=(450, 600))
    assert detection(said("[0, 0, 602, 451]"), whole) == accuracy(said("[0, 0, 602, 451]"), whole) == 1.0
    assert detection(said("[0, 0, 1000, 1000]"), whole, frame="relative") == 1.0
    assert detection(said("[0, 0, 1100, 1000]"), whole, frame="relative") == 0.0


def test_a_right_box_does_not_save_one_beyond_the_image():
    truth = item("[0, 0, 100, 100]", size=(450, 600))
    assert detection(said("[[0, 0, 100, 100], [500, 300, 900, 700]]"), truth, continuous=True) == 0.0


def test_without_the_images_size_nothing_is_known_to_be_beyond_it():
    assert detection(said("[0, 0, 700, 450]"), item("[0, 0, 600, 450]")) == 1.0
