"""Makes a comparison's request of plain fields, as a page or an API client sends them.

Each task reads its own fields and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import InvalidValue
from pipelines.files.images import open_picture
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.model_comparison.pipeline import CompareRequest, SideRequest
from pipelines.settings import Limits
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image.pipeline import PaintRequest


@dataclass(frozen=True)
class SharedFields:
    """What both sides get. ``picture`` is the path of an uploaded file."""

    task: Any
    prompt: str
    seed: int | None
    max_new_tokens: int
    picture: str | None


@dataclass(frozen=True)
class SideFields:
    """One side's model and its settings for every task."""

    model: str
    temperature: float
    steps: int
    guidance_scale: float
    scheduler: str
    method: str
    captions: int


def compare_request(
    shared: SharedFields, a: SideFields, b: SideFields, limits: Limits
) -> CompareRequest:
    """The request; its fields are checked when it runs, the picture's file here.

    Raises:
        InvalidValue: a picture is needed and there is none, or none that can be read.
    """
    picture = None
    if shared.task == "describe":
        if not shared.picture:
            raise InvalidValue("There is no picture yet. Upload, paste or take one.")
        picture = open_picture(Path(shared.picture), limits)
    return CompareRequest(shared.task, _side(shared, a, picture), _side(shared, b, picture))


def _side(shared: SharedFields, own: SideFields, picture: Any) -> SideRequest:
    if shared.task == "paint":
        return PaintRequest(
            own.model,
            shared.prompt,
            steps=own.steps,
            guidance_scale=own.guidance_scale,
            scheduler=own.scheduler,
            seed=shared.seed,
        )
    if shared.task == "describe":
        return CaptionRequest(
            own.model, picture, method=own.method, count=own.captions, seed=shared.seed
        )
    return TextRequest(
        own.model, shared.prompt, shared.max_new_tokens, own.temperature, seed=shared.seed
    )
