"""Recognises what a picture of emoji scenes shows by matching sprites, without a model.

The background is the colour of the frame. Every emoji in every size is compared with the
picture at every place of a grid of four pixels; the one or two that explain most of the
squared difference from the bare background are what the picture shows. All is done at half
size, which is faster and tolerates the blur of an autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from pipelines.recipes.emoji_scenes.caption_parser import ParsedCaption, place_is_true
from pipelines.recipes.emoji_scenes.data import EDGE, Box, Item, Pixels, Scene, World
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, SIZES

_HALF = EDGE // 2
_STRIDE = 2  # of the grid of places, at half size
_LEAST_GAIN = 0.02
"""The share of the whole squared difference that a second item must explain,"""
_LEAST_FIT = 0.3
"""and of the difference within its own box."""

Halves = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Finding:
    """What a picture shows.

    Attributes:
        colour: the background's name.
        items, boxes: at most two items, and where; in pixels of the whole picture.
    """

    colour: str
    items: tuple[Item, ...]
    boxes: tuple[Box, ...]

    def shows(self, scene: Scene) -> bool:
        """Whether it is the scene: the right emoji, place and colour."""
        return self.colour == scene.colour and self.is_placed(scene)

    def shows_items(self, scene: Scene) -> bool:
        """Whether these are the scene's emoji, anywhere."""
        return _characters(self.items) == _characters(scene.items)

    def is_placed(self, scene: Scene) -> bool:
        """Whether these are the scene's emoji, in its place."""
        if not self.shows_items(scene):
            return False
        characters = tuple(item.emoji.character for item in scene.items)
        wanted = ParsedCaption(characters, scene.place, scene.colour)
        return place_is_true(wanted, Scene(self.items, scene.place, self.colour), self.boxes)


def _characters(items: tuple[Item, ...]) -> list[str]:
    return sorted(item.emoji.character for item in items)


class Oracle:
    """Recognises pictures of one world: about 40 ms each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._boxes, self._overlap = _places()

    def recognise(self, pixels: Pixels) -> Finding:
        """What a picture ``(128, 128, 3)`` uint8 shows."""
        colour = background_colour(pixels)
        difference = _halved(pixels.astype(np.float32)) - np.array(COLOURS[colour], np.float32)
        gains, which = self._best_at_each_place(difference, colour)
        total = float(np.square(difference).sum())
        chosen = self._choose(gains, difference, total)
        boxes = tuple(
            (2 * left, 2 * top, 2 * edge) for left, top, edge in self._boxes[chosen].tolist()
        )
        sizes = {edge: size for size, edge in SIZES.items()}
        emoji = [self._world.emoji[which[place]] for place in chosen]
        items = tuple(Item(each, sizes[box[2]]) for each, box in zip(emoji, boxes, strict=True))
        return Finding(colour, items, boxes)

    def _best_at_each_place(
        self, difference: Halves, colour: str
    ) -> tuple[Halves, npt.NDArray[np.int64]]:
        """For each place the squared difference that the best emoji there explains, and which.

        A sprite s on the background b explains |d|^2 - |d - (s - b)|^2 =
        2 d (s - b) - |s - b|^2 of the picture's difference d.
        """
        picture = torch.from_numpy(difference).permute(2, 0, 1)[None]
        gains, which = [], []
        for size in SIZES:
            sprites = self._on_background(colour, size)
            explained = 2 * functional.conv2d(picture, sprites, stride=_STRIDE)[0].flatten(1)
            best = (explained - sprites.square().sum(dim=(1, 2, 3))[:, None]).max(dim=0)
            gains.append(best.values.numpy())
            which.append(best.indices.numpy())
        return np.concatenate(gains), np.concatenate(which)

    @cache  # noqa: B019 (an oracle lives as long as its world)
    def _on_background(self, colour: str, size: str) -> torch.Tensor:
        """Each emoji on the colour, less the colour: ``(N, 3, edge, edge)``, at half size."""
        sprites = np.stack([self._world.sprite(Item(e, size)) for e in self._world.emoji])
        values = sprites.astype(np.float32)
        background = np.array(COLOURS[colour], np.float32)
        differences = (values[..., :3] - background) * values[..., 3:] / np.float32(255)
        return torch.from_numpy(_halved(differences)).permute(0, 3, 1, 2)

    def _choose(self, gains: Halves, difference: Halves, total: float) -> list[int]:
        """One place, or two that do not overlap, whichever explain most."""
        if total == 0 or gains.max() <= 0:
            return []
        one = int(gains.argmax())
        sums = np.where(self._overlap, -np.inf, gains[:, None] + gains[None])
        pair = [int(i) for i in np.unravel_index(sums.argmax(), sums.shape)]
        first, second = sorted(pair, key=lambda place: -gains[place])
        left, top, edge = self._boxes[second]
        within = float(np.square(difference[top : top + edge, left : left + edge]).sum())
        fits = gains[second] > _LEAST_FIT * within
        gain = sums[first, second] - gains[one]
        return [first, second] if fits and gain > _LEAST_GAIN * max(total, 1.0) else [one]


@cache
def _places() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """All places of all sizes, at half size: boxes ``(P, 3)``, and which overlap ``(P, P)``."""
    boxes = np.array(
        [
            (left, top, edge)
            for edge in (pixels // 2 for pixels in SIZES.values())
            for top in range(0, _HALF - edge + 1, _STRIDE)
            for left in range(0, _HALF - edge + 1, _STRIDE)
        ]
    )
    left, top, edge = boxes.T
    apart = (left[:, None] + edge[:, None] <= left[None]) | (top[:, None] + edge[:, None] <= top)
    return boxes, ~(apart | apart.T)


def _halved(values: Halves) -> Halves:
    """The mean of each two by two pixels of ``(..., H, W, C)``."""
    *rest, height, width, channels = values.shape
    blocks = values.reshape(*rest, height // 2, 2, width // 2, 2, channels)
    halved: Halves = blocks.mean(axis=(-4, -2), dtype=np.float32)
    return halved


def background_colour(pixels: Pixels, frame: int = 4) -> str:
    """The name of the world's colour nearest to the median of a picture's frame.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        frame: its width in pixels.
    """
    inside = np.ones(pixels.shape[:2], bool)
    inside[frame:-frame, frame:-frame] = False
    median = np.median(pixels[inside], axis=0)
    return min(COLOURS, key=lambda name: float(np.square(median - COLOURS[name]).sum()))
