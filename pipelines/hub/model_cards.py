"""Reads model cards: the front matter, and the held-out scores that it claims.

A card is a stranger's file, so the one reader of its YAML is bounded in length, merges no keys
and looks at a bounded number of entries: with aliases a short card can unfold to gigabytes. The
form of ``model-index`` is that of the Hub's documentation on model cards; ``base_value`` among a
metric's arguments is what the recipe ``finetune`` adds, measured on the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.validation import is_finite

CARD = "README.md"
_MOST_CLAIMS = 3
_LONGEST_FRONT, _LONGEST_NAME, _MOST_ENTRIES = 64 * 1024, 100, 100


@dataclass(frozen=True)
class Claim:
    """One score. ``base`` is that of the model it was made from, where the card has it."""

    metric: str
    value: float
    base: float | None

    def __str__(self) -> str:
        score = f"{self.metric} {self.value:.4g}"
        return score if self.base is None else f"{score} (its base {self.base:.4g})"


def split(text: str) -> tuple[str, str]:
    """The front matter between the first two lines of ``---``, and the Markdown below it."""
    text = text.replace("\r\n", "\n")
    front, end, body = text.removeprefix("---\n").partition("\n---\n")
    return (front, body) if text.startswith("---\n") and end else ("", text)


def front_matter(text: str) -> dict[str, Any]:
    """The front matter's entries; empty where it is missing, broken or longer than 64 KiB."""
    return _parsed(split(text[:_LONGEST_FRONT])[0])


@lru_cache(maxsize=64)
def _parsed(front: str) -> dict[str, Any]:
    """Once for each text: pickers read the same cards whenever a tab is opened."""
    import yaml

    try:
        loader = yaml.SafeLoader(front)
        loader.flatten_mapping = lambda node: None  # no merges
        data = loader.get_single_data()
    except Exception:  # YAML's errors have no common class; a broken card says nothing
        return {}
    return data if isinstance(data, dict) else {}


def entry(text: str, key: str) -> str | None:
    """A word from a card's front matter; the first of a list."""
    value = front_matter(text).get(key)
    first = value[0] if isinstance(value, list) and value else value
    return first.strip() if isinstance(first, str) and first.strip() else None


def claims(folder: Path) -> list[Claim]:
    """The first scores that the card in this folder has; none without a card that can be read."""
    card = folder / CARD
    if not card.is_file():
        return []
    with card.open(encoding="utf-8", errors="replace") as file:
        index = front_matter(file.read(_LONGEST_FRONT)).get("model-index")
    return list(islice(_claims(index), _MOST_CLAIMS))


def _claims(index: Any) -> Iterator[Claim]:
    for model in _dicts(index):
        for result in _dicts(model.get("results")):
            for metric in _dicts(result.get("metrics")):
                name, value = metric.get("name") or metric.get("type"), metric.get("value")
                given = metric.get("args")
                arguments = given if isinstance(given, dict) else {}
                base = arguments.get("base_value")
                if arguments.get("warning"):  # it must not be ranked, nor stand beside its base's
                    continue
                if isinstance(name, str) and len(name) <= _LONGEST_NAME and is_finite(value):
                    yield Claim(name, value, base if is_finite(base) else None)


def _dicts(values: Any) -> Iterator[dict[str, Any]]:
    entries = values[:_MOST_ENTRIES] if isinstance(values, list) else []
    yield from (each for each in entries if isinstance(each, dict))
