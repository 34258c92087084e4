"""Paints: pictures from a prompt with a diffusers text-to-image pipeline.

Importing this module loads no torch and reads no disk. A loaded pipeline is shared; what
holds state in a run (scheduler, random generators) is made anew for every request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines import validation
from pipelines.device import Device
from pipelines.errors import InvalidValue
from pipelines.events import Progress
from pipelines.hub import Snapshot, read_json
from pipelines.receipts import hash_pictures, make_receipt
from pipelines.sampling import fresh_seed
from pipelines.settings import Limits
from pipelines.streaming import Emit, stream
from pipelines.studio import Loaded, Studio, parameter_bytes
from pipelines.text_to_image.preview import LatentPreview, clean_estimates
from pipelines.text_to_image.world import World

if TYPE_CHECKING:
    import torch
    from PIL import Image

SCHEDULERS = {
    "DDIM": ("DDIMScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "UniPC": ("UniPCMultistepScheduler", {}),
}
"""Names that people know, diffusers' classes, and what sets them apart."""


@dataclass(frozen=True)
class PaintRequest:
    """What to paint. Picture ``i`` of ``count`` uses ``seed + i``, so each can be had alone.

    ``guidance_scale`` of 1 or less turns guidance off. ``width`` and ``height`` in
    pixels, 0 for the model's own.
    """

    model: str
    prompt: str
    negative_prompt: str = ""
    steps: int = 20
    guidance_scale: float = 4.0
    scheduler: str = "DDIM"
    seed: int | None = None
    count: int = 1
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Preview:
    """What the pictures seem to become, small, after ``step`` of ``steps``."""

    pictures: list[Image.Image]
    step: int
    steps: int
    seconds_left: float


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


@dataclass(frozen=True)
class Painter:
    """A loaded diffusers pipeline, what it knows of its world, and how to preview it."""

    pipeline: Any
    world: World | None
    preview: LatentPreview | None


def checked(request: PaintRequest, limits: Limits) -> PaintRequest:
    """The request with every field of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    longest = limits.paint_prompt_characters
    request = PaintRequest(
        model=request.model,
        prompt=validation.text("prompt", request.prompt, longest),
        negative_prompt=validation.text("negative_prompt", request.negative_prompt, longest),
        steps=validation.whole_number("steps", request.steps, 1, limits.steps),
        guidance_scale=validation.number(
            "guidance_scale", request.guidance_scale, 0.0, limits.guidance_scale
        ),
        scheduler=validation.choice("scheduler", request.scheduler, list(SCHEDULERS)),
        seed=validation.seed_or_none(request.seed),
        count=validation.whole_number("count", request.count, 1, limits.pictures),
        width=_checked_edge("width", request.width, limits),
        height=_checked_edge("height", request.height, limits),
    )
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


def _checked_edge(name: str, value: object, limits: Limits) -> int:
    edge = validation.whole_number(name, value, 0, limits.edge_pixels)
    if edge % 8 or 0 < edge < 64:
        raise InvalidValue(
            f"{name} is {edge}; give a multiple of 8 from 64 to {limits.edge_pixels}, "
            "or 0 for the model's own size."
        )
    return edge


def generate(
    studio: Studio, request: PaintRequest
) -> Generator[Progress | Preview, None, PaintResult]:
    """Yields progress and a preview after each step; returns the pictures.

    Closing the generator stops within one denoising step and disturbs no other run.

    Raises:
        StudioError: a field or the model is at fault.
    """
    request = checked(request, studio.settings.limits)
    loaded = yield from studio.open(request.model, "paint", load_painter, _size_of)
    with loaded.lease:
        painter: Painter = loaded.model
        seed = fresh_seed() if request.seed is None else request.seed
        notes = prompt_notes(painter, request)
        painted = yield from stream(lambda emit: _paint(painter, request, seed, emit))
        return _result(studio, loaded, request, seed, painted, notes)


def load_painter(snapshot: Snapshot, device: Device) -> Painter:
    """The pipeline of a snapshot on the device, without a safety checker's second model."""
    from diffusers import DiffusionPipeline
    from transformers import PreTrainedTokenizerBase

    pipeline = DiffusionPipeline.from_pretrained(
        str(snapshot.path),
        dtype=device.dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        **_without_safety_checker(snapshot),
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device.kind)
    for part in pipeline.components.values():
        if isinstance(part, PreTrainedTokenizerBase):
            _let_threads_take_turns(part)
    known = read_json(snapshot.path / "world.json")
    return Painter(
        pipeline,
        world=World.from_json(known) if known else None,
        preview=LatentPreview.from_json(known["preview"]) if "preview" in known else None,
    )


def _let_threads_take_turns(tokenizer: Any) -> None:
    """A call first sets padding and truncation on what all share, then encodes with them."""
    kind = type(tokenizer)
    lock = threading.Lock()

    def locked_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with lock:
            return kind.__call__(self, *args, **kwargs)

    members = {"__call__": locked_call, "__module__": kind.__module__}
    tokenizer.__class__ = type(kind.__name__, (kind,), members)


def _without_safety_checker(snapshot: Snapshot) -> dict[str, Any]:
    parts = read_json(snapshot.path / "model_index.json")
    return {"safety_checker": None} if "safety_checker" in parts else {}


def prompt_notes(painter: Painter, request: PaintRequest) -> list[str]:
    """What a visitor should know of the prompt: words unknown, words that do not fit."""
    notes = []
    for name, prompt in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if painter.world is not None:
            notes += painter.world.notes(name, prompt)
        dropped = _dropped_words(painter.pipeline.tokenizer, prompt)
        if dropped:
            notes.append(
                f"The {name} is too long for this model's text encoder; not read: “{dropped}”."
            )
    return notes


def _dropped_words(tokenizer: Any, prompt: str) -> str:
    """The end of the prompt that lies beyond the text encoder's window."""
    encoded = tokenizer(prompt, return_offsets_mapping=True)
    room = tokenizer.model_max_length - 1  # the last place is the end token's
    if len(encoded["input_ids"]) <= tokenizer.model_max_length:
        return ""
    return prompt[encoded["offset_mapping"][room][0] :]


@dataclass(frozen=True)
class _Painted:
    pictures: list[Image.Image]
    seconds: float
    first_step_seconds: float


def _paint(painter: Painter, request: PaintRequest, seed: int, emit: Emit) -> _Painted:
    """Runs the pipeline; emits a preview after each step."""
    import torch

    began = time.perf_counter()
    pipeline = own_pipeline(painter.pipeline, request.scheduler)
    watcher = _Watcher(painter.preview, request, emit)
    estimates = clean_estimates(pipeline.scheduler) if painter.preview is not None else None

    def after_step(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        watcher.after_step(step, pipeline.num_timesteps, estimates() if estimates else None)
        return tensors

    with torch.inference_mode():
        pictures = pipeline(
            prompt=[request.prompt] * request.count,
            negative_prompt=[request.negative_prompt] * request.count,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            width=request.width or None,
            height=request.height or None,
            generator=[torch.Generator().manual_seed(seed + i) for i in range(request.count)],
            callback_on_step_end=after_step,
            callback_on_step_end_tensor_inputs=["latents"],
            output_type="pil",
        ).images
    return _Painted(list(pictures), time.perf_counter() - began, watcher.first_step_seconds)


def own_pipeline(shared: Any, scheduler: str) -> Any:
    """A pipeline over the shared weights with a scheduler of its own: about a millisecond."""
    import diffusers

    class_name, options = SCHEDULERS[scheduler]
    own = getattr(diffusers, class_name).from_config(shared.scheduler.config, **options)
    extra = {"requires_safety_checker": False} if "safety_checker" in shared.components else {}
    clone = type(shared)(**{**shared.components, "scheduler": own}, **extra)
    clone.set_progress_bar_config(disable=True)
    return clone


class _Watcher:
    """Turns the pipeline's callbacks into previews with the time that is left."""

    def __init__(self, preview: LatentPreview | None, request: PaintRequest, emit: Emit) -> None:
        self._preview = preview
        self._request = request
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
        steps = self._request.steps
        shown = min(steps, round(done * steps / callbacks))
        self._emit(Preview(pictures, shown, steps, elapsed / done * (callbacks - done)))


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
    return PaintResult(
        pictures=painted.pictures,
        seed=seed,
        seconds=painted.seconds,
        first_step_seconds=painted.first_step_seconds,
        load_seconds=load_seconds,
        notes=notes,
        receipt=make_receipt(
            "paint", loaded.snapshot, request, seed, studio.device, timings, output
        ),
    )


def _size_of(painter: Painter) -> int:
    modules = [part for part in painter.pipeline.components.values() if hasattr(part, "parameters")]
    return parameter_bytes(*modules)
