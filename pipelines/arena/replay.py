"""Works the ratings of a card out again, from its votes or from the log, and says what is equal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipelines.arena.ballot import Ballot
from pipelines.arena.card import Card, ballots_of, card
from pipelines.evaluation.diff import Line
from pipelines.evaluation.replay import Replayed
from pipelines.evaluation.result import listed
from pipelines.sharing.replay import whole_card

POINTS_ALIKE = 0.01
"""Points nearer than this are the same rating: the solver stops at about a thousandth of it."""

_COUNTS = ("duels", "best", "ties", "all_bad")


def replay(old: Card, log: Sequence[Ballot] | None = None) -> Replayed:
    """The card made again, and what of it is as in the old one.

    Args:
        log: all votes there are, of any task; the card's own where it is None.

    Raises:
        InvalidValue: no whole card of votes, or the log has none of its task.
    """
    kept = ballots_of(old)
    new = card(kept if log is None else log, old["task"])
    with whole_card():
        votes = _votes(old, new, kept, ballots_of(new))
        causes = [*votes, *_parts(old, new)]
        outcomes = [*_ratings(old, new), *_told(old, new)]
    lines = [line for _, line in causes] + outcomes
    if not all(line.is_equal for line in outcomes):
        changed = [name for name, line in causes if not line.is_equal]
        because = (
            f"What differs may be because of the {listed(changed)}."
            if changed
            else "The same votes give other ratings: the card's ratings were changed."
        )
        lines.append(Line(False, because))
    return Replayed(new, tuple(lines))


_Cause = tuple[str, Line]


def _votes(old: Card, new: Card, kept: Sequence[Ballot], found: Sequence[Ballot]) -> list[_Cause]:
    """Whether the votes are those that the card was made of, by number and hash."""
    was, now = old["log"], new["log"]
    if was["sha256"] == now["sha256"]:
        return [("votes", Line(True, f"votes: the same {now['votes']}, sha256 {now['sha256']}"))]
    before, after = Counter(kept), Counter(found)
    added, missing = (after - before).total(), (before - after).total()
    text = (
        f"votes: sha256 was {was['sha256']}, is {now['sha256']}; {added} are new and {missing} "
        f"are missing against the {len(kept)} in the card"
    )
    return [("votes", Line(False, text))]


def _parts(old: Card, new: Card) -> list[_Cause]:
    causes = []
    for what, part in (("version of", "versions"), ("device", "device")):
        for name, now in new[part].items():
            if name == "hardware" and name not in old[part]:
                continue  # cards of earlier versions name none
            told, was = f"{what} {name}", old[part].get(name)
            text = f"{told}: {now}" if was == now else f"{told}: was {was}, is {now}"
            causes.append((told, Line(was == now, text)))
    return causes


def _ratings(old: Card, new: Card) -> list[Line]:
    before, after = _by_name(old), _by_name(new)
    lines = []
    for name in {**before, **after}:
        was, now = before.get(name), after.get(name)
        if was is None or now is None:
            there = "in the card alone" if now is None else "not in the card"
            lines.append(Line(False, f"{name}: {there}"))
            continue
        is_alike = _is_alike(was["rating"], now["rating"])
        told = "as before" if is_alike else f"was {_points(was['rating'])}"
        lines.append(Line(is_alike, f"{name}: {_points(now['rating'])}, {told}"))
        lines += [
            Line(False, f"{name}: {count.replace('_', ' ')} was {was[count]}, is {now[count]}")
            for count in _COUNTS
            if was[count] != now[count]
        ]
    return lines


def _by_name(found: Card) -> dict[str, Any]:
    return {model["name"]: model for model in found["models"]}


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


def _told(old: Card, new: Card) -> list[Line]:
    """The method's signature and the warning."""
    lines = []
    for name in ("signature", "warning"):
        was, now = old[name], new[name]
        is_equal = was == now
        lines.append(
            Line(is_equal, f"{name}: {now}" if is_equal else f"{name}: was {was}, is {now}")
        )
    return lines
