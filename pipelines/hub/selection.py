"""Which files of a checkpoint are needed: one copy of the weights, and what describes them.

Repositories hold the same weights several times: as pickles, in two precisions, in one file
and in shards, with and without averaging. The libraries read one of these. Shards are what an
index lists, whatever they are called; of a list that cannot be read, those of the usual names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.hub.adapters import CONFIG, DIFFUSERS_WEIGHTS, PEFT_WEIGHTS, is_adapter_of
from pipelines.hub.sources import Source, json_of

_STEM = r"(?:model|diffusion_pytorch_model)"
_VARIANT = r"(?:\.(?P<variant>fp16|bf16))?"
_SINGLE = re.compile(rf"{_STEM}{_VARIANT}\.safetensors")
_INDEX = re.compile(rf"{_STEM}\.safetensors\.index{_VARIANT}\.json")
_SHARD = re.compile(rf"{_STEM}{_VARIANT}-\d{{5}}-of-\d{{5}}\.safetensors")
TRAINING_LOG = "training_log.jsonl"
"""How a checkpoint learned: a line of JSON for each entry, as the recipes leave it beside it."""

LARGEST_LOG_BYTES = 16 * 1024**2
_DESCRIBES = (".json", ".txt", ".model", ".spm", ".jinja")
_LARGEST_CARD_BYTES = 1024**2
_NOT_NEEDED = frozenset({"safety_checker"})  # pictures are not checked by it; see the painter


@dataclass(frozen=True)
class Selection:
    """The files to fetch and load, with their sizes in bytes.

    ``variant`` is diffusers' word for the copy of the weights: ``fp16``.
    """

    weights: Mapping[str, int]
    others: Mapping[str, int]
    variant: str | None = None

    @property
    def all(self) -> dict[str, int]:
        return {**self.others, **self.weights}


def select(source: Source, half: bool = False) -> Selection:
    """The needed files of a checkpoint, and the log of its training.

    Args:
        half: whether a copy in half precision is preferred where there are two.

    Raises:
        ModelUnavailable: a list of shards cannot be had, or is not JSON.
    """
    return select_from(source.files, half, shards_of(source))


Shards = Mapping[str, tuple[str, ...]]
"""The files that each list of shards names, by the list's path. They may not be there."""


def shards_of(source: Source) -> Shards:
    """What the lists of shards say that loading reads.

    Raises:
        ModelUnavailable: one cannot be had, or is not JSON.
    """
    depth = 1 if "model_index.json" in source.files else 0
    return {
        name: _listed(json_of(source, name).get("weight_map"))
        for name in source.files
        if is_index(name) and name.count("/") <= depth
    }


def is_index(path: str) -> bool:
    """Whether a file is a list of shards, by its name."""
    return _INDEX.fullmatch(path.rpartition("/")[2]) is not None


def _listed(weight_map: object) -> tuple[str, ...]:
    names = weight_map.values() if isinstance(weight_map, dict) else ()
    return tuple(sorted({str(name) for name in names}))


def select_from(files: Mapping[str, int], half: bool, shards: Shards) -> Selection:
    """As ``select``, from a list of files.

    Args:
        files: their sizes in bytes, by path.
    """
    names = sorted(files)
    log = [TRAINING_LOG] if 0 < files.get(TRAINING_LOG, 0) <= LARGEST_LOG_BYTES else []

    def selection(weights: list[str], others: list[str], variant: str | None = None) -> Selection:
        return Selection(_sized(files, weights), _sized(files, others + log), variant)

    if is_adapter_of(names):
        weights = PEFT_WEIGHTS if CONFIG in names else DIFFUSERS_WEIGHTS
        others = [name for name in (CONFIG, "README.md") if name in names]
        return selection([weights] if weights in names else [], others)
    is_pipeline = "model_index.json" in names
    by_folder: dict[str, list[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder == "" or (is_pipeline and "/" not in folder and folder not in _NOT_NEEDED):
            by_folder.setdefault(folder, []).append(file)
    weights_in = {
        folder: _one_copy(_copies(folder, found, shards), half)
        for folder, found in by_folder.items()
        if not (is_pipeline and folder == "")  # single-file checkpoints lie there
    }
    chosen = [(f"{folder}/".lstrip("/"), copy) for folder, copy in weights_in.items()]
    others = [
        f"{folder}/{file}".lstrip("/")
        for folder, found in by_folder.items()
        for file in found
        if (file.endswith(_DESCRIBES) or (is_pipeline and _is_small_card(folder, file, files)))
        and (".index" not in file or file == _index_of(weights_in.get(folder)))
    ]
    copies = [(prefix, copy) for prefix, copy in chosen if copy is not None]
    variant = next((copy.variant for _, copy in copies if copy.variant), None)
    return selection(
        [prefix + file for prefix, copy in copies for file in copy.files], others, variant
    )


def _sized(files: Mapping[str, int], names: list[str]) -> dict[str, int]:
    return {name: files[name] for name in names}


def _is_small_card(folder: str, file: str, files: Mapping[str, int]) -> bool:
    """A painter's card: its example names steps and guidance, which no configuration does."""
    return (folder, file) == ("", "README.md") and files[file] <= _LARGEST_CARD_BYTES


@dataclass(frozen=True)
class _Copy:
    """One copy of the weights of a folder: a single file, or the shards that are there."""

    variant: str
    files: tuple[str, ...]
    index: str | None = None
    is_whole: bool = True


def _copies(folder: str, files: list[str], shards: Shards) -> list[_Copy]:
    copies = []
    for file in files:
        if single := _SINGLE.fullmatch(file):
            copies.append(_Copy(single["variant"] or "", (file,)))
        elif index := _INDEX.fullmatch(file):
            variant = index["variant"] or ""
            listed = shards.get(f"{folder}/{file}".lstrip("/"), _usual_shards(files, variant))
            there = tuple(
                name for name in listed if name in files and name.endswith(".safetensors")
            )
            copies.append(_Copy(variant, there, file, is_whole=0 < len(there) == len(listed)))
    return copies


def _usual_shards(files: list[str], variant: str) -> tuple[str, ...]:
    matches = [match for file in files if (match := _SHARD.fullmatch(file))]
    return tuple(match[0] for match in matches if (match["variant"] or "") == variant)


def _one_copy(copies: list[_Copy], half: bool) -> _Copy | None:
    """The copy that is read: a whole one if there is one, a single file before shards."""
    order = ["fp16", ""] if half else ["", "fp16"]
    return min(
        copies,
        key=lambda copy: (
            not copy.is_whole,
            [*order, "bf16"].index(copy.variant),
            copy.index is not None,
        ),
        default=None,
    )


def _index_of(copy: _Copy | None) -> str | None:
    return None if copy is None else copy.index
