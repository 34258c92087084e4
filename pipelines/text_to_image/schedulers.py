"""The schedulers that people know by name, and which of them runs with a model's noise schedule.

Diffusers fails half way through some pairs (Karras sigmas on a cosine schedule), so a pair is
tried out first, on one number in place of a picture.
"""

from __future__ import annotations

import inspect
import json
from functools import lru_cache
from typing import Any

from pipelines.errors import LoadFailed

OWN_SCHEDULER = "Model's own"
SCHEDULERS: dict[str, tuple[str | None, dict[str, Any]]] = {
    OWN_SCHEDULER: (None, {}),
    "DDIM": ("DDIMScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "LCM": ("LCMScheduler", {}),
    "PNDM": ("PNDMScheduler", {}),
    "TCD": ("TCDScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
}
"""Names that people know, diffusers' classes, and what sets them apart."""

_PLAIN = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
"""Noise levels as the model's schedule spaces them."""


def own_scheduler(shared: Any, wanted: str, steps: int) -> tuple[Any, str | None]:
    """A scheduler for one run, made from a pipeline's own; with a note where it is another than
    the one wanted, because that one does not run with the model's noise schedule.

    Tried in this order: it, it without Karras sigmas, the model's own, that one without them.

    Raises:
        LoadFailed: not even the model's own runs.
    """
    import diffusers

    class_name, options = SCHEDULERS[wanted]
    kind = type(shared) if class_name is None else getattr(diffusers, class_name)
    attempts = [
        (wanted, kind, options),
        (f"{wanted.removesuffix(' Karras')} without Karras sigmas", kind, _PLAIN),
        (OWN_SCHEDULER, type(shared), {}),
        (f"{OWN_SCHEDULER} without Karras sigmas", type(shared), _PLAIN),
    ]
    for name, each, changes in attempts:
        scheduler = _made(each, shared, changes)
        if scheduler is not None and _runs(type(scheduler).__name__, _as_json(scheduler), steps):
            return scheduler, None if name == wanted else _note(wanted, shared, steps, name)
    raise LoadFailed(
        f"This checkpoint's scheduler, {type(shared).__name__} with {_schedule(shared)}, does not "
        f"run for {steps} steps. Correct its scheduler_config.json, or choose another checkpoint."
    )


def _note(wanted: str, shared: Any, steps: int, name: str) -> str:
    return (
        f"The scheduler {wanted} does not run for {steps} steps with this model's "
        f"{_schedule(shared)}; used in its place: {name}."
    )


def _schedule(shared: Any) -> str:
    config = shared.config
    return f"noise schedule ({config.get('beta_schedule')}, {config.get('prediction_type')})"


def _made(kind: Any, shared: Any, changes: dict[str, Any]) -> Any | None:
    """None where the class refuses these settings."""
    takes = inspect.signature(kind.__init__).parameters
    known = {name: value for name, value in changes.items() if name in takes}
    try:
        return kind.from_config(shared.config, **known)
    except (NotImplementedError, ValueError):
        return None


def _as_json(scheduler: Any) -> str:
    return json.dumps(dict(scheduler.config), sort_keys=True, default=str)


@lru_cache(maxsize=512)
def _runs(class_name: str, config: str, steps: int) -> bool:
    """Whether a scheduler comes to its end on one number: some milliseconds, the first time."""
    import diffusers
    import torch

    scheduler = getattr(diffusers, class_name).from_config(json.loads(config))
    takes = inspect.signature(scheduler.step).parameters
    options = {"generator": torch.Generator()} if "generator" in takes else {}
    sample = torch.zeros(1, 1, 1, 1)
    try:
        scheduler.set_timesteps(steps)
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(sample, timestep)
            sample = scheduler.step(scaled, timestep, sample, return_dict=False, **options)[0]
    except Exception:  # whatever it is: it would end a run in the same way
        return False
    return bool(torch.isfinite(sample).all())
