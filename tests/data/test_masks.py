import numpy as np
import pytest
from PIL import Image

from medical_rl.boxes import area
from medical_rl.data.sources import image_boxes


def drawn(*rectangles, size=(40, 60)):
    """A mask with rectangles (x1, y1, x2, y2), ends excluded."""
    mask = np.zeros(size, bool)
    for x1, y1, x2, y2 in rectangles:
        mask[y1:y2, x1:x2] = True
    return mask


def test_one_pixel_has_area_one():
    box = image_boxes.mask_box(drawn((59, 39, 60, 40)))
    assert box == [59, 39, 60, 40] and area(box) == 1


def test_a_mask_that_is_all_marked_is_the_whole_image():
    assert image_boxes.mask_box(drawn((0, 0, 60, 40))) == [0, 0, 60, 40]


def test_union_is_around_all_and_largest_around_the_largest_part():
    mask = drawn((2, 3, 10, 9), (40, 20, 44, 22))  # 48 and 8 pixels
    assert image_boxes.mask_box(mask, "union") == [2, 3, 44, 22]
    assert image_boxes.mask_box(mask, "largest") == [2, 3, 10, 9]


def test_parts_that_touch_at_a_corner_are_one():
    assert image_boxes.mask_box(drawn((0, 0, 2, 2), (2, 2, 4, 4)), "largest") == [0, 0, 4, 4]


def test_an_empty_mask_has_no_box():
    assert image_boxes.mask_box(drawn()) is None and image_boxes.mask_box(drawn(), "largest") is None
    assert not image_boxes.marked_pixels(Image.new("RGB", (4, 4))).any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_every_mode_of_a_mask_gives_the_same_box(mode):
    image = Image.fromarray(drawn((5, 6, 9, 20)).astype(np.uint8) * 255).convert(mode)
    assert image_boxes.mask_box(image_boxes.marked_pixels(image.convert("RGB"))) == [5, 6, 9, 20]


def test_masks_of_0_and_1_count_as_marked_and_jpeg_noise_does_not():
    image = Image.fromarray(drawn((5, 6, 9, 20)).astype(np.uint8))
    assert image_boxes.mask_box(image_boxes.marked_pixels(image.convert("RGB"))) == [5, 6, 9, 20]
    noisy = drawn((5, 6, 9, 20)) * 240 + drawn((0, 0, 60, 2)) * 12
    assert image_boxes.mask_box(
        image_boxes.marked_pixels(Image.fromarray(noisy.astype(np.uint8)).convert("RGB"))
    ) == [5, 6, 9, 20]
