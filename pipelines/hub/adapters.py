"""Adapters (LoRA) on disk: what they are for, what is refused, and whether they fit a base.

Two forms are read, both as safetensors alone: PEFT's folder (``adapter_config.json`` and
``adapter_model.safetensors``) and diffusers' (``pytorch_lora_weights.safetensors``).
Whether an adapter fits is decided by the shapes in the files' headers, before anything is
loaded: the name of the base that an adapter gives is often that of a copy.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from pipelines.device import Device
from pipelines.errors import ModelUnavailable, abbreviated
from pipelines.hub.families import family_of
from pipelines.hub.headers import Tensor
from pipelines.hub.sources import Source, card_entry, configuration_of, json_of
from pipelines.tasks import Task

CONFIG = "adapter_config.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
DIFFUSERS_WEIGHTS = "pytorch_lora_weights.safetensors"
MAX_RANK = 1024

_MAY_INITIALISE = (None, True, False, "gaussian", "orthogonal", "eva")
_REFUSED = {
    "modules_to_save": "replaces whole layers",
    "layer_replication": "repeats layers of its base",
    "target_parameters": "changes parameters that are no layers",
    "megatron_config": "is for Megatron",
    "trainable_token_indices": "changes words of its base",
}
_LIBRARIES = ("transformers", "diffusers")
_DOWN = re.compile(r"(.+?)(?:\.lora_A|\.lora\.down|\.lora_linear_layer\.down|_lora\.down)\.weight")
_DOWN_EMBEDDING = re.compile(r"(.+)\.lora_embedding_A(?:\.weight)?")
_RENAMED = frozenset({"vision-encoder-decoder"})
"""Families with encoders whose layers have other names in memory than in files."""
_BESIDE = re.compile(
    r".+(\.lora_magnitude_vector(\.weight)?|\.lora_B\.bias|\.alpha|\.lora\.(down|up)\.alpha)"
)


def is_adapter(source: Source) -> bool:
    """Whether this checkpoint is an adapter. One that holds a whole model as well is one."""
    return is_adapter_of(source.files)


def is_adapter_of(files: Container[str]) -> bool:
    """The same, from the names of its files."""
    if CONFIG in files:
        return True
    return DIFFUSERS_WEIGHTS in files and not (
        "config.json" in files or "model_index.json" in files
    )


def weights_file(path: Path) -> Path:
    """Where the weights of an adapter's folder are; the file need not be there."""
    return path / (PEFT_WEIGHTS if (path / CONFIG).is_file() else DIFFUSERS_WEIGHTS)


def _weights_name(source: Source) -> str:
    return PEFT_WEIGHTS if CONFIG in source.files else DIFFUSERS_WEIGHTS


def memory_bytes(source: Source, device: Device) -> int:
    """What an adapter takes while it is on its base: its numbers, in the base's precision."""
    width = 4 if device.dtype_name == "float32" else 2
    return width * sum(tensor.count for tensor in source.header(_weights_name(source)).values())


def named_base(source: Source) -> str | None:
    """The base that an adapter's files name, as they have it and not vetted.

    Raises:
        ModelUnavailable: its configuration is not a JSON object.
    """
    if CONFIG in source.files:
        name = json_of(source, CONFIG).get("base_model_name_or_path")
        return name.strip() if isinstance(name, str) and name.strip() else None
    return card_entry(source, "base_model")


def declared_task(source: Source) -> Task | None:
    """The task that an adapter's own files name, without its base."""
    if CONFIG not in source.files:
        return "paint"
    kind = json_of(source, CONFIG).get("task_type")
    return "write" if kind in ("CAUSAL_LM", "SEQ_2_SEQ_LM") else None


def check_adapter(source: Source) -> None:
    """Refuses an adapter that is no plain LoRA in safetensors.

    Raises:
        ModelUnavailable: naming what is wrong with it.
    """
    name, file = source.reference, _weights_name(source)
    if file not in source.files:
        raise ModelUnavailable(
            f"{name} is an adapter (LoRA) without {file}. Other formats can run code when "
            "they are opened and are not loaded; export it as safetensors and try again."
        )
    if file == PEFT_WEIGHTS:
        _check_config(name, json_of(source, CONFIG))
    for key, tensor in source.header(file).items():
        if _module_of(key) is not None and not 1 <= (*tensor.shape, 0)[0] <= MAX_RANK:
            raise ModelUnavailable(
                f"{name}: {abbreviated(key)} has the shape {_text(tensor.shape)}; the first number "
                f"is the rank, from 1 to {MAX_RANK}."
            )


def _check_config(name: str, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelUnavailable(
            f"{name} is an adapter of the type {abbreviated(kind)}; only LORA can be opened here."
        )
    for key, does in _REFUSED.items():
        if config.get(key):
            raise ModelUnavailable(
                f"{name} {does} ({key}), which a LoRA that can be taken off again does not. Merge "
                "it into its base and open the whole checkpoint."
            )
    if config.get("bias", "none") != "none":
        raise ModelUnavailable(
            f"{name} changes biases of its base (bias: {abbreviated(config['bias'])}). Merge it "
            "into its base and open the whole checkpoint."
        )
    begins = config.get("init_lora_weights")
    if begins not in _MAY_INITIALISE:
        raise ModelUnavailable(
            f"{name} changes its base's weights when it is put on (init_lora_weights: "
            f"{abbreviated(begins)}). Convert it to a plain LoRA, as PEFT's guide shows."
        )
    _check_library(name, config.get("auto_mapping"))
    _check_patterns(name, config)


def _check_library(name: str, mapping: object) -> None:
    """PEFT imports the module that ``auto_mapping`` names."""
    library = mapping.get("parent_library") if isinstance(mapping, dict) else mapping
    if library is not None and str(library).partition(".")[0] not in _LIBRARIES:
        raise ModelUnavailable(
            f"{name} names {abbreviated(library)} as its base's code. Only transformers and "
            "diffusers are used."
        )


def _check_patterns(name: str, config: dict[str, Any]) -> None:
    """PEFT matches layers by regular expressions from the file; some never come to an end."""
    patterns: list[object] = []
    for key in ("target_modules", "exclude_modules", "layers_pattern"):
        value = config.get(key)
        patterns += value if isinstance(value, list) else [value]
    for key in ("rank_pattern", "alpha_pattern"):
        value = config.get(key)
        patterns += value if isinstance(value, dict) else [value]
    for pattern in patterns:
        if pattern is None:
            continue
        if not isinstance(pattern, str) or len(pattern) > 2_000 or not _is_tame(pattern):
            raise ModelUnavailable(
                f"{name} chooses its layers by {abbreviated(pattern)}, which may take for ever. "
                "List the layers by name in target_modules."
            )


def _is_tame(pattern: str) -> bool:
    """At most four repetitions, and none of a group."""
    plain = re.sub(r"\\.|\[[^\]]*\]", "x", pattern)
    return len(re.findall(r"[*+{]", plain)) <= 4 and not re.search(r"\)[*+{]", plain)


def check_fit(adapter: Source, base: Source, base_weights: Iterable[str]) -> None:
    """Refuses an adapter with a layer that its base has not, or has in another shape.

    Raises:
        ModelUnavailable: naming the first such tensor and both shapes.
    """
    name, tensors = adapter.reference, adapter.header(_weights_name(adapter))
    layers = _Layers(base, base_weights)
    second_halves = {_up_key(key) for key in tensors if _up_key(key) != key}
    for key, down in sorted(tensors.items()):
        module = _module_of(key)
        if module is None:
            if _BESIDE.fullmatch(key) or key in second_halves:
                continue
            raise ModelUnavailable(
                f"{name} holds {abbreviated(key)}, which is no part of a LoRA in the form of PEFT "
                "or diffusers. Convert it and try again."
            )
        up = tensors.get(_up_key(key))
        if up is None or len(up.shape) < 2 or len(down.shape) < 2 or up.shape[1] != down.shape[0]:
            given = "nothing" if up is None else _text(up.shape)
            raise ModelUnavailable(
                f"{name} is broken: {abbreviated(key)} has the shape {_text(down.shape)} and its "
                f"counterpart has {given}. Export it again."
            )
        _check_layer(
            name, key, (up.shape[0], *down.shape[1:]), layers.shapes(module), base.reference
        )


def _check_layer(
    name: str, key: str, change: tuple[int, ...], shapes: list[tuple[int, ...]], base_name: str
) -> None:
    """``change`` is (out, in, ...): the shape that the adapter adds to a layer's weights."""
    turned = (change[1], change[0], *change[2:])  # GPT-2's layers and embeddings are (in, out)
    if change in shapes or turned in shapes:
        return
    has = f"is {_text(shapes[0])} there" if shapes else "is not there"
    raise ModelUnavailable(
        f"{name} does not fit {base_name}: {abbreviated(key, 120)} is for a layer of the shape "
        f"{_text(change)}, which {has}. Choose the base that it was trained on."
    )


def _module_of(key: str) -> str | None:
    """The layer that a LoRA's first half (A, down) changes; None for any other tensor."""
    match = _DOWN.fullmatch(key) or _DOWN_EMBEDDING.fullmatch(key)
    if match is None:
        return None
    module = match[1].removeprefix("base_model.model.")
    if "_lora.down." in key:  # attention processors of older diffusers
        module = module.replace(".processor.", ".").removesuffix("_lora")
        module += ".0" if module.endswith("to_out") else ""
    return module


_HALVES = (("lora_embedding_A", "lora_embedding_B"), (".lora_A.", ".lora_B."), (".down.", ".up."))


def _up_key(key: str) -> str:
    """The name of the second half (B, up) of the tensor of this name."""
    for down, up in _HALVES:
        key = key.replace(down, up)
    return key


class _Layers:
    """The layers of a whole checkpoint, found by name.

    Prefixes of a name may differ, for checkpoints are saved with and without their head; from
    the first number on, names must agree. Where transformers gives layers other names than
    their files, only shapes are compared here, and names when the adapter is put on.
    """

    def __init__(self, base: Source, weights: Iterable[str]) -> None:
        self._by_end: dict[str, list[tuple[int, ...]]] = {}
        self._is_renamed = family_of(configuration_of(base)) in _RENAMED
        for file in weights:
            part = f"{file.partition('/')[0]}." if "/" in file else ""
            for key, tensor in base.header(file).items():
                self._add(part + key, tensor)

    def _add(self, key: str, tensor: Tensor) -> None:
        words = key.removesuffix(".weight").split(".")
        for begin in range(_last_begin(words) + 1):
            self._by_end.setdefault(".".join(words[begin:]), []).append(tensor.shape)

    def shapes(self, module: str) -> list[tuple[int, ...]]:
        """The weights' shapes of the layers of this name, or of the longest end of it."""
        words = module.split(".")
        for begin in range(_last_begin(words) + 1):
            found = self._by_end.get(".".join(words[begin:]))
            if found is not None:
                return found
        return [shape for found in self._by_end.values() for shape in found if self._is_renamed]


def _last_begin(words: list[str]) -> int:
    numbers = [i for i, word in enumerate(words) if word.isdecimal()]
    return max(0, numbers[0] - 1) if numbers else max(0, len(words) - 2)


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
