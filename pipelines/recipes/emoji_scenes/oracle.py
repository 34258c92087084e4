"""Reads a picture of the world by matching its parts with the sprites: no model judges.

The background is the colour of the frame. Every emoji in every size is laid on it at
every place of a grid of four pixels; what explains the picture's squared difference from
the bare background best is what stands there. All is done at half size: it is faster,
and forgives the softness of an autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.recipes.captioner.reading import Reading, place_is_true
from pipelines.recipes.emoji_scenes.data import EDGE, Box, Item, Pixels, Scene, World
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, SIZES

_HALF = EDGE // 2
_STRIDE = 2  # of the grid of places, at half size
_LEAST_GAIN = 0.02
"""A second thing must explain this share of the picture's difference from its background."""
_LEAST_FIT = 0.3
"""... and this share of the difference within its own box."""

Halves = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Finding:
    """What a picture shows.

    Attributes:
        colour: the background's name.
        items, boxes: what stands where, at most two; in pixels of the whole picture.
        unexplained: the share of the squared difference from the background that is left;
            0 for a drawn scene, 1 where nothing fits.
    """

    colour: str
    items: tuple[Item, ...]
    boxes: tuple[Box, ...]
    unexplained: float

    def shows(self, scene: Scene) -> bool:
        """Whether these are the scene's emoji, in its place, on its colour."""
        return self.colour == scene.colour and self.shows_things(scene) and self.is_placed(scene)

    def shows_things(self, scene: Scene) -> bool:
        """Whether these are the very emoji, wherever they stand."""
        return sorted(i.emoji.character for i in self.items) == sorted(
            i.emoji.character for i in scene.items
        )

    def is_placed(self, scene: Scene) -> bool:
        """Whether the scene's place is true of the things found, if they are the scene's."""
        if not self.shows_things(scene) or len(self.items) < 2:
            return self.shows_things(scene)
        wanted = Reading(tuple(i.emoji.character for i in scene.items), scene.place, scene.colour)
        found = Scene(self.items, scene.place, self.colour)
        return place_is_true(wanted, found, self.boxes)


@dataclass(frozen=True)
class _Places:
    """All places of all sizes: the box of each at half size, and which pairs overlap."""

    boxes: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.bool_]


class Oracle:
    """Reads pictures of one world: about 40 ms each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sizes = list(SIZES)
        self._places = _places()

    def read(self, pixels: Pixels) -> Finding:
        """What stands in a picture ``(128, 128, 3)`` of uint8."""
        colour = background_colour(pixels)
        difference = _halved(pixels.astype(np.float32)) - _rgb(colour)
        gains, which = self._best_at_each_place(difference, colour)
        total = float(np.square(difference).sum())
        chosen = self._choose(gains, difference, total)
        items, boxes = [], []
        for place in chosen:
            left, top, edge = (2 * int(value) for value in self._places.boxes[place])
            size = next(name for name, pixels_wide in SIZES.items() if pixels_wide == edge)
            items.append(Item(self._world.emoji[which[place]], size))
            boxes.append((left, top, edge))
        explained = float(gains[list(chosen)].sum()) if chosen else 0.0
        left_over = 1 - explained / total if total > 0 else 1.0
        return Finding(colour, tuple(items), tuple(boxes), left_over)

    def _best_at_each_place(
        self, difference: Halves, colour: str
    ) -> tuple[Halves, npt.NDArray[np.int64]]:
        """For each place the squared difference that the best emoji there explains, and which.

        A sprite s laid on the background b explains |d|^2 - |d - (s - b)|^2 =
        2 d (s - b) - |s - b|^2 of the picture's difference d.
        """
        gains, which = [], []
        for size in self._sizes:
            edge = SIZES[size] // 2
            windows = np.lib.stride_tricks.sliding_window_view(difference, (edge, edge), (0, 1))
            windows = windows[::_STRIDE, ::_STRIDE]
            patches = windows.reshape(-1, 3 * edge * edge)
            sprites = self._laid_on(colour, size)
            gain = 2 * patches @ sprites.T - np.square(sprites).sum(axis=1)
            which.append(gain.argmax(axis=1))
            gains.append(gain.max(axis=1))
        return np.concatenate(gains), np.concatenate(which)

    @cache  # noqa: B019 (an oracle lives as long as its world)
    def _laid_on(self, colour: str, size: str) -> Halves:
        """Each emoji on the colour, less the colour: ``(N, 3 * edge * edge)``."""
        ground = _rgb(colour)
        laid = []
        for entry in self._world.emoji:
            sprite = self._world.sprite(Item(entry, size)).astype(np.float32)
            alpha = sprite[..., 3:] / np.float32(255)
            laid.append(_halved((sprite[..., :3] - ground) * alpha).transpose(2, 0, 1).ravel())
        return np.stack(laid)

    def _choose(self, gains: Halves, difference: Halves, total: float) -> tuple[int, ...]:
        """One place or two that do not overlap, whichever explain most."""
        if total == 0 or gains.max() <= 0:
            return ()
        one = int(gains.argmax())
        sums = np.where(self._places.overlap, -np.inf, gains[:, None] + gains[None])
        first, second = (int(i) for i in np.unravel_index(sums.argmax(), sums.shape))
        if gains[second] > gains[first]:
            first, second = second, first
        left, top, edge = self._places.boxes[second]
        within = float(np.square(difference[top : top + edge, left : left + edge]).sum())
        is_there = gains[second] > _LEAST_FIT * within and sums[first, second] - gains[
            one
        ] > _LEAST_GAIN * max(total, 1.0)
        return (first, second) if is_there else (one,)


@cache
def _places() -> _Places:
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
    return _Places(boxes, ~(apart | apart.T))


def _rgb(colour: str) -> Halves:
    return np.array(COLOURS[colour], np.float32)


def _halved(values: Halves) -> Halves:
    """The mean of each two by two pixels."""
    height, width, channels = values.shape
    blocks = values.reshape(height // 2, 2, width // 2, 2, channels)
    halved: Halves = blocks.mean(axis=(1, 3), dtype=np.float32)
    return halved


def background_colour(pixels: Pixels, frame: int = 4) -> str:
    """The name of the world's colour that is nearest to a picture's frame."""
    inside = np.ones(pixels.shape[:2], bool)
    inside[frame:-frame, frame:-frame] = False
    median = np.median(pixels[inside], axis=0)
    return min(COLOURS, key=lambda name: float(np.square(median - COLOURS[name]).sum()))
