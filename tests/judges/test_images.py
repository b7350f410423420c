"""Images for a judge: the same pixels, and nothing that a file carries beside them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medical_rl.errors import UserError
from medical_rl.judges.images import data_uri, stripped_png

CANARY = "PATIENT-DOE-1931"
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(form: str, image=None, **options) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, form, **options)
    return buffer.getvalue()


def with_metadata(form: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = CANARY  # ImageDescription, Artist
    profile = b"\0" * 128 + CANARY.encode()
    if form == "PNG":
        info = PngInfo()
        info.add_text("Comment", CANARY)
        info.add_itxt("PatientName", CANARY)
        info.add_text("Long", CANARY * 50, zip=True)
        return encoded("PNG", pnginfo=info, exif=exif, icc_profile=profile)
    return encoded("JPEG", exif=exif, comment=CANARY.encode(), icc_profile=profile)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_every_kind_of_metadata_is_left_behind_and_the_pixels_are_not(form):
    data = with_metadata(form)
    assert CANARY.encode() in data
    bare = stripped_png(data)
    assert CANARY.encode() not in bare
    kinds, at = [], 8  # a PNG is a signature and chunks of (length, kind, data, checksum)
    while at < len(bare):
        kinds.append(bare[at + 4 : at + 8])
        at += 12 + int.from_bytes(bare[at : at + 4], "big")
    assert set(kinds) <= {b"IHDR", b"IDAT", b"IEND"}
    before, after = Image.open(io.BytesIO(data)).convert("RGB"), Image.open(io.BytesIO(bare)).convert("RGB")
    assert np.array_equal(np.asarray(before), np.asarray(after))


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGB", "RGBA", "P", "CMYK", "I;16"])
def test_the_colours_of_every_mode_survive(mode):
    image = (
        Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30))
        if mode == "I;16"
        else Image.fromarray(PIXELS).convert(mode)
    )
    form = "TIFF" if mode == "CMYK" else "PNG"
    back = Image.open(io.BytesIO(stripped_png(encoded(form, image))))
    wanted = "RGBA" if mode in ("RGBA", "LA") else "RGB"
    if mode == "I;16":
        assert np.array_equal(np.asarray(back), np.asarray(image))
    else:
        assert np.array_equal(np.asarray(back.convert(wanted)), np.asarray(image.convert(wanted)))


def test_a_side_limit_scales_down_and_never_up():
    assert Image.open(io.BytesIO(stripped_png(encoded("PNG"), max_side=15))).size == (15, 10)
    assert Image.open(io.BytesIO(stripped_png(encoded("PNG"), max_side=900))).size == (30, 20)


def test_an_image_is_encoded_once():
    data = encoded("PNG")
    uri = data_uri(data)
    assert data_uri(bytes(bytearray(data))) is uri
    assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == stripped_png(data)


@pytest.mark.parametrize("data", [b"", b"not an image", encoded("PNG")[:60]])
def test_what_is_no_image_is_said(data):
    with pytest.raises(UserError, match="cannot be shown to a judge"):
        data_uri(data)
