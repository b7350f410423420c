"""A perceptual hash, and the images of two sets that look alike under it.

The hash is a difference hash: the image is scaled to 13 x 13 grey levels, and 2 x 144 bits tell where it
gets brighter to the right and downwards. Two images are alike when, of the bits set in either, at most
12 % differ. Both numbers are measured, on PneumoniaMNIST at 28 pixels, whose X-rays all look the same:

    different patients, nearest of 3,882 x 624 pairs             0.158
    a copy of each of 624: as JPEG 75, tripled, or contrast 0.8  at most 0.100, all found
    halved, noise of 3 grey levels, or 1.2 times brighter        at most 0.209, 94 to 99 % found

The usual 8 x 8 hash gives distance 0 between different patients there. A copy that is cropped, turned or
mirrored is not found. Images with hardly a gradient (fewer than 24 bits set) are left out: all look alike.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 12
MAX_DISTANCE = 0.12
MIN_BITS_SET = 24
_BLOCK = 2048


def perceptual_hash(image: Image.Image) -> bytes:
    """The hash of an image, 36 bytes.

    >>> perceptual_hash(Image.new("L", (50, 40), 7)) == bytes(36)
    True
    """
    grey = np.asarray(image.convert("L").resize((SIDE + 1, SIDE + 1), Image.Resampling.LANCZOS), np.int16)
    right, down = grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]
    return np.packbits(np.concatenate([right, down], axis=None)).tobytes()


def hash_distance(one: bytes, other: bytes) -> float:
    """The share of differing bits among those set in either hash, 0 (alike) to 1.

    >>> hash_distance(bytes([0b1101]) + bytes(35), bytes([0b1011]) + bytes(35))
    0.5
    """
    return float(_distances(_bits([one]), _bits([other]))[0, 0])


def similar_pairs(ones: list[bytes], others: list[bytes]) -> Iterator[tuple[int, int, float]]:
    """(index in `ones`, index in `others`, distance) of pairs that look alike, in blocks of flat memory."""
    for top in range(0, len(ones), _BLOCK):
        block = _bits(ones[top : top + _BLOCK])
        for left in range(0, len(others), _BLOCK):
            bits = _bits(others[left : left + _BLOCK])
            distances = _distances(block, bits)
            distances[block.sum(axis=1) < MIN_BITS_SET] = 1.0
            distances[:, bits.sum(axis=1) < MIN_BITS_SET] = 1.0
            for i, j in np.argwhere(distances <= MAX_DISTANCE):
                yield top + int(i), left + int(j), float(distances[i, j])


def _bits(hashes: list[bytes]) -> np.ndarray:
    """N x 288, 1.0 where a bit is set."""
    data = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1)
    return np.unpackbits(data, axis=1).astype(np.float32)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """N x M distances of the rows of two matrices of bits."""
    both = one @ other.T
    either = one.sum(axis=1)[:, None] + other.sum(axis=1)[None] - both
    return (either - both) / np.maximum(either, 1)
