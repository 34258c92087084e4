"""Opens pictures that strangers send: checked before a pixel is decoded, upright, RGB.

No more than the limits' bytes and pixels are ever decoded, whatever a file claims.
"""

from __future__ import annotations

import struct
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue
from pipelines.files.avif import coded_sizes
from pipelines.settings import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""In Pillow's names; a phone calls HEIF ``.heic``."""

ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
)
"""Of the files that are taken for pictures."""

_PHOTOMETRIC, _BITS_PER_SAMPLE, _TILE_WIDTH, _TILE_LENGTH = 262, 258, 322, 323  # tags of TIFF
_WHITE_IS_ZERO = 0

_DAMAGED = (OSError, SyntaxError, ValueError, RuntimeError, struct.error)
"""What Pillow's decoders raise; those of AVIF and HEIF raise RuntimeError."""


def open_picture(path: Path, limits: Limits) -> Image.Image:
    """The picture in a file as upright RGB of 8 bits, transparent parts on white.

    Raises:
        InvalidValue: not there, too large, empty, damaged, or of another format.
    """
    _check_size(path, limits)
    add_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is checked here
            with Image.open(path, formats=FORMATS) as picture:
                check_pixels(*picture.size, limits)
                _check_tiles(picture, limits)
                if picture.format == "AVIF":  # it is decoded whole, whatever size is claimed
                    for size in coded_sizes(path.read_bytes()):
                        check_pixels(*size, limits)
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)  # a copy would lose a TIFF's tags
                return on_white(picture)
    except Image.DecompressionBombError as error:
        raise InvalidValue(_too_many("far too many", limits)) from error
    except UnidentifiedImageError as error:
        raise InvalidValue(
            f"The file is no picture that can be read here; allowed are {', '.join(FORMATS)} "
            "(HEIC is HEIF)."
        ) from error
    except _DAMAGED as error:
        raise InvalidValue(
            f"The picture is damaged or incomplete ({_reason(error)}). Export it again, or choose "
            "another."
        ) from error


@cache
def add_heif() -> None:
    """Teaches Pillow to read HEIF, by a library that takes a while to import."""
    from pi_heif import register_heif_opener  # type: ignore[import-untyped]

    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def _check_tiles(picture: Image.Image, limits: Limits) -> None:
    """A TIFF's tiles are decoded whole, and may be larger than the picture."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        tags = picture.tag_v2
        check_pixels(tags.get(_TILE_WIDTH, 1), tags.get(_TILE_LENGTH, 1), limits)


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
    """An RGB copy without metadata; deep grey is scaled, and what is transparent becomes white."""
    if picture.mode[:1] in ("I", "F"):
        picture = _eight_bits(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        canvas = Image.new("RGBA", layered.size, "white")
        canvas.alpha_composite(layered)
        picture = canvas
    rgb = picture.convert("RGB")
    clean = Image.new("RGB", rgb.size)
    clean.paste(rgb)
    return clean


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of floats as ``L``, or ``LA`` where one value is transparent.

    Pillow's own ``convert`` cuts all above 255 off.
    """
    values = np.asarray(picture)
    shades = _shades_of_16(picture, values) if picture.mode[:4] == "I;16" else _shades(values)
    grey = Image.fromarray(shades.astype(np.uint8))
    clear = picture.info.get("transparency")
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _shades_of_16(picture: Image.Image, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The upper eight bits, as Pillow itself takes them of colours of 16 bits."""
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]  # a camera's TIFF may have 12
    shades: npt.NDArray[Any] = values >> (bits - 8)
    return 255 - shades if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else shades


def _shades(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Integers of 32 bits and floats have no white of their own: it is the least usual one above
    all values (1 of floats, 255 or 65,535), or else the highest value, and black the lowest."""
    whites = (1,) if values.dtype.kind == "f" else (255, 65_535)
    values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    usual = [white for white in whites if low >= 0 and high <= white]
    black, white = (0, usual[0]) if usual else (low, max(high, low + 1))
    shades: npt.NDArray[Any] = ((values - black) * (255 / (white - black))).round()
    return shades
