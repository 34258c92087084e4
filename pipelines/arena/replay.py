"""Computes the ratings of a card again, from its votes or from the log, and says what is equal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from pipelines.arena import link
from pipelines.arena.ballot import Ballot, from_lines
from pipelines.arena.card import KIND, SCHEMA, ballots_of, card
from pipelines.arena.log import VoteLog
from pipelines.arena.setup import setup_of
from pipelines.datasets.samples import read_bounded
from pipelines.errors import InvalidValue
from pipelines.events import Progress
from pipelines.runtime.studio import Studio
from pipelines.sharing.cards import Card, CardKind, Sources
from pipelines.sharing.reading import damage_in_words
from pipelines.sharing.replay import Line, Replayed, compared, explained, same_machine

POINTS_ALIKE = 0.01
"""Points nearer than this are the same rating: the solver stops at about a thousandth of it."""

_COUNTS = ("duels", "best", "ties", "all_bad")


def replay(old: Card, log: Sequence[Ballot] | None = None) -> Replayed:
    """The card made again, and what of it is as in the old one.

    Args:
        log: all votes, of any task; the card's own where it is None.

    Raises:
        InvalidValue: no whole card of votes, or the log has none of its task.
    """
    own = ballots_of(old)
    new = card(own if log is None else log, old["task"])
    return Replayed(new, _lines(old, new, own))


def read_votes(path: Path) -> list[Ballot]:
    """All votes of a ``votes.jsonl``, or of the log itself, ``votes.sqlite3``.

    Raises:
        StudioError: there is no such file, or it holds no votes.
    """
    if not path.is_file():
        raise InvalidValue(f"There is no file {path.name!r}. Give a votes.jsonl or votes.sqlite3.")
    if path.suffix == ".sqlite3":
        return VoteLog(path).ballots()
    try:
        return from_lines(read_bounded(path).decode())
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path.name} is not UTF-8 text. Export the votes again.") from error


@damage_in_words()
def _lines(old: Card, new: Card, own: Sequence[Ballot]) -> tuple[Line, ...]:
    causes = [_votes(old["log"], new["log"], own, ballots_of(new)), *same_machine(old, new)]
    about = "signature"
    causes.append(compared(about, old[about], new[about], "signature of the ratings"))
    warning = compared("warning", old["warning"], new["warning"])
    unexplained = "The same votes give other ratings: the card's ratings were changed."
    return explained(causes, [*_ratings(old, new), warning], unexplained)


def _votes(
    was: dict[str, Any], now: dict[str, Any], old: Sequence[Ballot], new: Sequence[Ballot]
) -> Line:
    """Whether the votes are those that the card was made of, by number and hash."""
    if was["sha256"] == now["sha256"]:
        return Line(True, f"votes: the same {now['votes']}, sha256 {now['sha256']}", "votes")
    before, after = Counter(old), Counter(new)
    added, missing = (after - before).total(), (before - after).total()
    text = (
        f"votes: sha256 was {was['sha256']}, is {now['sha256']}; {added} are new and {missing} "
        f"are missing against the {len(old)} in the card"
    )
    return Line(False, text, "votes")


def _ratings(old: Card, new: Card) -> list[Line]:
    before, after = ({model["name"]: model for model in card["models"]} for card in (old, new))
    lines = []
    for name in {**before, **after}:
        was, now = before.get(name), after.get(name)
        if was is None or now is None:
            there = "in the card alone" if now is None else "not in the card"
            lines.append(Line(False, f"{name}: {there}"))
            continue
        is_alike = _is_alike(was["rating"], now["rating"])
        earlier = "as before" if is_alike else f"was {_points(was['rating'])}"
        lines.append(Line(is_alike, f"{name}: {_points(now['rating'])}, {earlier}"))
        lines += [
            Line(False, f"{name}: {count.replace('_', ' ')} was {was[count]}, is {now[count]}")
            for count in _COUNTS
            if was[count] != now[count]
        ]
    return lines


def _is_alike(was: dict[str, Any] | None, now: dict[str, Any] | None) -> bool:
    if was is None or now is None:
        return was is now
    return all(
        math.isclose(was[name], now[name], rel_tol=0, abs_tol=POINTS_ALIKE)
        for name in ("points", "low", "high")
    )


def _points(rating: dict[str, Any] | None) -> str:
    if rating is None:
        return "no rating"
    return f"{rating['points']:.2f} ({rating['low']:.2f} to {rating['high']:.2f})"


def _again(studio: Studio, old: Card, sources: Sources) -> Generator[Progress, None, Replayed]:
    yield Progress("Computing the ratings")
    is_log = sources.is_owner and sources.data is not None
    return replay(old, read_votes(Path(str(sources.data))) if is_log else None)


VOTES = CardKind(
    name=KIND,
    schema=SCHEMA,
    panel="Blind votes",
    panel_id="votes",
    parameter=link.PARAMETER,
    setup_of=setup_of,
    decode=link.decode,
    replay=_again,
)
