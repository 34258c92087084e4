"""Writes: continues a prompt with a causal language model, token by token.

Importing this module loads no torch and reads no disk. It never truncates: a prompt
that does not fit the model's context is refused with its number of tokens.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipelines import validation
from pipelines.device import Device
from pipelines.errors import InvalidValue
from pipelines.events import Progress
from pipelines.hub import Snapshot
from pipelines.loading import OFFLINE, load_model
from pipelines.receipts import hash_text, make_receipt
from pipelines.sampling import fresh_seed
from pipelines.settings import Limits
from pipelines.streaming import Emit, stream
from pipelines.studio import Loaded, Studio, parameter_bytes

if TYPE_CHECKING:
    import torch

_JOIN_TOKENS = 4
"""So much of the prompt's end is decoded with the text, to have the space between right."""

FinishReason = Literal["length", "end of text", "context full"]


@dataclass(frozen=True)
class TextRequest:
    """What to write. ``temperature`` 0 always takes the likeliest token; ``top_k`` 0 is off."""

    model: str
    prompt: str
    max_new_tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 50
    seed: int | None = None


@dataclass(frozen=True)
class TextDelta:
    """All of the text so far (without the prompt), and how many tokens it took."""

    text: str
    new_tokens: int


@dataclass(frozen=True)
class TextResult:
    """The finished text (without the prompt) and what there is to know about it."""

    text: str
    prompt: str
    seed: int
    finish_reason: FinishReason
    prompt_tokens: int
    new_tokens: int
    context_tokens: int
    seconds: float
    first_token_seconds: float
    load_seconds: float
    receipt: dict[str, Any]

    @property
    def tokens_per_second(self) -> float:
        """The rate after the first token, which is the one that reads the prompt."""
        rest = self.seconds - self.first_token_seconds
        return (self.new_tokens - 1) / rest if self.new_tokens > 1 and rest > 0 else 0.0

    @property
    def tokens_left(self) -> int:
        return self.context_tokens - self.prompt_tokens - self.new_tokens


@dataclass(frozen=True)
class Writer:
    """A loaded language model with its tokenizer. ``context_tokens`` is its window."""

    model: Any
    tokenizer: Any
    context_tokens: int


def checked(request: TextRequest, limits: Limits) -> TextRequest:
    """The request with every field of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    return TextRequest(
        model=request.model,
        prompt=validation.text("prompt", request.prompt, limits.prompt_characters),
        max_new_tokens=validation.whole_number(
            "max_new_tokens", request.max_new_tokens, 1, limits.new_tokens
        ),
        temperature=validation.number("temperature", request.temperature, 0.0, 5.0),
        top_p=validation.number("top_p", request.top_p, 0.0, 1.0),
        top_k=validation.whole_number("top_k", request.top_k, 0, 100_000),
        seed=validation.seed_or_none(request.seed),
    )


def generate(
    studio: Studio, request: TextRequest
) -> Generator[Progress | TextDelta, None, TextResult]:
    """Yields progress and the growing text; returns the result.

    Closing the generator stops within one token and disturbs no other run.

    Raises:
        StudioError: a field, the model or the prompt's length is at fault.
    """
    request = checked(request, studio.settings.limits)
    loaded = yield from studio.open(request.model, "write", load_writer, _size_of)
    with loaded.lease:
        writer: Writer = loaded.model
        seed = fresh_seed() if request.seed is None else request.seed
        prompt_ids = encode(writer, request.prompt)
        room = writer.context_tokens - prompt_ids.shape[1]
        _check_room(request, writer, room)
        budget = min(request.max_new_tokens, room)
        written = yield from stream(
            lambda emit: _decode(writer, request, prompt_ids, budget, seed, emit)
        )
        return _result(studio, loaded, request, seed, written)


def load_writer(snapshot: Snapshot, device: Device) -> Writer:
    """The model and tokenizer of a snapshot, on the device, ready to generate."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(snapshot.path), **OFFLINE)
    model = load_model(AutoModelForCausalLM, snapshot, device, attn_implementation="sdpa")
    limits = [
        getattr(model.config, name, None) for name in ("max_position_embeddings", "n_positions")
    ]
    context = min(int(limit) for limit in (*limits, tokenizer.model_max_length) if limit)
    return Writer(model, tokenizer, context)


def encode(writer: Writer, prompt: str) -> torch.Tensor:
    """Token ids ``(1, T)`` of the prompt, in the model's chat form where it has one.

    An empty prompt becomes the token that begins a text.
    """
    import torch

    if writer.tokenizer.chat_template:
        message = [{"role": "user", "content": prompt}]
        ids = writer.tokenizer.apply_chat_template(
            message, add_generation_prompt=True, return_dict=True
        )["input_ids"]
    else:
        ids = writer.tokenizer(prompt)["input_ids"]
    if not ids:
        ids = [_first_token(writer)]
    return torch.tensor([ids], device=writer.model.device)


def _first_token(writer: Writer) -> int:
    for token in (writer.tokenizer.bos_token_id, writer.tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise InvalidValue(
        "The prompt is empty and this model has no token to begin with. Write a word."
    )


def _check_room(request: TextRequest, writer: Writer, room: int) -> None:
    if room < 1:
        raise InvalidValue(
            f"The prompt has {writer.context_tokens - room:,} tokens and {request.model} can hold "
            f"{writer.context_tokens:,}, its answer included. Shorten the prompt."
        )


@dataclass(frozen=True)
class _Written:
    text: str
    ids: list[int]
    prompt_tokens: int
    budget: int
    seconds: float
    first_token_seconds: float


def _decode(
    writer: Writer,
    request: TextRequest,
    prompt_ids: torch.Tensor,
    budget: int,
    seed: int,
    emit: Emit,
) -> _Written:
    """Runs the model for at most ``budget`` tokens; emits the text after each."""
    import torch

    from pipelines.sampling import processors

    began = time.perf_counter()
    collector = _Collector(writer.tokenizer, prompt_ids[0, -_JOIN_TOKENS:].tolist(), emit)
    with torch.inference_mode():
        writer.model.generate(
            prompt_ids,
            attention_mask=torch.ones_like(prompt_ids),
            max_new_tokens=budget,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=0,  # one row of its own length: nothing is padded
            logits_processor=processors(request.temperature, request.top_k, request.top_p, [seed]),
            streamer=collector,
        )
    return _Written(
        text=collector.text(),
        ids=collector.ids,
        prompt_tokens=prompt_ids.shape[1],
        budget=budget,
        seconds=time.perf_counter() - began,
        first_token_seconds=collector.first_token_seconds,
    )


class _Collector:
    """The streamer that ``generate`` feeds: the prompt first, then token by token."""

    def __init__(self, tokenizer: Any, prompt_end: list[int], emit: Emit) -> None:
        self._tokenizer = tokenizer
        self._prompt_end = prompt_end
        self._skipped = len(tokenizer.decode(prompt_end, skip_special_tokens=True))
        self._emit = emit
        self._began = time.perf_counter()
        self._has_prompt = False
        self.ids: list[int] = []
        self.first_token_seconds = 0.0

    def put(self, value: torch.Tensor) -> None:
        if not self._has_prompt:
            self._has_prompt = True
            return
        if not self.ids:
            self.first_token_seconds = time.perf_counter() - self._began
        self.ids.append(int(value.reshape(-1)[0]))
        self._emit(TextDelta(self.text(), len(self.ids)))

    def end(self) -> None:
        """Part of the streamer's protocol; the thread's end says it here."""

    def text(self) -> str:
        """The tokens so far. A character of several tokens appears when it is whole.

        They are decoded behind the prompt's end: some tokenizers (SentencePiece) drop the
        space before the first token of a text.
        """
        ids = self._prompt_end + self.ids
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text[self._skipped :].rstrip("\ufffd")


def _result(
    studio: Studio, loaded: Loaded, request: TextRequest, seed: int, written: _Written
) -> TextResult:
    reason: FinishReason = "length" if written.budget == request.max_new_tokens else "context full"
    if len(written.ids) < written.budget or _ends_text(loaded.model, written.ids):
        reason = "end of text"
    timings = {
        "load": loaded.lease.load_seconds,
        "first_token": written.first_token_seconds,
        "total": written.seconds,
    }
    return TextResult(
        text=written.text,
        prompt=request.prompt,
        seed=seed,
        finish_reason=reason,
        prompt_tokens=written.prompt_tokens,
        new_tokens=len(written.ids),
        context_tokens=loaded.model.context_tokens,
        seconds=written.seconds,
        first_token_seconds=written.first_token_seconds,
        load_seconds=loaded.lease.load_seconds,
        receipt=make_receipt(
            "write", loaded.snapshot, request, seed, studio.device, timings, hash_text(written.text)
        ),
    )


def _ends_text(writer: Writer, new_ids: list[int]) -> bool:
    ends = writer.model.generation_config.eos_token_id
    return bool(new_ids) and new_ids[-1] in (ends if isinstance(ends, list) else [ends])


def _size_of(writer: Writer) -> int:
    return parameter_bytes(writer.model)
