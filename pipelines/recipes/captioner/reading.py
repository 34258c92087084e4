"""Reads a caption back: which emoji, where, on which colour.

Wordings that say the same read alike: aliases count as names, sizes and articles do
not count, and symmetric places have no order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.recipes.emoji_scenes.data import Box, Scene, plural
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, Emoji

_RELATIONS = {
    "to the left of": ("left", False),
    "left of": ("left", False),
    "to the right of": ("left", True),
    "right of": ("left", True),
    "on top of": ("above", False),
    "above": ("above", False),
    "over": ("above", False),
    "below": ("above", True),
    "under": ("above", True),
    "next to": ("beside", False),
    "beside": ("beside", False),
    "and": ("and", False),
}
"""Wording to place, and whether the second thing named is the scene's first."""

_GROUND = re.compile(rf" (?:on|with|against)(?: an?)? ({'|'.join(COLOURS)})(?: background)?$")
_DETERMINERS = re.compile(r"^(?:an? )?(?:(?:small|little|tiny|big|large|huge) )?")


@dataclass(frozen=True)
class Reading:
    """What a caption says. ``characters`` are sorted where the place has no order;
    ``colour`` is ``""`` where none is named."""

    characters: tuple[str, ...]
    place: str
    colour: str


class Reader:
    """Reads captions over a set of emoji."""

    def __init__(self, emoji: Iterable[Emoji]) -> None:
        self._singular: dict[str, str] = {}
        self._plural: dict[str, str] = {}
        for entry in emoji:
            for name in entry.names:
                self._singular.setdefault(name, entry.character)
                self._plural.setdefault(plural(name), entry.character)

    def read(self, caption: str) -> Reading | None:
        """The caption's meaning; None where it does not parse."""
        text = " ".join(caption.lower().split())
        ground = _GROUND.search(text)
        colour = "" if ground is None else ground[1]
        things = text if ground is None else text[: ground.start()]
        if things.startswith("two ") and things[4:] in self._plural:
            character = self._plural[things[4:]]
            return Reading((character, character), "and", colour)
        if (one := self._name(things)) is not None:
            return Reading((one,), "", colour)
        for wording, (place, is_turned) in _RELATIONS.items():
            pair = self._pair(things, f" {wording} ")
            if pair is None:
                continue
            if place in ("beside", "and"):
                pair = min(pair), max(pair)
            elif is_turned:
                pair = pair[1], pair[0]
            return Reading(pair, place, colour)
        return None

    def _pair(self, things: str, wording: str) -> tuple[str, str] | None:
        """Two names with the wording between; a name may hold the wording itself."""
        for match in re.finditer(re.escape(wording), things):
            first, second = self._name(things[: match.start()]), self._name(things[match.end() :])
            if first is not None and second is not None:
                return first, second
        return None

    def _name(self, phrase: str) -> str | None:
        return self._singular.get(_DETERMINERS.sub("", phrase))


def names_all(reading: Reading | None, scene: Scene) -> bool:
    """Whether the caption names exactly the scene's emoji, and its colour."""
    if reading is None or reading.colour != scene.colour:
        return False
    return sorted(reading.characters) == sorted(item.emoji.character for item in scene.items)


def place_is_true(reading: Reading, scene: Scene, boxes: Sequence[Box]) -> bool:
    """Whether the picture bears the caption's place out: ``left`` and ``beside`` ask for a
    row, ``above`` for a column, ``and`` for nothing."""
    if reading.place in ("", "and") or len(boxes) < 2:
        return True
    centres = {
        item.emoji.character: (left + edge / 2, top + edge / 2)
        for item, (left, top, edge) in zip(scene.items, boxes, strict=True)
    }
    if len(centres) < 2:  # one emoji twice: any order is true
        return True
    first, second = (centres[character] for character in reading.characters)
    right, down = second[0] - first[0], second[1] - first[1]
    if reading.place == "beside":
        return abs(right) > abs(down)
    return right > abs(down) if reading.place == "left" else down > abs(right)


def tells(reading: Reading | None, scene: Scene, boxes: Sequence[Box]) -> bool:
    """Whether the caption names the scene's emoji and colour, and a place that is true."""
    return (
        reading is not None and names_all(reading, scene) and place_is_true(reading, scene, boxes)
    )
