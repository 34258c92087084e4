"""The wordings of ``wordings.txt``: one of several, chosen by a random generator."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

_FILE = Path(__file__).with_name("wordings.txt")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def choose(template: str, rng: np.random.Generator) -> str:
    """One wording: every ``[a|b]`` becomes one of its alternatives, the innermost first."""
    while match := _CHOICE.search(template):
        options = match[1].split("|")
        picked = options[int(rng.random() * len(options))]
        template = template[: match.start()] + picked + template[match.end() :]
    return template


def every(template: str) -> list[str]:
    """All wordings that ``choose`` can give, some of them twice."""
    match = _CHOICE.search(template)
    if match is None:
        return [template]
    begin, end = template[: match.start()], template[match.end() :]
    return [text for option in match[1].split("|") for text in every(f"{begin}{option}{end}")]


@cache
def wordings(name: str) -> tuple[str, ...]:
    """The templates of one list.

    Raises:
        KeyError: there is no such list.
    """
    return _lists()[name]


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    _, *parts = re.split(r"^== ", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lists = (part.strip().split("\n") for part in parts)
    return {name: tuple(templates) for name, *templates in lists}


def say(name: str, rng: np.random.Generator, /, **words: object) -> str:
    """A wording of one list, filled with these words."""
    options = wordings(name)
    return choose(options[int(rng.random() * len(options))], rng).format(**words)
