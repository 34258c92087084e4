"""Finds captions by beams or by seeded sampling, each with the probability the model gives it.

Probabilities are read from the logits of the search itself, before a temperature or
anything else has changed them: those of beams and of samples mean the same, and no
caption is read twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.events import Progress
from pipelines.image_captioning.families import Prepared
from pipelines.runtime.sampling import processors
from pipelines.runtime.streaming import Emit

if TYPE_CHECKING:
    import torch

FEWEST_BEAMS = 4
_EVERY_SECONDS = 0.02
"""Between two reports of progress: each wakes the thread that reads them."""


@dataclass(frozen=True)
class Caption:
    """A caption, its probability given the picture, and the mean log of its tokens'."""

    text: str
    probability: float
    mean_log_probability: float


@dataclass(frozen=True)
class Search:
    """How to look for captions. ``temperature`` and ``seed`` count for sampling alone.

    ``guards`` are the arguments of ``generate`` against repetition.
    """

    method: str
    count: int
    temperature: float
    max_new_tokens: int
    seed: int
    guards: Mapping[str, Any] = field(default_factory=dict)


class TokenClock:
    """Called by ``generate`` for each token: progress, and the place where a stop is felt."""

    def __init__(self, emit: Emit, max_new_tokens: int) -> None:
        self._emit = emit
        self._max_new_tokens = max_new_tokens
        self._began = time.perf_counter()
        self._reported = 0.0
        self.tokens = 0
        self.first_token_seconds = 0.0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.tokens += 1
        now = time.perf_counter()
        if self.tokens == 1:
            self.first_token_seconds = now - self._began
        is_due = now - self._reported >= _EVERY_SECONDS
        if is_due:
            self._reported = now
        fraction = min(1.0, self.tokens / self._max_new_tokens)
        self._emit(Progress("Describing", fraction) if is_due else None)
        return scores


def find_captions(
    model: Any, decoder: Any, tokenizer: Any, prepared: Prepared, search: Search, clock: TokenClock
) -> list[Caption]:
    """Each different caption once, likeliest first.

    Args:
        decoder: the part of the model that decodes: it knows the token that ends a caption.
    """
    found = _generate(model, prepared, search, clock)
    tokens = found.sequences[:, prepared.prompt_tokens :]
    logs = _log_probabilities(found, tokens)
    ends = _end_tokens(decoder)
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    captions: dict[str, Caption] = {}
    for text, row, ids in zip(texts, logs, tokens.tolist(), strict=True):
        used = row[: _length(ids, ends)]
        total = used.sum()
        captions.setdefault(
            text, Caption(text.strip(), float(total.exp()), float(total) / max(1, len(used)))
        )
    return sorted(captions.values(), key=lambda caption: -caption.probability)


def _generate(model: Any, prepared: Prepared, search: Search, clock: TokenClock) -> Any:
    """The library's output: the best beams, or independent samples of one seed each."""
    from transformers import LogitsProcessorList

    count = search.count
    chain = LogitsProcessorList([clock])
    arguments = prepared.arguments
    options = {"num_beams": max(count, FEWEST_BEAMS), "num_return_sequences": count}
    if search.method == "sampling":
        chain += processors(search.temperature, 0, 1.0, [search.seed + i for i in range(count)])
        arguments = {name: _rows(value, count) for name, value in arguments.items()}
        options = {"num_beams": 1}
    return model.generate(
        **arguments,
        **options,
        **search.guards,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        max_new_tokens=search.max_new_tokens,
        early_stopping=search.method == "beams",
        logits_processor=chain,
        output_logits=True,
        return_dict_in_generate=True,
    )


def _rows(value: Any, count: int) -> Any:
    """An argument of one row, that many times over."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    if isinstance(value, torch.Tensor):
        return value.repeat(count, *[1] * (value.dim() - 1))
    return BaseModelOutput(last_hidden_state=_rows(value.last_hidden_state, count))


def _log_probabilities(found: Any, tokens: torch.Tensor) -> torch.Tensor:
    """The log-probability of each token ``(N, T)``; behind a caption's end it means nothing.

    A beam's token was chosen from the logits of the row where the beam stood at that step.
    """
    import torch

    count, steps = tokens.shape
    beams = getattr(found, "beam_indices", None)
    columns = []
    for step, logits in enumerate(found.logits[:steps]):
        rows = torch.arange(count) if beams is None else beams[:, step].clamp(min=0)
        columns.append(logits[rows, tokens[:, step]] - logits.logsumexp(1)[rows])
    return torch.stack(columns, dim=1)


def _end_tokens(decoder: Any) -> frozenset[int]:
    ends = decoder.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [ends])


def _length(ids: list[int], ends: frozenset[int]) -> int:
    """Tokens up to the first end token and with it; what follows is padding."""
    return next((i + 1 for i, token in enumerate(ids) if token in ends), len(ids))
