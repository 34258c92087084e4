"""Loads a painter, and makes of it, for each request, a pipeline that nothing else holds.

The weights are shared; what has a state in a run (schedulers) is not.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.device import Device
from pipelines.errors import WrongTask
from pipelines.hub import Adapter, Snapshot, read_json
from pipelines.hub.own_models import own_class
from pipelines.text_to_image import finite
from pipelines.text_to_image.families import (
    FAMILIES,
    Family,
    call_parameters,
    check_scheduler,
)
from pipelines.text_to_image.own_settings import own_family, with_loras
from pipelines.text_to_image.preview import LatentPreview
from pipelines.text_to_image.schedulers import own_scheduler
from pipelines.text_to_image.world import World

_GIB = 1024**3
_WORKING_BYTES = 3 * _GIB
"""What denoising and decoding a picture of a megapixel take beside the weights, about."""
_READS_ALL = 100_000
"""A tokenizer's window beyond this means that it tells none."""


@dataclass(frozen=True)
class Painter:
    """A loaded diffusers pipeline, what it knows of its world, and how to preview it.

    ``device`` is where and in which precision it runs. ``is_offloaded``: its parts take turns
    on the GPU, so that one run at a time can use it.
    """

    pipeline: Any
    family: Family
    world: World | None
    preview: LatentPreview | None
    device: Device
    is_offloaded: bool


@dataclass(frozen=True)
class MemoryPlan:
    """How to fit a pipeline on a GPU: parts in turns, pictures decoded in tiles."""

    offloads: bool
    tiles: bool


def memory_plan(weight_bytes: int, free_bytes: int) -> MemoryPlan:
    """What to do for weights of this size (as they will lie there) in so much free memory."""
    left = free_bytes - weight_bytes
    return MemoryPlan(offloads=left < _WORKING_BYTES // 2, tiles=left < _WORKING_BYTES)


def load_painter(snapshot: Snapshot, device: Device) -> Painter:
    """The pipeline of a snapshot on the device, without a safety checker's second model.

    Raises:
        WrongTask: a diffusers pipeline that this page has no settings for.
    """
    from diffusers import DiffusionPipeline

    kind = FAMILIES.get(snapshot.family)
    if kind is None:
        raise WrongTask(f"{snapshot.reference} is a {snapshot.family}, which is not known here.")
    device = fitting_device(device, kind)
    pipeline = (own_class(snapshot.family) or DiffusionPipeline).from_pretrained(
        str(snapshot.path),
        dtype=device.dtype,
        variant=snapshot.variant,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        **_parts_left_out(snapshot.path),
    )
    finite.watch(pipeline)
    is_offloaded = _placed(pipeline, snapshot, device)
    _let_tokenizers_take_turns(pipeline)
    known = read_json(snapshot.path / "world.json")
    return Painter(
        pipeline,
        own_family(snapshot.path, snapshot.family, snapshot.reference),
        world=World.from_json(known) if known else None,
        preview=LatentPreview.from_json(known["preview"])
        if "preview" in known
        else LatentPreview.of_known(getattr(pipeline, "vae", None)),
        device=device,
        is_offloaded=is_offloaded,
    )


def under_adapters(painter: Painter, adapters: Sequence[Adapter]) -> Painter:
    """The painter with the steps and guidance that the names of these adapters tell."""
    loras = [(adapter.reference, adapter.weight) for adapter in adapters]
    kind = type(painter.pipeline).__name__
    return replace(painter, family=with_loras(painter.family, kind, loras))


def fitting_device(device: Device, kind: Family) -> Device:
    """The device in a precision that holds this kind's numbers."""
    if device.dtype_name == "float16" and kind.needs_range:
        return replace(device, dtype_name="bfloat16")
    return device


def _placed(pipeline: Any, snapshot: Snapshot, device: Device) -> bool:
    """Puts the pipeline on its device; True if its parts take turns there."""
    pipeline.set_progress_bar_config(disable=True)
    plan = MemoryPlan(offloads=False, tiles=False)
    if device.kind == "cuda":
        import torch

        free_bytes, _ = torch.cuda.mem_get_info()
        plan = memory_plan(snapshot.parameters * device.dtype.itemsize, free_bytes)
    vae: Any = getattr(pipeline, "vae", None)
    if plan.tiles and hasattr(vae, "enable_tiling"):
        vae.enable_tiling()
        vae.enable_slicing()
    if plan.offloads:
        pipeline.enable_model_cpu_offload(device=device.kind)
    else:
        pipeline.to(device.kind)
    return plan.offloads


def _parts_left_out(path: Path) -> dict[str, Any]:
    """The safety checker, and what was saved as absent: diffusers wants to hear of it again."""
    parts = read_json(path / "model_index.json")
    return {
        name: None
        for name, source in parts.items()
        if name == "safety_checker" or source == [None, None]
    }


def _let_tokenizers_take_turns(pipeline: Any) -> None:
    """Encoding first sets padding and truncation on what all share, then encodes with them."""
    from transformers import PreTrainedTokenizerBase

    for part in pipeline.components.values():
        if isinstance(part, PreTrainedTokenizerBase):
            _give_lock(part)


def _give_lock(tokenizer: Any) -> None:
    """Locks what every way to encode ends in: a call, and ``tokenize``, which pipelines use too."""
    kind = type(tokenizer)
    lock = threading.RLock()  # a slow tokenizer encodes a batch by encoding each text

    def locked(self: Any, *args: Any, **kwargs: Any) -> Any:
        with lock:
            return kind._encode_plus(self, *args, **kwargs)

    members = {"_encode_plus": locked, "__module__": kind.__module__}
    tokenizer.__class__ = type(kind.__name__, (kind,), members)


def scheduler_for(painter: Painter, wanted: str, steps: int) -> tuple[Any, str | None]:
    """A scheduler for one run, and a note where it is another than the one wanted; None for a
    painter that has none.

    Raises:
        InvalidValue: the scheduler does not fit this kind of painter.
        LoadFailed: the model's own scheduler does not run.
    """
    shared = getattr(painter.pipeline, "scheduler", None)
    check_scheduler(painter.pipeline, painter.family, wanted)
    if shared is None:
        return None, None
    if not painter.family.takes_schedulers:
        return type(shared).from_config(shared.config), None
    return own_scheduler(shared, wanted, steps)


def own_pipeline(painter: Painter, scheduler: str, steps: int) -> Any:
    """A pipeline over the shared weights with schedulers of its own: about a millisecond.

    Raises:
        StudioError: as ``scheduler_for``.
    """
    from diffusers import SchedulerMixin

    shared = painter.pipeline
    parts = dict(shared.components)
    for name, part in parts.items():
        if isinstance(part, SchedulerMixin):
            parts[name] = type(part).from_config(part.config)
    if "scheduler" in parts:
        parts["scheduler"], _ = scheduler_for(painter, scheduler, steps)
    for name in inspect.signature(type(shared).__init__).parameters:
        if name not in parts and name in shared.config:
            parts[name] = shared.config[name]
    if "safety_checker" in parts:
        parts["requires_safety_checker"] = False
    clone = type(shared)(**parts)
    clone.set_progress_bar_config(disable=True)
    return clone


def words_for(painter: Painter, prompt: str, *, is_negative: bool = False) -> str:
    """What the text encoder gets: a small world's emoji in words, and of a negative prompt only
    the words that it knows, for an unknown one would pull the picture anywhere."""
    if painter.world is None:
        return prompt
    text = painter.world.read(prompt)
    return painter.world.known_part(text) if is_negative else text


def dropped_words(pipeline: Any, prompt: str) -> str:
    """The end of the prompt that lies beyond the text encoder's window.

    Where several encoders read it, that of the longest window counts.
    """
    names = ("tokenizer_3", "tokenizer_2", "tokenizer", "prior_tokenizer")
    tokenizers = [getattr(pipeline, name, None) for name in names]
    tokenizer = next((one for one in tokenizers if one is not None), None)
    if tokenizer is None or not tokenizer.is_fast:
        return ""
    window = tokenizer.model_max_length
    longest = call_parameters(pipeline).get("max_sequence_length")
    if isinstance(longest, int):
        window = min(window, longest)
    if window > _READS_ALL:
        return ""
    encoded = tokenizer(prompt, return_offsets_mapping=True)
    if len(encoded["input_ids"]) <= window:
        return ""
    return prompt[encoded["offset_mapping"][window - 1][0] :]  # the last place is the end token's
