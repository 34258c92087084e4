"""Checks of a checkpoint before it is fetched or loaded, each with its own message.

In this order: access, task, whether the libraries can load it, completeness, memory.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import libraries
from pipelines.device import Device, mebibytes
from pipelines.errors import ModelUnavailable, OutOfBudget, WrongTask, abbreviated
from pipelines.hub.adapters import is_adapter
from pipelines.hub.families import family_of, tasks_of_family
from pipelines.hub.formats import check_mlx, foreign_file, without_safetensors
from pipelines.hub.headers import Tensor
from pipelines.hub.other_pipelines import what_it_does
from pipelines.hub.own_models import CLASSES, architecture_of, is_own_part
from pipelines.hub.packages import check_packages
from pipelines.hub.remote import Repository, converted_revision, gated
from pipelines.hub.selection import Selection, select, shards_of
from pipelines.hub.sources import Source, configuration_of, json_of
from pipelines.tasks import TASKS, Task

_CONVERTED = {
    "florence2": "Open florence-community/Florence-2-base or its kin, made for transformers",
    "internvl_chat": "Open the same name with -HF at its end, made for transformers",
}
"""Of model types with code of its own, where the same weights stand without."""
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers")
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
_WHOLE_NUMBERS = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2}


@dataclass(frozen=True)
class Findings:
    """The selected files of a checkpoint, and how many numbers of each type their headers list."""

    selection: Selection
    counts: dict[str, int]

    @property
    def parameters(self) -> int:
        return sum(self.counts.values())

    @property
    def stored_as(self) -> str:
        """The type of most numbers, in the file format's words."""
        return max(self.counts, key=lambda dtype: self.counts[dtype], default="")

    def memory_bytes(self, device: Device) -> int:
        """What the model will take once it is loaded: its floats are cast, the rest is not."""
        width = 4 if device.dtype_name == "float32" else 2
        return sum(
            count * (width if dtype in _FLOATS else _WHOLE_NUMBERS.get(dtype, 1))
            for dtype, count in self.counts.items()
        )


def check_kind(source: Source, task: Task) -> str:
    """The family of a whole checkpoint of the task that these libraries can load.

    Raises:
        WrongTask: it does something else.
        ModelUnavailable: it is gated, is an adapter, or needs code or a package that is not here.
    """
    name = source.reference
    config = configuration_of(source)
    family = family_of(config)
    if is_adapter(source) and family is None:
        _check_whole(source)
    if "auto_map" in config:
        _check_code(name, config)
    check_mlx(source, config)
    if family is None and foreign_file(source) is not None:
        raise ModelUnavailable(without_safetensors(source))
    if family is None and (does := what_it_does(str(config.get("_class_name", "")))) is not None:
        raise WrongTask(f"{name} {does}; here a model is needed that {TASKS[task].does}.")
    check_task(name, tasks_of_family(family), task)
    assert family is not None
    _check_whole(source)
    _check_parts(name, json_of(source, "model_index.json"))
    _check_code(name, config)
    check_packages(source, config, task)
    return family


def check_access(source: Source) -> None:
    """Raises ModelUnavailable where a repository's owner has to grant access and has not."""
    if isinstance(source, Repository) and source.is_gated and source.token is False:
        raise ModelUnavailable(gated(source.where.repo))


def _check_whole(source: Source) -> None:
    if is_adapter(source):
        raise ModelUnavailable(
            f"{source.reference} is an adapter (LoRA) itself; an adapter's base is a whole "
            "checkpoint. Write base + adapter + adapter."
        )


def check_task(name: str, does: Sequence[Task], task: Task) -> None:
    """Refuses a checkpoint that can do other tasks alone, or none.

    Raises:
        WrongTask: naming what it does, if that is known.
    """
    if not does:
        nothing = " nor ".join(task.does for task in TASKS.values())
        raise WrongTask(f"{name} is of no kind that this page knows: it neither {nothing}.")
    if task not in does:
        others = " and ".join(TASKS[each].does for each in does)
        raise WrongTask(f"{name} {others}; here a model is needed that {TASKS[task].does}.")


def _check_parts(name: str, index: dict[str, Any]) -> None:
    """Refuses a pipeline whose parts come from elsewhere than diffusers, transformers and here.

    diffusers imports whatever module a ``model_index.json`` names.
    """
    for part, origin in index.items():
        if part.startswith("_") or not isinstance(origin, list) or is_own_part(origin):
            continue
        library = origin[0] if origin else None
        if library not in (
            None,
            "diffusers",
            "transformers",
            *_folders_of("diffusers", "pipelines"),
        ):
            raise ModelUnavailable(
                f"{name}: its part {abbreviated(part)} comes from {abbreviated(library)}, which is "
                "code of its own. Only diffusers and transformers are used."
            )


@cache
def _folders_of(package: str, folder: str) -> frozenset[str]:
    """The folders in one of a package's, found without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    parent = Path(spec.submodule_search_locations[0]) / folder
    return frozenset(child.name for child in parent.iterdir() if child.is_dir())


def _check_code(name: str, config: dict[str, Any]) -> None:
    """Refuses what transformers has no class for: with code of its own, or newer than here."""
    kind = config.get("model_type")
    if "_class_name" in config or architecture_of(config) in CLASSES:
        return
    if "auto_map" in config and not (_is_known(kind) and _is_known(_sight(config))):
        raise ModelUnavailable(
            f"{name} needs code of its own (trust_remote_code), which is never run here. "
            f"{_CONVERTED.get(str(kind), 'Choose a model that transformers knows')}, or a version "
            "of this one that it does."
        )
    if not _is_known(kind):
        raise ModelUnavailable(
            f"{name} has the architecture {abbreviated(kind)}, which this version of transformers "
            "does not know. Update transformers, or choose another model."
        )


def _sight(config: dict[str, Any]) -> object:
    """The type of the part that sees, where it names one; else that of the whole."""
    part = config.get("vision_config")
    named = part.get("model_type") if isinstance(part, dict) else None
    return config.get("model_type") if named is None else named


@cache
def _is_known(kind: object) -> bool:
    """Most types have a folder of their name, and transformers need not be imported to see it."""
    if not isinstance(kind, str):
        return False
    if kind.replace("-", "_") in _folders_of("transformers", "models"):
        return True
    with libraries.alone:
        from transformers import CONFIG_MAPPING

    return kind in CONFIG_MAPPING


def check_weights(source: Source, half: bool = False) -> Findings:
    """Reads the headers of the weights, which must be safetensors and complete.

    Raises:
        ModelUnavailable: there are none, or a file is damaged, or the configuration speaks of
            more layers than there are tensors.
    """
    selection = select(source, half)
    _check_shards(source, selection)
    if not selection.weights:
        _check_names(source)
        raise ModelUnavailable(without_safetensors(source) + _converted(source))
    tensors = [t for name in selection.weights for t in source.header(name).values()]
    _check_layers(source.reference, configuration_of(source), len(tensors))
    return Findings(selection, _counted(tensors))


def _converted(source: Source) -> str:
    """A sentence on a revision of a repository that has safetensors, where the Hub has one."""
    revision = converted_revision(source) if isinstance(source, Repository) else None
    if revision is None:
        return ""
    return (
        f" A converted copy waits in its revision {revision}: open {source.reference}@{revision}."
    )


def _check_names(source: Source) -> None:
    """Refuses safetensors whose names say nothing to the libraries."""
    found = [name for name in source.files if name.endswith(".safetensors") and "/" not in name]
    if found and "model_index.json" not in source.files:
        raise ModelUnavailable(
            f"{source.reference} has safetensors ({abbreviated(found[0])}) that are none of the "
            "files which the libraries look for: model.safetensors, or those that "
            "model.safetensors.index.json lists. Save it with save_pretrained, or choose another."
        )


def _check_shards(source: Source, selection: Selection) -> None:
    """Refuses a list of shards that names what is not there, or is no safetensors file."""
    for index, listed in shards_of(source).items():
        folder = index.rpartition("/")[0]
        for shard in listed if index in selection.others else ():
            if f"{folder}/{shard}".lstrip("/") not in selection.weights:
                raise ModelUnavailable(
                    f"{source.reference} is not whole: {index} lists {abbreviated(shard)}, which "
                    "is no safetensors file beside it. Fetch or export the checkpoint again."
                )


def _check_layers(name: str, config: dict[str, Any], tensors: int) -> None:
    """A configuration with a million layers keeps the libraries busy for minutes."""
    for key, value in _pairs(config):
        if key in _LAYER_COUNTS and isinstance(value, int) and value > tensors:
            raise ModelUnavailable(
                f"{name}: its configuration speaks of {value:,} layers ({key}) and its weights "
                f"have {tensors:,} tensors. Choose another checkpoint."
            )


def _pairs(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries of a configuration and of those one level below."""
    for key, value in config.items():
        yield key, value
        if isinstance(value, dict):
            yield from value.items()


def _counted(tensors: Iterable[Tensor]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.count
    return counts


def check_memory(name: str, needed_bytes: int, budget_bytes: int) -> None:
    """Raises OutOfBudget where a model is larger than the whole memory budget."""
    if needed_bytes > budget_bytes:
        raise OutOfBudget(
            f"{name} needs about {mebibytes(needed_bytes)} of memory and the budget is "
            f"{mebibytes(budget_bytes)}. Choose a smaller model, or start with a larger budget."
        )
