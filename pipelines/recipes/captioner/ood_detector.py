"""Trains the detector of pictures that are no emoji scenes, on the captioner's features.

A small network learns to separate scenes from out-of-distribution pictures (outlier exposure,
Hendrycks et al., 2019, arXiv:1812.04606). ``world.json`` keeps it, ``model.Familiarity``
applies it, and ``ood_report`` measures it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from pipelines.recipes.captioner import ood_pictures
from pipelines.recipes.captioner.augment import AUGMENTATIONS
from pipelines.recipes.captioner.model import (
    FAR,
    Familiarity,
    build_image_processor,
    flatness,
    traits,
)
from pipelines.recipes.emoji_scenes.data import Pixels, World, arrange
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS

SCENES = 8192
"""The number of scenes, and of other pictures, that the detector is trained on."""

HARD_WEIGHT = 8
"""How many times as often as the other kinds the hard ones are drawn."""

WIDTH = 32
"""Of the network's hidden layer."""

FALSE_ALARMS = 0.01
"""The share of held-out scenes beyond the threshold."""

_FLATNESS_QUANTILE = 0.999
_PASSES, _BATCH_SIZE = 32, 128
_SEED = 4321


@torch.no_grad()
def encoder_features(
    model: PreTrainedModel,
    images: torch.Tensor,
    summary: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """A summary of the encoder's states for images ``(N, 3, 128, 128)`` in [-1, 1].

    Args:
        summary: of ``last_hidden_state`` ``(B, S, C)``, ``(B, F)``: ``model.pool`` or ``traits``.
    """
    encoder: Any = model.train(False).get_encoder()
    parts = [encoder(pixel_values=part.to(model.device)) for part in images.split(64)]
    return torch.cat([summary(part.last_hidden_state) for part in parts]).cpu()


def inputs_of(
    model: PreTrainedModel, pictures: Sequence[Image.Image | Pixels]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the detector uses of pictures of any size: traits ``(N, T)`` and flatness ``(N,)``."""
    processor = build_image_processor()
    batches: list[Any] = [pictures[start : start + 64] for start in range(0, len(pictures), 64)]
    parts = [
        processor(images=list(batch), return_tensors="pt")["pixel_values"] for batch in batches
    ]
    pixels = torch.cat(parts)
    return encoder_features(model, pixels, traits), flatness(pixels)


def fit(seen: torch.Tensor, other: torch.Tensor, held_out: torch.Tensor) -> dict[str, Any]:
    """The fields of ``model.Familiarity`` but for ``flattest``.

    Args:
        seen: traits of training scenes, ``(N, T)``.
        other: of out-of-distribution pictures, ``(M, T)``.
        held_out: of held-out scenes, ``(K, T)``; 99% of them stay below the threshold.
    """
    mean, spread = seen.mean(dim=0), seen.std(dim=0) + 1e-3
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        hidden, out = _trained((seen - mean) / spread, (other - mean) / spread)
    fields: dict[str, Any] = {
        "mean": _rounded(mean),
        "spread": _rounded(spread),
        "weights": [_rounded(row) for row in hidden.weight],
        "biases": _rounded(hidden.bias),
        "votes": _rounded(out.weight[0]),
        "bias": out.bias.item(),
    }
    detector = Familiarity.from_json(fields | {"threshold": 0, "flattest": 0})
    threshold = detector.log_odds(held_out).quantile(1 - FALSE_ALARMS)
    return fields | {"threshold": float(threshold)}


def _trained(seen: torch.Tensor, other: torch.Tensor) -> tuple[nn.Linear, nn.Linear]:
    """Two layers that give the log-odds of being out of distribution; both classes weigh alike."""
    hidden, out = nn.Linear(seen.shape[1], WIDTH), nn.Linear(WIDTH, 1)
    network = nn.Sequential(hidden, nn.GELU(), nn.Dropout(0.2), out)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    steps = _PASSES * len(seen) // _BATCH_SIZE
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    truth = torch.arange(2.0).repeat_interleave(_BATCH_SIZE)
    for _ in range(steps):
        drawn = [side[torch.randint(len(side), (_BATCH_SIZE,))] for side in (seen, other)]
        inputs = torch.cat(drawn).clamp(-FAR, FAR)
        odds = network(inputs + 0.1 * torch.randn_like(inputs))[:, 0]
        functional.binary_cross_entropy_with_logits(odds, truth).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return hidden, out


def _rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def augmented_scenes(
    world: World, count: int, rng: np.random.Generator, held_out: bool
) -> list[Image.Image]:
    """Random scenes with the augmentations in turn."""
    changes = list(AUGMENTATIONS.values())
    scenes = [world.sample(rng, held_out=held_out) for _ in range(count)]
    drawn = [Image.fromarray(world.draw(scene, arrange(scene, rng))) for scene in scenes]
    return [changes[i % len(changes)](picture, rng) for i, picture in enumerate(drawn)]


def on_a_pattern(world: World, rng: np.random.Generator) -> Pixels:
    """A scene with a pattern instead of its background colour: ``(128, 128, 3)`` uint8."""
    scene = world.sample(rng)
    pixels = world.draw(scene, arrange(scene, rng))
    patterns = (ood_pictures.gradient, ood_pictures.stripes, ood_pictures.fractal)
    pattern = patterns[int(rng.integers(3))](rng)
    is_background = (pixels == np.array(COLOURS[scene.colour])).all(axis=2, keepdims=True)
    return np.where(is_background, pattern, pixels)


def write_world(model: PreTrainedModel, world: World, count: int, folder: Path) -> Familiarity:
    """``world.json``: the names that the captioner knows, and a detector fitted to ``count``."""
    rng = np.random.default_rng(_SEED)
    seen, _ = inputs_of(model, augmented_scenes(world, count, rng, held_out=False))
    held_out, flat = inputs_of(model, augmented_scenes(world, count // 4, rng, held_out=True))
    hard = ood_pictures.HARD_KINDS
    easy = [draw for draw in ood_pictures.TRAINING_KINDS.values() if draw not in hard]
    kinds: list[ood_pictures.Draw] = [*easy, partial(on_a_pattern, world), *HARD_WEIGHT * hard]
    other, _ = inputs_of(model, [kinds[i % len(kinds)](rng) for i in range(count)])
    fields = fit(seen, other, held_out) | {"flattest": float(flat.quantile(_FLATNESS_QUANTILE))}
    names = [name for emoji in world.emoji for name in emoji.names]
    content = {"schema": 2, "names": names, "familiarity": fields}
    (folder / "world.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return Familiarity.from_json(fields)
