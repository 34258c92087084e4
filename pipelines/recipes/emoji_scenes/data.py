"""Emoji scenes: what stands where, how it is drawn, and what its caption says.

A scene is one or two emoji of some size on a background of a named colour. It is
data first (``Scene``), then pixels (``World.draw``) and words (``caption``), so that
a score can compare scenes where wordings differ. Needs the Noto Color Emoji font;
nothing that serves imports this module.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pipelines.recipes.emoji_scenes.vocabulary import (
    COLOURS,
    NEVER_PAIRED,
    SIZES,
    Emoji,
    everyday,
    twelve,
    whole_font,
)

EDGE = 128
"""Width and height of a scene in pixels."""

GRID = 8
"""Sprites stand on multiples of eight pixels, the VAE's reduction, so that one sprite
is always cut into latent cells in the same way."""

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_FONT_SIZE = 109  # the only size at which the bitmap font draws

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int]
"""Left, top and edge of a sprite's square, in pixels."""


@dataclass(frozen=True)
class Item:
    """One emoji of a scene with its size: ``"small"``, ``""`` or ``"big"``."""

    emoji: Emoji
    size: str = ""


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    ``place`` relates the first item to the second: ``"left"``, ``"above"``,
    ``"beside"`` (a row in either order), ``"and"`` (anyhow), or ``""`` for one item.
    """

    items: tuple[Item, ...]
    place: str
    colour: str

    def is_held_out(self) -> bool:
        """Whether training never shows this scene: see DESIGN's held-out rule."""
        if any(combination_is_held_out(item.emoji, self.colour) for item in self.items):
            return True
        return len(self.items) > 1 and any(i.emoji.character in NEVER_PAIRED for i in self.items)


def combination_is_held_out(emoji: Emoji, colour: str) -> bool:
    """True for a tenth of all emoji-and-colour combinations, the same tenth everywhere."""
    digest = hashlib.sha256(f"{emoji.character} on {colour}".encode()).digest()
    return digest[0] * 256 + digest[1] < 6554


class World:
    """The emoji that scenes are made of, with their sprites in the three sizes."""

    def __init__(self, emoji: Sequence[Emoji] | None = None, font: Path = FONT) -> None:
        """Draws every sprite once: two seconds for 256 emoji.

        Raises:
            FileNotFoundError: the font is missing; the message names its package.
        """
        if not font.is_file():
            raise FileNotFoundError(
                f"{font} is missing: install Debian's fonts-noto-color-emoji, "
                "or give the path of NotoColorEmoji.ttf"
            )
        self.emoji = tuple(everyday() if emoji is None else emoji)
        glyphs = ImageFont.truetype(str(font), _FONT_SIZE)
        self._sprites = {
            (entry.character, size): _sprite(entry.character, edge, glyphs)
            for entry in self.emoji
            for size, edge in SIZES.items()
        }

    def sample(self, rng: np.random.Generator, held_out: bool = False) -> Scene:
        """A random scene, of the training set or of the held-out one."""
        while True:
            scene = self._sample_any(rng)
            if scene.is_held_out() == held_out:
                return scene

    def _sample_any(self, rng: np.random.Generator) -> Scene:
        colour = str(rng.choice(list(COLOURS)))
        first = self._pick(rng)
        if rng.random() < 0.5:
            return Scene((Item(first, _pick_size(rng)),), "", colour)
        if rng.random() < 0.05:
            return Scene((Item(first), Item(first)), "and", colour)
        second = self._pick(rng)
        sizes = _pick_size(rng), _pick_size(rng)
        if sizes == ("big", "big"):  # two big ones do not fit into a row
            sizes = "", ""
        place = str(rng.choice(["left", "above", "beside", "and"], p=[0.35, 0.35, 0.15, 0.15]))
        return Scene((Item(first, sizes[0]), Item(second, sizes[1])), place, colour)

    def _pick(self, rng: np.random.Generator) -> Emoji:
        return self.emoji[int(rng.integers(len(self.emoji)))]

    def sprite(self, item: Item) -> Pixels:
        """The glyph in its size: ``(edge, edge, 4)`` uint8, red, green, blue and alpha."""
        return self._sprites[item.emoji.character, item.size]

    def draw(self, scene: Scene, boxes: Sequence[Box]) -> Pixels:
        """The scene with its items in these boxes: ``(128, 128, 3)`` uint8."""
        canvas = np.empty((EDGE, EDGE, 3), np.uint8)
        canvas[:] = COLOURS[scene.colour]
        for item, (left, top, edge) in zip(scene.items, boxes, strict=True):
            sprite = self.sprite(item)
            region = canvas[top : top + edge, left : left + edge]
            alpha = sprite[..., 3:].astype(np.uint16)
            mixed = sprite[..., :3] * alpha + region * (255 - alpha)
            region[:] = (mixed + 127) // 255
        return canvas


WORLDS: dict[str, Callable[[], Sequence[Emoji]]] = {
    "everyday": everyday,
    "twelve": twelve,
    "all": lambda: whole_font(FONT),
}


def add_world_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--world``, with ``--vocabulary`` as its other name."""
    parser.add_argument(
        "--world",
        "--vocabulary",
        choices=list(WORLDS),
        default="everyday",
        help="the 256 everyday emoji, twelve that are learned in minutes, or the whole font",
    )


def world_named(name: str, smoke: bool = False) -> World:
    """The world that ``--world`` names; eight emoji of it for a smoke run."""
    emoji = WORLDS[name]()
    return World(emoji[:8] if smoke else emoji)


def _sprite(character: str, edge: int, glyphs: ImageFont.FreeTypeFont) -> Pixels:
    """The glyph, cropped, fitted into a square and centred: ``(edge, edge, 4)`` uint8."""
    sheet = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(sheet).text((8, 8), character, font=glyphs, embedded_color=True)
    box = sheet.getbbox()
    if box is None:
        raise ValueError(f"the font draws nothing for {character!r}")
    glyph = sheet.crop(box)
    scale = edge / max(glyph.size)
    size = max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale))
    glyph = glyph.resize(size, Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (edge, edge), (0, 0, 0, 0))
    square.paste(glyph, ((edge - size[0]) // 2, (edge - size[1]) // 2))
    return np.asarray(square)


def _pick_size(rng: np.random.Generator) -> str:
    return str(rng.choice(["", "small", "big"], p=[0.6, 0.2, 0.2]))


def arrange(scene: Scene, rng: np.random.Generator, canvas: int = EDGE) -> list[Box]:
    """Boxes that fulfil the scene's place, at random within its freedom.

    ``canvas`` is the edge of the picture in pixels, at least the sum of the items' edges.
    """
    edges = [SIZES[item.size] for item in scene.items]
    if len(edges) == 1:
        left, top = (_near_centre(edges[0], canvas, rng) for _ in range(2))
        return [(left, top, edges[0])]
    upright = scene.place == "above" or (scene.place == "and" and rng.random() < 0.5)
    swapped = scene.place in ("beside", "and") and rng.random() < 0.5
    if swapped:
        edges.reverse()
    slack = (canvas - sum(edges)) // GRID
    margin = int(rng.integers(slack // 2 + 1))
    gap = int(rng.integers(slack - 2 * margin + 1))
    starts = margin * GRID, (margin + gap) * GRID + edges[0]
    boxes = []
    for start, edge in zip(starts, edges, strict=True):
        across = _near_centre(edge, canvas, rng, reach=8)
        boxes.append((across, start, edge) if upright else (start, across, edge))
    return boxes[::-1] if swapped else boxes


def _near_centre(edge: int, canvas: int, rng: np.random.Generator, reach: int = 16) -> int:
    centre = (canvas - edge) // 2
    low = -(-max(0, centre - reach) // GRID)
    high = min(canvas - edge, centre + reach) // GRID
    return GRID * int(rng.integers(low, high + 1))


_NO_ARTICLE = frozenset(
    "cherries fries grapes scissors glasses noodles pancakes socks milk coffee tea beer wine honey "
    "corn popcorn bread cheese lightning fire laughter earth dice eyeglasses rice letters".split()
)
_PLURALS = {
    "mouse": "mice",
    "snowman": "snowmen",
    "wolf": "wolves",
    "leaf": "leaves",
    "die": "dice",
    "dice": "dice",
    "deer": "deer",
    "sheep": "sheep",
    "fish": "fish",
}
_SIZE_WORDS = {
    "": [""],
    "small": ["small", "small", "little", "tiny"],
    "big": ["big", "big", "large", "huge"],
}
_PLACE_WORDS = {
    "left": [
        ("to the left of", False),
        ("left of", False),
        ("to the right of", True),
        ("right of", True),
    ],
    "above": [
        ("above", False),
        ("over", False),
        ("on top of", False),
        ("below", True),
        ("under", True),
    ],
    "beside": [("next to", False), ("beside", False)],
    "and": [("and", False)],
}
_GROUNDS = ["on {article}", "on {article}", "on {colour}", "with {article}", "against {article}"]


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of the scene's many wordings: names or aliases, articles or none, turned or not."""
    terse = rng.random() < 0.15
    names = [_choose_name(item.emoji, rng) for item in scene.items]
    sizes = [str(rng.choice(_SIZE_WORDS[item.size])) for item in scene.items]
    phrases = [_phrase(size, name, terse) for size, name in zip(sizes, names, strict=True)]
    if len(phrases) == 2 and scene.items[0] == scene.items[1] and scene.place == "and":
        words = f"two {plural(names[0])}"
    elif len(phrases) == 2:
        options = _PLACE_WORDS[scene.place]
        relation, is_turned = options[int(rng.integers(len(options)))]
        if is_turned:
            phrases.reverse()
        words = f"{phrases[0]} {relation} {phrases[1]}"
    else:
        words = phrases[0]
    if rng.random() < 0.1:
        return words
    ground = str(rng.choice(_GROUNDS))
    return f"{words} {ground.format(colour=scene.colour, article=_background(scene.colour))}"


def items_as_named(scene: Scene, words: str) -> list[Item]:
    """The scene's items in the order in which this caption of it names them."""
    turned = (
        relation
        for relation, is_turned in _PLACE_WORDS.get(scene.place, [])
        if is_turned and f" {relation} " in words
    )
    return list(scene.items[::-1] if any(turned) else scene.items)


def plain_caption(scene: Scene) -> str:
    """The scene's standard wording: first names, articles, ``on a white background``."""
    phrases = [_phrase(item.size, item.emoji.name, terse=False) for item in scene.items]
    ground = f"on {_background(scene.colour)}"
    if len(phrases) == 1:
        return f"{phrases[0]} {ground}"
    if scene.items[0] == scene.items[1] and scene.place == "and":
        return f"two {plural(scene.items[0].emoji.name)} {ground}"
    return f"{phrases[0]} {_PLACE_WORDS[scene.place][0][0]} {phrases[1]} {ground}"


def _choose_name(emoji: Emoji, rng: np.random.Generator) -> str:
    if rng.random() < 0.6:
        return emoji.name
    return emoji.names[int(rng.integers(len(emoji.names)))]


def _phrase(size: str, name: str, terse: bool) -> str:
    words = f"{size} {name}".strip()
    if terse or name.split()[-1] in _NO_ARTICLE:
        return words
    return _with_article(words)


def _background(colour: str) -> str:
    return _with_article(f"{colour} background")


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' and not words.startswith('uni') else 'a'} {words}"


def plural(name: str) -> str:
    """``cat face`` to ``cat faces``, ``glass of milk`` to ``glasses of milk``."""
    head, link, rest = _split_off_attribute(name)
    *before, noun = head.split()
    if noun in _PLURALS:
        noun = _PLURALS[noun]
    elif noun.endswith(("ies", "grapes", "glasses", "socks", "scissors", "noodles", "pancakes")):
        pass
    elif noun.endswith("y") and noun[-2] not in "aeiou":
        noun = noun[:-1] + "ies"
    elif noun.endswith(("s", "x", "ch", "sh", "mato")):
        noun += "es"
    else:
        noun += "s"
    return " ".join([*before, noun]) + link + rest


def _split_off_attribute(name: str) -> tuple[str, str, str]:
    for link in (" of ", " with "):
        if link in name:
            return name.partition(link)
    return name, "", ""


def to_signed(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """``(N, H, W, 3)`` uint8 to ``(N, 3, H, W)`` float32 in [-1, 1]."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32) / 127.5 - 1


def scene_words(world: World) -> set[str]:
    """Every word that a caption of this world can hold, in lower case."""
    words = {"a", "an", "two", "background", "on", "with", "against", *COLOURS}
    for options in (*_SIZE_WORDS.values(), *([w for w, _ in p] for p in _PLACE_WORDS.values())):
        words.update(word for option in options for word in option.split())
    for entry in world.emoji:
        for name in entry.names:
            words.update(name.split(), plural(name).split())
    return words
