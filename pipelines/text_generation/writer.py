"""A loaded writer of one of three families, and how text becomes its tokens and back.

``causal`` goes on with the prompt; ``seq2seq`` reads it with an encoder and answers with a
decoder; ``fill-mask`` reads it whole and fills its gaps.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.device import Device
from pipelines.errors import InvalidValue
from pipelines.hub import Snapshot
from pipelines.runtime.loading import OFFLINE, load_model
from pipelines.text_generation.families import FAMILIES
from pipelines.text_generation.prompts import turn_end

if TYPE_CHECKING:
    import torch

_JOIN_TOKENS = 4
"""So much of the prompt's end is decoded with the text, to have the space between right."""


@dataclass(frozen=True)
class Writer:
    """A loaded language model with its tokenizer.

    ``context_tokens`` is its window: of a seq2seq model the encoder's and the decoder's each.
    ``turn_end`` is the token that its chat template writes behind an answer.
    """

    model: Any
    tokenizer: Any
    context_tokens: int
    family: str = "causal"
    turn_end: int | None = None

    @property
    def ends(self) -> set[int]:
        """The tokens that end a text or a turn: all that its files name."""
        named = [
            self.model.generation_config.eos_token_id,
            getattr(self.model.config, "eos_token_id", None),
            self.tokenizer.eos_token_id,
            self.turn_end,
        ]
        return {
            int(token)
            for each in named
            for token in (each if isinstance(each, list) else [each])
            if token is not None
        }

    @cached_property
    def literal_tokenizer(self) -> Any:
        """A tokenizer to which control tokens are characters; a copy, for others are reading
        with the writer's own meanwhile."""
        tokenizer = copy.deepcopy(self.tokenizer)
        tokenizer.split_special_tokens = True
        return tokenizer

    def room(self, prompt_tokens: int) -> int:
        """How many tokens can be written after a prompt of so many; below 1 if it is too long."""
        if self.family == "causal":
            return self.context_tokens - prompt_tokens
        if prompt_tokens > self.context_tokens:
            return 0
        return self.context_tokens - 1  # the decoder's first place is that of its start token


def load_writer(snapshot: Snapshot, device: Device) -> Writer:
    """The model and tokenizer of a snapshot, on the device, ready to generate."""
    import transformers

    auto_class = getattr(transformers, FAMILIES[snapshot.family])
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(snapshot.path), **OFFLINE)
    model = load_model(auto_class, snapshot, device)
    context = min(*_position_limits(model), tokenizer.model_max_length)
    return Writer(model, tokenizer, context, snapshot.family, turn_end(tokenizer))


def _position_limits(model: Any) -> list[int]:
    """How many tokens the configurations of the model and of its halves have places for."""
    configs = [
        model.config,
        *(getattr(model.config, half, None) for half in ("encoder", "decoder")),
    ]
    names = ("max_position_embeddings", "n_positions")
    limits = [getattr(config, name, None) for config in configs for name in names]
    return [int(limit) - _reserved_places(model) for limit in limits if limit and limit > 0] or [
        _NO_LIMIT
    ]


_NO_LIMIT = 10**9


def _reserved_places(model: Any) -> int:
    """RoBERTa and its kin count places from behind that of the padding."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings"):
            padding = getattr(module, "padding_idx", None)
            return 0 if padding is None else int(padding) + 1
    return 0


def check_room(writer: Writer, name: str, prompt_tokens: int) -> int:
    """How many tokens can be written after the prompt.

    Raises:
        InvalidValue: none, for the prompt fills the model; the message holds both counts.
    """
    room = writer.room(prompt_tokens)
    if room < 1:
        answer = ", its answer included" if writer.family == "causal" else ""
        raise InvalidValue(
            f"The prompt has {prompt_tokens:,} tokens and {name} can hold "
            f"{writer.context_tokens:,}{answer}. Shorten it, or begin a new text."
        )
    return room


class Joiner:
    """Decodes new tokens behind the prompt's end.

    Some tokenizers (SentencePiece) drop the space before the first token of a text. A
    seq2seq model's text begins anew and is joined to nothing.
    """

    def __init__(self, tokenizer: Any, prompt_ids: list[int]) -> None:
        self._tokenizer = tokenizer
        self._prompt_end = prompt_ids[-_JOIN_TOKENS:]
        self._skipped = len(tokenizer.decode(self._prompt_end, skip_special_tokens=True))

    def text(self, new_ids: list[int]) -> str:
        """The new tokens' text. A character of several tokens appears when it is whole."""
        ids = self._prompt_end + new_ids
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text[self._skipped :].rstrip("\ufffd")


def joiner(writer: Writer, prompt_ids: torch.Tensor) -> Joiner:
    """For the text that follows this prompt ``(1, T)``."""
    return Joiner(writer.tokenizer, prompt_ids[0].tolist() if writer.family == "causal" else [])
