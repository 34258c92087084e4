"""What the captioner's world looks like to its encoder, so that it can tell a stranger.

Fitted at the end of training: a small network learns scenes from foreign pictures, and
``model.Familiarity`` applies it. ``ood_report`` measures how well, and fits a checkpoint again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import VisionEncoderDecoderModel

from pipelines.recipes.captioner import foreign
from pipelines.recipes.captioner.augment import AUGMENTATIONS
from pipelines.recipes.captioner.model import (
    FAR,
    Familiarity,
    build_image_processor,
    flatness,
    pool,
    traits,
)
from pipelines.recipes.emoji_scenes.data import World, arrange
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS

SCENES = 8192
"""From so many scenes, and as many foreign pictures, a captioner learns what is foreign."""

HARDER = 8
"""So many times as often are foreign pictures drawn that are hard to tell."""

WIDTH = 32
"""Of the network's hidden layer."""

FALSE_ALARMS = 0.01
"""The share of held-out scenes that lie beyond the threshold."""

_NOT_FLATTER = 0.999
_PASSES, _BATCH_SIZE = 32, 128
_SEED = 4321


def features_of(model: VisionEncoderDecoderModel, images: torch.Tensor) -> torch.Tensor:
    """Pooled encoder features of ``(N, 3, 128, 128)`` in [-1, 1]: ``(N, C)``."""
    return _summaries(model, images, pool)


@torch.no_grad()
def _summaries(
    model: VisionEncoderDecoderModel,
    images: torch.Tensor,
    summary: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Of the encoder's states for each of the images."""
    model.train(False)
    encoder = cast(Any, model).encoder
    parts = [encoder(pixel_values=part.to(model.device)) for part in images.split(64)]
    return torch.cat([summary(part.last_hidden_state) for part in parts]).cpu()


def looks_of(
    model: VisionEncoderDecoderModel, pictures: Sequence[Image.Image | foreign.Pixels]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Traits ``(N, T)`` and flatness ``(N,)`` of pictures of any size."""
    read = build_image_processor()
    found, flat = [], []
    for start in range(0, len(pictures), 64):
        images: list[Any] = list(pictures[start : start + 64])
        pixels = read(images=images, return_tensors="pt")["pixel_values"]
        found.append(_summaries(model, pixels, traits))
        flat.append(flatness(pixels))
    return torch.cat(found), torch.cat(flat)


def fit_familiarity(
    seen: torch.Tensor, strange: torch.Tensor, held_out: torch.Tensor
) -> dict[str, Any]:
    """What tells scenes from other pictures: see ``model.Familiarity``.

    Args:
        seen: traits of training scenes, ``(N, C)``.
        strange: of foreign pictures, ``(M, C)``.
        held_out: of held-out scenes, ``(K, C)``; 99% of them stay below the threshold.
    """
    mean, spread = seen.mean(dim=0), seen.std(dim=0) + 1e-3
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        critic = _trained((seen - mean) / spread, (strange - mean) / spread)
    hidden, out = cast(nn.Linear, critic[0]), cast(nn.Linear, critic[3])
    familiarity: dict[str, Any] = {
        "mean": _rounded(mean),
        "spread": _rounded(spread),
        "weights": [_rounded(row) for row in hidden.weight],
        "biases": _rounded(hidden.bias),
        "votes": _rounded(out.weight[0]),
        "bias": out.bias.item(),
    }
    whole = familiarity | {"threshold": 0, "flattest": 0}
    strangeness = Familiarity.from_json(whole).strangeness(held_out)
    return familiarity | {"threshold": float(strangeness.quantile(1 - FALSE_ALARMS))}


def _trained(seen: torch.Tensor, strange: torch.Tensor) -> nn.Sequential:
    """One hidden layer that gives the log-odds of being foreign; both sides count alike."""
    critic = nn.Sequential(
        nn.Linear(seen.shape[1], WIDTH), nn.GELU(), nn.Dropout(0.2), nn.Linear(WIDTH, 1)
    )
    optimizer = torch.optim.AdamW(critic.parameters(), lr=2e-3, weight_decay=0.05)
    steps = _PASSES * len(seen) // _BATCH_SIZE
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    truth = torch.arange(2.0).repeat_interleave(_BATCH_SIZE)
    for _ in range(steps):
        drawn = [side[torch.randint(len(side), (_BATCH_SIZE,))] for side in (seen, strange)]
        inputs = torch.cat(drawn).clamp(-FAR, FAR)
        odds = critic(inputs + 0.1 * torch.randn_like(inputs))[:, 0]
        functional.binary_cross_entropy_with_logits(odds, truth).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return critic


def _rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def augmented_scenes(
    world: World, count: int, rng: np.random.Generator, held_out: bool
) -> list[Image.Image]:
    """Scenes as visitors bring them: as many of each augmentation."""
    wears = list(AUGMENTATIONS.values())
    scenes = [world.sample(rng, held_out=held_out) for _ in range(count)]
    drawn = [Image.fromarray(world.draw(scene, arrange(scene, rng))) for scene in scenes]
    return [wears[i % len(wears)](picture, rng) for i, picture in enumerate(drawn)]


def on_foreign_ground(world: World, rng: np.random.Generator) -> foreign.Pixels:
    """A scene with a pattern where its colour was."""
    scene = world.sample(rng)
    pixels = world.draw(scene, arrange(scene, rng))
    ground = (foreign.gradient, foreign.stripes, foreign.fractal)[int(rng.integers(3))](rng)
    is_ground = (pixels == np.array(COLOURS[scene.colour])).all(axis=2, keepdims=True)
    return np.where(is_ground, ground, pixels)


def describe_world(model: VisionEncoderDecoderModel, world: World, count: int) -> dict[str, Any]:
    """The content of ``world.json``: all names, and what is familiar."""
    rng = np.random.default_rng(_SEED)
    seen, _ = looks_of(model, augmented_scenes(world, count, rng, held_out=False))
    held_out, flat = looks_of(model, augmented_scenes(world, count // 4, rng, held_out=True))
    easy = [each for each in foreign.KINDS.values() if each not in foreign.HARD]
    kinds: list[foreign.Draw] = [
        *easy,
        partial(on_foreign_ground, world),
        *HARDER * foreign.HARD,
    ]
    strange, _ = looks_of(model, [kinds[i % len(kinds)](rng) for i in range(count)])
    familiarity = fit_familiarity(seen, strange, held_out)
    return {
        "schema": 2,
        "names": [name for emoji in world.emoji for name in emoji.names],
        "familiarity": familiarity | {"flattest": float(flat.quantile(_NOT_FLATTER))},
    }


def write_world(description: dict[str, Any], output: Path) -> None:
    """``world.json`` beside the checkpoint."""
    (output / "world.json").write_text(json.dumps(description, ensure_ascii=False))
