"""Parses captions of emoji scenes: which emoji, where, on which colour.

Different wordings of one meaning give the same result: aliases count as names, sizes and
articles do not count, and symmetric places have no order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.recipes.emoji_scenes.data import PLACE_WORDS, Box, Scene, plural
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, Emoji

_GROUND = re.compile(rf" (?:on|with|against)(?: an?)? ({'|'.join(COLOURS)})(?: background)?$")
_DETERMINERS = re.compile(r"^(?:an? )?(?:(?:small|little|tiny|big|large|huge) )?")


@dataclass(frozen=True)
class ParsedCaption:
    """What a caption says.

    ``characters`` are sorted where the place has no order; ``colour`` is ``""`` where the
    caption names none.
    """

    characters: tuple[str, ...]
    place: str
    colour: str


class CaptionParser:
    """Parses captions that use the names of these emoji."""

    def __init__(self, emoji: Iterable[Emoji]) -> None:
        self._singular: dict[str, str] = {}
        self._plural: dict[str, str] = {}
        for entry in emoji:
            for name in entry.names:
                self._singular.setdefault(name, entry.character)
                self._plural.setdefault(plural(name), entry.character)

    def parse(self, caption: str) -> ParsedCaption | None:
        """The caption's meaning; None if it has none of the known wordings."""
        text = " ".join(caption.lower().split())
        ground = _GROUND.search(text)
        colour = "" if ground is None else ground[1]
        items = text if ground is None else text[: ground.start()]
        if items.startswith("two ") and items[4:] in self._plural:
            return ParsedCaption((self._plural[items[4:]],) * 2, "and", colour)
        if (one := self._emoji(items)) is not None:
            return ParsedCaption((one,), "", colour)
        wordings = (
            (p, words, back) for p, options in PLACE_WORDS.items() for words, back in options
        )
        for place, words, names_second_first in wordings:
            pair = self._pair(items, f" {words} ")
            if pair is None:
                continue
            if place in ("beside", "and"):
                pair = min(pair), max(pair)
            elif names_second_first:
                pair = pair[1], pair[0]
            return ParsedCaption(pair, place, colour)
        return None

    def _pair(self, items: str, words: str) -> tuple[str, str] | None:
        """The two emoji named before and after ``words``, which may also be part of a name."""
        for match in re.finditer(re.escape(words), items):
            first, second = self._emoji(items[: match.start()]), self._emoji(items[match.end() :])
            if first is not None and second is not None:
                return first, second
        return None

    def _emoji(self, phrase: str) -> str | None:
        return self._singular.get(_DETERMINERS.sub("", phrase))


def names_all(parsed: ParsedCaption | None, scene: Scene) -> bool:
    """Whether a caption names exactly the scene's emoji, and its colour."""
    if parsed is None or parsed.colour != scene.colour:
        return False
    return sorted(parsed.characters) == sorted(item.emoji.character for item in scene.items)


def place_is_true(parsed: ParsedCaption, scene: Scene, boxes: Sequence[Box]) -> bool:
    """Whether the boxes of the scene's items agree with the caption's place.

    ``left`` and ``beside`` need a row, ``above`` a column, ``and`` is always true.
    """
    centres = {
        item.emoji.character: (left + edge / 2, top + edge / 2)
        for item, (left, top, edge) in zip(scene.items, boxes, strict=True)
    }
    if parsed.place in ("", "and") or len(centres) < 2:  # one emoji twice has no order
        return True
    first, second = (centres[character] for character in parsed.characters)
    right, down = second[0] - first[0], second[1] - first[1]
    if parsed.place == "beside":
        return abs(right) > abs(down)
    return right > abs(down) if parsed.place == "left" else down > abs(right)


def describes(parsed: ParsedCaption | None, scene: Scene, boxes: Sequence[Box]) -> bool:
    """Whether a caption names the scene's emoji and colour, and its place is true."""
    return parsed is not None and names_all(parsed, scene) and place_is_true(parsed, scene, boxes)
