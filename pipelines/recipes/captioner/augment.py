"""How a scene comes from a visitor: as it was drawn, or compressed, resized, cut or blurred."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Augmentation = Callable[[Image.Image, np.random.Generator], Image.Image]
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def untouched(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture


def jpeg(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Through a JPEG of quality 50 to 90."""
    return _through("JPEG", picture, rng)


def webp(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Through a WebP of quality 50 to 90."""
    return _through("WEBP", picture, rng)


def resized(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """To 64 to 512 pixels."""
    edge = int(rng.integers(64, 513))
    return picture.resize((edge, edge), _FILTERS[int(rng.integers(len(_FILTERS)))])


def resized_jpeg(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """To 64 to 512 pixels, and then through a JPEG."""
    return jpeg(resized(picture, rng), rng)


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Up to a twentieth cut off at each side."""
    width, height = picture.size
    left, top, right, bottom = rng.uniform(0, 0.05, 4).tolist()
    return picture.crop(
        (
            round(left * width),
            round(top * height),
            round((1 - right) * width),
            round((1 - bottom) * height),
        )
    )


def blurred(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.5))))


AUGMENTATIONS: dict[str, Augmentation] = {
    "untouched": untouched,
    "jpeg": jpeg,
    "webp": webp,
    "resized": resized,
    "resized_jpeg": resized_jpeg,
    "cropped": cropped,
    "blurred": blurred,
}


def _through(form: str, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, form, quality=int(rng.integers(50, 91)))
    return Image.open(file).convert("RGB")
