"""The size in pixels that a painter paints: its own where none is given, else what fits it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipelines import validation
from pipelines.errors import InvalidValue
from pipelines.settings import Limits
from pipelines.text_to_image.families import Family, call_parameters, check_size
from pipelines.validation import Rule

SHORTEST_EDGE = 64
_WITHOUT_A_WORD = 1024
"""What a pipeline paints whose class and configuration name no size, as Z-Image's do not."""


@dataclass(frozen=True)
class Edge(Rule):
    """A width or height in pixels; 0 for the model's own.

    What no model can have as its own is refused here, the rest once the model is known.
    """

    def check(self, name: str, value: object, limits: Limits) -> int:
        edge = validation.whole_number(name, value, 0, math.isqrt(limits.picture_pixels))
        if edge % 8:
            raise InvalidValue(
                f"{name} is {edge}; give a multiple of 8 from {SHORTEST_EDGE} to "
                f"{limits.edge_pixels}, or 0 for the model's own size."
            )
        return edge


def own_size(pipeline: Any, family: Family) -> tuple[int, int]:
    """Width and height in pixels that a pipeline paints where no size is given."""
    taken = call_parameters(pipeline)
    width, height = taken.get("width"), taken.get("height")
    if not family.tells_size and isinstance(width, int) and isinstance(height, int):
        return width, height
    in_pixels = pipeline.config.get("default_sample_size")
    if in_pixels is not None:
        return in_pixels, in_pixels
    denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    cells = getattr(pipeline, "default_sample_size", None)
    if cells is None:
        cells = getattr(getattr(denoiser, "config", None), "sample_size", None)
    if cells is None:
        return _WITHOUT_A_WORD, _WITHOUT_A_WORD
    rows, columns = (cells, cells) if isinstance(cells, int) else cells
    scale: int = getattr(pipeline, "vae_scale_factor", 1)  # a pipeline without one paints pixels
    return columns * scale, rows * scale


def check_painted(pipeline: Any, family: Family, size: tuple[int, int], limits: Limits) -> None:
    """Refuses a width and height that this painter would change or fail at.

    Its own size is right, whatever bounds other sizes have.

    Raises:
        InvalidValue: naming the side and what it may be.
    """
    own = own_size(pipeline, family)
    if size == own:
        return
    for name, edge in zip(("width", "height"), size, strict=True):
        if edge % 8 or not SHORTEST_EDGE <= edge <= limits.edge_pixels:
            raise InvalidValue(
                f"{name} is {edge}; give a multiple of 8 from {SHORTEST_EDGE} to "
                f"{limits.edge_pixels}, or 0 for both sides to have the model's own size, "
                f"{own[0]} × {own[1]}."
            )
    check_size(family, *size)
