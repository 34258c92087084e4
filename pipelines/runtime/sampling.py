"""Seeded sampling for ``transformers``' ``generate``, which takes no generator of its own.

Greedy search over logits to which Gumbel noise was added draws exactly from their
softmax (the Gumbel-max trick; Maddison et al., 2014, arXiv:1411.0030). The noise comes
from a generator that belongs to the request, so threads do not disturb each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import LogitsProcessorList

_FRESH_SEED_BITS = 31


def fresh_seed() -> int:
    """A random seed, short enough to be read aloud."""
    return secrets.randbits(_FRESH_SEED_BITS)


def processors(
    temperature: float, top_k: int, top_p: float, seeds: Sequence[int]
) -> LogitsProcessorList:
    """What to hand to ``generate(do_sample=False)`` for sampling; nothing at temperature 0.

    Args:
        top_k: 0 keeps all tokens.
        top_p: 0 keeps the likeliest token alone, 1 keeps all.
        seeds: one for each row of the batch, so that a row comes out as it would alone.
    """
    from transformers import LogitsProcessorList
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    chain = LogitsProcessorList()
    if temperature == 0:
        return chain
    chain.append(TemperatureLogitsWarper(temperature))
    if top_k > 0:
        chain.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        chain.append(TopPLogitsWarper(max(top_p, 1e-6)))
    chain.append(_gumbel_noise(seeds))
    return chain


def _gumbel_noise(seeds: Sequence[int]) -> Any:
    import torch
    from transformers import LogitsProcessor

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    class GumbelNoise(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            uniform = torch.stack([torch.rand(scores.shape[-1], generator=g) for g in generators])
            noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
            return scores.float() + noise.to(scores.device)

    return GumbelNoise()
