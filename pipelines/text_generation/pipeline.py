"""Writes: goes on with a prompt, answers it or fills its gaps, as the model's family does.

Importing this module loads no torch and reads no disk. It never truncates: a prompt
that does not fit the model's context is refused with its number of tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pipelines.errors import InvalidValue
from pipelines.events import Progress, translated
from pipelines.hub import Adapter
from pipelines.runtime.adapters import applied
from pipelines.runtime.receipts import hash_text, make_receipt
from pipelines.runtime.sampling import fresh_seed
from pipelines.runtime.streaming import Emit, stream
from pipelines.runtime.studio import Loaded, Studio, parameter_bytes
from pipelines.text_generation.gaps import NOTE as GAPS_NOTE
from pipelines.text_generation.gaps import Candidate, Filled, fill
from pipelines.text_generation.prompts import (
    FORMS,
    Conversation,
    Turns,
    controls_in,
    encode,
    is_chat,
    messages_of,
)
from pipelines.text_generation.writer import (
    Writer,
    check_room,
    joiner,
    load_writer,
)
from pipelines.validation import Choice, Number, Seed, Text, Unchecked, Whole
from pipelines.validation import checked as checked

if TYPE_CHECKING:
    import torch

FinishReason = Literal["length", "end of text", "context full", "gaps filled"]


@dataclass(frozen=True)
class TextRequest:
    """What to write. ``temperature`` 0 always takes the likeliest token; ``top_k`` 0 is off.

    A model that fills gaps reads nothing but the prompt, with ``[MASK]`` for each gap. In a chat
    the prompt is the last thing said, after the ``system`` prompt and earlier ``turns``, pairs of
    role and text; with ``begun`` the answer goes on from there.
    """

    model: Annotated[str, Unchecked()]
    prompt: Annotated[str, Text("prompt_characters")]
    max_new_tokens: Annotated[int, Whole(1, "new_tokens")] = 200
    temperature: Annotated[float, Number(0.0, 5.0)] = 0.8
    top_p: Annotated[float, Number(0.0, 1.0)] = 0.95
    top_k: Annotated[int, Whole(0, 100_000)] = 50
    seed: Annotated[int | None, Seed()] = None
    form: Annotated[str, Choice(FORMS)] = "own"
    system: Annotated[str, Text("prompt_characters")] = ""
    turns: Annotated[Turns, Conversation("prompt_characters")] = ()
    begun: Annotated[str, Text("prompt_characters")] = ""


Request = TextRequest
load = load_writer


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a text took so far: tokens, and seconds since the model began.

    ``family`` is ``causal``, ``seq2seq`` or ``fill-mask``; ``goes_on`` tells whether the text
    follows the prompt.
    """

    prompt_tokens: int
    new_tokens: int
    context_tokens: int
    seconds: float
    first_token_seconds: float
    family: str = "causal"
    goes_on: bool = True

    @property
    def tokens_per_second(self) -> float:
        """The rate after the first token, which is the one that reads the prompt."""
        rest = self.seconds - self.first_token_seconds
        return (self.new_tokens - 1) / rest if self.new_tokens > 1 and rest > 0 else 0.0

    @property
    def tokens_left(self) -> int:
        """What could still be written; a seq2seq model's prompt takes no place of the text's."""
        if self.family == "seq2seq":
            return self.context_tokens - 1 - self.new_tokens
        if self.family == "fill-mask":
            return 0
        return self.context_tokens - self.prompt_tokens - self.new_tokens


@dataclass(frozen=True, kw_only=True)
class TextDelta(Counts):
    """All of the text so far, without the prompt, and what it took; with the seed, and the
    receipt of a text of so many tokens, for one that is stopped here."""

    text: str
    seed: int = 0
    receipt: dict[str, Any] = field(default_factory=dict)

    @property
    def progress(self) -> Progress:
        return self.progress_of(None)

    def progress_of(self, most: int | None) -> Progress:
        """How far a text of at most ``most`` tokens is; without a bar where that is None."""
        tokens = "1 token" if self.new_tokens == 1 else f"{self.new_tokens} tokens"
        return Progress(f"Writing · {tokens}", most and self.new_tokens / most)

    def whole(self, prompt: str) -> str:
        """What stands on the page: the text behind the prompt, or an answer alone."""
        return prompt + self.text if self.goes_on else self.text


@dataclass(frozen=True, kw_only=True)
class TextResult(TextDelta):
    """The finished text (without the prompt) and what there is to know about it.

    Of a ``fill-mask`` model the text is the prompt with its gaps filled, and ``candidates``
    has the likeliest words for each gap.
    """

    prompt: str
    finish_reason: FinishReason
    load_seconds: float
    candidates: list[list[Candidate]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def generate(
    studio: Studio, request: TextRequest, must_go_on: bool = False
) -> Generator[Progress | TextDelta, None, TextResult]:
    """Yields progress and the growing text; returns the result.

    Closing the generator stops within one token and disturbs no other run.

    Args:
        must_go_on: the prompt is a text to go on with, and a model that would answer it is
            refused.

    Raises:
        StudioError: a field, the model or the prompt's length is at fault.
    """
    request = checked(request, studio.settings.limits)
    loaded = yield from studio.open(request.model, "write", load_writer, size_of)
    with loaded.lease:
        if must_go_on and not _goes_on(loaded.model, request):
            raise InvalidValue(
                f"{loaded.snapshot.reference} answers a prompt or fills its gaps, and does not go "
                "on with a text. Change the prompt and write anew, or choose another model."
            )
        seed = fresh_seed() if request.seed is None else request.seed
        work = _fill if loaded.model.family == "fill-mask" else _decode
        adapters = loaded.snapshot.adapters
        run = stream(lambda emit: work(loaded.model, adapters, request, seed, emit))

        def shown(event: Any) -> Any:
            if not isinstance(event, TextDelta):
                return event
            stopped = replace(request, max_new_tokens=event.new_tokens)
            receipt = _receipt(studio, loaded, stopped, seed, event)
            return replace(event, seed=seed, receipt=receipt)

        written = yield from translated(run, shown)
        return _result(studio, loaded, request, seed, written)


@dataclass(frozen=True)
class _Written:
    text: str
    ids: list[int]
    prompt_tokens: int
    finish_reason: FinishReason
    seconds: float
    first_token_seconds: float
    candidates: list[list[Candidate]] = field(default_factory=list)


def _decode(
    writer: Writer, adapters: Sequence[Adapter], request: TextRequest, seed: int, emit: Emit
) -> _Written:
    """Writes token by token as far as was asked for and there is room; emits the text so far."""
    prompt_ids = encode(writer, request)
    room = check_room(writer, request.model, prompt_ids.shape[1])
    budget = min(request.max_new_tokens, room)
    with applied(writer.model, adapters, _waiting(emit)):
        began = time.perf_counter()
        collector = _Collector(writer, prompt_ids, emit, _goes_on(writer, request))
        _run_model(writer, request, prompt_ids, budget, seed, collector)
        seconds = time.perf_counter() - began
    reason: FinishReason = "length" if budget == request.max_new_tokens else "context full"
    if len(collector.ids) < budget or collector.ids[-1] in writer.ends:
        reason = "end of text"
    return _Written(
        text=collector.text(),
        ids=collector.ids,
        prompt_tokens=prompt_ids.shape[1],
        finish_reason=reason,
        seconds=seconds,
        first_token_seconds=collector.first_token_seconds,
    )


def _run_model(
    writer: Writer,
    request: TextRequest,
    prompt_ids: torch.Tensor,
    budget: int,
    seed: int,
    collector: _Collector,
) -> None:
    import torch

    from pipelines.runtime.sampling import processors

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
            eos_token_id=sorted(writer.ends) or None,
            pad_token_id=0,  # one row of its own length: nothing is padded
            logits_processor=processors(request.temperature, request.top_k, request.top_p, [seed]),
            streamer=collector,
        )


def _goes_on(writer: Writer, request: TextRequest) -> bool:
    """Whether the text follows the prompt; else it answers, or fills the prompt's gaps."""
    return writer.family == "causal" and not is_chat(writer, request)


def _fill(
    writer: Writer, adapters: Sequence[Adapter], request: TextRequest, seed: int, emit: Emit
) -> _Written:
    with applied(writer.model, adapters, _waiting(emit)):
        began = time.perf_counter()
        filled: Filled = fill(writer, request.model, request.prompt)
        seconds = time.perf_counter() - began
    return _Written(
        text=filled.text,
        ids=[0] * len(filled.candidates),
        prompt_tokens=filled.prompt_tokens,
        finish_reason="gaps filled",
        seconds=seconds,
        first_token_seconds=seconds,
        candidates=filled.candidates,
    )


def _waiting(emit: Emit) -> Callable[[], None]:
    """Tells that the model is in use with other adapters; a stop is felt here, too."""
    return lambda: emit(Progress("Waiting for a run with other adapters to end"))


class _Collector:
    """The streamer that ``generate`` feeds: the prompt first, then token by token."""

    def __init__(
        self, writer: Writer, prompt_ids: torch.Tensor, emit: Emit, goes_on: bool = True
    ) -> None:
        self._joiner = joiner(writer, prompt_ids)
        self._writer = writer
        self._prompt_tokens = prompt_ids.shape[1]
        self._emit = emit
        self._goes_on = goes_on
        self._began = time.perf_counter()
        self._has_prompt = False
        self.ids: list[int] = []
        self.first_token_seconds = 0.0

    def put(self, value: torch.Tensor) -> None:
        if not self._has_prompt:
            self._has_prompt = True
            return
        seconds = time.perf_counter() - self._began
        if not self.ids:
            self.first_token_seconds = seconds
        self.ids.append(int(value.reshape(-1)[0]))
        self._emit(
            TextDelta(
                text=self.text(),
                prompt_tokens=self._prompt_tokens,
                new_tokens=len(self.ids),
                context_tokens=self._writer.context_tokens,
                seconds=seconds,
                first_token_seconds=self.first_token_seconds,
                family=self._writer.family,
                goes_on=self._goes_on,
            )
        )

    def end(self) -> None:
        """Part of the streamer's protocol; the thread's end says it here."""

    def text(self) -> str:
        return self._joiner.text(self.ids)


def _result(
    studio: Studio, loaded: Loaded, request: TextRequest, seed: int, written: _Written
) -> TextResult:
    writer: Writer = loaded.model
    notes = [*loaded.snapshot.notes, *_reading_notes(writer, request)]
    return TextResult(
        text=written.text,
        prompt=request.prompt,
        seed=seed,
        finish_reason=written.finish_reason,
        prompt_tokens=written.prompt_tokens,
        new_tokens=len(written.ids),
        context_tokens=writer.context_tokens,
        seconds=written.seconds,
        first_token_seconds=written.first_token_seconds,
        load_seconds=loaded.lease.load_seconds,
        receipt=_receipt(studio, loaded, request, seed, written),
        family=writer.family,
        goes_on=_goes_on(writer, request),
        candidates=written.candidates,
        notes=notes,
    )


def _reading_notes(writer: Writer, request: TextRequest) -> list[str]:
    if writer.family == "fill-mask":
        return [GAPS_NOTE]
    said = "\n".join(message["content"] for message in messages_of(request))
    controls = controls_in(writer, said)
    if not controls:
        return []
    return [f"Read as characters, not as a control of the model: {', '.join(controls[:5])}."]


def _receipt(
    studio: Studio, loaded: Loaded, request: TextRequest, seed: int, written: _Written | TextDelta
) -> dict[str, Any]:
    timings = {
        "load": loaded.lease.load_seconds,
        "first_token": written.first_token_seconds,
        "total": written.seconds,
    }
    output = hash_text(written.text)
    return make_receipt("write", loaded.snapshot, request, seed, studio.device, timings, output)


def size_of(writer: Writer) -> int:
    return parameter_bytes(writer.model)
