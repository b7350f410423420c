import io
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image

from medical_rl.data.rows import Drops
from medical_rl.data.sources import files
from medical_rl.errors import UserError
from medical_rl.images import decode, encode_png, image_size


def png_header(width, height):
    """A PNG that claims a size and has no pixels: what a decompression bomb looks like from outside."""
    body = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + body
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\0IDAT" * 2
    )


@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 3)])
def test_pixels_survive_png(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    data = encode_png(array)
    rgb = np.asarray(decode(data))
    # Grey becomes three equal channels; colour comes back as it was.
    assert (rgb == (array if array.ndim == 3 else array[..., None])).all()
    assert image_size(data) == (4, 7)


@pytest.mark.parametrize("seed", range(20))
def test_any_picture_survives_png_through_pillow(seed):
    rng = np.random.default_rng(seed)
    # Of odd seeds every second column only, so that the array's rows do not lie one after the other.
    array = rng.integers(0, 256, (*rng.integers(1, 90, 2), *((3,) if seed % 4 > 1 else ())), dtype=np.uint8)
    array = array[:, :: 1 + seed % 2]
    with Image.open(io.BytesIO(encode_png(array))) as image:
        image.verify()  # the checksum of every chunk
    with Image.open(io.BytesIO(encode_png(array))) as image:
        assert image.format == "PNG" and image.mode == ("L" if array.ndim == 2 else "RGB")
        assert (np.asarray(image) == array).all()


def test_pngs_are_little_larger_than_pillows(pneumonia):
    with np.load(pneumonia) as arrays:
        pictures = arrays["val_images"][:200]
    ours, pillows = sum(len(encode_png(picture)) for picture in pictures), 0
    for picture in pictures:
        Image.fromarray(picture).save(buffer := io.BytesIO(), format="PNG")
        pillows += len(buffer.getvalue())
    assert ours < 1.2 * pillows  # 1.13 at 28 x 28; without a filter it would be 1.34


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros(3, np.uint8), np.zeros((0, 2), np.uint8)],
)
def test_png_refuses_what_is_not_uint8_grey_or_rgb(array):
    with pytest.raises(ValueError):
        encode_png(array)


def test_truncated_png_still_has_a_size_but_does_not_decode():
    data = encode_png(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))[:400]
    assert image_size(data) == (64, 64)
    with pytest.raises(UserError, match="broken PNG"):
        decode(data)


@pytest.mark.parametrize("data", [b"", b"not an image", b"version https://git-lfs.github.com/spec/v1\n"])
def test_bytes_that_are_no_image_give_a_reason(data):
    with pytest.raises(UserError, match="no known format"):
        decode(data)


def test_decompression_bomb_is_refused_before_decoding():
    # 10,000 x 10,000 = 100 Mpixel, twice the limit, in about 50 bytes.
    with pytest.raises(UserError, match="10000 x 10000"):
        decode(png_header(10_000, 10_000))


def test_sixteen_bit_images_are_refused_not_clipped_to_white(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((2, 2), 4000, np.uint16)).save(path)
    with pytest.raises(UserError, match="8 bits"):
        decode(path.read_bytes())


def test_no_program_runs_on_bytes_that_call_themselves_an_image(tmp_path, monkeypatch):
    # Pillow hands EPS to Ghostscript, which is whatever program is called gs.
    program, marker = tmp_path / "gs", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {marker}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    for read in (decode, image_size):
        with pytest.raises(UserError, match="no known format"):
            read(eps)
    assert not marker.exists()
    # The trap is a real one: Pillow springs it when it may choose the format.
    with pytest.raises((OSError, subprocess.CalledProcessError)), Image.open(io.BytesIO(eps)) as image:
        image.load()
    assert marker.exists()


@pytest.mark.parametrize("format", ["BMP", "TIFF", "WEBP", "GIF"])
def test_other_formats_are_kept_as_png(format, tmp_path):
    picture = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6))
    path = tmp_path / "a.bin"
    picture.save(path, format=format, **({"lossless": True} if format == "WEBP" else {}))
    found = files.read_picture(path, "row", Drops())
    assert found.data.startswith(b"\x89PNG") and (
        decode(found.data).getchannel(0).tobytes() == picture.tobytes()
    )


def test_a_png_or_jpeg_is_kept_byte_for_byte(image_bytes, tmp_path):
    for format in ("PNG", "JPEG"):
        (tmp_path / format).write_bytes(image_bytes(format=format))
        assert files.read_picture(tmp_path / format, "row", Drops()).data == image_bytes(format=format)
