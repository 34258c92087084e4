"""Numbers that are not finite end a run: they would become a black picture, called done.

What denoises and what decodes is watched where it computes, so that one run, a batch of an
evaluation and every kind of pipeline are held to it alike. It costs one look at each output.
"""

from __future__ import annotations

from typing import Any

from pipelines.errors import NotFinite

_DECODERS = ("decoder", "out_block")
"""The last part of an autoencoder; its own ``forward`` is not called to decode."""


def watch(pipeline: Any) -> None:
    """Makes the networks of a pipeline, and of all that share them, raise ``NotFinite``."""
    from diffusers import ModelMixin

    for part in pipeline.components.values():
        if isinstance(part, ModelMixin):
            for module in (part, *(getattr(part, name, None) for name in _DECODERS)):
                if hasattr(module, "register_forward_hook"):
                    module.register_forward_hook(_check)


def _check(module: Any, given: Any, output: Any) -> None:
    import torch

    values = output.values() if isinstance(output, dict) else output
    for tensor in [values] if isinstance(values, torch.Tensor) else values:
        if isinstance(tensor, torch.Tensor) and not torch.isfinite(tensor).all():
            precision = str(tensor.dtype).removeprefix("torch.")
            raise NotFinite(
                f"{type(module).__name__} gave numbers that are not finite in {precision}, so "
                "there is no picture. The weights may be damaged, or an adapter's weight too "
                "large: give it less, fetch the checkpoint again, or choose another."
            )
