"""A conversation as a tree: what was said differently, or answered again, is another branch.

Nothing that was said is ever dropped: editing a turn or asking for another answer adds a turn
beside the old one, and the page shows one way from the first turn to a last one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pipelines.errors import InvalidValue
from pipelines.text_generation.prompts import ROLES, Turns

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Turn:
    """One thing said. ``before`` is the place of the turn that it follows, None for a first one.

    ``receipt`` is that of an answer which a model gave; an edited one has none.
    """

    role: str
    content: str
    before: int | None = None
    receipt: dict[str, Any] | None = None


@dataclass(frozen=True)
class Conversation:
    """All turns in the order in which they came, and the place of the last one shown."""

    turns: tuple[Turn, ...] = ()
    last: int | None = None

    @property
    def path(self) -> list[int]:
        """The places of the turns shown, the first one first."""
        places: list[int] = []
        place = self.last
        while place is not None:
            places.append(place)
            place = self.turns[place].before
        return places[::-1]

    @property
    def shown(self) -> list[Turn]:
        return [self.turns[place] for place in self.path]

    @property
    def pairs(self) -> Turns:
        """The turns shown as a request takes them."""
        return tuple((turn.role, turn.content) for turn in self.shown)

    def said(self, role: str, content: str, receipt: dict[str, Any] | None = None) -> Conversation:
        """With one more turn behind those shown.

        Raises:
            InvalidValue: it is the other's turn.
        """
        expected = ROLES[len(self.path) % 2]
        if role != expected:
            raise InvalidValue(f"It is the {expected}'s turn to say something, not the {role}'s.")
        turn = Turn(role, content, self.last, receipt)
        return replace(self, turns=(*self.turns, turn), last=len(self.turns))

    def before(self, number: int) -> Conversation:
        """The same conversation, shown up to the turn in front of turn ``number``, from 0."""
        return replace(self, last=self.turns[self.path[number]].before)

    def edited(self, number: int, content: str) -> Conversation:
        """With another wording of turn ``number``, on a branch of its own."""
        return self.before(number).said(self.shown[number].role, content)

    def went_on(self, content: str, receipt: dict[str, Any]) -> Conversation:
        """With more of the last answer: the same turn, longer."""
        assert self.last is not None
        longer = replace(self.turns[self.last], content=content, receipt=receipt)
        turns = list(self.turns)
        turns[self.last] = longer
        return replace(self, turns=tuple(turns))

    @property
    def branches(self) -> list[tuple[str, int]]:
        """The last turn of each branch: its words on the way there, and its place."""
        inner = {turn.before for turn in self.turns}
        ends = [place for place in range(len(self.turns)) if place not in inner]
        return [(f"{n}: {self._words(place)}", place) for n, place in enumerate(ends, start=1)]

    def on_branch(self, place: int) -> Conversation:
        """The same, shown to the end of another branch.

        Raises:
            InvalidValue: no branch ends there.
        """
        if place not in [end for _, end in self.branches]:
            raise InvalidValue("There is no such branch in this conversation. Choose another.")
        return replace(self, last=place)

    def _words(self, place: int) -> str:
        turn = self.turns[place]
        words = " ".join(turn.content.split())
        short = words if len(words) <= _SHOWN_CHARACTERS else words[:_SHOWN_CHARACTERS] + "…"
        return f"{len(replace(self, last=place).path)} turns, “{short}”"
