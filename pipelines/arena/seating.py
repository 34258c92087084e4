"""Which model stands in which place: random, and balanced without being foreseen.

Were places as even as they can be after each vote, the last one of a round would follow
from those before, which every voter has seen. So chance alone decides until some model leads
in some place by ``AHEAD``, and then the leading places are closed (the big stick design; Soares
and Wu, 1983, Communications in Statistics A 12:2017). Where that leaves one order alone, a biased
coin decides whether it is taken (Efron, 1971, Biometrika 58:403): nothing is ever certain.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

AHEAD = 3
"""So much more often than another a model may stand in a place."""
_FORCED_SHARE = 0.6
"""So often the one order that is left is taken: of two models it then has a chance of 0.8."""

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
    if most - fewest >= AHEAD:
        closed = {cell for cell in cells if stood[cell] == most}
    # Each name and each place has stood equally often, so open cells hold an order (Birkhoff).
    first, *others = islice(_orders(0, list(names), closed, rng), 2)
    if not others and rng.random() >= _FORCED_SHARE:
        return rng.sample(names, len(names))
    return first


def _orders(
    place: int, left: list[str], closed: set[_Cell], rng: random.Random
) -> Iterator[list[str]]:
    """The orders of the names left from this place on that stand in no closed cell."""
    if not left:
        yield []
    for name in rng.sample(left, len(left)):
        if (name, place) not in closed:
            rest = _orders(place + 1, [n for n in left if n != name], closed, rng)
            yield from ([name, *others] for others in rest)
