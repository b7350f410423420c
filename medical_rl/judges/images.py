"""Images for a request: data URIs of the pixels alone, every kind of metadata left behind."""

import base64
import dataclasses
import functools
import io

from PIL import Image

from medical_rl.errors import UserError
from medical_rl.images import FORMATS, MAX_PIXELS, image_hash

PNG_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16")  # modes that PNG holds as they are


def data_uri(data: bytes, max_side: int | None = None) -> str:
    """`data:image/png;base64,...` of an encoded image: its pixels, no EXIF, text, comments or profiles.

    With `max_side`, a larger image is scaled down so that its longer side has that many pixels.
    """
    return _data_uri(_HashedImage(image_hash(data), data), max_side)


def image_part(data: bytes, max_side: int | None = None) -> dict:
    """The part of a chat message that shows an encoded image."""
    return {"type": "image_url", "image_url": {"url": data_uri(data, max_side)}}


@dataclasses.dataclass(unsafe_hash=True)
class _HashedImage:
    """Bytes compared by their hash, so that the cache below holds data URIs and not image files."""

    digest: str
    data: bytes = dataclasses.field(compare=False)


@functools.lru_cache(maxsize=64)
def _data_uri(source: _HashedImage, max_side: int | None) -> str:
    data, source.data = source.data, b""  # the key of the cache must not keep the file alive
    encoded = base64.b64encode(stripped_png(data, max_side)).decode("ascii")
    return f"data:image/png;base64,{encoded}"


def stripped_png(data: bytes, max_side: int | None = None) -> bytes:
    """PNG bytes of the image's pixels and nothing else. Raises UserError if it is no readable image."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width} x {image.height}"
                raise UserError(f"An image of {size} pixels is too large for a judge.")
            pixels = image.copy() if image.mode in PNG_MODES else image.convert(_plain_mode(image))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        text = f"These {len(data):,} bytes cannot be shown to a judge as an image: {error}."
        raise UserError(text) from error
    if max_side and max(pixels.size) > max_side:
        pixels.thumbnail((max_side, max_side))
    bare = Image.frombytes(pixels.mode, pixels.size, pixels.tobytes())  # a new image: `info` starts empty
    buffer = io.BytesIO()
    bare.save(buffer, format="PNG")
    return buffer.getvalue()


def _plain_mode(image: Image.Image) -> str:
    """The mode that keeps an image's colours where PNG has none of its own (palettes, CMYK, YCbCr)."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"mode {image.mode} has more than 16 bits a pixel, and which to keep is not decided here"
        )
    transparent = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
    return "RGBA" if transparent else "RGB"
