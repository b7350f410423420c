"""A HAM10000 of sixty noise pictures with tables and masks, and the real files where they are."""

import io

import numpy as np
import pytest
from PIL import Image

from medical_rl.data.prepare import readers

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset")


@pytest.fixture
def ham():
    return readers.load_reader("ham10000")


@pytest.fixture
def real(realdata):
    return realdata / "ham10000"


@pytest.fixture
def mask_bytes():
    """A function that makes the PNG of a mask of `size` (height, width), 255 in each rectangle [x1, y1, x2, y2]."""

    def make(*rectangles, size=(8, 10), mode="L"):
        pixels = np.zeros(size, np.uint8)
        for x1, y1, x2, y2 in rectangles:
            pixels[y1:y2, x1:x2] = 255
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, format="PNG")
        return buffer.getvalue()

    return make


@pytest.fixture
def mini(put, image_bytes, mask_bytes):
    """A HAM10000 of 40 lesions with one image each and ten of mel with two: 60 rows; images in two folders, masks beside."""

    def make(table="HAM10000_metadata.csv", columns=8, masks=True):
        names = [(f"HAM_{i:07}", f"ISIC_{i:07}", "nv" if i < 40 else "mel") for i in range(50)]
        names += [(f"HAM_{i:07}", f"ISIC_{i + 50:07}", "mel") for i in range(40, 50)]
        rows = [COLUMNS] + [
            (*row, "histo", ("80", "80.0", "")[i % 3], "male", "back", "rosendahl")
            for i, row in enumerate(names)
        ]
        path = put(table, "".join(",".join(row[:columns]) + "\n" for row in rows))
        for i, (_, image, _) in enumerate(names):
            put(f"HAM10000_images_part_{1 + i % 2}/{image}.jpg", image_bytes(i, format="JPEG"))
            if masks:
                mask = mask_bytes((2, 1, 5 + i % 4, 6))
                put(f"HAM10000_segmentations_lesion_tschandl/{image}_segmentation.png", mask)
        return path.parent

    return make
