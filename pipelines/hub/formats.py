"""Formats of weights that cannot open here, each by its name, with what to open in its place."""

from __future__ import annotations

from typing import Any

from pipelines.errors import ModelUnavailable, abbreviated
from pipelines.hub.sources import Source, card_entry

_FOREIGN = {
    ".gguf": "a GGUF file, which llama.cpp reads",
    ".onnx": "an ONNX file, which ONNX Runtime reads",
    ".mlmodel": "a Core ML file, which Apple's devices read",
    ".tflite": "a TensorFlow Lite file, which LiteRT reads",
    ".nemo": "a file that NVIDIA's NeMo reads",
    ".msgpack": "a file that Flax reads",
    ".h5": "a file that TensorFlow reads",
}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def quantisation_of(config: dict[str, Any]) -> dict[str, Any]:
    """How a configuration says that its numbers are packed; empty where it says nothing."""
    inner = config.get("text_config")
    for place in (config, inner if isinstance(inner, dict) else {}):
        for key in ("quantization_config", "compression_config", "quantization"):
            if isinstance(place.get(key), dict):
                found: dict[str, Any] = place[key]
                return found
    return {}


def quantised_by(config: dict[str, Any]) -> str | None:
    """The method's name in transformers' words, None where numbers are not packed."""
    packing = quantisation_of(config)
    if packing.get("load_in_4bit") is True or packing.get("load_in_8bit") is True:
        return "bitsandbytes"
    method = packing.get("quant_method")
    return str(method) if packing and method is not None else None


def check_mlx(source: Source, config: dict[str, Any]) -> None:
    """Refuses MLX's packed numbers: its configuration has their width and names no method.

    Raises:
        ModelUnavailable: naming the checkpoint that they were made from, where the card does.
    """
    packing = quantisation_of(config)
    if packing.keys() >= {"bits", "group_size"} and quantised_by(config) is None:
        raise ModelUnavailable(
            f"{source.reference} has weights for MLX, which Apple's library alone reads. "
            f"{_original(source)}"
        )


def foreign_file(source: Source) -> tuple[str, str] | None:
    """The first file in a format of other libraries, and what it is; None beside readable ones."""
    if any(name.endswith((".safetensors", *_PICKLES)) for name in source.files):
        return None
    files = ((name, what) for ending, what in _FOREIGN.items() for name in source.files
             if name.endswith(ending))  # fmt: skip
    return next(files, None)


def without_safetensors(source: Source) -> str:
    """Why a checkpoint that has none cannot open, and what can be done."""
    no = f"{source.reference} has no safetensors weights."
    foreign = foreign_file(source)
    if foreign is not None:
        name, what = foreign
        return f"{no} It has {abbreviated(name)}, {what} and not this page. {_original(source)}"
    return (
        f"{no} Other formats can run code when they are opened and are not loaded. Convert the "
        "checkpoint (https://huggingface.co/spaces/safetensors/convert, or save_pretrained where "
        "you trust it) and try again."
    )


def _original(source: Source) -> str:
    base = card_entry(source, "base_model")
    if base is None:
        return "Open the checkpoint that it was made from."
    return f"It was made from {abbreviated(base)}: open that."
