"""The perceptual hash on real X-rays that all look the same: what it calls alike, and what not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from medical_rl.data.inspect.findings import MAX_DISTANCE, hash_distance, perceptual_hash, similar_pairs


def as_jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


COPIES = {
    "jpeg": as_jpeg,
    "tripled": lambda image: image.resize((84, 84), Image.Resampling.BICUBIC),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
}


@pytest.fixture(scope="module")
def xrays(realdata):
    arrays = np.load(realdata / "medmnist/pneumoniamnist.npz", allow_pickle=False)
    return {split: [Image.fromarray(x) for x in arrays[f"{split}_images"]] for split in ("train", "test")}


@pytest.mark.parametrize("copy", COPIES)
def test_every_copy_of_200_xrays_is_alike(xrays, copy):
    distances = [
        hash_distance(perceptual_hash(image), perceptual_hash(COPIES[copy](image)))
        for image in xrays["test"][:200]
    ]
    assert max(distances) < MAX_DISTANCE


def test_no_two_different_xrays_are_alike(xrays):
    train, test = ([perceptual_hash(image) for image in images] for images in (xrays["train"], xrays["test"]))
    assert list(similar_pairs(train, test)) == []
    # The nearest of 2.4 million pairs is 0.158, a third further than the limit.
    assert min(hash_distance(one, other) for one in test[:50] for other in test[50:]) > MAX_DISTANCE


def test_alike_agrees_with_distance_over_blocks():
    rng = np.random.default_rng(0)
    ones = [rng.integers(0, 256, 36, dtype=np.uint8).tobytes() for _ in range(2500)]
    others = ones[2400:] + [rng.integers(0, 256, 36, dtype=np.uint8).tobytes()]
    assert sorted(similar_pairs(ones, others)) == [(2400 + i, i, 0.0) for i in range(100)]


def test_images_without_a_gradient_are_never_alike():
    flat = [perceptual_hash(Image.new("L", (30, 30), grey)) for grey in (0, 100)]
    assert list(similar_pairs(flat, flat)) == []
