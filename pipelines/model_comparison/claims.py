"""What a model's card says of it: the held-out scores of its ``model-index``.

The Hub's form of it is in its documentation on model cards; ``base_value`` among a metric's
arguments is what the recipe ``finetune`` adds, measured on the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOST = 3
"""Claims that are told of one model; its card has them all."""


@dataclass(frozen=True)
class Claim:
    """One score. ``base`` is that of the model it was made from, where the card has it."""

    metric: str
    value: float
    base: float | None

    def __str__(self) -> str:
        told = f"{self.metric} {self.value:.4g}"
        return told if self.base is None else f"{told} (its base {self.base:.4g})"


def claims(folder: Path) -> list[Claim]:
    """The first scores that the card in this folder has; none without a card that can be read."""
    from huggingface_hub.repocard import metadata_load

    card = folder / "README.md"
    try:
        metadata = metadata_load(card) if card.is_file() else None
    except Exception:  # YAML's errors have no common class; a broken card claims nothing
        return []
    index = (metadata or {}).get("model-index")
    return list(_claims(index))[:_MOST]


def _claims(index: Any) -> Iterator[Claim]:
    for model in _dicts(index):
        for result in _dicts(model.get("results")):
            for metric in _dicts(result.get("metrics")):
                name, value = metric.get("name") or metric.get("type"), metric.get("value")
                arguments = metric.get("args")
                base = arguments.get("base_value") if isinstance(arguments, dict) else None
                if isinstance(name, str) and isinstance(value, int | float):
                    yield Claim(name, value, base if isinstance(base, int | float) else None)


def _dicts(found: Any) -> Iterator[dict[str, Any]]:
    yield from (each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()
