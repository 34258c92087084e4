"""Pictures that are no emoji scenes: they test whether the captioner knows its limits.

All are drawn by formula, so that they need no data: ``(128, 128, 3)`` uint8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

EDGE = 128

Pixels = npt.NDArray[np.uint8]
Painter = Callable[[np.random.Generator], Pixels]


def gradient(rng: np.random.Generator) -> Pixels:
    """One colour runs into another, in any direction."""
    return _blend(_ramp(rng), rng)


def stripes(rng: np.random.Generator) -> Pixels:
    """Two colours in turn, in any direction and width."""
    return _blend(np.sign(np.sin(_ramp(rng) * rng.uniform(10, 80))) * 0.5 + 0.5, rng)


def noise(rng: np.random.Generator) -> Pixels:
    """Every pixel by itself."""
    return rng.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)


def fractal(rng: np.random.Generator) -> Pixels:
    """Noise of many scales, as photographs have it: amplitude as one over frequency."""
    frequency = np.hypot(np.fft.fftfreq(EDGE)[:, None], np.fft.fftfreq(EDGE)[None])
    frequency[0, 0] = 1
    spectra = np.fft.fft2(rng.normal(size=(3, EDGE, EDGE)))
    waves = np.fft.ifft2(spectra / frequency ** rng.uniform(0.9, 1.6)).real
    waves = waves[:1] + 0.3 * waves
    waves = (waves - waves.mean()) / waves.std()
    return _to_bytes((waves * 0.2 + 0.5).transpose(1, 2, 0) * 255)


def landscape(rng: np.random.Generator) -> Pixels:
    """A sky that pales towards hills, and ground that darkens."""
    height, across = np.mgrid[0:EDGE, 0:EDGE] / EDGE
    sky = np.array([90, 150, 230]) * (1 - height[..., None]) + 220 * height[..., None]
    canvas = sky + rng.normal(0, 6, (EDGE, EDGE, 1))
    for depth in range(3):
        hills = 0.45 + 0.15 * depth
        for _ in range(3):
            hills = hills + 0.05 * np.sin(across * rng.uniform(3, 20) + rng.uniform(0, 6))
        green = np.array([40, 110, 50]) * rng.uniform(0.5, 1.3) + rng.normal(0, 12, (EDGE, EDGE, 1))
        canvas = np.where((height > hills)[..., None], green, canvas)
    return _to_bytes(canvas)


def text(rng: np.random.Generator) -> Pixels:
    """Lines of dark letters on a light page, or the reverse."""
    page, ink = (245, 20) if rng.random() < 0.7 else (30, 230)
    picture = Image.new("RGB", (EDGE, EDGE), (page,) * 3)
    pen = ImageDraw.Draw(picture)
    for line in range(0, EDGE, 12):
        letters = "".join(chr(code) for code in rng.integers(97, 123, 24))
        pen.text((4, line), letters.replace("e", " "), fill=(ink,) * 3)
    return np.asarray(picture)


KINDS: dict[str, Painter] = {
    "gradient": gradient,
    "stripes": stripes,
    "noise": noise,
    "fractal": fractal,
    "landscape": landscape,
    "text": text,
}


def _ramp(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """0 to 1 across the picture in a random direction: ``(128, 128)``."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:EDGE, 0:EDGE] / (EDGE - 1) - 0.5
    ramp = rows * np.sin(angle) + columns * np.cos(angle)
    span: npt.NDArray[np.float64] = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    return span


def _blend(share: npt.NDArray[np.float64], rng: np.random.Generator) -> Pixels:
    first, second = rng.integers(0, 256, (2, 3))
    return _to_bytes(first + (second - first) * share[..., None])


def _to_bytes(values: npt.NDArray[np.float64]) -> Pixels:
    return values.clip(0, 255).round().astype(np.uint8)
