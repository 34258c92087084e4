"""Emoji scenes: what stands where, how it is drawn, and what its caption says.

A scene is one or two emoji on a background of a named colour. It is data first
(``Scene``), then pixels (``World.draw``) and words (``caption``), so that scenes can be
compared where wordings differ. Needs the Noto Color Emoji font; serving code must not
import this module.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from pipelines.recipes import command_line
from pipelines.recipes.emoji_scenes.vocabulary import (
    COLOURS,
    NEVER_PAIRED,
    SIZES,
    Emoji,
    everyday,
    twelve,
    whole_font,
)
from pipelines.small_world import with_article

EDGE = 128
"""Width and height of a scene in pixels."""

GRID = 8
"""Sprites stand at multiples of eight pixels, the reduction of the autoencoder, so that a
sprite is always divided into latent cells the same way."""

PLAIN_SHARE = 0.7
"""The share of captions in the standard wording; the others vary."""

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_FONT_SIZE = 109  # the bitmap font has no other

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
        """Whether this scene is never used in training: a held-out combination or pair."""
        is_pair = len(self.items) > 1
        return any(
            combination_is_held_out(item.emoji, self.colour)
            or (is_pair and item.emoji.character in NEVER_PAIRED)
            for item in self.items
        )


def combination_is_held_out(emoji: Emoji, colour: str) -> bool:
    """True for a tenth of all emoji-and-colour combinations, the same tenth everywhere."""
    digest = hashlib.sha256(f"{emoji.character} on {colour}".encode()).digest()
    return digest[0] * 256 + digest[1] < 6554


class World:
    """A set of emoji with their sprites in the three sizes."""

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
        if sizes == ("big", "big"):  # wider than the picture
            sizes = "", ""
        place = str(rng.choice(["left", "above", "beside", "and"], p=[0.35, 0.35, 0.15, 0.15]))
        return Scene((Item(first, sizes[0]), Item(second, sizes[1])), place, colour)

    def _pick(self, rng: np.random.Generator) -> Emoji:
        return self.emoji[int(rng.integers(len(self.emoji)))]

    def sprite(self, item: Item) -> Pixels:
        """The glyph in its size: ``(edge, edge, 4)`` uint8, red, green, blue and alpha."""
        return self._sprites[item.emoji.character, item.size]

    def draw(self, scene: Scene, boxes: Sequence[Box]) -> Pixels:
        """The scene with its items in these boxes, one each: ``(128, 128, 3)`` uint8."""
        canvas = np.empty((EDGE, EDGE, 3), np.uint8)
        canvas[:] = COLOURS[scene.colour]
        for item, (left, top, edge) in zip(scene.items, boxes, strict=True):
            sprite = self.sprite(item)
            region = canvas[top : top + edge, left : left + edge]
            alpha = sprite[..., 3:].astype(np.uint16)
            mixed = sprite[..., :3] * alpha + region * (255 - alpha)
            region[:] = (mixed + 127) // 255
        return canvas


def drawn_at_random(
    world: World, count: int, rng: np.random.Generator, held_out: bool = False
) -> list[tuple[Scene, Pixels]]:
    """Random scenes, and a picture ``(128, 128, 3)`` uint8 of each."""
    scenes = [world.sample(rng, held_out) for _ in range(count)]
    return [(scene, world.draw(scene, arrange(scene, rng))) for scene in scenes]


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
        help="256 everyday emoji, twelve that are learned in minutes, or the whole font",
    )


def world_named(name: str, smoke: bool = False) -> World:
    """The world of ``--world``; its first eight emoji for a smoke run."""
    emoji = WORLDS[name]()
    return World(emoji[:8] if smoke else emoji)


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, command_line.Options, World]:
    """``command_line.parse`` with ``--world`` as a further option, and its world."""
    add_world_option(parser)
    parsed, options = command_line.parse(parser, arguments)
    return parsed, options, world_named(parsed.world, options.smoke)


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
    """Random boxes for the items, as the scene's place requires.

    ``canvas`` is the edge of the picture in pixels, at least the sum of the items' edges.
    """
    edges = [SIZES[item.size] for item in scene.items]
    if len(edges) == 1:
        left, top = (_near_centre(edges[0], canvas, rng) for _ in range(2))
        return [(left, top, edges[0])]
    upright = scene.place == "above" or (scene.place == "and" and rng.random() < 0.5)
    is_swapped = scene.place in ("beside", "and") and rng.random() < 0.5
    if is_swapped:
        edges.reverse()
    slack = (canvas - sum(edges)) // GRID
    margin = int(rng.integers(slack // 2 + 1))
    gap = int(rng.integers(slack - 2 * margin + 1))
    starts = margin * GRID, (margin + gap) * GRID + edges[0]
    boxes = []
    for start, edge in zip(starts, edges, strict=True):
        across = _near_centre(edge, canvas, rng, reach=8)
        boxes.append((across, start, edge) if upright else (start, across, edge))
    return boxes[::-1] if is_swapped else boxes


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
}
_PLURALS |= {same: same for same in ("dice", "deer", "sheep", "fish")}
_SIZE_WORDS = {
    "": [""],
    "small": ["small", "small", "little", "tiny"],
    "big": ["big", "big", "large", "huge"],
}
PLACE_WORDS = {
    place: [(words, False) for words in forward] + [(words, True) for words in backward]
    for place, forward, backward in (
        ("left", ["to the left of", "left of"], ["to the right of", "right of"]),
        ("above", ["above", "over", "on top of"], ["below", "under"]),
        ("beside", ["next to", "beside"], []),
        ("and", ["and"], []),
    )
}
"""Wordings of each place, and whether they name the second item first."""

_GROUNDS = ["on {article}", "on {article}", "on {colour}", "with {article}", "against {article}"]


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A random wording: names or aliases, with or without articles, in either order."""
    terse = rng.random() < 0.15
    names = [_choose_name(item.emoji, rng) for item in scene.items]
    sizes = [str(rng.choice(_SIZE_WORDS[item.size])) for item in scene.items]
    phrases = [_phrase(size, name, terse) for size, name in zip(sizes, names, strict=True)]
    if _is_twins(scene):
        words = f"two {plural(names[0])}"
    elif len(phrases) == 2:
        options = PLACE_WORDS[scene.place]
        relation, is_reversed = options[int(rng.integers(len(options)))]
        words = f" {relation} ".join(phrases[::-1] if is_reversed else phrases)
    else:
        words = phrases[0]
    if rng.random() < 0.1:
        return words
    ground = str(rng.choice(_GROUNDS))
    return f"{words} {ground.format(colour=scene.colour, article=_background(scene.colour))}"


def items_as_named(scene: Scene, words: str) -> list[Item]:
    """The scene's items in the order in which this caption of it names them."""
    is_reversed = any(
        f" {relation} " in words
        for relation, names_second_first in PLACE_WORDS.get(scene.place, [])
        if names_second_first
    )
    return list(scene.items[::-1] if is_reversed else scene.items)


def plain_caption(scene: Scene) -> str:
    """The scene's standard wording: first names, articles, ``on a white background``."""
    phrases = [_phrase(item.size, item.emoji.name, terse=False) for item in scene.items]
    if _is_twins(scene):
        words = f"two {plural(scene.items[0].emoji.name)}"
    else:
        relation = PLACE_WORDS[scene.place][0][0] if scene.place else ""
        words = f" {relation} ".join(phrases)
    return f"{words} on {_background(scene.colour)}"


def _is_twins(scene: Scene) -> bool:
    return len(scene.items) == 2 and scene.items[0] == scene.items[1] and scene.place == "and"


def _choose_name(emoji: Emoji, rng: np.random.Generator) -> str:
    if rng.random() < 0.6:
        return emoji.name
    return emoji.names[int(rng.integers(len(emoji.names)))]


def _phrase(size: str, name: str, terse: bool) -> str:
    words = f"{size} {name}".strip()
    return words if terse or name.split()[-1] in _NO_ARTICLE else with_article(words)


def _background(colour: str) -> str:
    return with_article(f"{colour} background")


def plural(name: str) -> str:
    """``cat face`` to ``cat faces``, ``glass of milk`` to ``glasses of milk``."""
    link = next((link for link in (" of ", " with ") if link in name), "\0")
    head, link, rest = name.partition(link)
    *before, noun = head.split()
    if noun in _PLURALS:
        noun = _PLURALS[noun]
    elif noun.endswith(("ies", "grapes", "glasses", "socks", "scissors", "noodles", "pancakes")):
        pass
    elif noun.endswith("y") and noun[-2] not in "aeiou":
        noun = noun[:-1] + "ies"
    else:
        noun += "es" if noun.endswith(("s", "x", "ch", "sh", "mato")) else "s"
    return " ".join([*before, noun]) + link + rest


def as_images(pictures: Sequence[Pixels]) -> torch.Tensor:
    """Pictures ``(H, W, 3)`` uint8 of one size to ``(N, 3, H, W)`` float32 in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


def scene_words(world: World) -> set[str]:
    """Every word that a caption of this world can have, in lower case."""
    options = [*_SIZE_WORDS.values(), *([w for w, _ in pairs] for pairs in PLACE_WORDS.values())]
    texts = [text for texts in options for text in texts]
    for name in (name for entry in world.emoji for name in entry.names):
        texts += [name, plural(name)]
    words = {word for text in texts for word in text.split()}
    return words | {"a", "an", "two", "background", "on", "with", "against", *COLOURS}
