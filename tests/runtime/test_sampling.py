"""Seeded sampling: exact draws, the same anywhere, row by row."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from pipelines.runtime.sampling import fresh_seed, processors

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])


def draw(
    logits: torch.Tensor,
    count: int,
    seeds: Sequence[int] = (0,),
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> torch.Tensor:
    """``count`` tokens in turn for each seed: ``(count, len(seeds))``."""
    chain = processors(temperature, top_k, top_p, list(seeds))
    batch = logits.expand(len(seeds), -1)
    ids: Any = torch.zeros(len(seeds), 1, dtype=torch.long)
    return torch.stack([chain(ids, batch.clone()).argmax(-1) for _ in range(count)])


def chi_square(drawn: torch.Tensor, probabilities: torch.Tensor) -> float:
    """Pearson's statistic of the counts against the expected ones."""
    kept = probabilities > 0
    counts = torch.bincount(drawn.flatten(), minlength=len(probabilities)).double()
    assert counts[~kept].sum() == 0
    expected = probabilities[kept].double() * drawn.numel()
    return float(((counts[kept] - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    drawn = draw(LOGITS, 4_000, temperature=temperature)
    statistic = chi_square(drawn, torch.softmax(LOGITS / temperature, -1))
    assert statistic < 23.5  # four degrees of freedom: one in ten thousand is above


def test_the_statistic_would_tell_another_distribution() -> None:
    drawn = draw(LOGITS, 4_000, temperature=1.0)
    assert chi_square(drawn, torch.softmax(LOGITS / 1.1, -1)) > 23.5


def test_draws_across_seeds_follow_the_softmax_too() -> None:
    drawn = draw(LOGITS, 1, seeds=range(4_000))
    assert chi_square(drawn, torch.softmax(LOGITS, -1)) < 23.5


def test_top_k_keeps_the_likeliest_and_their_proportions() -> None:
    drawn = draw(LOGITS, 4_000, top_k=2)
    allowed = torch.softmax(torch.tensor([2.0, 1.0, -torch.inf, -torch.inf, -torch.inf]), -1)
    assert chi_square(drawn, allowed) < 15.2  # one degree of freedom


def test_top_k_zero_keeps_all() -> None:
    assert torch.equal(draw(LOGITS, 200, top_k=0), draw(LOGITS, 200, top_k=5))


def test_top_p_keeps_the_likeliest_of_that_total() -> None:
    drawn = draw(LOGITS, 2_000, top_p=0.8)  # softmax: 0.64, 0.23, 0.09, ...
    assert set(drawn.flatten().tolist()) == {0, 1}


def test_top_p_zero_keeps_the_likeliest_alone() -> None:
    assert set(draw(LOGITS, 200, top_p=0.0, temperature=5.0).flatten().tolist()) == {0}


def test_temperature_zero_adds_nothing() -> None:
    assert len(processors(0.0, 50, 0.9, [0])) == 0


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    first, second = draw(LOGITS, 100, [7]), draw(LOGITS, 100, [7])
    assert torch.equal(first, second)
    assert not torch.equal(first, draw(LOGITS, 100, [8]))


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_the_smallest_and_the_largest_seed_work(seed: int) -> None:
    assert torch.equal(draw(LOGITS, 20, [seed]), draw(LOGITS, 20, [seed]))


def test_threads_and_the_processes_own_generator_change_nothing() -> None:
    alone = {seed: draw(LOGITS, 200, [seed]) for seed in range(6)}
    together: dict[int, torch.Tensor] = {}

    def run(seed: int) -> None:
        torch.manual_seed(1)
        torch.rand(100)
        together[seed] = draw(LOGITS, 200, [seed])

    threads = [threading.Thread(target=run, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[seed], together[seed]) for seed in alone)


def test_drawing_leaves_the_processes_own_generator_alone() -> None:
    state = torch.get_rng_state()
    draw(LOGITS, 10)
    assert torch.equal(state, torch.get_rng_state())


def test_a_row_comes_out_as_it_would_alone() -> None:
    batch = draw(LOGITS, 100, [3, 4, 5])
    for row, seed in enumerate([3, 4, 5]):
        assert torch.equal(batch[:, row], draw(LOGITS, 100, [seed])[:, 0])
    assert not torch.equal(batch[:, 0], batch[:, 1])


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.tensor([0.0, -torch.inf, 0.0])
    assert 1 not in draw(logits, 2_000, temperature=5.0)


def test_fresh_seeds_differ_and_can_be_read_aloud() -> None:
    seeds = {fresh_seed() for _ in range(100)}
    assert len(seeds) > 95
    assert all(0 <= seed < 2**31 for seed in seeds)
