"""Trains the text encoder on its own first: which sprite a word names.

From the denoising loss alone an untrained text encoder learns this very late, for most of
that loss is about colours and places. Here a linear head predicts, from hidden states pooled
by attention, the latents of the sprites that a caption names, in the order of naming. The
idea of a text encoder that has seen pictures before is that of latent diffusion with CLIP
(Radford et al., 2021, arXiv:2103.00020).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from pipelines.recipes.autoencoders import Autoencoder
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    GRID,
    Item,
    Scene,
    World,
    as_images,
    caption,
    items_as_named,
)
from pipelines.recipes.emoji_scenes.vocabulary import SIZES
from pipelines.recipes.training import BETAS, learning_rate_at

MOST_ITEMS = 2
_BATCH_SIZE = 128
_LEARNING_RATE = 1e-3


class SpritePredictor(torch.nn.Module):
    """Predicts the flattened latents of the first and the second item named.

    Args:
        width: of the text encoder's hidden states.
        outputs: numbers in a sprite's latents.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.scores = torch.nn.Linear(width, MOST_ITEMS)
        self.sprites = torch.nn.Linear(width, outputs)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """``(B, T, width)`` and ``(B, T)`` to ``(B, 2, outputs)``."""
        scores = self.scores(hidden).masked_fill(attention_mask[..., None] == 0, -torch.inf)
        pooled = scores.softmax(dim=1).transpose(1, 2) @ hidden
        predicted: torch.Tensor = self.sprites(pooled)
        return predicted


@torch.no_grad()
def sprite_latents(vae: Autoencoder, world: World) -> tuple[torch.Tensor, dict[Item, int]]:
    """Latents of each emoji in each size in the middle of gray: 15 seconds for 768.

    Returns:
        The latents less their mean, ``(N, 8 * 16 * 16)``, of unit variance over all; and the
        row of each item.
    """
    items = [Item(entry, size) for entry in world.emoji for size in SIZES]
    pixels = []
    for item in items:
        edge = SIZES[item.size]
        corner = (EDGE - edge) // 2 // GRID * GRID
        pixels.append(world.draw(Scene((item,), "", "gray"), [(corner, corner, edge)]))
    parts = as_images(pixels).to(vae.device).split(32)
    latents = torch.cat([vae.encode(part).latent_dist.mode() for part in parts]).flatten(1)
    values = latents - latents.mean(dim=0)
    return values / values.std(), {item: row for row, item in enumerate(items)}


def teach_words(
    text_encoder: CLIPTextModel,
    tokenizer: PreTrainedTokenizerFast,
    vae: Autoencoder,
    world: World,
    steps: int,
    seed: int,
) -> float:
    """Trains the text encoder in place for so many steps of 128 captions.

    Returns:
        The share of items, in the last fifty batches, whose predicted latents are nearest to
        those of the right emoji and size.
    """
    sprites, rows = sprite_latents(vae, world)
    text_encoder.to(vae.device).train()
    head = SpritePredictor(text_encoder.config.hidden_size, sprites.shape[1]).to(vae.device)
    parameters = [*text_encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, betas=BETAS)
    hits: list[float] = []
    for step in range(steps):
        rng = np.random.default_rng((seed, step, 0))
        scenes = [world.sample(rng) for _ in range(_BATCH_SIZE)]
        texts = [caption(scene, rng) for scene in scenes]
        named = [
            [rows[i] for i in items_as_named(*each)] for each in zip(scenes, texts, strict=True)
        ]
        padded = [[*each, -1][:MOST_ITEMS] for each in named]
        wanted = torch.tensor(padded, device=vae.device)
        encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        encoded = encoded.to(vae.device)
        hidden = text_encoder(**encoded).last_hidden_state
        is_named = wanted >= 0
        predicted = head(hidden, encoded["attention_mask"])[is_named]
        right = wanted[is_named]
        loss = functional.mse_loss(predicted, sprites[right])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step / steps, _LEARNING_RATE)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step >= steps - 50 or step % 100 == 0:
            nearest = torch.cdist(predicted.detach(), sprites).argmin(dim=1)
            hits.append(float((nearest == right).float().mean()))
        if step % 100 == 0:
            print(f"words: step={step} loss={loss.item():.4f} right={hits[-1]:.3f}", flush=True)
    return float(np.mean(hits[-50:])) if hits else 0.0
