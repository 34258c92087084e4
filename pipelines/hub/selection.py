"""Which files of a checkpoint are needed: one copy of the weights, and what describes them.

Repositories hold the same weights several times: as pickles, in two precisions, in one file
and in shards, with and without averaging. The libraries read one of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.hub.adapters import CONFIG, DIFFUSERS_WEIGHTS, PEFT_WEIGHTS, is_adapter_of

_WEIGHTS = re.compile(
    r"(?P<stem>model|diffusion_pytorch_model)(?:\.(?P<before>[a-z0-9_]+))?"
    r"(?:-(?P<shard>\d{5})-of-(?P<of>\d{5}))?(?:\.(?P<after>[a-z0-9_]+))?\.safetensors"
)
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


def select(files: Mapping[str, int], half: bool = False) -> Selection:
    """The needed files among those of a checkpoint, and the log of its training.

    Args:
        files: their sizes in bytes, by path.
        half: whether a copy in half precision is preferred where there are two.
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
        folder: _one_copy(found, half)
        for folder, found in by_folder.items()
        if not (is_pipeline and folder == "")  # single-file checkpoints lie there
    }
    chosen = [(f"{folder}/".lstrip("/"), copy) for folder, copy in weights_in.items()]
    others = [
        f"{folder}/{file}".lstrip("/")
        for folder, found in by_folder.items()
        for file in found
        if (file.endswith(_DESCRIBES) or (is_pipeline and _is_small_card(folder, file, files)))
        and _is_wanted_index(file, weights_in.get(folder))
    ]
    variant = next((copy[0] for _, copy in chosen if copy[0]), None)
    return selection(
        [prefix + file for prefix, copy in chosen for file in copy[1]], others, variant
    )


def _sized(files: Mapping[str, int], names: list[str]) -> dict[str, int]:
    return {name: files[name] for name in names}


def _is_small_card(folder: str, file: str, files: Mapping[str, int]) -> bool:
    """A painter's card: its example names steps and guidance, which no configuration does."""
    return (folder, file) == ("", "README.md") and files[file] <= _LARGEST_CARD_BYTES


_Copy = tuple[str, tuple[str, ...]]


def _one_copy(files: list[str], half: bool) -> _Copy:
    """The variant and the files of the copy that is read: a single file before shards."""
    copies: dict[tuple[str, bool], list[str]] = {}
    totals: dict[tuple[str, bool], int] = {}
    for file in files:
        match = _WEIGHTS.fullmatch(file)
        if match is not None:
            key = match["before"] or match["after"] or "", match["shard"] is not None
            copies.setdefault(key, []).append(file)
            totals[key] = int(match["of"] or 1)
    whole = {key: found for key, found in copies.items() if len(found) == totals[key]}
    order = ["fp16", ""] if half else ["", "fp16"]
    for variant in [*order, "bf16"]:
        for in_shards in (False, True):
            if (variant, in_shards) in whole:
                return variant, tuple(whole[variant, in_shards])
    return "", ()


def _is_wanted_index(file: str, copy: _Copy | None) -> bool:
    """Of the lists of shards, only that of the copy which is read."""
    if ".index" not in file:
        return True
    variant, weights = copy or ("", ())
    is_of_variant = f".{variant}." in file if variant else file.endswith(".safetensors.index.json")
    return len(weights) > 1 and ".safetensors." in file and is_of_variant
