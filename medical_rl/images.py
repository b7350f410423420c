"""Encoded images: write a PNG, read a size from the header, decode or say why not."""

import functools
import hashlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
from PIL import Image

from medical_rl.errors import UserError

# Pillow is not to try any other: its EPS plugin would run a program, Ghostscript, on bytes from anywhere.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 50_000_000

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PNG_HEAD = _PNG + b"\x00\x00\x00\rIHDR"
# Each row is stored as its difference to the row above, at zlib's own level, which is Pillow's too.
_UP, _LEVEL = 2, 6
_FILTERS = threading.Lock()
# What Pillow raises on hostile or broken bytes, by format; it has no common base class.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def encode_png(array: np.ndarray) -> bytes:
    """PNG bytes of a uint8 array: `H x W` becomes grey (L), `H x W x 3` RGB.

    Raises ValueError on any other dtype or shape: scaling to 8 bits is the caller's decision. Written here
    and not by Pillow, which tries five filters on every row: that takes twice as long for files about a tenth
    smaller.

    >>> image_size(encode_png(np.zeros((2, 5), np.uint8)))
    (2, 5)
    """
    array = np.asarray(array)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(f"A PNG is made from uint8 H x W or H x W x 3, not {array.dtype} {array.shape}.")
    if 0 in array.shape:
        raise ValueError(f"An image of shape {array.shape} has no pixels.")
    height, width = array.shape[:2]
    rows = array.reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if array.ndim == 2 else 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(filtered, _LEVEL)), (b"IEND", b"")
    return _PNG + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((len(data).to_bytes(4), kind, data, zlib.crc32(data, zlib.crc32(kind)).to_bytes(4)))


def image_size(data: bytes | memoryview) -> tuple[int, int]:
    """(height, width) in pixels, read from the header without decoding; UserError if there is none."""
    if data[:16] == _PNG_HEAD and len(data) > 33 and int.from_bytes(data[29:33]) == zlib.crc32(data[12:29]):
        # Pillow's walk through its formats takes ten times as long, and every image of a set is asked.
        size = int.from_bytes(data[20:24]), int.from_bytes(data[16:20])
        if all(size):
            return size
    with _opened(data) as image:
        return image.height, image.width


def decode(data: bytes) -> Image.Image:
    """The image as RGB, fully decoded; UserError with the reason if it is broken or over 50 Mpixel.

    16-bit and float images are refused, as Pillow would clip them to white without a word.

    >>> decode(encode_png(np.full((1, 1), 7, np.uint8))).getpixel((0, 0))
    (7, 7, 7)
    """
    with _opened(data) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UserError(
                f"The image is {image.width} x {image.height} pixels; more than {MAX_PIXELS:,} pixels are "
                "not decoded. Scale it down first."
            )
        if image.mode.startswith(("I", "F")):
            raise UserError(
                f"The image has mode {image.mode} (more than 8 bits a pixel). Convert it to 8 bits first: "
                "which grey levels to keep is a choice about the modality, so it is not made here."
            )
        try:
            return image.convert("RGB")
        except _BROKEN as error:
            raise UserError(
                f"These {len(data):,} bytes are a broken {image.format} image: {error}."
            ) from error


def _opened(data: bytes | memoryview) -> Image.Image:
    """The image with only its header read."""
    try:
        # The filters of warnings are one list for all threads.
        with _FILTERS, warnings.catch_warnings():
            # The size is checked by `decode`; Pillow's own warning would only repeat it.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise UserError(f"These {len(data):,} bytes are not a readable image: no known format.") from error
    except _BROKEN as error:
        raise UserError(f"These {len(data):,} bytes are not a readable image: {error}.") from error


def storable_bytes(data: bytes, image: Image.Image) -> bytes:
    """The bytes that a `Sample` keeps of an image: a PNG or JPEG as it came, any other as a PNG."""
    return data if data.startswith((_PNG, _JPEG)) else encode_png(np.asarray(image))


def image_hash(data: bytes) -> str:
    """SHA-256 of an encoded image file: its part of a request's key."""
    return hashlib.sha256(data).hexdigest()


@functools.lru_cache(maxsize=16)  # the triplets of one row follow each other, and its images may be large
def image_key(images: tuple[bytes, ...]) -> str:
    """SHA-256 of the encoded images, in their order."""
    hashes = [image_hash(image) for image in images]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
