"""DICOM and 16-bit images as 8 bits a pixel: by the file's window, percentiles, or two numbers.

Which levels are kept is a choice about the modality (a lung window shows no bone), so it is told on the card.
`pydicom` is imported when a DICOM file is read and not before (pip install "medical-rl[dicom]"). What a
header says of a patient is never kept: a picture is written anew, as a PNG.
"""

import io
import re

import numpy as np
from PIL import Image

from medical_rl.errors import UserError
from medical_rl.images import MAX_PIXELS, encode_png

NAMES = ("window", "percentile")
PERCENTILES = (0.5, 99.5)
Levels = str | tuple[float, float]


def read_levels(setting) -> Levels:
    """The setting `grey_levels`: window, percentile, or two numbers, [low, high] or "low,high".

    >>> read_levels("percentile"), read_levels("-1000,400"), read_levels([0, 4095])
    ('percentile', (-1000.0, 400.0), (0.0, 4095.0))
    """
    parts = setting.split(",") if isinstance(setting, str) and setting not in NAMES else setting
    try:
        if setting in NAMES:
            return setting
        low, high = map(float, parts)
        if low < high:
            return low, high
    except (TypeError, ValueError):
        pass
    raise UserError(
        f"grey_levels={setting!r} is none of window (the file's own), percentile ({PERCENTILES[0]} to "
        f"{PERCENTILES[1]} of each image) and two numbers, the lower first ([-1000, 400])."
    )


def is_dicom(data: bytes) -> bool:
    """Whether these are the bytes of a DICOM file."""
    return data[128:132] == b"DICM"


def eight_bits(data: bytes, levels: Levels | None) -> tuple[bytes, tuple[str, ...]]:
    """(the image with 8 bits a pixel, what was done to it); other images as they are.

    levels  None where a set has no such setting: a DICOM file is then read by its own window

    Raises UserError for a file that is broken, has several frames, or needs a choice that was not made.
    """
    if is_dicom(data):
        return _from_dicom(data, levels or "window")
    if levels is None:
        return data, ()
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "TIFF")) as image:
            if not image.mode.startswith(("I", "F")) or image.width * image.height > MAX_PIXELS:
                return data, ()
            pixels = np.asarray(image).astype(np.float32)
    except (OSError, SyntaxError, ValueError, EOFError):
        return data, ()  # told when it is decoded
    if levels == "window":
        raise UserError(
            "it has more than 8 bits a pixel and no window of its own: grey_levels=percentile, or [low, "
            "high], says which of its grey levels to keep"
        )
    return _scaled(pixels, levels)


def _from_dicom(data: bytes, levels: Levels) -> tuple[bytes, tuple[str, ...]]:
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut, convert_color_space
    except ImportError as error:
        raise MissingPydicom('Reading DICOM needs pydicom: pip install "medical-rl[dicom]".') from error
    try:
        file = pydicom.dcmread(io.BytesIO(data))
        if int(file.get("NumberOfFrames") or 1) > 1:
            raise UserError("it has several frames: write the one that is meant into a file of its own")
        if int(file.Rows) * int(file.Columns) > MAX_PIXELS:
            raise UserError(f"it has more than {MAX_PIXELS:,} pixels")
        pixels, form = file.pixel_array, str(file.PhotometricInterpretation)
        if not form.startswith("MONOCHROME"):
            if form != "RGB":
                pixels = convert_color_space(pixels, form, "RGB")
            return encode_png(np.asarray(pixels)), ("read from DICOM",)
        pixels = np.asarray(apply_modality_lut(pixels, file), dtype=np.float32)
    except UserError:
        raise
    except Exception as error:  # pydicom raises whatever its decoders do, of no common class
        raise UserError(f"it is a broken DICOM file, or one of a kind that is not read: {error}") from error
    if levels == "window":
        window = _window(file)
        if window is None:
            raise UserError(
                "its DICOM file has no window: grey_levels=percentile, or [low, high], says which of its "
                "grey levels to keep"
            )
        picture, _ = _scaled(pixels, window, form == "MONOCHROME1")
        return picture, ("put into 8 bits by the window of the DICOM file",)
    return _scaled(pixels, levels, form == "MONOCHROME1")


class MissingPydicom(UserError):
    """The package that reads DICOM is not installed: no fault of the row."""


def _window(file) -> tuple[float, float] | None:
    """(low, high) of the first window that the file gives, in its own units (DICOM PS3.3, C.11.2.1.2)."""
    values = []
    for name in ("WindowCenter", "WindowWidth"):
        value = file.get(name)
        first = value[0] if isinstance(value, list | tuple) or hasattr(value, "append") else value
        if first is None or not re.fullmatch(r"[-+.\deE]+", str(first)):
            return None
        values.append(float(first))
    center, width = values
    return (center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2) if width > 1 else None


def _scaled(pixels: np.ndarray, levels: Levels, inverted: bool = False) -> tuple[bytes, tuple[str, ...]]:
    """The grey PNG of H x W numbers, `levels` at 0 and 255, what lies outside them cut off."""
    if levels == "percentile":
        low, high = np.percentile(pixels[np.isfinite(pixels)], PERCENTILES) if pixels.size else (0, 0)
        what = f"put into 8 bits between the percentiles {PERCENTILES[0]} and {PERCENTILES[1]} of each"
    else:
        low, high = levels
        what = f"put into 8 bits from {low:g} to {high:g}"
    if not low < high:
        raise UserError("all of it has one grey level")
    grey = np.clip((np.nan_to_num(pixels, nan=low) - low) / (high - low), 0, 1)
    grey = np.round(255 * (1 - grey if inverted else grey)).astype(np.uint8)
    return encode_png(grey), (what,)
