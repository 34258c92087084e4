"""Teaches the text encoder what its words look like, before any painting.

A text encoder that begins blank learns from the denoising loss very late which thing a
word names: most of that loss is about colours and places. Here it reads captions and
guesses the latents of the sprites that they name, in the order of naming: a linear map
from hidden states that are pooled by attention. The idea of a text encoder that has
seen pictures first is that of latent diffusion with CLIP (Radford et al., 2021,
arXiv:2103.00020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    GRID,
    Item,
    Scene,
    World,
    caption,
    items_as_named,
    to_signed,
)
from pipelines.recipes.emoji_scenes.vocabulary import SIZES
from pipelines.recipes.training import BETAS, learning_rate_at

MOST_ITEMS = 2
_BATCH_SIZE = 128
_LEARNING_RATE = 1e-3


class SpriteReader(torch.nn.Module):
    """Guesses the latents of the first and the second thing named.

    Args:
        width: of the text encoder's hidden states.
        outputs: numbers of a sprite's flattened latents.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.scores = torch.nn.Linear(width, MOST_ITEMS)
        self.sprites = torch.nn.Linear(width, outputs)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """``(B, T, width)`` and ``(B, T)`` to ``(B, 2, outputs)``."""
        scores = self.scores(hidden).masked_fill(attention_mask[..., None] == 0, -torch.inf)
        pooled = scores.softmax(dim=1).transpose(1, 2) @ hidden
        guessed: torch.Tensor = self.sprites(pooled)
        return guessed


@dataclass(frozen=True)
class SpriteLatents:
    """What the things of a world look like to the autoencoder, without their background.

    Attributes:
        values: ``(N, 8 * 16 * 16)``, of unit variance over all.
        rows: the row of an emoji's character and size.
    """

    values: torch.Tensor
    rows: dict[tuple[str, str], int]

    def row(self, item: Item) -> int:
        return self.rows[item.emoji.character, item.size]


@torch.no_grad()
def sprite_latents(vae: AutoencoderKL, world: World) -> SpriteLatents:
    """Encodes each emoji in each size in the middle of gray: 15 seconds for 768."""
    items = [Item(entry, size) for entry in world.emoji for size in SIZES]
    pixels = []
    for item in items:
        edge = SIZES[item.size]
        corner = (EDGE - edge) // 2 // GRID * GRID
        pixels.append(world.draw(Scene((item,), "", "gray"), [(corner, corner, edge)]))
    images = torch.from_numpy(to_signed(np.stack(pixels))).to(vae.device)
    latents = torch.cat([vae.encode(part).latent_dist.mode() for part in images.split(32)])
    values = latents.flatten(1) - latents.flatten(1).mean(dim=0)
    rows = {(item.emoji.character, item.size): row for row, item in enumerate(items)}
    return SpriteLatents(values / values.std(), rows)


def teach_words(
    text_encoder: CLIPTextModel,
    tokenizer: PreTrainedTokenizerFast,
    vae: AutoencoderKL,
    world: World,
    steps: int,
    seed: int,
) -> float:
    """Trains the text encoder for so many steps of 128 captions, in place.

    Returns:
        The share of things in the last fifty batches' captions whose guessed latents are
        nearest to those of the very emoji and size.
    """
    device = vae.device
    sprites = sprite_latents(vae, world)
    text_encoder.to(device).train()
    reader = SpriteReader(text_encoder.config.hidden_size, sprites.values.shape[1]).to(device)
    parameters = [*text_encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, betas=BETAS)
    hits: list[float] = []
    for step in range(steps):
        rng = np.random.default_rng((seed, step, 0))
        texts, rows = _captions(world, sprites, rng)
        encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
        hidden = text_encoder(**encoded).last_hidden_state
        guessed = reader(hidden, encoded["attention_mask"])
        wanted = rows.to(device)
        is_named = wanted >= 0
        guessed, target = guessed[is_named], sprites.values[wanted[is_named]]
        loss = functional.mse_loss(guessed, target)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step / steps, _LEARNING_RATE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step >= steps - 50 or step % 100 == 0:
            nearest = torch.cdist(guessed.detach(), sprites.values).argmin(dim=1)
            hits.append(float((nearest == wanted[is_named]).float().mean()))
        if step % 100 == 0:
            print(f"words: step={step} loss={loss.item():.4f} right={hits[-1]:.3f}", flush=True)
    return float(np.mean(hits[-50:])) if hits else 0.0


def _captions(
    world: World, sprites: SpriteLatents, rng: np.random.Generator
) -> tuple[list[str], torch.Tensor]:
    """Captions of random scenes, and the sprites' rows ``(B, 2)``, -1 where none is named."""
    texts: list[str] = []
    rows: list[Sequence[int]] = []
    for _ in range(_BATCH_SIZE):
        scene = world.sample(rng)
        texts.append(caption(scene, rng))
        named = [sprites.row(item) for item in items_as_named(scene, texts[-1])]
        rows.append(named + [-1] * (MOST_ITEMS - len(named)))
    return texts, torch.tensor(rows)
