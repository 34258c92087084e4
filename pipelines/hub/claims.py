"""What a model's card says of it: the held-out scores of its ``model-index``.

The Hub's form of it is in its documentation on model cards; ``base_value`` among a metric's
arguments is what the recipe ``finetune`` adds, measured on the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.validation import is_finite

_MOST = 3
"""Claims that are told of one model; its card has them all."""

_LONGEST_FRONT, _LONGEST_NAME = 64 * 1024, 100
_MOST_ENTRIES = 100
"""Of a list that are looked at: by aliases a short card can have very long ones."""


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
    card = folder / "README.md"
    try:
        metadata = _front_matter(card) if card.is_file() else None
    except Exception:  # YAML's errors have no common class; a broken card claims nothing
        return []
    index = metadata.get("model-index") if isinstance(metadata, dict) else None
    return list(islice(_claims(index), _MOST))


def _front_matter(card: Path) -> Any:
    import yaml  # type: ignore[import-untyped]

    with card.open(encoding="utf-8") as file:
        text = file.read(_LONGEST_FRONT)
    loader = yaml.SafeLoader(text.split("\n---\n", 1)[0] if text.startswith("---\n") else "")
    loader.flatten_mapping = lambda node: None  # merged, a few lines unfold to gigabytes
    return loader.get_single_data()


def _claims(index: Any) -> Iterator[Claim]:
    for model in _dicts(index):
        for result in _dicts(model.get("results")):
            for metric in _dicts(result.get("metrics")):
                name, value = metric.get("name") or metric.get("type"), metric.get("value")
                given = metric.get("args")
                arguments = given if isinstance(given, dict) else {}
                base = arguments.get("base_value")
                if arguments.get("warning"):  # it must not be ranked, nor told beside its base's
                    continue
                if isinstance(name, str) and len(name) <= _LONGEST_NAME and is_finite(value):
                    yield Claim(name, value, base if is_finite(base) else None)


def _dicts(found: Any) -> Iterator[dict[str, Any]]:
    entries = found[:_MOST_ENTRIES] if isinstance(found, list) else []
    yield from (each for each in entries if isinstance(each, dict))
