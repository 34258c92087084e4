"""Previews while a picture is denoised: the clean estimate, through a small map to colours.

Decoding each step with the autoencoder would cost as much as denoising it; the map costs less than
a millisecond. That of a painter of the small world stands in its ``world.json``, fitted to its own
autoencoder; those of well-known autoencoders are in ``KNOWN``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipelines.errors import LoadFailed

if TYPE_CHECKING:
    import torch

PREVIEW_EDGE = 256
_Floats = np.ndarray[Any, np.dtype[np.float32]]

KNOWN: Mapping[tuple[Any, Any], Mapping[str, Any]] = {
    (4, 0.18215): {  # Stable Diffusion 1 and 2
        "weights": [
            [0.3512, 0.2297, 0.3227],
            [0.3250, 0.4974, 0.2350],
            [-0.2829, 0.1762, 0.2721],
            [-0.2120, -0.2616, -0.7177],
        ],
        "bias": [0.0, 0.0, 0.0],
    },
    (4, 0.13025): {  # Stable Diffusion XL; PixArt Sigma, AuraFlow and Hunyuan-DiT have it, too
        "weights": [
            [0.3651, 0.4232, 0.4341],
            [-0.2533, -0.0042, 0.1068],
            [0.1076, 0.1111, -0.0362],
            [-0.3165, -0.2492, -0.2188],
        ],
        "bias": [0.1084, -0.0175, -0.0011],
    },
    (16, 1.5305): {  # Stable Diffusion 3
        "weights": [
            [-0.0922, -0.0175, 0.0749], [0.0311, 0.0633, 0.0954], [0.1994, 0.0927, 0.0458],
            [0.0856, 0.0339, 0.0902], [0.0587, 0.0272, -0.0496], [-0.0006, 0.1104, 0.0309],
            [0.0978, 0.0306, 0.0427], [-0.0042, 0.1038, 0.1358], [-0.0194, 0.0020, 0.0669],
            [-0.0488, 0.0130, -0.0268], [0.0922, 0.0988, 0.0951], [-0.0278, 0.0524, -0.0542],
            [0.0332, 0.0456, 0.0895], [-0.0069, -0.0030, -0.0810], [-0.0596, -0.0465, -0.0293],
            [-0.1448, -0.1463, -0.1189],
        ],
        "bias": [0.2394, 0.2135, 0.1925],
    },
    (16, 0.3611): {  # FLUX.1; Z-Image, Chroma and Lumina 2 have it, too
        "weights": [
            [-0.0346, 0.0244, 0.0681], [0.0034, 0.0210, 0.0687], [0.0275, -0.0668, -0.0433],
            [-0.0174, 0.0160, 0.0617], [0.0859, 0.0721, 0.0329], [0.0004, 0.0383, 0.0115],
            [0.0405, 0.0861, 0.0915], [-0.0236, -0.0185, -0.0259], [-0.0245, 0.0250, 0.1180],
            [0.1008, 0.0755, -0.0421], [-0.0515, 0.0201, 0.0011], [0.0428, -0.0012, -0.0036],
            [0.0817, 0.0765, 0.0749], [-0.1264, -0.0522, -0.1103], [-0.0280, -0.0881, -0.0499],
            [-0.1262, -0.0982, -0.0778],
        ],
        "bias": [-0.0329, -0.0718, -0.0851],
    },
}  # fmt: skip
"""By latent channels and scaling factor: factors that ComfyUI measured (``latent_formats.py``)."""


@dataclass(frozen=True)
class LatentPreview:
    """``rgb = latents @ weights + products of channels @ products + bias``, rgb in [-1, 1].

    Weights ``(C, 3)``, bias ``(3,)``; products ``(C * (C + 1) / 2, 3)`` in the order of the upper
    triangle, or ``(0, 3)`` for a linear map.
    """

    weights: _Floats
    bias: _Floats
    products: _Floats

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LatentPreview:
        """Reads ``{"weights": [[...], ...], "bias": [...]}``, and ``products`` where there are any.

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
        products = np.asarray(value.get("products", np.zeros((0, 3))), np.float32)
        needed = len(weights) * (len(weights) + 1) // 2, 3
        if "products" in value and products.shape != needed:
            raise LoadFailed(
                f"world.json: preview has products of shape {products.shape}; {needed} is needed."
            )
        return cls(weights, bias, products)

    @classmethod
    def of_known(cls, vae: Any) -> LatentPreview | None:
        """The map of a well-known autoencoder, told by its channels and its scaling factor."""
        config = getattr(vae, "config", {})
        told = config.get("latent_channels"), config.get("scaling_factor")
        known = KNOWN.get(told)
        return None if known is None else cls.from_json(known)

    def render(self, latents: torch.Tensor) -> list[Image.Image]:
        """One small picture for each of the latents ``(N, C, h, w)``."""
        cells = latents.float().movedim(1, -1).cpu().numpy()
        if cells.ndim != 4 or cells.shape[-1] != self.weights.shape[0]:
            return []
        colours = cells @ self.weights + self.bias
        if len(self.products):
            first, second = np.triu_indices(cells.shape[-1])
            colours += (cells[..., first] * cells[..., second]) @ self.products
        rgb = np.clip(colours * 127.5 + 127.5, 0, 255).astype(np.uint8)
        scale = PREVIEW_EDGE / max(rgb.shape[1:3])
        size = round(rgb.shape[2] * scale), round(rgb.shape[1] * scale)
        return [Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC) for picture in rgb]


def clean_estimates(scheduler: Any) -> Callable[[], torch.Tensor | None]:
    """Watches a request's own scheduler; the function returned tells its last estimate of x_0.

    One-step solvers return the estimate beside the next latents; multistep ones keep it
    in ``model_outputs``. For others it is worked out from the model's answer.
    """
    original = scheduler.step
    last: list[torch.Tensor | None] = [None]

    def step(*args: Any, **kwargs: Any) -> Any:
        answer, timestep, sample = args[:3] if len(args) > 2 else (None, None, None)
        result = original(*args, **kwargs)
        if isinstance(result, tuple) and len(result) > 1:
            last[0] = result[1]
        elif getattr(scheduler, "model_outputs", None):
            last[0] = scheduler.model_outputs[-1]
        elif answer is not None:
            last[0] = _worked_out(scheduler, answer, timestep, sample)
        return result

    # Pipelines ask for the signature of ``step`` to learn whether it takes eta and generator.
    step.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    scheduler.step = step
    return lambda: last[0]


def _worked_out(scheduler: Any, answer: Any, timestep: Any, sample: Any) -> torch.Tensor | None:
    """x_0 from the answer at a time: of flow matching, or of noise prediction (PNDM).

    ``x_t = (1 - s) x_0 + s e`` and the answer is ``e - x_0`` (Lipman et al. 2023,
    arXiv:2210.02747); ``x_t = sqrt(a) x_0 + sqrt(1 - a) e`` and it is ``e``, or
    ``sqrt(a) e - sqrt(1 - a) x_0`` (Salimans and Ho 2022, arXiv:2202.00512).
    """
    estimate: torch.Tensor
    index = getattr(scheduler, "step_index", None)
    if not hasattr(scheduler, "alphas_cumprod"):
        if index is None:
            return None
        estimate = sample - scheduler.sigmas[index - 1] * answer  # the index is that of the next
        return estimate
    alpha = scheduler.alphas_cumprod[int(timestep)]
    if scheduler.config.get("prediction_type") == "v_prediction":
        estimate = alpha.sqrt() * sample - (1 - alpha).sqrt() * answer
    else:
        estimate = (sample - (1 - alpha).sqrt() * answer) / alpha.sqrt()
    return estimate
