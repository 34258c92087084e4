"""Which model stands in which place: random, and balanced without being foreseen.

Were places as even as they can be after each vote, the last one of a round could be told
from those before, which every voter has seen. So chance alone decides until some model leads
in some place by ``MOST_AHEAD``, and then the leading places are closed (the big stick design;
Soares and Wu, 1983, Communications in Statistics A 12:2017).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

MOST_AHEAD = 3
"""So much more often than another, at most, a model stands in a place: in 3 votes or 3,000."""

_Cell = tuple[str, int]


def shuffled(
    names: Sequence[str], earlier: Sequence[Sequence[str]], rng: random.Random
) -> list[str]:
    """The names in a random order.

    Args:
        earlier: the orders of earlier duels between just these names.
    """
    stood = Counter((name, place) for order in earlier for place, name in enumerate(order))
    cells = [(name, place) for name in names for place in range(len(names))]
    most, fewest = max(stood[cell] for cell in cells), min(stood[cell] for cell in cells)
    closed = set()
    if most - fewest >= MOST_AHEAD:
        closed = {cell for cell in cells if stood[cell] == most}
    order = _filled(0, list(names), closed, rng)
    # Each name and each place has stood equally often, so open cells hold an order (Birkhoff).
    assert order is not None
    return order


def _filled(
    place: int, left: list[str], closed: set[_Cell], rng: random.Random
) -> list[str] | None:
    """An order of the names left from this place on; None where the closed cells allow none."""
    if not left:
        return []
    for name in rng.sample(left, len(left)):
        if (name, place) not in closed:
            rest = _filled(place + 1, [n for n in left if n != name], closed, rng)
            if rest is not None:
                return [name, *rest]
    return None
