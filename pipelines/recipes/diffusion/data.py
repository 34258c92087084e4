"""What the painter learns from: latents of whole scenes, and of windows round one thing.

Latents are computed once, by the autoencoder, and kept in the run's directory. A window
holds one thing and little else: where a whole scene has 256 cells, most of them bare, it
has 64, most of them covered. The same compute shows every thing many times as often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from pipelines.recipes import training
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    GRID,
    Box,
    Item,
    Scene,
    World,
    arrange,
    caption,
    to_signed,
)
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, SIZES

CAPTION_DROPOUT = 0.1
WINDOWS = {8 * GRID: ("small", ""), 12 * GRID: ("big",)}
"""Edges of the windows in pixels, each a multiple of four cells, and the sizes of the
things that stand in them."""

Placed = tuple[Scene, Sequence[Box]]


@dataclass(frozen=True)
class LatentScenes:
    """Scenes whose latents are computed once: ``latents[i]`` has the wordings ``captions[i]``."""

    latents: torch.Tensor
    captions: list[list[str]]
    covered: torch.Tensor
    """``(N, edge, edge)`` bool: the cells in which things stand."""

    def batch(
        self, rng: np.random.Generator, size: int
    ) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """Random latents ``(size, 8, edge, edge)``, covered cells, and a wording each or none."""
        indices = rng.integers(len(self.captions), size=size)
        words = [str(rng.choice(self.captions[index])) for index in indices]
        dropped = rng.random(size) < CAPTION_DROPOUT
        kept = ["" if drop else word for word, drop in zip(words, dropped, strict=True)]
        chosen = torch.from_numpy(indices)
        return self.latents[chosen].float(), self.covered[chosen], kept

    @property
    def cells(self) -> int:
        """The number of cells of one of them."""
        return int(self.covered[0].numel())


def encode_scenes(
    vae: AutoencoderKL,
    world: World,
    count: int,
    seed: int,
    cache: Path | None,
    held_out: bool = False,
) -> LatentScenes:
    """Draws ``count`` scenes with eight wordings each and encodes them, or reads ``cache``."""

    def place(rng: np.random.Generator) -> Placed:
        scene = world.sample(rng, held_out)
        return scene, arrange(scene, rng)

    return _encode(vae, world, place, EDGE, count, seed, cache)


def encode_windows(
    vae: AutoencoderKL, world: World, edge: int, count: int, seed: int, cache: Path | None
) -> LatentScenes:
    """Windows of ``edge`` pixels (a key of ``WINDOWS``) with one thing each, anywhere in it."""

    def place(rng: np.random.Generator) -> Placed:
        while True:
            item = Item(world.emoji[rng.integers(len(world.emoji))], str(rng.choice(WINDOWS[edge])))
            scene = Scene((item,), "", str(rng.choice(list(COLOURS))))
            if not scene.is_held_out():
                break
        reach = (edge - SIZES[item.size]) // GRID
        left, top = (GRID * int(offset) for offset in rng.integers(reach + 1, size=2))
        return scene, [(left, top, SIZES[item.size])]

    return _encode(vae, world, place, edge, count, seed, cache)


@torch.no_grad()
def _encode(
    vae: AutoencoderKL,
    world: World,
    place: Callable[[np.random.Generator], Placed],
    edge: int,
    count: int,
    seed: int,
    cache: Path | None,
) -> LatentScenes:
    """Latents of what ``place`` draws, of the ``edge`` pixels from the upper left corner."""
    rng = np.random.default_rng(seed)
    stored = load_file(cache)["latents"] if cache is not None and cache.is_file() else None
    parts, captions = [], []
    covered = torch.zeros(count, edge // GRID, edge // GRID, dtype=torch.bool)
    for start in range(0, count, 50):
        placed = [place(rng) for _ in range(min(50, count - start))]
        captions += [[caption(scene, rng) for _ in range(8)] for scene, _ in placed]
        for index, (_, boxes) in enumerate(placed, start):
            for left, top, size in boxes:
                cells = covered[index, top // GRID :, left // GRID :]
                cells[: size // GRID, : size // GRID] = True
        if stored is None:
            pixels = np.stack([world.draw(*scene)[:edge, :edge] for scene in placed])
            images = torch.from_numpy(to_signed(pixels)).to(
                vae.device, memory_format=torch.channels_last
            )
            with torch.autocast(vae.device.type, torch.bfloat16, training.precision() == "bf16"):
                parts.append(vae.encode(images).latent_dist.mode().half())
    latents = torch.cat(parts).cpu().contiguous() if stored is None else stored
    if latents.shape[0] != count:
        raise SystemExit(f"{cache} holds {latents.shape[0]} scenes, not {count}: delete it")
    if cache is not None and stored is None:
        save_file({"latents": latents}, cache)
    return LatentScenes(latents, captions, covered)
