"""Scenes as rows of words and codes, drawn anew for every step, in both orders.

Drawing a scene and finding its codes takes under a millisecond, a hundredth of its part of a
step. So nothing is cached, no picture is shown twice, and half of a batch can be siblings of
the other half, which differ in one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from pipelines.recipes.clip import data as siblings
from pipelines.recipes.emoji_scenes.data import (
    Box,
    Pixels,
    Scene,
    World,
    arrange,
    as_images,
    plain_caption,
)
from pipelines.recipes.image_gpt.model import PictureGPT, PictureTokenizer, Rows, prompt_rows


@dataclass(frozen=True)
class Batch:
    """N scenes: captions as prompts and as words with their end, padded on the right; codes.

    ``words`` are ``(N, T)``, ``codes`` ``(N, 256)``. ``is_same`` ``(N, N)`` marks the pairs that
    show the same scene or have the same caption.
    """

    prompts: Rows
    words: torch.Tensor
    codes: torch.Tensor
    is_same: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        parts = (part.to(device) for part in (self.words, self.codes, self.is_same))
        return Batch(self.prompts.to(device), *parts)


@dataclass(frozen=True)
class HeldOut:
    """Scenes never trained on, with their pictures and captions in the standard wording."""

    scenes: list[Scene]
    boxes: list[list[Box]]
    pictures: list[Pixels]
    captions: list[str]


def held_out_scenes(world: World, count: int, seed: int) -> HeldOut:
    """The same scenes at every call."""
    rng = np.random.default_rng(seed)
    scenes = [world.sample(rng, held_out=True) for _ in range(count)]
    boxes = [arrange(scene, rng) for scene in scenes]
    pictures = [world.draw(*each) for each in zip(scenes, boxes, strict=True)]
    return HeldOut(scenes, boxes, pictures, [plain_caption(scene) for scene in scenes])


def draw_batch(
    world: World,
    tokenizer: PreTrainedTokenizerBase,
    picture_tokenizer: PictureTokenizer,
    size: int,
    rng: np.random.Generator,
) -> Batch:
    """Random scenes of the training set and their siblings."""
    drawn = siblings.draw_batch(world, size, rng)
    return encoded(tokenizer, picture_tokenizer, drawn.pictures, drawn.texts, drawn.is_same)


@torch.no_grad()
def encoded(
    tokenizer: PreTrainedTokenizerBase,
    picture_tokenizer: PictureTokenizer,
    pictures: Sequence[Pixels],
    captions: Sequence[str],
    is_same: torch.Tensor,
) -> Batch:
    """Pictures and their captions as a batch, on the processor."""
    rows = tokenizer(list(captions), padding=True, padding_side="right", return_tensors="pt")
    codes = picture_tokenizer.encode(as_images(pictures).to(picture_tokenizer.device)).cpu()
    return Batch(prompt_rows(tokenizer, captions), rows["input_ids"][:, 1:], codes, is_same)


def rows_of(gpt: PictureGPT, batch: Batch) -> Rows:
    """Each scene twice, ``(2 N, T)``: caption then picture, and below picture then caption.

    The first are padded on the left, the second on the right, so that both have one length.
    """
    pictures = gpt.picture_rows(batch.codes)
    codes = Rows(*(part[:, 2:-1] for part in (pictures.ids, pictures.mask, pictures.positions)))
    place = torch.arange(batch.words.shape[1], device=batch.words.device)
    is_word = batch.words.ne(padding_of(gpt)).long()
    positions = (place + pictures.ids.shape[1]).expand_as(batch.words)
    words = Rows(batch.words, is_word, positions)
    painted, described = _joined(batch.prompts, codes), _joined(pictures, words)
    missing = described.ids.shape[1] - painted.ids.shape[1]
    return Rows(
        *(
            torch.cat([functional.pad(above, (missing, 0)), below])
            for above, below in (
                (painted.ids, described.ids),
                (painted.mask, described.mask),
                (painted.positions, described.positions),
            )
        )
    )


def padding_of(gpt: PictureGPT) -> int:
    """The token that stands for no word."""
    padding = gpt.config.pad_token_id
    assert padding is not None
    return padding


def _joined(left: Rows, right: Rows) -> Rows:
    return Rows(
        torch.cat([left.ids, right.ids], dim=1),
        torch.cat([left.mask, right.mask], dim=1),
        torch.cat([left.positions, right.positions], dim=1),
    )
