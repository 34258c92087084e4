"""Changes that a scene may go through before a visitor uploads it."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def _compressed(form: str, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Compressed with a quality of 50 to 90."""
    file = io.BytesIO()
    picture.save(file, form, quality=int(rng.integers(50, 91)))
    return Image.open(file).convert("RGB")


def _resized(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """To 64 to 512 pixels."""
    edge = int(rng.integers(64, 513))
    return picture.resize((edge, edge), _FILTERS[int(rng.integers(len(_FILTERS)))])


def _cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Up to a twentieth removed at each side."""
    left, top, right, bottom = rng.uniform(0, 0.05, 4)
    box = np.array([left, top, 1 - right, 1 - bottom]) * np.tile(picture.size, 2)
    return picture.crop(tuple(box.round().astype(int).tolist()))


def _blurred(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.5))))


AUGMENTATIONS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "untouched": lambda picture, rng: picture,
    "jpeg": partial(_compressed, "JPEG"),
    "webp": partial(_compressed, "WEBP"),
    "resized": _resized,
    "resized_jpeg": lambda picture, rng: _compressed("JPEG", _resized(picture, rng), rng),
    "cropped": _cropped,
    "blurred": _blurred,
}
