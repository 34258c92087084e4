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
from pipelines.events import Progress, translated
from pipelines.hub import Adapter
from pipelines.runtime.adapters import applied
from pipelines.runtime.receipts import hash_pictures, make_receipt
from pipelines.runtime.sampling import fresh_seed
from pipelines.runtime.streaming import Emit, stream
from pipelines.runtime.studio import Loaded, Studio, parameter_bytes
from pipelines.settings import Limits
from pipelines.text_to_image.families import call_options, call_parameters, setting_notes
from pipelines.text_to_image.painter import (
    Painter,
    dropped_words,
    load_painter,
    own_pipeline,
    scheduler_for,
    under_adapters,
    words_for,
)
from pipelines.text_to_image.preview import LatentPreview, clean_estimates
from pipelines.text_to_image.schedulers import OWN_SCHEDULER, SCHEDULERS
from pipelines.text_to_image.sizes import Edge, check_painted, own_size
from pipelines.validation import Choice, Number, Seed, Text, Unchecked, Whole

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True)
class PaintRequest:
    """What to paint. Picture ``i`` of ``count`` uses ``seed + i`` and is painted by itself, so
    that each can be had alone, to the bit.

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
    width: Annotated[int, Edge()] = 0
    height: Annotated[int, Edge()] = 0


Request = PaintRequest
load = load_painter


@dataclass(frozen=True)
class Preview:
    """What the picture in work seems to become, small, after ``step`` of ``steps``.

    ``picture`` counts from 0 to ``count``; ``seconds_left`` are those of all pictures.
    """

    pictures: list[Image.Image]
    step: int
    steps: int
    seconds_left: float
    picture: int = 0
    count: int = 1

    @property
    def progress(self) -> Progress:
        text = f"Step {self.step} of {self.steps}"
        if self.count > 1:
            text = f"Picture {self.picture + 1} of {self.count} · step {self.step} of {self.steps}"
        fraction = (self.picture + self.step / self.steps) / self.count
        return Progress(text, fraction, self.seconds_left)


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
    own_values: str = ""
    """Steps and guidance where the model's own were wanted, and where they are from."""

    @property
    def seconds_per_picture(self) -> float:
        return self.seconds / len(self.pictures)


@dataclass(frozen=True)
class SoFar:
    """The pictures that are finished, as a result of their own, while the next is painted."""

    result: PaintResult
    count: int

    @property
    def progress(self) -> Progress:
        done = len(self.result.pictures)
        return Progress(f"Picture {done} of {self.count} is finished", done / self.count)


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
        noun = "picture" if request.count == 1 else "pictures"
        asked = f"{request.count} {noun} of {request.width} × {request.height}"
        raise InvalidValue(
            f"{asked} have {pixels:,} pixels; at most {limits.picture_pixels:,} are painted "
            "at once. Ask for fewer or smaller ones."
        )
    return request


def generate(
    studio: Studio, request: PaintRequest
) -> Generator[Progress | Preview | SoFar, None, PaintResult]:
    """Yields progress, a preview after each step and what is finished; returns the pictures.

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
) -> Generator[Progress | Preview | SoFar, None, PaintResult]:
    """A checked request, painted by a model whose lease ends with it."""
    with loaded.lease:
        adapters = loaded.snapshot.adapters
        painter = under_adapters(loaded.model, adapters)
        said = [*notes, *loaded.snapshot.notes, *prompt_notes(painter, request)]
        takes_own = request.steps is None or request.guidance_scale is None
        request = checked(with_own_values(painter, request), studio.settings.limits)
        size = request.width, request.height
        check_painted(painter.pipeline, painter.family, size, studio.settings.limits)
        seed = fresh_seed() if request.seed is None else request.seed

        def result(painted: _Painted) -> PaintResult:
            own = painter.family.own_values if takes_own else ""
            return replace(_result(loaded, request, seed, painted, said), own_values=own)

        def shown(event: Any) -> Any:
            return SoFar(result(event), request.count) if isinstance(event, _Painted) else event

        run = stream(lambda emit: _paint(painter, request, adapters, seed, emit))
        painted = yield from translated(run, shown)
        return result(painted)


def with_own_values(painter: Painter, request: PaintRequest) -> PaintRequest:
    """The request with the model's own steps, guidance and size where it names none."""
    family, guidance_scale = painter.family, request.guidance_scale
    width, height = request.width, request.height
    if not width and not height:
        width, height = own_size(painter.pipeline, family)
    takes_own_steps = request.steps is None or not family.takes_steps
    return replace(
        request,
        steps=family.steps if takes_own_steps else request.steps,
        guidance_scale=family.guidance_scale if guidance_scale is None else guidance_scale,
        width=width,
        height=height,
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
        text = words_for(painter, prompt, is_negative=name != "prompt")
        dropped = dropped_words(painter.pipeline, text)
        if dropped:
            notes.append(
                f"The {name} is too long for this model's text encoder; not read: “{dropped}”."
            )
    notes += setting_notes(
        painter.family, request.steps, request.guidance_scale, request.negative_prompt
    )
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
    """Paints one picture after another when the turn has come; emits previews, and what is
    finished while others follow."""

    def wait() -> None:
        emit(Progress("Waiting for a run with other adapters to end"))

    with applied(painter.pipeline, adapters, wait, is_alone=painter.is_offloaded):
        watcher = _Watcher(painter.preview, request, emit)
        painted = _Painted([], 0.0, 0.0)
        try:
            while len(painted.pictures) < request.count:
                if painted.pictures:
                    emit(painted)
                index = len(painted.pictures)
                picture = _denoised(painter, request, seed + index, watcher.begin(index))
                painted = _Painted(
                    [*painted.pictures, picture], watcher.seconds(), watcher.first_step_seconds
                )
        finally:
            if painter.is_offloaded:  # a run that was stopped leaves a part on the GPU, too
                painter.pipeline.maybe_free_model_hooks()
    return painted


def _denoised(painter: Painter, request: PaintRequest, seed: int, watcher: _Watcher) -> Image.Image:
    import torch

    assert request.steps is not None  # with_own_values has filled it in
    assert request.guidance_scale is not None
    pipeline = own_pipeline(painter, request.scheduler, request.steps)
    options = call_options(
        pipeline,
        painter.family,
        guidance_scale=request.guidance_scale,
        negative_prompts=[words_for(painter, request.negative_prompt, is_negative=True)],
    )
    with torch.inference_mode():
        picture: Image.Image = pipeline(
            prompt=[words_for(painter, request.prompt)],
            num_inference_steps=request.steps,
            generator=[torch.Generator().manual_seed(seed)],
            output_type="pil",
            **_callback(painter, pipeline, request, watcher),
            **(options | {"width": request.width, "height": request.height}),
        ).images[0]
    return picture


def _callback(
    painter: Painter, pipeline: Any, request: PaintRequest, watcher: _Watcher
) -> dict[str, Any]:
    """The watcher as a pipeline's callback, in the form that its class takes."""
    estimates = clean_estimates(pipeline.scheduler) if painter.preview is not None else None

    def after_step(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        callbacks = len(pipeline.scheduler.timesteps) if hasattr(pipeline, "scheduler") else 1
        estimate = estimates() if estimates else None
        if estimate is not None and estimate.ndim == 3:  # FLUX.1 and its kin denoise a sequence
            size = request.height, request.width
            estimate = pipeline._unpack_latents(estimate, *size, pipeline.vae_scale_factor)
        watcher.after_step(step, callbacks, estimate)
        return tensors

    if "callback_on_step_end" in call_parameters(pipeline):
        return {"callback_on_step_end": after_step}
    return {"callback": lambda step, timestep, latents: after_step(None, step, timestep, {})}


class _Watcher:
    """Turns the pipeline's callbacks into previews with the time that is left."""

    def __init__(self, preview: LatentPreview | None, request: PaintRequest, emit: Emit) -> None:
        assert request.steps is not None  # with_own_values has filled it in
        self._preview = preview
        self._steps = request.steps
        self._count = request.count
        self._emit = emit
        self._picture = 0
        self._began = time.perf_counter()
        self.first_step_seconds = 0.0

    def begin(self, picture: int) -> _Watcher:
        """The same one, for the picture of this index."""
        self._picture = picture
        return self

    def seconds(self) -> float:
        """Since the first picture was begun."""
        return time.perf_counter() - self._began

    def after_step(self, step: int, callbacks: int, estimate: torch.Tensor | None) -> None:
        """``step`` counts from 0 to ``callbacks``, which some schedulers make exceed the steps."""
        elapsed = self.seconds()
        done = step + 1
        if step == self._picture == 0:
            self.first_step_seconds = elapsed
        pictures = []
        if self._preview is not None and estimate is not None:
            pictures = self._preview.render(estimate)
        shown = min(self._steps, round(done * self._steps / callbacks))
        part = (self._picture + done / callbacks) / self._count
        left = elapsed / part * (1 - part)
        self._emit(Preview(pictures, shown, self._steps, left, self._picture, self._count))
        if done == callbacks:  # large pictures take longer to decode than a step
            self._emit(Progress("Decoding"))


def _result(
    loaded: Loaded, request: PaintRequest, seed: int, painted: _Painted, notes: list[str]
) -> PaintResult:
    """Of the pictures that are painted, be they fewer than the request's."""
    load_seconds = loaded.lease.load_seconds
    timings = {
        "load": load_seconds,
        "first_step": painted.first_step_seconds,
        "total": painted.seconds,
    }
    width, height = painted.pictures[0].size
    if (request.width, request.height) != (width, height):
        asked = f"{request.width} × {request.height}"
        notes = [*notes, f"{asked} pixels were asked for; this model painted {width} × {height}."]
    request = replace(request, count=len(painted.pictures), width=width, height=height)
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
