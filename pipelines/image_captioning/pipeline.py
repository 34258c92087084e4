"""Describes: captions of a picture, each with the probability that the model gives it.

Importing this module loads no torch and reads no disk. What differs between models stands
in ``families.py``, the search for captions in ``search.py``.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from PIL import Image

from pipelines import validation
from pipelines.device import Device
from pipelines.errors import InvalidValue, abbreviated
from pipelines.events import Progress
from pipelines.files.images import check_pixels, on_white
from pipelines.hub import Adapter, Snapshot, read_json
from pipelines.image_captioning.families import FAMILIES, Family, Prepared, control_tokens
from pipelines.image_captioning.search import Caption, Search, TokenClock, find_captions
from pipelines.runtime.adapters import applied
from pipelines.runtime.loading import load_model
from pipelines.runtime.receipts import hash_pictures, hash_text, make_receipt
from pipelines.runtime.sampling import fresh_seed
from pipelines.runtime.streaming import Emit, stream
from pipelines.runtime.studio import Loaded, Studio, parameter_bytes
from pipelines.settings import Limits
from pipelines.validation import Choice, Number, Rule, Seed, Text, Unchecked, Whole

if TYPE_CHECKING:
    from pipelines.recipes.captioner.model import Familiarity

FOREIGN = (
    "I know emoji scenes only, and this picture looks like none: the caption is a guess. "
    "Try a picture from the Paint tab, or another model."
)
"""Said of a picture from outside of a model's world."""

METHODS = ("beams", "sampling")


@dataclass(frozen=True)
class _Picture(Rule):
    """A picture of allowed size, on white where it is transparent."""

    def check(self, name: str, value: object, limits: Limits) -> Image.Image:
        if not isinstance(value, Image.Image):
            raise InvalidValue(
                f"{name} is {abbreviated(value)}; give a picture: upload, paste or take one."
            )
        check_pixels(*value.size, limits)
        return on_white(value)


@dataclass(frozen=True)
class CaptionRequest:
    """What to describe. ``temperature`` and ``seed`` count for sampling alone.

    ``prompt`` is a question, an instruction or the beginning of the caption, for models
    that take one; captions hold what the model adds to it. So many tokens in a row as
    ``no_repeat_ngram_size`` come once in a caption (0: off), and logits of tokens that came are
    divided by ``repetition_penalty`` (1: off); None takes the model's own generation config.
    ``picture_sha256`` is set in receipts, which name the picture and do not hold it.
    """

    model: Annotated[str, Unchecked()]
    picture: Annotated[Image.Image | None, _Picture()] = field(
        default=None, metadata={"in_receipt": False}
    )
    method: Annotated[str, Choice(METHODS)] = "beams"
    count: Annotated[int, Whole(1, "captions")] = 3
    temperature: Annotated[float, Number(0.0, 5.0)] = 0.7
    max_new_tokens: Annotated[int, Whole(1, "caption_tokens")] = 32
    seed: Annotated[int | None, Seed()] = None
    prompt: Annotated[str, Text("prompt_characters")] = ""
    no_repeat_ngram_size: Annotated[int | None, Whole(0, 10, or_own=True)] = None
    repetition_penalty: Annotated[float | None, Number(0.1, 10.0, or_own=True)] = None
    picture_sha256: Annotated[str | None, Unchecked()] = None


Request = CaptionRequest


@dataclass(frozen=True)
class CaptionResult:
    """Captions, likeliest first; facts and remarks on the run.

    ``is_foreign`` says that the picture is of another world than the model's, and its captions
    are guesses; the first of ``notes`` says the same.
    """

    captions: list[Caption]
    seed: int
    seconds: float
    first_token_seconds: float
    load_seconds: float
    new_tokens: int
    notes: list[str]
    receipt: dict[str, Any]
    is_foreign: bool = False


@dataclass(frozen=True)
class Captioner:
    """A loaded captioner. ``familiarity`` is what its world looks like, if it tells.

    ``decoder`` is the part of the model that decodes: the model itself, or within it.
    """

    model: Any
    decoder: Any
    processor: Any
    tokenizer: Any
    family: Family
    familiarity: Familiarity | None


def checked(request: CaptionRequest, limits: Limits) -> CaptionRequest:
    """The request with every field of its type and in its range, and its picture's hash.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    request = validation.checked(request, limits)
    assert request.picture is not None  # its rule refuses None
    digest = hash_pictures([request.picture])
    if request.picture_sha256 not in (None, digest):
        raise InvalidValue(
            "This is not the picture that the receipt names. Give the one it was made from."
        )
    return replace(request, picture_sha256=digest)


def generate(studio: Studio, request: CaptionRequest) -> Generator[Progress, None, CaptionResult]:
    """Yields progress; returns the captions, likeliest first.

    Closing the generator stops within one token and disturbs no other run.

    Raises:
        StudioError: a field or the model is at fault.
    """
    request = checked(request, studio.settings.limits)
    loaded = yield from studio.open(request.model, "describe", load_captioner, size_of)
    with loaded.lease:
        captioner: Captioner = loaded.model
        _check_prompt(request, captioner)
        request = with_own_values(captioner, request)
        seed = fresh_seed() if request.seed is None else request.seed
        adapters = loaded.snapshot.adapters
        described = yield from stream(
            lambda emit: _describe(captioner, adapters, request, seed, emit)
        )
        return _result(studio, loaded, request, seed, described)


def with_own_values(captioner: Captioner, request: CaptionRequest) -> CaptionRequest:
    """The request with the model's own guards against repetition where it names none."""
    own, size = captioner.decoder.generation_config, request.no_repeat_ngram_size
    penalty = request.repetition_penalty
    return replace(
        request,
        no_repeat_ngram_size=_first(size, own.no_repeat_ngram_size, 0),
        repetition_penalty=_first(penalty, own.repetition_penalty, 1.0),
    )


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def load_captioner(snapshot: Snapshot, device: Device) -> Captioner:
    """The model of a snapshot with what reads pictures and words for it, on the device."""
    from transformers import AutoModelForImageTextToText

    family = FAMILIES[str(snapshot.family)]
    processor, tokenizer = family.readers(str(snapshot.path))
    part = replace(snapshot, path=snapshot.path / family.folder)
    model = load_model(AutoModelForImageTextToText, part, device)
    decoder = family.decoder(model)
    decoder.generation_config.max_length = None  # each request says how many tokens it wants
    known = read_json(snapshot.path / "world.json").get("familiarity")
    return Captioner(
        model, decoder, processor, tokenizer, family, None if known is None else _familiar(known)
    )


def _familiar(known: dict[str, Any]) -> Familiarity:
    from pipelines.recipes.captioner.model import Familiarity

    return Familiarity.from_json(known)


def _check_prompt(request: CaptionRequest, captioner: Captioner) -> None:
    prompt = request.prompt
    if not prompt:
        return
    if not captioner.family.takes_prompt:
        raise InvalidValue(
            f"prompt is {abbreviated(prompt)}; {request.model} takes none. "
            "Leave it empty, or choose a model that answers questions."
        )
    for token in control_tokens(captioner.processor, captioner.tokenizer):
        if token in prompt:
            raise InvalidValue(
                f"prompt is {abbreviated(prompt)}; {token} means something of its own to "
                f"{request.model}. Leave it out."
            )


@dataclass(frozen=True)
class _Described:
    captions: list[Caption]
    new_tokens: int
    seconds: float
    first_token_seconds: float
    is_foreign: bool


def _describe(
    captioner: Captioner,
    adapters: Sequence[Adapter],
    request: CaptionRequest,
    seed: int,
    emit: Emit,
) -> _Described:
    import torch

    assert request.picture is not None  # ``checked`` refuses a request without one
    model = captioner.model
    search = Search(
        request.method, request.count, request.temperature, request.max_new_tokens, seed,
        guards(request),
    )  # fmt: skip
    with applied(model, adapters, lambda: emit(None)), torch.inference_mode():
        began = time.perf_counter()
        clock = TokenClock(emit, request.max_new_tokens)
        prepared = captioner.family.prepare(
            model, captioner.processor, request.picture, request.prompt
        )
        _check_length(request, captioner, prepared)
        captions = find_captions(
            model, captioner.decoder, captioner.tokenizer, prepared, search, clock
        )
        is_foreign = _is_foreign(prepared, captioner.familiarity)
        seconds = time.perf_counter() - began
    return _Described(captions, clock.tokens, seconds, clock.first_token_seconds, is_foreign)


def guards(request: CaptionRequest) -> dict[str, Any]:
    """What keeps captions from repeating themselves, as ``generate`` takes it."""
    return {
        "no_repeat_ngram_size": request.no_repeat_ngram_size,
        "repetition_penalty": request.repetition_penalty,
    }


def _check_length(request: CaptionRequest, captioner: Captioner, prepared: Prepared) -> None:
    """Refuses more tokens than the decoder has positions for."""
    decoder = captioner.decoder.config.get_text_config(decoder=True)
    positions = getattr(decoder, "max_position_embeddings", None)
    if positions is None or prepared.prompt_tokens + request.max_new_tokens <= positions:
        return
    room = positions - prepared.prompt_tokens
    if room < 1:
        raise InvalidValue(
            f"The picture and the prompt take {prepared.prompt_tokens:,} tokens, and "
            f"{request.model} can hold {positions:,}, its answer included. Shorten the prompt."
        )
    raise InvalidValue(
        f"max_new_tokens is {request.max_new_tokens}; {request.model} has room for {room}. "
        "Give a smaller number."
    )


def _is_foreign(prepared: Prepared, familiarity: Familiarity | None) -> bool:
    """Whether the model can tell that the picture is not of its world."""
    if familiarity is None or prepared.cells is None or prepared.pixels is None:
        return False
    from pipelines.recipes.captioner.model import flatness, traits

    return bool(familiarity.is_unfamiliar(traits(prepared.cells), flatness(prepared.pixels)))


def _result(
    studio: Studio,
    loaded: Loaded,
    request: CaptionRequest,
    seed: int,
    described: _Described,
) -> CaptionResult:
    notes = [*loaded.snapshot.notes]
    if described.is_foreign:
        notes.insert(0, FOREIGN)
    timings = {
        "load": loaded.lease.load_seconds,
        "first_token": described.first_token_seconds,
        "total": described.seconds,
    }
    texts = "\n".join(caption.text for caption in described.captions)
    return CaptionResult(
        captions=described.captions,
        seed=seed,
        seconds=described.seconds,
        first_token_seconds=described.first_token_seconds,
        load_seconds=loaded.lease.load_seconds,
        new_tokens=described.new_tokens,
        notes=notes,
        receipt=make_receipt(
            "describe", loaded.snapshot, request, seed, studio.device, timings, hash_text(texts)
        ),
        is_foreign=described.is_foreign,
    )


load = load_captioner


def size_of(captioner: Captioner) -> int:
    return parameter_bytes(captioner.model)
