"""Describes: captions of a picture, each with the probability that the model gives it.

Importing this module loads no torch and reads no disk. Scores are computed by reading
each caption once more, so that those of beams and of samples mean the same.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines import validation
from pipelines.device import Device
from pipelines.errors import InvalidValue, abbreviated
from pipelines.events import Progress
from pipelines.hub import Snapshot, read_json
from pipelines.images import check_pixels, on_white
from pipelines.loading import OFFLINE, load_model
from pipelines.receipts import hash_pictures, hash_text, make_receipt
from pipelines.sampling import fresh_seed, processors
from pipelines.settings import Limits
from pipelines.streaming import Emit, stream
from pipelines.studio import Loaded, Studio, parameter_bytes

if TYPE_CHECKING:
    import torch
    from PIL import Image

METHODS = ("beams", "sampling")


@dataclass(frozen=True)
class CaptionRequest:
    """What to describe. ``temperature`` and ``seed`` count for sampling alone.

    ``picture_sha256`` is set in receipts, which name the picture and do not hold it.
    """

    model: str
    picture: Image.Image | None = field(default=None, metadata={"in_receipt": False})
    method: str = "beams"
    count: int = 3
    temperature: float = 0.7
    max_new_tokens: int = 32
    seed: int | None = None
    picture_sha256: str | None = None


@dataclass(frozen=True)
class Caption:
    """A caption, its probability given the picture, and the mean log of its tokens'."""

    text: str
    probability: float
    mean_log_probability: float


@dataclass(frozen=True)
class CaptionResult:
    """Captions, likeliest first, and what there is to know about the run."""

    captions: list[Caption]
    seed: int
    seconds: float
    first_token_seconds: float
    load_seconds: float
    new_tokens: int
    notes: list[str]
    receipt: dict[str, Any]


@dataclass(frozen=True)
class Captioner:
    """A loaded captioner. ``familiarity`` is what its world looks like, if it tells."""

    model: Any
    processor: Any
    tokenizer: Any
    familiarity: dict[str, Any] | None


def checked(request: CaptionRequest, limits: Limits) -> CaptionRequest:
    """The request with every field of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    from PIL import Image

    if not isinstance(request.picture, Image.Image):
        raise InvalidValue(
            f"picture is {abbreviated(request.picture)}; give a picture: upload, paste or take one."
        )
    check_pixels(*request.picture.size, limits)
    picture = on_white(request.picture)
    digest = hash_pictures([picture])
    if request.picture_sha256 not in (None, digest):
        raise InvalidValue(
            "This is not the picture that the receipt names. Give the one it was made from."
        )
    return CaptionRequest(
        model=request.model,
        picture=picture,
        method=validation.choice("method", request.method, METHODS),
        count=validation.whole_number("count", request.count, 1, limits.captions),
        temperature=validation.number("temperature", request.temperature, 0.0, 5.0),
        max_new_tokens=validation.whole_number(
            "max_new_tokens", request.max_new_tokens, 1, limits.caption_tokens
        ),
        seed=validation.seed_or_none(request.seed),
        picture_sha256=digest,
    )


def generate(studio: Studio, request: CaptionRequest) -> Generator[Progress, None, CaptionResult]:
    """Yields progress; returns the captions, likeliest first.

    Closing the generator stops within one token and disturbs no other run.

    Raises:
        StudioError: a field or the model is at fault.
    """
    request = checked(request, studio.settings.limits)
    loaded = yield from studio.open(request.model, "describe", load_captioner, _size_of)
    with loaded.lease:
        captioner: Captioner = loaded.model
        _check_length(request, captioner)
        seed = fresh_seed() if request.seed is None else request.seed
        described = yield from stream(lambda emit: _describe(captioner, request, seed, emit))
        return _result(studio, loaded, request, seed, described)


def load_captioner(snapshot: Snapshot, device: Device) -> Captioner:
    """The model of a snapshot with its image processor and tokenizer, on the device."""
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    path = str(snapshot.path)
    model = load_model(AutoModelForImageTextToText, snapshot, device)
    model.generation_config.max_length = None  # each request says how many tokens it wants
    known = read_json(snapshot.path / "world.json")
    return Captioner(
        model,
        AutoImageProcessor.from_pretrained(path, **OFFLINE),
        AutoTokenizer.from_pretrained(path, **OFFLINE),
        _as_tensors(known["familiarity"]) if "familiarity" in known else None,
    )


def _as_tensors(familiarity: dict[str, Any]) -> dict[str, Any]:
    """Its lists of numbers as float64 tensors: converted once, not at every picture."""
    import torch

    return {
        name: torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
        for name, value in familiarity.items()
    }


def _check_length(request: CaptionRequest, captioner: Captioner) -> None:
    """Refuses more tokens than the decoder has positions for."""
    decoder = getattr(captioner.model.config, "decoder", captioner.model.config)
    positions = getattr(decoder, "max_position_embeddings", None)
    if positions is not None and request.max_new_tokens >= positions:
        raise InvalidValue(
            f"max_new_tokens is {request.max_new_tokens}; {request.model} has room for "
            f"{positions - 1}. Give a smaller number."
        )


@dataclass(frozen=True)
class _Described:
    captions: list[Caption]
    new_tokens: int
    seconds: float
    first_token_seconds: float
    unfamiliarity: float | None


def _describe(captioner: Captioner, request: CaptionRequest, seed: int, emit: Emit) -> _Described:
    import torch

    model = captioner.model
    began = time.perf_counter()
    clock = _TokenClock(emit, request.max_new_tokens)
    with torch.inference_mode():
        pixels = captioner.processor(images=request.picture, return_tensors="pt")["pixel_values"]
        pixels = pixels.to(model.device, model.dtype)
        features = model.get_encoder()(pixels)
        sequences = _search(captioner, request, features, seed, clock)
        captions = _scored(captioner, features, sequences)
    unfamiliar = None
    if captioner.familiarity is not None:
        unfamiliar = _unfamiliarity(features.last_hidden_state, captioner.familiarity)
    seconds = time.perf_counter() - began
    return _Described(captions, clock.tokens, seconds, clock.first_token_seconds, unfamiliar)


def _search(
    captioner: Captioner, request: CaptionRequest, features: Any, seed: int, clock: _TokenClock
) -> torch.Tensor:
    """Token ids ``(count, T)``: the best beams, or independent samples of one seed each."""
    from transformers import LogitsProcessorList
    from transformers.modeling_outputs import BaseModelOutput

    count = request.count
    chain = LogitsProcessorList([clock])
    options: dict[str, Any] = {"num_beams": max(count, 4), "num_return_sequences": count}
    states = features.last_hidden_state
    if request.method == "sampling":
        chain += processors(request.temperature, 0, 1.0, [seed + i for i in range(count)])
        options = {"num_beams": 1}
        states = states.repeat(count, 1, 1)
    sequences: torch.Tensor = captioner.model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        do_sample=False,
        max_new_tokens=request.max_new_tokens,
        early_stopping=request.method == "beams",
        logits_processor=chain,
        **options,
    )
    return sequences


class _TokenClock:
    """Called by ``generate`` for each token: progress, and the place where a stop is felt."""

    def __init__(self, emit: Emit, max_new_tokens: int) -> None:
        self._emit = emit
        self._max_new_tokens = max_new_tokens
        self._began = time.perf_counter()
        self.tokens = 0
        self.first_token_seconds = 0.0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.tokens += 1
        if self.tokens == 1:
            self.first_token_seconds = time.perf_counter() - self._began
        self._emit(Progress("Describing", min(1.0, self.tokens / self._max_new_tokens)))
        return scores


def _scored(captioner: Captioner, features: Any, sequences: torch.Tensor) -> list[Caption]:
    """Each different caption once with its probability, likeliest first."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    states = features.last_hidden_state.repeat(len(sequences), 1, 1)
    inputs, targets = sequences[:, :-1], sequences[:, 1:]
    logits = captioner.model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states), decoder_input_ids=inputs
    ).logits
    logs = torch.log_softmax(logits.float(), dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    texts = captioner.tokenizer.batch_decode(sequences, skip_special_tokens=True)
    captions: dict[str, Caption] = {}
    for text, row, ids in zip(texts, logs, targets, strict=True):
        end = _length(ids.tolist(), captioner.model.generation_config)
        total = float(row[:end].sum())
        captions.setdefault(
            text, Caption(text.strip(), float(torch.tensor(total).exp()), total / max(1, end))
        )
    return sorted(captions.values(), key=lambda caption: -caption.probability)


def _length(ids: list[int], config: Any) -> int:
    """Tokens up to the end token and with it; what follows is padding."""
    end = config.eos_token_id[0] if isinstance(config.eos_token_id, list) else config.eos_token_id
    return ids.index(end) + 1 if end in ids else len(ids)


def _unfamiliarity(states: torch.Tensor, familiarity: dict[str, Any]) -> float:
    from pipelines.recipes.captioner.model import pool, unfamiliarity

    return unfamiliarity(pool(states)[0], familiarity)


def _result(
    studio: Studio,
    loaded: Loaded,
    request: CaptionRequest,
    seed: int,
    described: _Described,
) -> CaptionResult:
    notes = []
    familiarity = loaded.model.familiarity
    if described.unfamiliarity is not None and described.unfamiliarity > familiarity["threshold"]:
        notes.append(
            "This picture looks like nothing of this model's world of emoji scenes; "
            "its words are guesses. Try a picture from the Paint tab, or another model."
        )
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
    )


def _size_of(captioner: Captioner) -> int:
    return parameter_bytes(captioner.model)
