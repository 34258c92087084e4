"""Low-rank adapters (Hu et al., 2021, arXiv:2106.09685), in the formats of peft and diffusers.

``W x`` becomes ``W x + B A x``; A has ``rank`` rows, and B is zero at first. Alpha equals the
rank, so the scale is 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save_file

UNET_LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "conv"),
)
"""How the names of a U-Net's attention and convolution layers end."""


def add_adapter(model: Any, rank: int, seed: int, task: str | None = None) -> PeftModel:
    """The model with a new adapter on all linear layers but its head; the base is frozen."""
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type=task)
    return get_peft_model(model, config)


def add_unet_adapter(unet: Any, rank: int, seed: int) -> None:
    """The same for a U-Net, in place, on its attention and convolution layers."""
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    names = [name for name, _ in unet.named_modules()]
    present = [end for end in UNET_LAYERS if any(name.endswith(f".{end}") for name in names)]
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=present))


def save_adapter(model: PeftModel, folder: Path, base: str) -> None:
    """Writes ``adapter_config.json`` and ``adapter_model.safetensors`` in half precision.

    Args:
        base: the base's reference.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config: Any = model.peft_config["default"]
    config.base_model_name_or_path = base
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)  # a set has another order each time
    config.save_pretrained(folder)
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    save_file(_halved(state), folder / SAFETENSORS_WEIGHTS_NAME, {"format": "pt"})


def save_unet_adapter(unet: Any, folder: Path) -> None:
    """Writes ``pytorch_lora_weights.safetensors`` in half precision, as diffusers loads it."""
    # In peft's own names: diffusers renames only the attention layers, and cannot load a
    # file with both kinds of names.
    layers = _halved(get_peft_model_state_dict(unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)


def _halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().half().cpu().contiguous() for name, tensor in state.items()}
