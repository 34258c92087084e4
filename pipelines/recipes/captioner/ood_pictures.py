"""Out-of-distribution pictures: drawn by formula, no emoji scenes, ``(128, 128, 3)`` uint8.

The detector is trained on ``TRAINING_KINDS``. Whether it generalises is measured on
``TEST_KINDS``, which it never sees in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pipelines.recipes.emoji_scenes.vocabulary import COLOURS

EDGE = 128
_LARGE = 2 * EDGE
"""Edge at which shapes are drawn; reducing them makes smooth edges."""

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Rng = np.random.Generator
Draw = Callable[[Rng], Pixels]
Colour = tuple[int, ...]

_ROWS, _COLUMNS = np.mgrid[0:EDGE, 0:EDGE] / EDGE


def _colour(rng: Rng) -> Colour:
    """A background colour of the world, or as often any colour."""
    if rng.random() < 0.5:
        return list(COLOURS.values())[int(rng.integers(len(COLOURS)))]
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _ink(rng: Rng) -> Colour:
    """A dark grey, or as often any colour."""
    dark = int(rng.integers(0, 70))
    return (dark, dark, dark) if rng.random() < 0.5 else _colour(rng)


def _canvas(rng: Rng, white: float = 0.3) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A large picture of one colour, white with this probability, and its pen."""
    ground = (255, 255, 255) if rng.random() < white else _colour(rng)
    picture = Image.new("RGB", (_LARGE, _LARGE), ground)
    return picture, ImageDraw.Draw(picture)


def _reduced(picture: Image.Image) -> Pixels:
    return np.asarray(picture.resize((EDGE, EDGE), Image.Resampling.LANCZOS))


def _to_bytes(values: Floats) -> Pixels:
    return values.clip(0, 255).round().astype(np.uint8)


def _points(values: Floats) -> list[tuple[float, float]]:
    """``(N, 2)`` as Pillow takes them."""
    return [(x, y) for x, y in values.tolist()]


def _around(centre: Floats, radii: Floats, angles: Floats) -> Floats:
    """Points around a centre ``(2,)``; radii and angles are ``(N,)``, the result ``(N, 2)``."""
    points: Floats = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return points


def _outline(rng: Rng) -> Floats:
    """A disc, a blob, or a regular, bent or spiky polygon anywhere on the canvas."""
    corners = int(rng.choice([3, 4, 5, 6, 9, 12, 60, 60]))
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False) + rng.uniform(0, 6)
    radii = np.full(corners, rng.uniform(15, 90))
    if rng.random() < 0.5:
        for wave in range(1, 6):
            radii *= 1 + rng.normal(0, 0.12) * np.cos(wave * angles + rng.uniform(0, 6))
    if corners < 60 and rng.random() < 0.4:
        radii *= rng.uniform(0.4, 1, corners)
    return _around(rng.uniform(60, _LARGE - 60, 2), radii, angles)


def _stroke(rng: Rng) -> Floats:
    """A random walk of a few steps, half of them smoothed."""
    steps = int(rng.integers(2, 7))
    way: Floats = rng.uniform(10, _LARGE - 10, 2) + rng.normal(0, 45, (steps, 2)).cumsum(axis=0)
    if rng.random() < 0.5:
        fine = np.linspace(0, steps - 1, 12 * steps)
        way = np.stack([np.interp(fine, np.arange(steps), axis) for axis in way.T], axis=1)
        way = np.stack([np.convolve(axis, np.ones(9) / 9, "valid") for axis in way.T], axis=1)
    return way


def _ramp(rng: Rng) -> Floats:
    """0 to 1 across the picture in a random direction: ``(128, 128)``."""
    angle = rng.uniform(0, 2 * np.pi)
    ramp = _ROWS * np.sin(angle) + _COLUMNS * np.cos(angle)
    span: Floats = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    return span


def _blend(share: Floats, rng: Rng) -> Pixels:
    """Two random colours mixed by ``(128, 128)`` from 0 to 1."""
    first, second = rng.integers(0, 256, (2, 3))
    return _to_bytes(first + (second - first) * share[..., None])


def gradient(rng: Rng) -> Pixels:
    """From one colour to another in any direction."""
    return _blend(_ramp(rng), rng)


def stripes(rng: Rng) -> Pixels:
    """Of two colours, in any direction and width."""
    return _blend(np.sign(np.sin(_ramp(rng) * rng.uniform(10, 80))) * 0.5 + 0.5, rng)


def noise(rng: Rng) -> Pixels:
    """Independent pixels."""
    return rng.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)


def fractal(rng: Rng) -> Pixels:
    """Noise with the spectrum of photographs, amplitude about one over frequency."""
    frequency = np.hypot(np.fft.fftfreq(EDGE)[:, None], np.fft.fftfreq(EDGE)[None])
    frequency[0, 0] = 1
    spectra = np.fft.fft2(rng.normal(size=(3, EDGE, EDGE)))
    waves = np.fft.ifft2(spectra / frequency ** rng.uniform(0.9, 1.6)).real
    waves = waves[:1] + 0.3 * waves
    waves = (waves - waves.mean()) / waves.std()
    return _to_bytes((waves * 0.2 + 0.5).transpose(1, 2, 0) * 255)


def landscape(rng: Rng) -> Pixels:
    """A sky that pales towards three ranges of hills."""
    height = _ROWS[..., None]
    scenery = np.array([90, 150, 230]) * (1 - height) + 220 * height
    scenery = scenery + rng.normal(0, 6, (EDGE, EDGE, 1))
    for depth in range(3):
        hills = 0.45 + 0.15 * depth
        for _ in range(3):
            hills = hills + 0.05 * np.sin(_COLUMNS * rng.uniform(3, 20) + rng.uniform(0, 6))
        green = np.array([40, 110, 50]) * rng.uniform(0.5, 1.3) + rng.normal(0, 12, (EDGE, EDGE, 1))
        scenery = np.where((hills < _ROWS)[..., None], green, scenery)
    return _to_bytes(scenery)


def text(rng: Rng) -> Pixels:
    """Lines of dark letters on a light page, or the reverse."""
    page, ink = (245, 20) if rng.random() < 0.7 else (30, 230)
    picture = Image.new("RGB", (EDGE, EDGE), (page,) * 3)
    pen = ImageDraw.Draw(picture)
    for y in range(0, EDGE, 12):
        characters = "".join(map(chr, rng.integers(97, 123, 24)))
        pen.text((4, y), characters.replace("e", " "), fill=(ink,) * 3)
    return np.asarray(picture)


def plain(rng: Rng) -> Pixels:
    """One colour."""
    return np.full((EDGE, EDGE, 3), _colour(rng), np.uint8)


def checks(rng: Rng) -> Pixels:
    """A chessboard of two colours."""
    squares = np.arange(EDGE) * int(rng.integers(2, 17)) // EDGE
    return _blend(((squares[:, None] + squares) % 2).astype(np.float64), rng)


def shapes(rng: Rng) -> Pixels:
    """One filled shape, or as often several."""
    picture, pen = _canvas(rng)
    for _ in range(1 if rng.random() < 0.5 else int(rng.integers(2, 8))):
        pen.polygon(_points(_outline(rng)), fill=_colour(rng))
    return _reduced(picture)


def _line_drawing(rng: Rng, outlines: int, strokes: int, width: int) -> Pixels:
    picture, pen = _canvas(rng)
    ink = _ink(rng)
    closed = [np.vstack([way, way[:2]]) for way in (_outline(rng) for _ in range(outlines))]
    for way in [*closed, *(_stroke(rng) for _ in range(strokes))]:
        pen.line(_points(way), fill=ink, width=width, joint="curve")
    return _reduced(picture)


def outlines(rng: Rng) -> Pixels:
    """Shapes that are not filled, some with lines between them, in one ink."""
    count, lines, width = int(rng.integers(1, 6)), int(rng.integers(0, 6)), int(rng.integers(1, 16))
    return _line_drawing(rng, count, lines, width)


def strokes(rng: Rng) -> Pixels:
    """A few lines, straight or bent."""
    return _line_drawing(rng, 0, int(rng.integers(1, 9)), int(rng.integers(1, 8)))


def letters(rng: Rng) -> Pixels:
    """A few large characters of a keyboard."""
    picture, pen = _canvas(rng)
    characters = "".join(map(chr, rng.integers(33, 123, int(rng.integers(1, 7)))))
    place = float(rng.uniform(0, 100)), float(rng.uniform(0, 150))
    font = ImageFont.load_default(size=int(rng.integers(24, 170)))
    pen.text(place, characters, fill=_ink(rng), font=font)
    return _reduced(picture)


HARD_KINDS: tuple[Draw, ...] = (shapes, outlines, strokes, letters)
"""The kinds that most resemble scenes: something on a plain background."""

_EASY_KINDS: tuple[Draw, ...] = (gradient, stripes, noise, fractal, landscape, text, plain, checks)
TRAINING_KINDS: dict[str, Draw] = {draw.__name__: draw for draw in (*_EASY_KINDS, *HARD_KINDS)}


def clouds(rng: Rng) -> Pixels:
    """A few random pixels, enlarged smoothly."""
    few = int(rng.integers(2, 25))
    return _reduced(Image.fromarray(rng.integers(0, 256, (few, few, 3), dtype=np.uint8)))


def cells(rng: Rng) -> Pixels:
    """A mosaic: each pixel has the colour of the nearest of some points."""
    points = rng.random((int(rng.integers(6, 40)), 2))
    nearest = np.hypot(_ROWS[..., None] - points[:, 0], _COLUMNS[..., None] - points[:, 1])
    mosaic: Pixels = np.array([_colour(rng) for _ in points], np.uint8)[nearest.argmin(axis=2)]
    return mosaic


def star(rng: Rng) -> Pixels:
    """With four to eight rays."""
    picture, pen = _canvas(rng)
    corners = 2 * int(rng.integers(4, 9))
    angles = np.arange(corners) * 2 * math.pi / corners + rng.uniform(0, 6)
    radii = rng.uniform(40, 90) * np.where(np.arange(corners) % 2, 1, 0.45)
    pen.polygon(_points(_around(rng.uniform(90, _LARGE - 90, 2), radii, angles)), _colour(rng))
    return _reduced(picture)


def scribble(rng: Rng) -> Pixels:
    """Closed curves that cross themselves."""
    picture, pen = _canvas(rng)
    ink, width = _ink(rng), int(rng.integers(2, 6))
    turns = np.arange(1, 5)[:, None] * np.linspace(0, 2 * math.pi, 80)
    for _ in range(int(rng.integers(1, 6))):
        waves = np.cos(turns + rng.uniform(0, 6, (2, 4, 1)))
        way = rng.uniform(60, _LARGE - 60, (2, 1)) + (rng.normal(0, 25, (2, 4, 1)) * waves).sum(1)
        pen.line(_points(way.T), fill=ink, width=width)
    return _reduced(picture)


_HOUSE = [
    np.array([(30, 180), (30, 90), (90, 40), (150, 90), (150, 180), (30, 180)]),
    np.array([(70, 180), (70, 130), (105, 130), (105, 180)]),
    np.array([(30, 90), (150, 90)]),
]
_PERSON = [
    _around(np.array([185, 80]), np.full(24, 16.0), np.linspace(0, 2 * math.pi, 24)),
    np.array([(185, 96), (185, 145)]),
    np.array([(160, 125), (185, 105), (210, 125)]),
    np.array([(165, 185), (185, 145), (205, 185)]),
]


def sketch(rng: Rng) -> Pixels:
    """A house, a person beside it or both, in thin lines, mostly on white."""
    picture, pen = _canvas(rng, white=0.7)
    width, scale, shift = int(rng.integers(2, 6)), rng.uniform(0.6, 1.1), rng.uniform(0, 50, 2)
    for line in (_HOUSE, _PERSON, _HOUSE + _PERSON, _HOUSE + _PERSON)[int(rng.integers(4))]:
        way = line * scale + shift + rng.normal(0, 1.5, line.shape)
        pen.line(_points(way), fill=(20, 20, 20), width=width)
    return _reduced(picture)


def chart(rng: Rng) -> Pixels:
    """Bars or a line, with axes, on white."""
    picture = Image.new("RGB", (320, 240), "white")
    pen, colour = ImageDraw.Draw(picture), _colour(rng)
    pen.line([(30, 10), (30, 210), (310, 210)], fill="black", width=2)
    heights = rng.uniform(10, 180, 20).tolist()
    if rng.random() < 0.5:
        for bar, height in enumerate(heights[:8]):
            pen.rectangle((40 + bar * 33, 210 - height, 62 + bar * 33, 210), fill=colour)
    else:
        pen.line([(40 + i * 13, 205 - h) for i, h in enumerate(heights)], fill=colour, width=2)
    return _reduced(picture)


TEST_KINDS: dict[str, Draw] = {
    draw.__name__: draw for draw in (clouds, cells, star, scribble, sketch, chart)
}
