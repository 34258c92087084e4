"""What the captioner's world looks like to its encoder, so that it can tell a stranger.

Fitted once, at the end of training; ``model.unfamiliarity`` applies it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase, VisionEncoderDecoderModel

from pipelines.recipes.captioner import foreign
from pipelines.recipes.captioner.data import draw_batch
from pipelines.recipes.captioner.model import pool, unfamiliarity
from pipelines.recipes.emoji_scenes.data import World, to_signed

DIRECTIONS = 48
_SEED = 4321


@torch.no_grad()
def features_of(model: VisionEncoderDecoderModel, images: torch.Tensor) -> torch.Tensor:
    """Pooled encoder features of ``(N, 3, 128, 128)`` in [-1, 1]: ``(N, C)``."""
    model.train(False)
    encoder = cast(Any, model).encoder
    parts = [encoder(pixel_values=part.to(model.device)) for part in images.split(64)]
    return torch.cat([pool(part.last_hidden_state) for part in parts]).cpu()


def fit_familiarity(features: torch.Tensor, held_out: torch.Tensor) -> dict[str, Any]:
    """What scenes look like to the encoder: see ``model.unfamiliarity``.

    Args:
        features: of training scenes, ``(N, C)``; they give mean and variances.
        held_out: of held-out scenes, ``(M, C)``; 99% of them stay below the threshold.
    """
    mean = features.double().mean(dim=0)
    variances, directions = torch.linalg.eigh(torch.cov(features.double().T))
    kept = min(DIRECTIONS, len(mean) // 2)
    familiarity: dict[str, Any] = {
        "mean": _rounded(mean),
        "directions": [_rounded(row) for row in directions[:, -kept:].T],
        "variances": _rounded(variances[-kept:]),
        "other_variance": float(variances[:-kept].mean()),
    }
    distances = torch.tensor([unfamiliarity(row, familiarity) for row in held_out])
    return familiarity | {"threshold": float(distances.quantile(0.99))}


def _rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def foreign_shares(
    model: VisionEncoderDecoderModel, familiarity: dict[str, Any]
) -> dict[str, float]:
    """Of each kind of foreign picture, the share that is told to be foreign."""
    shares = {}
    for kind, paint in foreign.KINDS.items():
        rng = np.random.default_rng(_SEED)
        images = torch.from_numpy(to_signed(np.stack([paint(rng) for _ in range(64)])))
        distances = [unfamiliarity(row, familiarity) for row in features_of(model, images)]
        shares[f"foreign_{kind}"] = float(np.mean(np.array(distances) > familiarity["threshold"]))
    return shares


def describe_world(
    model: VisionEncoderDecoderModel, tokenizer: PreTrainedTokenizerBase, world: World, count: int
) -> dict[str, Any]:
    """The content of ``world.json``: all names, and what is familiar."""
    rng = np.random.default_rng(_SEED)
    seen = draw_batch(world, tokenizer, count, rng).images
    unseen = draw_batch(world, tokenizer, count // 4, rng, held_out=True).images
    return {
        "schema": 1,
        "names": [name for emoji in world.emoji for name in emoji.names],
        "familiarity": fit_familiarity(features_of(model, seen), features_of(model, unseen)),
    }
