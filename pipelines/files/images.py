"""Opens pictures that strangers send: checked before a pixel is decoded, upright, RGB.

No more than the limits' bytes and pixels are ever decoded, whatever a file claims.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue
from pipelines.settings import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def open_picture(path: Path, limits: Limits) -> Image.Image:
    """The picture in a file as upright RGB, transparent parts on white.

    Raises:
        InvalidValue: not there, too large, empty, damaged, or of another format.
    """
    _check_size(path, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                check_pixels(*picture.size, limits)
                picture.load()
                return on_white(ImageOps.exif_transpose(picture))
    except Image.DecompressionBombError as error:
        raise InvalidValue(_too_many("far too many", limits)) from error
    except UnidentifiedImageError as error:
        raise InvalidValue(
            f"The file is no picture that can be read here; allowed are {', '.join(FORMATS)}."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidValue(
            f"The picture is damaged or incomplete ({_reason(error)}). Export it again, or choose "
            "another."
        ) from error


def _check_size(path: Path, limits: Limits) -> None:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InvalidValue(
            f"The picture's file cannot be read ({_reason(error)}). Upload it again."
        ) from error
    if size == 0:
        raise InvalidValue("The picture's file is empty (0 bytes). Choose another file.")
    if size > limits.upload_bytes:
        raise InvalidValue(
            f"The picture's file has {mebibytes(size)}; at most {mebibytes(limits.upload_bytes)} "
            "are allowed. Make it smaller."
        )


def _reason(error: Exception) -> object:
    """What went wrong, without the name of a file on this machine."""
    return getattr(error, "strerror", None) or error


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Refuses a picture of more pixels than the limits allow.

    Raises:
        InvalidValue: naming both numbers.
    """
    if width * height > limits.upload_pixels:
        raise InvalidValue(
            _too_many(f"{width:,} × {height:,} =  {width * height:,}".replace("  ", " "), limits)
        )


def _too_many(given: str, limits: Limits) -> str:
    allowed = f"at most {limits.upload_pixels:,} are allowed"
    return f"The picture has {given} pixels; {allowed}. Make it smaller."


def on_white(picture: Image.Image) -> Image.Image:
    """An RGB copy without metadata; what is transparent becomes white."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        canvas = Image.new("RGBA", layered.size, "white")
        canvas.alpha_composite(layered)
        picture = canvas
    rgb = picture.convert("RGB")
    clean = Image.new("RGB", rgb.size)
    clean.paste(rgb)
    return clean
