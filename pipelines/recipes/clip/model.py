"""One space for pictures and texts (CLIP, Radford et al., 2021, arXiv:2103.00020).

The picture tower is the lower part of the captioner's Swin encoder; the text tower is a
small BERT (Devlin et al., 2019, arXiv:1810.04805) with the painter's tokenizer, whose
``<bos>`` takes the place of BERT's class token. Serving code may import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderModel,
)

from pipelines.errors import InvalidValue
from pipelines.metrics.clip import PREFIX
from pipelines.recipes.captioner.model import build as build_captioner
from pipelines.recipes.diffusion.model import MAX_TOKENS

STEEPEST = 100.0
"""The highest factor of the cosines, as in the paper."""
_BATCH_SIZE = 64

Features = npt.NDArray[np.float64]


def build(
    tokenizer: PreTrainedTokenizerFast,
    picture_width: int = 128,
    depths: tuple[int, int] = (2, 1),
    text_width: int = 96,
    layers: int = 2,
) -> VisionTextDualEncoderModel:
    """An untrained model: 1.4 million parameters at the standard sizes.

    ``picture_width`` and the first of ``depths`` are the captioner's, so that the weights of
    its lower layers fit; the common space has ``text_width`` dimensions.
    """
    pictures = build_captioner(tokenizer, picture_width, depths, decoder_layers=1).encoder
    texts = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=text_width,
            intermediate_size=2 * text_width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            type_vocab_size=1,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model = VisionTextDualEncoderModel(vision_model=pictures, text_model=texts)
    model.visual_projection = torch.nn.Linear(pictures.config.hidden_size, text_width, bias=False)
    model.text_projection = torch.nn.Linear(text_width, text_width, bias=False)
    model.config.projection_dim = model.projection_dim = text_width
    return model


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> dict[str, torch.Tensor]:
    """``input_ids`` and ``attention_mask``, ``(B, T)`` each, T at most 32."""
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def contrastive_loss(
    pictures: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, is_same: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of each picture's text and of each text's picture, averaged; in nats.

    Args:
        pictures: features ``(B, C)``, not normalised.
        texts: those of their captions, ``(B, C)``.
        scale: the factor of the cosines; above 100 it counts as 100.
        is_same: pairs that match, ``(B, B)``; off the diagonal they are left out of the loss.
    """
    cosines = functional.normalize(pictures.float()) @ functional.normalize(texts.float()).T
    others = is_same & ~torch.eye(len(cosines), dtype=torch.bool, device=is_same.device)
    logits = (cosines * scale.clamp(max=STEEPEST)).masked_fill(others, -torch.inf)
    targets = torch.arange(len(logits), device=logits.device)
    both = (functional.cross_entropy(each, targets) for each in (logits, logits.T))
    return sum(both, logits.new_zeros(())) / 2


def features_of(
    model: Any,
    tokenizer: Any,
    image_processor: Any,
    pictures: Sequence[Image.Image] = (),
    texts: Sequence[str] = (),
    prefix: str = PREFIX,
) -> tuple[Features, Features]:
    """Features of pictures ``(n, d)`` and of texts ``(m, d)``, in double precision.

    Args:
        model: a ``CLIPModel``, a ``VisionTextDualEncoderModel`` or one with the same
            ``get_image_features`` and ``get_text_features``, in evaluation mode.
        tokenizer, image_processor: those of its checkpoint.
        prefix: put before every text; ``""`` for none.

    Raises:
        InvalidValue: a text does not fit the model.
    """

    def of_pictures(part: Sequence[Image.Image]) -> Any:
        rgb = [picture.convert("RGB") for picture in part]
        pixels = image_processor(rgb, return_tensors="pt").pixel_values
        return model.get_image_features(pixels.to(model.device, model.dtype))

    def of_texts(part: Sequence[str]) -> Any:
        words = [prefix + text for text in part]
        encoded = tokenizer(words, padding=True, return_tensors="pt").to(model.device)
        tokens = encoded.input_ids.shape[1]
        longest = model.config.text_config.max_position_embeddings
        if tokens > longest:
            raise InvalidValue(
                f"a text has {tokens} tokens with its prefix; the model reads at most {longest}. "
                "Shorten it."
            )
        return model.get_text_features(encoded.input_ids, encoded.attention_mask)

    return _in_batches(of_pictures, pictures), _in_batches(of_texts, texts)


@torch.no_grad()
def _in_batches(embed: Callable[[Any], Any], samples: Sequence[Any]) -> Features:
    parts = []
    for start in range(0, len(samples), _BATCH_SIZE):
        output = embed(samples[start : start + _BATCH_SIZE])
        features = output if torch.is_tensor(output) else output.pooler_output
        parts.append(features.double().cpu().numpy())
    return np.concatenate(parts) if parts else np.empty((0, 0))
