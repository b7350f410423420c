"""Encoded images: write a PNG, read a size from the header, decode as a viewer shows it or say why not."""

import functools
import hashlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
from PIL import ExifTags, Image, ImageOps

from medical_rl.errors import UserError

# Pillow is not to try any other: its EPS plugin would run a program, Ghostscript, on bytes from anywhere.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 50_000_000
MAX_RATIO = 200  # of the sides
# What vLLM and qwen_vl_utils put a transparent image on; a mask is put on black, where nothing is marked.
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

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
        if image.format != "TIFF" and _orientation(image) in range(5, 9):  # Pillow turns a TIFF itself
            return image.width, image.height
        return image.height, image.width


def decode(data: bytes, background: tuple[int, int, int] = WHITE) -> Image.Image:
    """The image as a viewer shows it, in RGB: see `settle`, whose errors these are.

    >>> decode(encode_png(np.full((1, 1), 7, np.uint8))).getpixel((0, 0))
    (7, 7, 7)
    """
    return settle(data, background)[1]


def settle(
    data: bytes, background: tuple[int, int, int] = WHITE
) -> tuple[bytes, Image.Image, tuple[str, ...]]:
    """(the bytes that a `Sample` keeps of an image, the RGB picture that is in them, what was settled).

    Whatever some decoders obey and others do not is settled here, once: an orientation tag is obeyed, what is
    transparent shows the background, of several frames the first is taken, print colours and 16 bits a colour
    become 8-bit RGB. A PNG or JPEG with nothing of this keeps its bytes; any other image becomes a PNG.

    Raises UserError for one that is broken, over 50 Mpixel, of a shape that no processor takes, or of 16-bit
    grey levels or floats, which Pillow would clip to white without a word.
    """
    with _opened(data) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UserError(
                f"The image is {image.width} x {image.height} pixels; more than {MAX_PIXELS:,} pixels are "
                "not decoded. Scale it down first."
            )
        refuse_narrow(image.height, image.width)
        bits = _bits(data, image)
        if image.mode.startswith(("I", "F")) or (bits > 8 and data[25:26] == b"\x04"):
            raise UserError(
                f"The image has mode {image.mode} (more than 8 bits a pixel). Convert it to 8 bits first: "
                "which grey levels to keep is a choice about the modality, so it is not made here."
            )
        try:
            return _settled(data, image, bits, background)
        except _BROKEN as error:
            raise UserError(
                f"These {len(data):,} bytes are a broken {image.format} image: {error}."
            ) from error


def _settled(
    data: bytes, image: Image.Image, bits: int, background: tuple[int, int, int]
) -> tuple[bytes, Image.Image, tuple[str, ...]]:
    settled = []
    # Of a JPEG every decoder takes the first, whatever else its file holds.
    if image.format != "JPEG" and image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        settled.append("taken by the first of several frames")
    if bits > 8:
        settled.append("cut from 16 to 8 bits a colour")
    if image.mode == "CMYK":
        settled.append("put into RGB from print colours (CMYK)")
    if _orientation(image) in range(2, 9):
        settled.append("turned as the orientation tag says")
        image = ImageOps.exif_transpose(image)
    picture = image.convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getextrema()[3][0] < 255:
            settled.append(f"put on {'white' if background == WHITE else 'black'} where transparent")
            picture = Image.new("RGB", rgba.size, background)
            picture.paste(rgba, mask=rgba.getchannel("A"))
    if not settled and data.startswith((_PNG, _JPEG)):
        return data, picture, ()
    return encode_png(np.asarray(picture)), picture, tuple(settled)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        return 1  # a damaged tag is obeyed by nobody; damaged pixels are found when they are decoded


def _bits(data: bytes, image: Image.Image) -> int:
    """Bits a colour of the file: Pillow gives 8 of 16 without a word."""
    if image.format == "PNG":
        return data[24]
    tags = getattr(image, "tag_v2", {})
    return max(tags.get(ExifTags.Base.BitsPerSample, (8,)))


def refuse_narrow(height: int, width: int) -> None:
    """Raise Narrow, a UserError, for a shape that the image processors of Qwen-VL refuse in mid-training."""
    if max(height, width) > MAX_RATIO * min(height, width):
        raise Narrow(
            f"The image is {width} x {height} pixels: one side is over {MAX_RATIO} times the other, which "
            "the image processors of Qwen-VL refuse. Crop it first."
        )


class Narrow(UserError):
    """An image that decodes and that no processor would take."""


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


def image_hash(data: bytes) -> str:
    """SHA-256 of an encoded image file: its part of a request's key."""
    return hashlib.sha256(data).hexdigest()


@functools.lru_cache(maxsize=16)  # the triplets of one row follow each other, and its images may be large
def image_key(images: tuple[bytes, ...]) -> str:
    """SHA-256 of the encoded images, in their order."""
    hashes = [image_hash(image) for image in images]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
