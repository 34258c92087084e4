"""Places are random, balanced, and not foreseen."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pipelines.arena.seating import AHEAD, shuffled


def played(names: str, rounds: int, seed: int = 0) -> list[list[str]]:
    rng = random.Random(seed)
    orders: list[list[str]] = []
    for _ in range(rounds):
        orders.append(shuffled(names, orders, rng))
    return orders


@pytest.mark.parametrize("names", ["ab", "abc", "abcdefgh"])
@pytest.mark.parametrize("seed", range(5))
def test_every_model_stands_in_every_place_about_equally_often_at_any_time(
    names: str, seed: int
) -> None:
    stood = Counter({(name, place): 0 for name in names for place in range(len(names))})
    for order in played(names, 200, seed):
        assert sorted(order) == list(names)
        stood.update((name, place) for place, name in enumerate(order))
        assert max(stood.values()) - min(stood.values()) <= 3 * AHEAD


def test_the_next_order_is_open_until_one_leads() -> None:
    level = [["a", "b"], ["b", "a"], ["a", "b"]]
    assert {tuple(shuffled("ab", level, random.Random(seed))) for seed in range(20)} == {
        ("a", "b"),
        ("b", "a"),
    }


@pytest.mark.parametrize("ahead", [AHEAD, 10, 1000])
def test_no_history_makes_the_next_order_certain(ahead: int) -> None:
    """Whoever had seen the votes could tell one order in six beforehand, of two models."""
    history = [["a", "b"]] * ahead
    orders = [shuffled("ab", history, random.Random(seed)) for seed in range(2000)]
    assert 0.75 < orders.count(["b", "a"]) / len(orders) < 0.85


def test_who_saw_the_votes_so_far_can_seldom_tell_the_next() -> None:
    orders = played("ab", 500)
    lead, right = 0, 0
    for order in orders:
        guess = "b" if lead > 0 else "a"
        right += order[0] == guess
        lead += 1 if order[0] == "a" else -1
    assert right / len(orders) < 0.65, "strict turns would give 0.75"


def test_all_orders_come_up() -> None:
    assert len({tuple(order) for order in played("abc", 200)}) == 6


def test_the_same_generator_gives_the_same_orders() -> None:
    assert played("abcd", 20, seed=7) == played("abcd", 20, seed=7)
    assert played("abcd", 20, seed=7) != played("abcd", 20, seed=8)
