"""Tiny LoRAs as files, in PEFT's or diffusers' form: random halves for the layers named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Shape = tuple[int, int]
WRITER_LAYER = "model.layers.0.self_attn.q_proj"
PAINTER_LAYER = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q"


def halves(layers: dict[str, Shape], names: tuple[str, str], rank: int) -> dict[str, Any]:
    """``layers`` maps a layer to its (out, in); ``names`` are the endings of the two halves."""
    random = np.random.default_rng(0)
    tensors = {}
    for layer, (rows, columns) in layers.items():
        tensors[f"{layer}.{names[0]}.weight"] = random.normal(size=(rank, columns))
        tensors[f"{layer}.{names[1]}.weight"] = random.normal(size=(rows, rank))
    return {name: value.astype(np.float32) for name, value in tensors.items()}


def peft_lora(
    path: Path, layers: dict[str, Shape], base: object = "tiny-writer", rank: int = 2, **config: Any
) -> Path:
    """A folder as PEFT saves it."""
    path.mkdir(parents=True)
    whole = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "target_modules": sorted({layer.rpartition(".")[2] for layer in layers}),
        "bias": "none",
        "init_lora_weights": True,
        "a_key_of_a_later_version": {"x": 1},
    }
    (path / "adapter_config.json").write_text(json.dumps({**whole, **config}))
    full = {f"base_model.model.{layer}": shape for layer, shape in layers.items()}
    save_file(halves(full, ("lora_A", "lora_B"), rank), path / "adapter_model.safetensors")
    return path


def diffusers_lora(
    path: Path, layers: dict[str, Shape], base: str | None = "tiny-painter", old: bool = False
) -> Path:
    """A folder as diffusers saves it, or as it once did."""
    path.mkdir(parents=True)
    names = ("lora.down", "lora.up") if old else ("lora_A", "lora_B")
    save_file(halves(layers, names, 2), path / "pytorch_lora_weights.safetensors")
    if base is not None:
        (path / "README.md").write_text(f"---\nlicense: mit\nbase_model: {base}\n---\n# A LoRA\n")
    return path
