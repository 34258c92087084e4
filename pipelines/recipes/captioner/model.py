"""The captioner's architecture: a Swin encoder that looks, a small GPT-2 that tells.

The encoder attends within windows and merges patches in between (Liu et al., 2021,
arXiv:2103.14030); the decoder attends to the encoder's 8 x 8 cells (Vaswani et al.,
2017, arXiv:1706.03762). Serving code may import this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch.nn import functional
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

from pipelines.errors import LoadFailed

IMAGE_EDGE = 128
LONGEST_CAPTION = 40
"""Tokens of a caption, its beginning and end included."""

_STANDS_OUT, _ONE_COLOUR = 40, 24
"""Levels of a channel: a thing differs from its ground by more than the first; what differs
by less than the second has one colour, compressed or not."""

_LEAST_THING = 0.0025
"""The share of a picture that a thing covers at least."""

FAR = 6.0
"""Standard deviations; whatever is farther off counts as that far."""

_Levels = npt.NDArray[np.float32]

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


def traits(cells: torch.Tensor) -> torch.Tensor:
    """What familiarity is told by: the cells' mean and spread, ``(B, S, C)`` to ``(B, 2 C)``."""
    return torch.cat([pool(cells), cells.float().std(dim=1)], dim=1)


def flatness(pixels: torch.Tensor) -> torch.Tensor:
    """Of what stands out from a picture's commonest colour, the share of one colour.

    Emoji are shaded and have many; a disc or a ring has one. 1 where next to nothing stands
    out. ``(B, 3, H, W)`` in [-1, 1] to ``(B,)``.
    """
    levels = np.clip((pixels.float().cpu().flatten(2).numpy() + 1) * 127.5, 0, 255)
    return torch.tensor([_flatness(each) for each in levels])


def _flatness(levels: _Levels) -> float:
    """Of one picture's pixels ``(3, N)`` from 0 to 255. In numpy, whose small steps cost less."""
    thing = levels.compress(_distance(levels) > _STANDS_OUT, axis=1)
    if thing.shape[1] < _LEAST_THING * levels.shape[1]:
        return 1.0
    return float((_distance(thing) < _ONE_COLOUR).mean())


def _distance(levels: _Levels) -> _Levels:
    """How far each pixel is from the commonest colour, in its farthest channel: ``(N,)``.

    That is the mean of the pixels in the fullest of the cubes of eight levels.
    """
    red, green, blue = np.rint(levels / 8).astype(np.int32)
    cubes = (red * 33 + green) * 33 + blue
    commonest = levels.compress(cubes == np.bincount(cubes).argmax(), axis=1).mean(axis=1)
    return np.asarray(np.abs(levels - commonest[:, None]).max(axis=0))


@dataclass(frozen=True)
class Familiarity:
    """What tells a model's world from all else: one hidden layer on a picture's traits.

    It has learned scenes from foreign pictures (outlier exposure: Hendrycks et al., 2019,
    arXiv:1812.04606). ``mean`` and ``spread`` are ``(T,)``, ``weights`` ``(H, T)``, ``biases``
    and ``votes`` ``(H,)``; beyond ``threshold``, or flatter than ``flattest``, a picture is
    foreign.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    weights: torch.Tensor
    biases: torch.Tensor
    votes: torch.Tensor
    bias: float
    threshold: float
    flattest: float

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Familiarity:
        """Reads what ``world.json`` has by that name.

        Raises:
            LoadFailed: a part is missing or of another kind.
        """
        try:
            mean, spread, weights, biases, votes = (
                torch.tensor(value[name], dtype=torch.float32)
                for name in ("mean", "spread", "weights", "biases", "votes")
            )
            numbers = (float(value[name]) for name in ("bias", "threshold", "flattest"))
            known = cls(mean, spread, weights, biases, votes, *numbers)
            known.strangeness(mean[None])
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise LoadFailed(f"world.json is not as expected: {error!r}.") from error
        return known

    def is_foreign(self, traits: torch.Tensor, flatness: torch.Tensor) -> torch.Tensor:
        """Of each picture, by its traits ``(B, T)`` and its flatness ``(B,)``."""
        return (self.strangeness(traits) > self.threshold) | (flatness > self.flattest)

    def strangeness(self, traits: torch.Tensor) -> torch.Tensor:
        """The log-odds that pictures are foreign: traits ``(B, T)`` to ``(B,)``."""
        offset = ((traits.float().cpu() - self.mean) / self.spread).clamp(-FAR, FAR)
        votes: torch.Tensor = functional.gelu(offset @ self.weights.T + self.biases) @ self.votes
        return votes + self.bias
