"""Low-rank adapters (Hu et al., 2021, arXiv:2106.09685), in the formats of peft and diffusers.

``W x`` becomes ``W x + B A x`` with A of ``rank`` rows, B zero at first. Alpha is the
rank, so that the scale is 1 for whoever reads it or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save_file

from pipelines.recipes import training
from pipelines.recipes.finetune.plan import Plan, to_device
from pipelines.runtime.loading import OFFLINE

UNET_LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "conv"),
)
"""Ends of the names of a U-Net's attention and convolution layers."""


def add_adapter(model: Any, rank: int, seed: int, task: str | None = None) -> PeftModel:
    """The model with a fresh adapter on all linear layers but its head; the base is frozen."""
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type=task)
    return get_peft_model(model, config)


def prepared(model: Any, plan: Plan, task: str | None = None) -> Any:
    """The base on its device, ready to train: under a fresh adapter, or with every weight."""
    if plan.rank is not None:
        model = add_adapter(model, plan.rank, plan.options.seed, task)
    # Not before: peft would hook the inputs, which only reentrant checkpointing needs.
    if plan.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return to_device(model)


def tuned(auto_class: Any, base: Any, plan: Plan, folder: Path) -> Any:
    """A saved fine-tune: the base under the adapter, or a whole model."""
    if plan.rank is not None:
        return load_adapter(base, folder)
    return to_device(auto_class.from_pretrained(folder, dtype=torch.float32, **OFFLINE))


def save(model: Any, plan: Plan, folder: Path, *readers: Any) -> None:
    """The adapter, or the whole model with its tokenizer and processor; in half precision."""
    if plan.rank is not None:
        save_adapter(model, folder, plan.base.reference)
        return
    model.half().save_pretrained(folder, max_shard_size="8MB")
    for reader in readers:
        reader.save_pretrained(folder)
    training.forget_paths(folder)


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
        base: the reference by which anybody finds the base.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config: Any = model.peft_config["default"]
    config.base_model_name_or_path = base
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)  # a set has another order each time
    config.save_pretrained(folder)
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    save_file(_halved(found), folder / SAFETENSORS_WEIGHTS_NAME, {"format": "pt"})


def save_unet_adapter(unet: Any, folder: Path) -> None:
    """Writes ``pytorch_lora_weights.safetensors`` in half precision, as diffusers reads it."""
    # In peft's own names: diffusers renames the attention's layers alone, and then reads
    # a file that has both kinds of names without them.
    layers = _halved(get_peft_model_state_dict(unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)


def load_adapter(model: Any, folder: Path) -> Any:
    """The model under a saved adapter, by plain peft."""
    return PeftModel.from_pretrained(model, folder).eval()


def _halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().half().cpu().contiguous() for name, tensor in state.items()}
