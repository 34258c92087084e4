"""The captioner's architecture: a Swin encoder and a small GPT-2 decoder.

The encoder attends within windows and merges patches in between (Liu et al., 2021,
arXiv:2103.14030); the decoder attends to the encoder's 8 x 8 cells (Vaswani et al.,
2017, arXiv:1706.03762). Serving code may import this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
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
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SwinConfig,
    SwinModel,
    VisionEncoderDecoderModel,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from pipelines.errors import LoadFailed

IMAGE_EDGE = 128
LONGEST_CAPTION = 40
"""In tokens, including begin and end."""

NO_REPEAT = 4
"""Tokens in a row that a caption has once: of what it does not know it else says "big a big"."""

_STANDS_OUT, _ONE_COLOUR = 40, 24
"""Differences in a channel of 0 to 255: an object differs from the background by more than
the first; what differs by less than the second counts as one colour, also if compressed."""

_LEAST_OBJECT = 0.0025
"""The smallest share of a picture that counts as an object."""

FAR = 6.0
"""Standard deviations at which the detector's inputs are clipped."""

_Levels = npt.NDArray[np.float32]

_SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
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
    special = special_ids(tokenizer)
    decoder = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=LONGEST_CAPTION,
        n_embd=2 * width,
        n_layer=decoder_layers,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        add_cross_attention=True,
        **{name: special[name] for name in _SPECIAL_IDS},
    )
    model = VisionEncoderDecoderModel(encoder=SwinModel(encoder), decoder=GPT2LMHeadModel(decoder))
    for name, value in special.items():
        setattr(model.config, name, value)
    model.generation_config = GenerationConfig(
        **special, max_length=LONGEST_CAPTION, no_repeat_ngram_size=NO_REPEAT
    )
    return model


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The tokens that begin, end and fill a caption, as configurations name them."""
    ids = {name: getattr(tokenizer, name) for name in _SPECIAL_IDS}
    return ids | {"decoder_start_token_id": ids["bos_token_id"]}


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token for each lower-case word between spaces; no special tokens are added."""
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
    """Resizes any picture to 128 x 128 and scales it to [-1, 1]: ``(3, 128, 128)`` float32."""
    return ViTImageProcessorPil(
        size={"height": IMAGE_EDGE, "width": IMAGE_EDGE},
        resample=3,  # bicubic
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


@torch.no_grad()
def word_attention(model: Any, cells: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Where in the picture each word of a caption was read: its map over the picture's cells.

    From then on the decoder computes its attention in the open (``eager``), for the faster
    ways keep no weights; logits differ by rounding.

    Args:
        model: any encoder and decoder whose decoder attends to the encoder's states.
        cells: those states, ``(1, S, C)``.
        words: the caption's tokens without those that begin and end it, ``(W,)``.

    Returns:
        ``(W, S)``, the mean over layers and heads; each row sums to one.
    """
    if isinstance(model.decoder, PreTrainedModel):
        model.decoder.set_attn_implementation("eager")
    begin = words.new_tensor([model.generation_config.decoder_start_token_id])
    output = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=cells),
        decoder_input_ids=torch.cat([begin, words[:-1]])[None],
        output_attentions=True,
    )
    return torch.stack(output.cross_attentions)[:, 0].float().mean(dim=(0, 1))


def pool(cells: torch.Tensor) -> torch.Tensor:
    """The mean of the encoder's ``last_hidden_state`` over cells: ``(B, S, C)`` to ``(B, C)``."""
    return cells.float().mean(dim=1)


def traits(cells: torch.Tensor) -> torch.Tensor:
    """The detector's input, mean and deviation over cells: ``(B, S, C)`` to ``(B, 2 C)``."""
    return torch.cat([pool(cells), cells.float().std(dim=1)], dim=1)


def flatness(pixels: torch.Tensor) -> torch.Tensor:
    """The share of objects' pixels with one colour: ``(B, 3, H, W)`` in [-1, 1] to ``(B,)``.

    Objects are what differs from a picture's commonest colour. Emoji are shaded and have
    many colours; a disc or a ring has one. 1 for a picture without objects.
    """
    levels = np.clip((pixels.float().cpu().flatten(2).numpy() + 1) * 127.5, 0, 255)
    return torch.tensor([_flatness(each) for each in levels])


def _flatness(levels: _Levels) -> float:
    """Of one picture ``(3, N)`` from 0 to 255, in numpy: faster than torch for small arrays, above
    all channel by channel, in pieces that are given out again without a new page of memory."""
    objects = levels.compress(_distance(levels) > _STANDS_OUT, axis=1)
    if objects.shape[1] < _LEAST_OBJECT * levels.shape[1]:
        return 1.0
    return float((_distance(objects) < _ONE_COLOUR).mean())


def _distance(levels: _Levels) -> _Levels:
    """Each pixel's largest difference in a channel from the commonest colour: ``(N,)``.

    That colour is the mean of the pixels in the fullest of the cubes of eight levels.
    """
    red, green, blue = (np.rint(level / 8).astype(np.int32) for level in levels)
    cubes = (red * 33 + green) * 33 + blue
    is_commonest = cubes == np.bincount(cubes).argmax()
    differences = (np.abs(level - level[is_commonest].mean()) for level in levels)
    return np.asarray(reduce(np.maximum, differences))


@dataclass(frozen=True)
class Familiarity:
    """A detector of pictures unlike those a captioner was trained on: one hidden layer on traits.

    Trained with outlier exposure (Hendrycks et al., 2019, arXiv:1812.04606). ``mean`` and
    ``spread`` are ``(T,)``, ``weights`` ``(H, T)``, ``biases`` and ``votes`` ``(H,)``. A picture
    is out of distribution beyond ``threshold``, or flatter than ``flattest``.
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
        """From the entry ``familiarity`` of ``world.json``.

        Raises:
            LoadFailed: a field is missing, or has a wrong type or shape.
        """
        try:
            mean, spread, weights, biases, votes = (
                torch.tensor(value[name], dtype=torch.float32)
                for name in ("mean", "spread", "weights", "biases", "votes")
            )
            numbers = (float(value[name]) for name in ("bias", "threshold", "flattest"))
            known = cls(mean, spread, weights, biases, votes, *numbers)
            known.log_odds(mean[None])
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise LoadFailed(f"world.json is not as expected: {error!r}.") from error
        return known

    def is_unfamiliar(self, traits: torch.Tensor, flatness: torch.Tensor) -> torch.Tensor:
        """Which are out of distribution: traits ``(B, T)`` and flatness ``(B,)`` to ``(B,)``."""
        return (self.log_odds(traits) > self.threshold) | (flatness > self.flattest)

    def log_odds(self, traits: torch.Tensor) -> torch.Tensor:
        """The log-odds of being out of distribution: traits ``(B, T)`` to ``(B,)``."""
        offset = ((traits.float().cpu() - self.mean) / self.spread).clamp(-FAR, FAR)
        votes: torch.Tensor = functional.gelu(offset @ self.weights.T + self.biases) @ self.votes
        return votes + self.bias
