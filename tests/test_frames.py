"""The frames of boxes end to end: what SFT teaches, what the reward pays and what the evaluation measures speak of one box."""

import json

import pytest

from medical_rl.boxes import FRAMES, from_original, resized, to_original
from medical_rl.data.prepare.command import load_prompt
from medical_rl.data.prompts import in_frame, in_pixels, target
from medical_rl.errors import UserError
from medical_rl.parsing.response import parse, read
from medical_rl.rewards.terms.accuracy import detection, right
from medical_rl.sample import Sample

HAM = Sample("1", "ham10000_boxes", "Where is it? In pixels.", "box", "[150, 100, 350, 200]", size=(450, 600))
LIMITS = {"min_pixels": 3136, "max_pixels": 501760}
PROMPTS = {"original": "detection", "resized": "detection_resized", "relative": "detection_relative"}


def prompt(frame):
    """The prompt of a frame, with the pixel limits of a run."""
    return load_prompt(PROMPTS[frame]) | (LIMITS if frame == "resized" else {})


def test_every_frame_has_its_prompt_and_names_it():
    assert tuple(PROMPTS) == FRAMES
    assert [load_prompt(name)["frame"] for name in PROMPTS.values()] == list(FRAMES)


def test_the_same_box_in_each_frame():
    # 450 x 600 is resized to 448 x 588, so x by 0.98 and y by 448/450; relative: x by 1000/600, y by 1000/450
    assert resized((450, 600), **LIMITS) == (448, 588)
    box = [150, 100, 350, 200]
    assert from_original(box, (450, 600), "original") == box
    assert from_original(box, (450, 600), "resized", **LIMITS) == pytest.approx(
        [147, 99.5556, 343, 199.1111], abs=1e-3
    )
    assert from_original(box, (450, 600), "relative") == pytest.approx(
        [250, 222.2222, 583.3333, 444.4444], abs=1e-3
    )


@pytest.mark.parametrize("size", [(450, 600), (56, 56), (1000, 30), (3000, 4000)])
@pytest.mark.parametrize("frame", FRAMES)
def test_there_and_back_is_the_same_box(size, frame):
    box = [3.5, 7.25, size[1] - 1.0, size[0] / 2]
    there = from_original(box, size, frame, **LIMITS)
    assert to_original(there, size, frame, **LIMITS) == pytest.approx(box)


@pytest.mark.parametrize("frame", FRAMES)
def test_what_is_taught_is_paid_and_measured_as_the_gold_box(frame):
    asked = prompt(frame)
    said = parse(target(HAM, asked))
    numbers = {
        "original": [150, 100, 350, 200],
        "resized": [147, 100, 343, 199],
        "relative": [250, 222, 583, 444],
    }
    assert json.loads(said.answer) == {"bbox": numbers[frame]}, "whole numbers, as the model is asked for"
    assert detection(said, HAM, frame=frame, **LIMITS) == 1.0
    assert detection(said, HAM, frame=frame, continuous=True, **LIMITS) > 0.98, "rounding costs a little"
    measured = in_pixels(read(said, HAM), HAM, asked)
    assert right(measured, HAM) and json.loads(measured)[0] == pytest.approx([150, 100, 350, 200], abs=0.6)


def test_read_in_the_wrong_frame_the_same_numbers_miss():
    """The negative control: thousandths taken for pixels of a small picture are another box."""
    small = Sample("1", "demo", "?", "box", "[10, 10, 30, 30]", size=(56, 56))
    said = parse(target(small, prompt("relative")))
    assert detection(said, small, frame="relative") == 1.0 and detection(said, small, frame="original") == 0.0
    assert not right(in_pixels(read(said, small), small, prompt("original")), small)


def test_several_boxes_and_other_kinds_of_answers():
    two = Sample("1", "demo", "?", "box", "[[0, 0, 28, 28], [28, 28, 56, 56]]", size=(56, 56))
    assert in_frame(two, {"frame": "relative"}).answer == "[[0, 0, 500, 500], [500, 500, 1000, 1000]]"
    grade = Sample("1", "demo", "?", "grade", "3")
    assert (
        in_frame(grade, {"frame": "relative"}) is grade
        and in_pixels("3", grade, {"frame": "relative"}) == "3"
    )
    assert in_pixels(None, two, {"frame": "relative"}) is None


def test_an_unknown_frame_and_a_row_without_a_size_are_told():
    with pytest.raises(UserError, match="frame of boxes 'pixels'.*original, relative, resized"):
        target(HAM, {**prompt("original"), "frame": "pixels"})
    bare = Sample("9", "demo", "?", "box", "[0, 0, 1, 1]")
    with pytest.raises(UserError, match="row '9' has no size"):
        target(bare, prompt("relative"))


def test_a_runs_reward_follows_its_prompt():
    from medical_rl.config.compose import compose

    for frame, name in PROMPTS.items():
        config = compose(["conf=vrft_aug_localize", "conf/scale=paper", f"conf/prompt={name}"])
        assert config.conf.rewards.terms.detection.frame == config.conf.prompt.frame == frame
        if frame == "resized":
            assert config.conf.prompt.max_pixels == config.conf.model.max_pixels
