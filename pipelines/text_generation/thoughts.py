"""What a thinking model writes for itself, apart from what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>"))
_THOUGHT = re.compile(
    "|".join(f"{re.escape(begin)}(.*?)(?:{re.escape(end)}|$)" for begin, end in _TAGS), re.DOTALL
)


@dataclass(frozen=True)
class Part:
    """A part of an answer: ``raw`` as the model wrote it, ``shown`` without tags and margins."""

    raw: str
    shown: str
    is_thought: bool


def parts_of(answer: str) -> list[Part]:
    """Thoughts and speech in their order; joined, their ``raw`` is the answer."""
    parts: list[Part] = []
    end = 0
    for match in _THOUGHT.finditer(answer):
        parts.append(_spoken(answer[end : match.start()]))
        inner = next((group for group in match.groups() if group is not None), "")
        parts.append(Part(match[0], inner.strip(), True))
        end = match.end()
    parts.append(_spoken(answer[end:]))
    return [part for part in parts if part.raw] or [_spoken("")]


def _spoken(raw: str) -> Part:
    return Part(raw, raw.strip("\n"), False)
