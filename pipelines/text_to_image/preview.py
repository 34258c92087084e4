"""Previews while a picture is denoised: the clean estimate, through a linear map.

Decoding each step with the autoencoder would cost as much as denoising it. A linear map
from latent channels to colours, fitted when the autoencoder was trained and stored in
the checkpoint's ``world.json``, costs a fiftieth of a millisecond.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipelines.errors import LoadFailed

if TYPE_CHECKING:
    import torch

PREVIEW_EDGE = 256


@dataclass(frozen=True)
class LatentPreview:
    """``rgb = latents @ weights + bias``: weights ``(C, 3)``, bias ``(3,)``, rgb in [-1, 1]."""

    weights: np.ndarray[Any, np.dtype[np.float32]]
    bias: np.ndarray[Any, np.dtype[np.float32]]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> LatentPreview:
        """Reads ``{"weights": [[...], ...], "bias": [...]}``.

        Raises:
            LoadFailed: the numbers do not have these shapes.
        """
        weights = np.asarray(value.get("weights"), np.float32)
        bias = np.asarray(value.get("bias"), np.float32)
        if weights.ndim != 2 or weights.shape[1:] != (3,) or bias.shape != (3,):
            raise LoadFailed(
                f"world.json: preview has weights of shape {weights.shape} and bias of shape "
                f"{bias.shape}; (channels, 3) and (3,) are needed."
            )
        return cls(weights, bias)

    def render(self, latents: torch.Tensor) -> list[Image.Image]:
        """One small picture for each of the latents ``(N, C, h, w)``."""
        cells = latents.float().permute(0, 2, 3, 1).cpu().numpy()
        if cells.shape[-1] != self.weights.shape[0]:
            return []
        rgb = np.clip((cells @ self.weights + self.bias) * 127.5 + 127.5, 0, 255).astype(np.uint8)
        scale = PREVIEW_EDGE / max(rgb.shape[1:3])
        size = round(rgb.shape[2] * scale), round(rgb.shape[1] * scale)
        return [Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC) for picture in rgb]


def clean_estimates(scheduler: Any) -> Callable[[], torch.Tensor | None]:
    """Watches a request's own scheduler; the function returned tells its last estimate of x_0.

    One-step solvers return the estimate beside the next latents; multistep ones keep it
    in ``model_outputs``.
    """
    original = scheduler.step
    last: list[torch.Tensor | None] = [None]

    def step(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if isinstance(result, tuple) and len(result) > 1:
            last[0] = result[1]
        elif getattr(scheduler, "model_outputs", None):
            last[0] = scheduler.model_outputs[-1]
        return result

    # Pipelines ask for the signature of ``step`` to learn whether it takes eta and generator.
    step.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    scheduler.step = step
    return lambda: last[0]
