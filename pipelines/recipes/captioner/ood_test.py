"""Foreign pictures of kinds that nothing was learned from: they test what was learned.

All are drawn by formula, like those in ``foreign``: ``(128, 128, 3)`` uint8.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from pipelines.recipes.captioner.foreign import (
    EDGE,
    LARGE,
    Draw,
    Pixels,
    Point,
    any_colour,
    any_ink,
    closed_curve,
    sheet,
    shrunk,
    to_bytes,
)


def glow(rng: np.random.Generator) -> Pixels:
    """One colour runs into another from a point outwards."""
    rows, columns = np.mgrid[0:EDGE, 0:EDGE] / EDGE
    down, across = rng.random(2)
    far = np.hypot(rows - down, columns - across)[..., None] / math.sqrt(2)
    inner, outer = np.array(any_colour(rng)), np.array(any_colour(rng))
    return to_bytes(inner + (outer - inner) * far)


def clouds(rng: np.random.Generator) -> Pixels:
    """A few colours that run into each other everywhere."""
    few = int(rng.integers(2, 25))
    return shrunk(Image.fromarray(rng.integers(0, 256, (few, few, 3), dtype=np.uint8)))


def wood(rng: np.random.Generator) -> Pixels:
    """Brown, wavy and rough."""
    rows, columns = np.mgrid[0:EDGE, 0:EDGE] / EDGE
    grain = np.sin(40 * columns + 6 * np.sin(5 * rows + rng.uniform(0, 6)))
    grain = grain + rng.normal(0, 0.3, (EDGE, EDGE))
    tones = np.array([150, 100, 60]) + grain[..., None] * rng.uniform(10, 40)
    return to_bytes(tones)


def cells(rng: np.random.Generator) -> Pixels:
    """A mosaic: each pixel has the colour of the nearest of some points."""
    points = rng.uniform(0, EDGE, (int(rng.integers(6, 40)), 2))
    rows, columns = np.mgrid[0:EDGE, 0:EDGE][..., None]
    nearest = np.hypot(rows - points[:, 0], columns - points[:, 1]).argmin(axis=2)
    colours = np.array([any_colour(rng) for _ in points], np.uint8)
    mosaic: Pixels = colours[nearest]
    return mosaic


def dots(rng: np.random.Generator) -> Pixels:
    """Wallpaper of discs."""
    picture, pen = sheet(rng)
    gap, colour = int(rng.integers(14, 50)), any_colour(rng)
    radius = gap * rng.uniform(0.15, 0.45)
    for x in range(gap // 2, LARGE, gap):
        for y in range(gap // 2, LARGE, gap):
            pen.circle((x, y), radius, fill=colour)
    return shrunk(picture)


def red_disc(rng: np.random.Generator) -> Pixels:
    """On white."""
    picture = Image.new("RGB", (LARGE, LARGE), "white")
    radius = rng.uniform(20, 90)
    x, y = rng.uniform(radius, LARGE - radius, 2).tolist()
    red = int(rng.integers(190, 256)), int(rng.integers(0, 70)), int(rng.integers(0, 70))
    ImageDraw.Draw(picture).circle((x, y), radius, fill=red)
    return shrunk(picture)


def star(rng: np.random.Generator) -> Pixels:
    """Of four to eight rays."""
    picture, pen = sheet(rng)
    rays = int(rng.integers(4, 9))
    angles = np.arange(2 * rays) * math.pi / rays + rng.uniform(0, 6)
    radii = rng.uniform(40, 90) * np.where(np.arange(2 * rays) % 2, 1, 0.45)
    x, y = rng.uniform(90, LARGE - 90, 2).tolist()
    pen.polygon(closed_curve((x, y), radii, angles), fill=any_colour(rng))
    return shrunk(picture)


def scribble(rng: np.random.Generator) -> Pixels:
    """Closed curves that cross themselves."""
    picture, pen = sheet(rng)
    ink, width = any_ink(rng), int(rng.integers(2, 6))
    turns = np.arange(1, 5)[:, None] * np.linspace(0, 2 * math.pi, 80)
    for _ in range(int(rng.integers(1, 6))):
        waves = np.cos(turns + rng.uniform(0, 6, (2, 4, 1)))
        way = rng.uniform(60, LARGE - 60, (2, 1)) + (rng.normal(0, 25, (2, 4, 1)) * waves).sum(1)
        pen.line([(x, y) for x, y in way.T.tolist()], fill=ink, width=width)
    return shrunk(picture)


def sketch(rng: np.random.Generator) -> Pixels:
    """A house, a person beside it or both, in thin lines, mostly on white."""
    ground = (255, 255, 255) if rng.random() < 0.7 else any_colour(rng)
    picture = Image.new("RGB", (LARGE, LARGE), ground)
    pen, width = ImageDraw.Draw(picture), int(rng.integers(2, 6))
    scale, shift = rng.uniform(0.6, 1.1), rng.uniform(0, 50, 2)
    shown = (_HOUSE, _PERSON, _HOUSE + _PERSON, _HOUSE + _PERSON)[int(rng.integers(4))]
    for line in shown:
        way = np.array(line) * scale + shift + rng.normal(0, 1.5, (len(line), 2))
        pen.line([(x, y) for x, y in way.tolist()], fill=(20, 20, 20), width=width)
    return shrunk(picture)


_HOUSE: list[list[Point]] = [
    [(30, 180), (30, 90), (90, 40), (150, 90), (150, 180), (30, 180)],
    [(70, 180), (70, 130), (105, 130), (105, 180)],
    [(30, 90), (150, 90)],
]
_PERSON: list[list[Point]] = [
    closed_curve((185, 80), np.full(24, 16.0), np.linspace(0, 2 * math.pi, 24)),
    [(185, 96), (185, 145)],
    [(160, 125), (185, 105), (210, 125)],
    [(165, 185), (185, 145), (205, 185)],
]


def chart(rng: np.random.Generator) -> Pixels:
    """Bars or a line, with axes, on white."""
    picture = Image.new("RGB", (320, 240), "white")
    pen, colour = ImageDraw.Draw(picture), any_colour(rng)
    pen.line([(30, 10), (30, 210), (310, 210)], fill="black", width=2)
    heights = rng.uniform(10, 180, 20).tolist()
    if rng.random() < 0.5:
        for bar, height in enumerate(heights[:8]):
            pen.rectangle((40 + bar * 33, 210 - height, 62 + bar * 33, 210), fill=colour)
    else:
        pen.line([(40 + i * 13, 205 - h) for i, h in enumerate(heights)], fill=colour, width=2)
    return shrunk(picture)


def window(rng: np.random.Generator) -> Pixels:
    """A programme's window: a bar, a menu and lines of text."""
    light = rng.random() < 0.6
    page, ink = ((250, 250, 252), (30, 30, 30)) if light else ((30, 32, 38), (220, 220, 220))
    picture = Image.new("RGB", (512, 384), page)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 512, 30), fill=any_colour(rng))
    for y in range(50, 370, int(rng.integers(14, 24))):
        letters = "".join(chr(code) for code in rng.integers(97, 123, int(rng.integers(10, 50))))
        pen.text((120, y), letters.replace("e", " "), fill=ink)
        pen.text((10, y), letters[:8], fill=ink)
    return shrunk(picture)


def village(rng: np.random.Generator) -> Pixels:
    """Sky, meadow, sun and a house of flat colours."""
    picture = Image.new("RGB", (LARGE, LARGE), (150, 200, 250))
    pen, x = ImageDraw.Draw(picture), float(rng.uniform(20, 120))
    pen.rectangle((0, 150, LARGE, LARGE), fill=(90, 170, 80))
    pen.rectangle((x, 100, x + 80, 180), fill=any_colour(rng))
    pen.polygon([(x - 10, 100), (x + 40, 50), (x + 90, 100)], fill=any_colour(rng))
    pen.ellipse((190, 10, 240, 60), fill=(255, 220, 50))
    return shrunk(picture)


KINDS: dict[str, Draw] = {
    "glow": glow,
    "clouds": clouds,
    "wood": wood,
    "cells": cells,
    "dots": dots,
    "red_disc": red_disc,
    "star": star,
    "scribble": scribble,
    "sketch": sketch,
    "chart": chart,
    "window": window,
    "village": village,
}
