"""Pictures that are no emoji scenes, from which the captioner learns what is foreign.

All are drawn by formula, so that they need no data: ``(128, 128, 3)`` uint8. Whether what was
learned holds for other kinds is measured on those of ``ood_test``, which are never learned from.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pipelines.recipes.emoji_scenes.vocabulary import COLOURS

EDGE = 128
LARGE = 2 * EDGE
"""Edge of the sheet for pictures that are drawn large and then made small, for smooth edges."""

Pixels = npt.NDArray[np.uint8]
Draw = Callable[[np.random.Generator], Pixels]
Colour = tuple[int, int, int]
Point = tuple[float, float]


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
    return to_bytes((waves * 0.2 + 0.5).transpose(1, 2, 0) * 255)


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
    return to_bytes(canvas)


def text(rng: np.random.Generator) -> Pixels:
    """Lines of dark letters on a light page, or the reverse."""
    page, ink = (245, 20) if rng.random() < 0.7 else (30, 230)
    picture = Image.new("RGB", (EDGE, EDGE), (page,) * 3)
    pen = ImageDraw.Draw(picture)
    for line in range(0, EDGE, 12):
        letters = "".join(chr(code) for code in rng.integers(97, 123, 24))
        pen.text((4, line), letters.replace("e", " "), fill=(ink,) * 3)
    return np.asarray(picture)


def plain(rng: np.random.Generator) -> Pixels:
    """One colour and nothing on it."""
    return np.full((EDGE, EDGE, 3), any_colour(rng), np.uint8)


def checks(rng: np.random.Generator) -> Pixels:
    """Squares of two colours in turn."""
    squares = np.arange(EDGE) * int(rng.integers(2, 17)) // EDGE
    is_second = (squares[:, None] + squares) % 2
    return _blend(is_second.astype(np.float64), rng)


def shapes(rng: np.random.Generator) -> Pixels:
    """Discs, polygons and blobs on a ground; one in half of the pictures."""
    picture, pen = sheet(rng)
    for _ in range(1 if rng.random() < 0.5 else int(rng.integers(2, 8))):
        pen.polygon(_outline(rng), fill=any_colour(rng))
    return shrunk(picture)


def outlines(rng: np.random.Generator) -> Pixels:
    """Shapes that are drawn and not filled, some with lines between them, in one ink."""
    picture, pen = sheet(rng)
    ink, width = any_ink(rng), int(rng.integers(1, 16))
    for _ in range(int(rng.integers(1, 6))):
        corners = _outline(rng)
        pen.line([*corners, *corners[:2]], fill=ink, width=width, joint="curve")
    for _ in range(int(rng.integers(0, 6))):
        pen.line(_stroke(rng), fill=ink, width=width, joint="curve")
    return shrunk(picture)


def strokes(rng: np.random.Generator) -> Pixels:
    """A few lines, straight, bent or round."""
    picture, pen = sheet(rng)
    ink, width = any_ink(rng), int(rng.integers(1, 8))
    for _ in range(int(rng.integers(1, 9))):
        pen.line(_stroke(rng), fill=ink, width=width, joint="curve")
    return shrunk(picture)


def letters(rng: np.random.Generator) -> Pixels:
    """A few large signs of a keyboard."""
    picture, pen = sheet(rng)
    signs = "".join(chr(code) for code in rng.integers(33, 123, int(rng.integers(1, 7))))
    place = float(rng.uniform(0, 100)), float(rng.uniform(0, 150))
    font = ImageFont.load_default(size=int(rng.integers(24, 170)))
    pen.text(place, signs, fill=any_ink(rng), font=font)
    return shrunk(picture)


KINDS: dict[str, Draw] = {
    "gradient": gradient,
    "stripes": stripes,
    "noise": noise,
    "fractal": fractal,
    "landscape": landscape,
    "text": text,
    "plain": plain,
    "checks": checks,
    "shapes": shapes,
    "outlines": outlines,
    "strokes": strokes,
    "letters": letters,
}

HARD = (shapes, outlines, strokes, letters)
"""Those that are most like scenes: something on a plain ground."""


def any_colour(rng: np.random.Generator) -> Colour:
    """A background colour of the world as often as one at random."""
    if rng.random() < 0.5:
        return list(COLOURS.values())[int(rng.integers(len(COLOURS)))]
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def any_ink(rng: np.random.Generator) -> Colour:
    """Dark as often as of any colour."""
    dark = int(rng.integers(0, 70))
    return (dark, dark, dark) if rng.random() < 0.5 else any_colour(rng)


def sheet(rng: np.random.Generator) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A large picture of one colour, often white, and what draws on it."""
    ground = (255, 255, 255) if rng.random() < 0.3 else any_colour(rng)
    picture = Image.new("RGB", (LARGE, LARGE), ground)
    return picture, ImageDraw.Draw(picture)


def shrunk(picture: Image.Image) -> Pixels:
    """Any picture at the size of scenes."""
    return np.asarray(picture.convert("RGB").resize((EDGE, EDGE), Image.Resampling.LANCZOS))


def closed_curve(
    centre: Point, radii: npt.NDArray[np.float64], angles: npt.NDArray[np.float64]
) -> list[Point]:
    """Points around a centre: radii and angles are ``(N,)``."""
    x, y = centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _outline(rng: np.random.Generator) -> list[Point]:
    """A disc, a blob, or a polygon, regular, bent or spiky, somewhere on the sheet."""
    corners = int(rng.choice([3, 4, 5, 6, 9, 12, 60, 60]))
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False) + rng.uniform(0, 6)
    radii = np.full(corners, rng.uniform(15, 90))
    if rng.random() < 0.5:
        for wave in range(1, 6):
            radii *= 1 + rng.normal(0, 0.12) * np.cos(wave * angles + rng.uniform(0, 6))
    if corners < 60 and rng.random() < 0.4:
        radii *= rng.uniform(0.4, 1, corners)
    x, y = rng.uniform(60, LARGE - 60, 2).tolist()
    return closed_curve((x, y), radii, angles)


def _stroke(rng: np.random.Generator) -> list[Point]:
    """A way of a few steps; half of them are smoothed."""
    steps = int(rng.integers(2, 7))
    way = rng.uniform(10, LARGE - 10, 2) + rng.normal(0, 45, (steps, 2)).cumsum(axis=0)
    if rng.random() < 0.5:
        fine = np.linspace(0, steps - 1, 12 * steps)
        way = np.stack([np.interp(fine, np.arange(steps), axis) for axis in way.T], axis=1)
        way = np.stack([np.convolve(axis, np.ones(9) / 9, "valid") for axis in way.T], axis=1)
    return [(x, y) for x, y in way.tolist()]


def _ramp(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """0 to 1 across the picture in a random direction: ``(128, 128)``."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:EDGE, 0:EDGE] / (EDGE - 1) - 0.5
    ramp = rows * np.sin(angle) + columns * np.cos(angle)
    span: npt.NDArray[np.float64] = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    return span


def _blend(share: npt.NDArray[np.float64], rng: np.random.Generator) -> Pixels:
    first, second = rng.integers(0, 256, (2, 3))
    return to_bytes(first + (second - first) * share[..., None])


def to_bytes(values: npt.NDArray[np.float64]) -> Pixels:
    """Any numbers, to the nearest of 0 to 255."""
    return values.clip(0, 255).round().astype(np.uint8)
