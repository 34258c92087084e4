"""Paints: pictures from a prompt with a diffusers text-to-image pipeline.

Importing this module loads no torch and reads no disk. A loaded pipeline is shared; what
holds state in a run (scheduler, random generators) is made anew for every request.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pipelines import validation
from pipelines.errors import InvalidValue, NotFinite, naming
from pipelines.events import Progress
from pipelines.hub import Adapter
from pipelines.runtime.adapters import applied
from pipelines.runtime.receipts import hash_pictures, make_receipt
from pipelines.runtime.sampling import fresh_seed
from pipelines.runtime.streaming import Emit, stream
from pipelines.runtime.studio import Loaded, Studio, parameter_bytes
from pipelines.settings import Limits
from pipelines.text_to_image.families import (
    call_options,
    call_parameters,
    check_size,
    setting_notes,
)
from pipelines.text_to_image.painter import (
    Painter,
    dropped_words,
    load_painter,
    own_pipeline,
    scheduler_for,
)
from pipelines.text_to_image.preview import LatentPreview, clean_estimates
from pipelines.text_to_image.schedulers import OWN_SCHEDULER, SCHEDULERS
from pipelines.validation import Choice, Number, Rule, Seed, Text, Unchecked, Whole

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True)
class _Edge(Rule):
    """A width or height in pixels; 0 for the model's own."""

    def check(self, name: str, value: object, limits: Limits) -> int:
        edge = validation.whole_number(name, value, 0, limits.edge_pixels)
        if edge % 8 or 0 < edge < 64:
            raise InvalidValue(
                f"{name} is {edge}; give a multiple of 8 from 64 to {limits.edge_pixels}, "
                "or 0 for the model's own size."
            )
        return edge


@dataclass(frozen=True)
class PaintRequest:
    """What to paint. Picture ``i`` of ``count`` uses ``seed + i``, so each can be had alone.

    ``guidance_scale`` of 1 or less turns guidance off. The model's own values: None or -1 for
    ``steps`` and ``guidance_scale``, "Model's own" ``scheduler``, 0 pixels of ``width`` and
    ``height``.
    """

    model: Annotated[str, Unchecked()]
    prompt: Annotated[str, Text("paint_prompt_characters")]
    negative_prompt: Annotated[str, Text("paint_prompt_characters")] = ""
    steps: Annotated[int | None, Whole(1, "steps", or_own=True)] = None
    guidance_scale: Annotated[float | None, Number(0.0, "guidance_scale", or_own=True)] = None
    scheduler: Annotated[str, Choice(tuple(SCHEDULERS))] = OWN_SCHEDULER
    seed: Annotated[int | None, Seed()] = None
    count: Annotated[int, Whole(1, "pictures")] = 1
    width: Annotated[int, _Edge()] = 0
    height: Annotated[int, _Edge()] = 0


Request = PaintRequest
load = load_painter


@dataclass(frozen=True)
class Preview:
    """What the pictures seem to become, small, after ``step`` of ``steps``."""

    pictures: list[Image.Image]
    step: int
    steps: int
    seconds_left: float

    @property
    def progress(self) -> Progress:
        text = f"Step {self.step} of {self.steps}"
        return Progress(text, self.step / self.steps, self.seconds_left)


@dataclass(frozen=True)
class PaintResult:
    """The pictures, the seed of the first, and what there is to know about the run."""

    pictures: list[Image.Image]
    seed: int
    seconds: float
    first_step_seconds: float
    load_seconds: float
    notes: list[str]
    receipt: dict[str, Any]

    @property
    def seconds_per_picture(self) -> float:
        return self.seconds / len(self.pictures)


def checked(request: PaintRequest, limits: Limits) -> PaintRequest:
    """The request with every field of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    request = validation.checked(request, limits)
    if (request.width == 0) != (request.height == 0):
        raise InvalidValue(
            f"width is {request.width} and height is {request.height}; give both, "
            "or 0 for both to have the model's own size."
        )
    pixels = request.count * request.width * request.height
    if pixels > limits.picture_pixels:
        asked = f"{request.count} pictures of {request.width} × {request.height}"
        raise InvalidValue(
            f"{asked} have {pixels:,} pixels; at most {limits.picture_pixels:,} are painted "
            "at once. Ask for fewer or smaller ones."
        )
    return request


def generate(
    studio: Studio, request: PaintRequest
) -> Generator[Progress | Preview, None, PaintResult]:
    """Yields progress and a preview after each step; returns the pictures.

    Closing the generator stops within one denoising step and disturbs no other run. What is not
    finite in half precision is painted once more in float32.

    Raises:
        NotFinite: nor is it finite in float32.
        StudioError: a field or the model is at fault.
    """
    request = checked(request, studio.settings.limits)
    loaded = yield from studio.open(request.model, "paint", load_painter, size_of)
    precision = loaded.model.device.dtype_name
    try:
        return (yield from _run(studio, request, loaded))
    except NotFinite:
        if precision == "float32":
            raise
    del loaded  # the model in half precision may leave the memory
    note = f"In {precision} this model's numbers were not finite; it was painted in float32."
    yield Progress(f"Not finite in {precision}: once more in float32")
    with naming(f"In {precision} its numbers were not finite; in float32"):
        loaded = yield from studio.open(
            request.model, "paint", load_painter, size_of, in_float32=True
        )
        return (yield from _run(studio, request, loaded, note))


def _run(
    studio: Studio, request: PaintRequest, loaded: Loaded, *notes: str
) -> Generator[Progress | Preview, None, PaintResult]:
    """A checked request, painted by a model whose lease ends with it."""
    with loaded.lease:
        painter: Painter = loaded.model
        check_size(painter.family, request.width, request.height)
        said = [*notes, *loaded.snapshot.notes, *prompt_notes(painter, request)]
        request = with_own_values(painter, request)
        seed = fresh_seed() if request.seed is None else request.seed
        adapters = loaded.snapshot.adapters
        painted = yield from stream(lambda emit: _paint(painter, request, adapters, seed, emit))
        return _result(studio, loaded, request, seed, painted, said)


def with_own_values(painter: Painter, request: PaintRequest) -> PaintRequest:
    """The request with the model's own steps and guidance where it names none."""
    family, guidance_scale = painter.family, request.guidance_scale
    return replace(
        request,
        steps=family.steps if request.steps is None else request.steps,
        guidance_scale=family.guidance_scale if guidance_scale is None else guidance_scale,
    )


def prompt_notes(painter: Painter, request: PaintRequest) -> list[str]:
    """What a visitor should know: words unknown or too many, settings that are not read, and
    another scheduler than the one wanted.

    Raises:
        StudioError: as ``scheduler_for``.
    """
    notes = []
    for name, prompt in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if painter.world is not None:
            notes += painter.world.notes(name, prompt)
        dropped = dropped_words(painter.pipeline, prompt)
        if dropped:
            notes.append(
                f"The {name} is too long for this model's text encoder; not read: “{dropped}”."
            )
    notes += setting_notes(painter.family, request.guidance_scale, request.negative_prompt)
    steps = painter.family.steps if request.steps is None else request.steps
    _, note = scheduler_for(painter, request.scheduler, steps)
    return notes if note is None else [*notes, note]


@dataclass(frozen=True)
class _Painted:
    pictures: list[Image.Image]
    seconds: float
    first_step_seconds: float


def _paint(
    painter: Painter, request: PaintRequest, adapters: Sequence[Adapter], seed: int, emit: Emit
) -> _Painted:
    """Runs the pipeline when its turn has come; emits a preview after each step."""
    assert request.steps is not None  # with_own_values has filled it in
    pipeline = own_pipeline(painter, request.scheduler, request.steps)

    def wait() -> None:
        emit(Progress("Waiting for a run with other adapters to end"))

    with applied(painter.pipeline, adapters, wait, is_alone=painter.is_offloaded):
        began = time.perf_counter()
        watcher = _Watcher(painter.preview, request.steps, emit)
        try:
            pictures = _denoised(painter, pipeline, request, seed, watcher)
        finally:
            if painter.is_offloaded:  # a run that was stopped leaves a part on the GPU, too
                painter.pipeline.maybe_free_model_hooks()
        seconds = time.perf_counter() - began
    return _Painted(pictures, seconds, watcher.first_step_seconds)


def _denoised(
    painter: Painter, pipeline: Any, request: PaintRequest, seed: int, watcher: _Watcher
) -> list[Image.Image]:
    import torch

    assert request.guidance_scale is not None  # with_own_values has filled it in
    options = call_options(
        pipeline,
        painter.family,
        guidance_scale=request.guidance_scale,
        negative_prompts=[request.negative_prompt] * request.count,
    )
    if request.width:
        options |= {"width": request.width, "height": request.height}
    with torch.inference_mode():
        pictures = pipeline(
            prompt=[request.prompt] * request.count,
            num_inference_steps=request.steps,
            generator=[torch.Generator().manual_seed(seed + i) for i in range(request.count)],
            output_type="pil",
            **_callback(painter, pipeline, watcher),
            **options,
        ).images
    return list(pictures)


def _callback(painter: Painter, pipeline: Any, watcher: _Watcher) -> dict[str, Any]:
    """The watcher as a pipeline's callback, in the form that its class takes."""
    estimates = clean_estimates(pipeline.scheduler) if painter.preview is not None else None

    def after_step(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        callbacks = len(pipeline.scheduler.timesteps)
        watcher.after_step(step, callbacks, estimates() if estimates else None)
        return tensors

    if "callback_on_step_end" in call_parameters(pipeline):
        return {"callback_on_step_end": after_step}
    return {"callback": lambda step, timestep, latents: after_step(None, step, timestep, {})}


class _Watcher:
    """Turns the pipeline's callbacks into previews with the time that is left."""

    def __init__(self, preview: LatentPreview | None, steps: int, emit: Emit) -> None:
        self._preview = preview
        self._steps = steps
        self._emit = emit
        self._began = time.perf_counter()
        self.first_step_seconds = 0.0

    def after_step(self, step: int, callbacks: int, estimate: torch.Tensor | None) -> None:
        """``step`` counts from 0 to ``callbacks``, which some schedulers make exceed the steps."""
        elapsed = time.perf_counter() - self._began
        if step == 0:
            self.first_step_seconds = elapsed
        done = step + 1
        pictures = []
        if self._preview is not None and estimate is not None:
            pictures = self._preview.render(estimate)
        shown = min(self._steps, round(done * self._steps / callbacks))
        self._emit(Preview(pictures, shown, self._steps, elapsed / done * (callbacks - done)))
        if done == callbacks:  # large pictures take longer to decode than a step
            self._emit(Progress("Decoding"))


def _result(
    studio: Studio,
    loaded: Loaded,
    request: PaintRequest,
    seed: int,
    painted: _Painted,
    notes: list[str],
) -> PaintResult:
    load_seconds = loaded.lease.load_seconds
    timings = {
        "load": load_seconds,
        "first_step": painted.first_step_seconds,
        "total": painted.seconds,
    }
    width, height = painted.pictures[0].size
    request = replace(request, width=width, height=height)
    output = hash_pictures(painted.pictures)
    receipt = make_receipt(
        "paint", loaded.snapshot, request, seed, loaded.model.device, timings, output
    )
    return PaintResult(
        pictures=painted.pictures,
        seed=seed,
        seconds=painted.seconds,
        first_step_seconds=painted.first_step_seconds,
        load_seconds=load_seconds,
        notes=notes,
        receipt=receipt | {"notes": notes},
    )


def size_of(painter: Painter) -> int:
    modules = [part for part in painter.pipeline.components.values() if hasattr(part, "parameters")]
    return parameter_bytes(*modules)
