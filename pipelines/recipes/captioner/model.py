"""The captioner's architecture: a Swin encoder that looks, a small GPT-2 that tells.

The encoder attends within windows and merges patches in between (Liu et al., 2021,
arXiv:2103.14030); the decoder attends to the encoder's 8 x 8 cells (Vaswani et al.,
2017, arXiv:1706.03762). Serving code may import this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SwinConfig,
    SwinModel,
    VisionEncoderDecoderModel,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

IMAGE_EDGE = 128
LONGEST_CAPTION = 40
"""Tokens of a caption, its beginning and end included."""

_PAD, _BEGIN, _END, _UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"


def build(
    tokenizer: PreTrainedTokenizerBase,
    width: int = 128,
    depths: tuple[int, int] = (2, 3),
    decoder_layers: int = 2,
) -> VisionEncoderDecoderModel:
    """An untrained captioner: 4.8 million parameters at the standard sizes.

    Patches are 8 x 8 pixels of ``width`` channels, then 16 x 16 of twice as many; the
    decoder is as wide as those.
    """
    encoder = SwinConfig(
        image_size=IMAGE_EDGE,
        patch_size=8,
        embed_dim=width,
        depths=list(depths),
        num_heads=[max(1, width // 32), max(1, width // 32) * 2],
        window_size=8,
        mlp_ratio=3.0,
        drop_path_rate=0.0,
        use_absolute_embeddings=True,
    )
    decoder = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=LONGEST_CAPTION,
        n_embd=2 * width,
        n_layer=decoder_layers,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        add_cross_attention=True,
    )
    model = VisionEncoderDecoderModel(encoder=SwinModel(encoder), decoder=GPT2LMHeadModel(decoder))
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "decoder_start_token_id": tokenizer.bos_token_id,
    }
    for name, value in special.items():
        setattr(model.config, name, value)
    model.generation_config = GenerationConfig(**special, max_length=LONGEST_CAPTION)
    return model


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token for each word, lower case, cut at spaces; nothing is added to a text."""
    vocabulary = [_PAD, _BEGIN, _END, _UNKNOWN, *sorted(set(words))]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=_UNKNOWN)
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        bos_token=_BEGIN,
        eos_token=_END,
        unk_token=_UNKNOWN,
        model_max_length=LONGEST_CAPTION,
        clean_up_tokenization_spaces=False,
    )


def build_image_processor() -> ViTImageProcessorPil:
    """Any picture to ``(3, 128, 128)`` in [-1, 1]."""
    return ViTImageProcessorPil(
        size={"height": IMAGE_EDGE, "width": IMAGE_EDGE},
        resample=3,  # bicubic
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def pool(cells: torch.Tensor) -> torch.Tensor:
    """The encoder's ``last_hidden_state``, ``(B, S, C)``, to one vector a picture: ``(B, C)``."""
    return cells.float().mean(dim=1)


def unfamiliarity(pooled: torch.Tensor, familiarity: Mapping[str, Any]) -> float:
    """How far a picture lies from the model's world; beyond ``threshold`` it is foreign.

    The squared Mahalanobis distance over the number of features, so about 1 for scenes,
    with the covariance of probabilistic PCA (Tipping and Bishop, 1999): a variance along
    each of a few directions, and one for all others.

    Args:
        pooled: one picture's features, ``(C,)``.
        familiarity: what ``world.json`` has by that name, as lists or as float64 tensors.
    """
    offset = pooled.double().cpu() - torch.as_tensor(familiarity["mean"], dtype=torch.float64)
    directions = torch.as_tensor(familiarity["directions"], dtype=torch.float64)
    variances = torch.as_tensor(familiarity["variances"], dtype=torch.float64)
    along = directions @ offset
    rest = (offset.square().sum() - along.square().sum()).clamp(min=0)
    distance = (along.square() / variances).sum() + rest / familiarity["other_variance"]
    return float(distance / offset.numel())
