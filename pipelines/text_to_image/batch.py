"""Paints many prompts in one batch, each as it comes out alone, but for rounding.

For evaluations, which have hundreds of prompts and nobody who watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pipelines.hub import Adapter
from pipelines.runtime.adapters import Wait, applied
from pipelines.text_to_image.families import call_options, call_parameters
from pipelines.text_to_image.painter import Painter, own_pipeline, words_for
from pipelines.text_to_image.pipeline import PaintRequest, with_own_values

if TYPE_CHECKING:
    from PIL import Image


def takes_batches(painter: Painter) -> bool:
    """Not where its parts take turns on the GPU, nor where it cannot be stopped between steps."""
    return not painter.is_offloaded and "callback_on_step_end" in call_parameters(painter.pipeline)


def paint_batch(
    painter: Painter, requests: Sequence[PaintRequest], wait: Wait, adapters: Sequence[Adapter]
) -> list[Image.Image]:
    """A picture for each request, with a generator of its own, in their order.

    Args:
        painter: one that ``takes_batches``.
        requests: checked ones with seeds, alike in all but prompt and seed; each asks for one
            picture without a negative prompt.
        wait: called now and then while others use the model with other adapters, and after
            every step; what it raises ends the batch.
    """
    import torch

    def after_step(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        wait()
        return tensors

    first = with_own_values(painter, requests[0])
    assert first.guidance_scale is not None
    assert first.steps is not None
    with applied(painter.pipeline, adapters, wait):
        pipeline = own_pipeline(painter, first.scheduler, first.steps)
        options = call_options(
            pipeline,
            painter.family,
            guidance_scale=first.guidance_scale,
            negative_prompts=[""] * len(requests),
        )
        with torch.inference_mode():
            pictures: list[Image.Image] = pipeline(
                prompt=[words_for(painter, request.prompt) for request in requests],
                num_inference_steps=first.steps,
                generator=[torch.Generator().manual_seed(cast(int, r.seed)) for r in requests],
                callback_on_step_end=after_step,
                output_type="pil",
                width=first.width,
                height=first.height,
                **options,
            ).images
    return pictures
