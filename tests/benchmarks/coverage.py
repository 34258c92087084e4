"""How often 95% intervals hold the truth, and how often tests at 5% show a difference of none.

    python -m tests.benchmarks.coverage

Goals: 93 to 97% and at most 6% in every row but those that ``tests/README.md`` excuses. The
percentile bootstrap and randomisation alone stand beside as what they are better than.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.metrics import interval
from pipelines.metrics.paired import compared, of_values
from pipelines.metrics.proportion import proportion

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]
SIZES = (8, 20, 64)


@dataclass(frozen=True)
class Population:
    """Values of samples as a metric has them, and their true mean."""

    draw: Draw
    mean: float


def _partly_right(rng: np.random.Generator, n: int) -> Array:
    """ROUGE-L of a captioner: a fifth of the captions are right, the others are in part."""
    return np.asarray(np.where(rng.random(n) < 0.2, 1.0, rng.beta(2, 2, n)).round(2), np.float64)


def _hits(rng: np.random.Generator, n: int) -> Array:
    return (rng.random(n) < 0.7).astype(np.float64)


POPULATIONS: Mapping[str, Population] = {
    "normal": Population(lambda rng, n: rng.normal(size=n), 0.0),
    "exponential": Population(lambda rng, n: rng.exponential(size=n), 1.0),
    "log-normal, sigma 0.5": Population(lambda rng, n: rng.lognormal(0, 0.5, n), np.exp(0.125)),
    "log-normal, sigma 0.8": Population(lambda rng, n: rng.lognormal(0, 0.8, n), np.exp(0.32)),
    "between 0 and 1, many at 1": Population(_partly_right, 0.6),
    "mostly near 0 or 1": Population(lambda rng, n: rng.beta(0.5, 0.5, n), 0.5),
    "6 of 10 are 0": Population(
        lambda rng, n: np.where(rng.random(n) < 0.4, rng.exponential(size=n), 0.0), 0.4
    ),
}
PAIRS: Mapping[str, tuple[Draw, Draw]] = {
    "normal, equal spreads": (
        lambda rng, n: rng.normal(size=n), lambda rng, n: rng.normal(size=n)
    ),
    "normal, spreads 1 and 3": (
        lambda rng, n: rng.normal(size=n), lambda rng, n: 3 * rng.normal(size=n)
    ),
    "exponential, spreads 1 and 1/3": (
        lambda rng, n: rng.exponential(size=n),
        lambda rng, n: rng.exponential(size=n) / 3 + 2 / 3,
    ),
    "log-normal against its mean": (
        lambda rng, n: rng.lognormal(0, 0.5, n), lambda rng, n: np.full(n, np.exp(0.125))
    ),
    "between 0 and 1, many at 1": (_partly_right, _partly_right),
    "hits, both 0.7": (
        lambda rng, n: _hits(rng, n), lambda rng, n: _hits(rng, n)
    ),
}  # fmt: skip
"""Of one true mean each."""


def coverage(population: Population, n: int, simulations: int) -> tuple[float, float, float]:
    """The shares of bootstrap-t and of percentile intervals that hold the mean, of samples that
    have an interval, and the share of those that have none."""
    rng = np.random.default_rng(n)
    hits, percentile = [], []
    for seed in range(simulations):
        values = population.draw(rng, n)
        low, high = interval.bootstrap(of_values(values), interval.ratio, seed)
        if np.isnan(low):
            continue
        hits.append(low <= population.mean <= high)
        drawn = values[rng.integers(n, size=(interval.RESAMPLES, n))].mean(axis=1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        percentile.append(low <= population.mean <= high)
    return float(np.mean(hits)), float(np.mean(percentile)), 1 - len(hits) / simulations


def coverage_of_shares(share: float, n: int, simulations: int) -> float:
    """The share of Wilson's intervals that hold the true one, over draws of n hits."""
    rng = np.random.default_rng(n)
    scores = [proportion((rng.random(n) < share).tolist(), "coin") for _ in range(simulations)]
    return float(np.mean([score.low <= share <= score.high for score in scores]))


def coverage_of_bits(n: int, simulations: int) -> float:
    """Of bits per byte: a ratio of sums, where long passages have more of both."""
    rng, hits = np.random.default_rng(n), []
    for seed in range(simulations):
        sizes = rng.lognormal(4, 0.7, n).round() + 1
        bits = sizes * rng.gamma(8, 1 / 4, n)
        rows = np.column_stack([bits, sizes])
        low, high = interval.bootstrap(rows, interval.ratio, seed)
        hits.append(low <= 2 <= high)
    return float(np.mean(hits))


def false_alarms(pair: tuple[Draw, Draw], n: int, simulations: int) -> tuple[float, float, float]:
    """The shares of differences of none that both tests show, that randomisation alone shows, and
    of intervals of the difference that hold 0."""
    rng = np.random.default_rng(n)
    found = []
    for seed in range(simulations):
        first, second = (of_values(draw(rng, n)) for draw in pair)
        found.append(compared(first, second, interval.ratio, seed, resamples=500))
    return (
        float(np.mean([each.is_shown for each in found])),
        float(np.mean([each.randomisation_p < 0.05 for each in found])),
        float(np.mean([not (each.low > 0 or each.high < 0) for each in found])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    simulations = parser.parse_args().simulations
    print("| intervals of a mean | n | hold it | percentile | no interval |")
    print("| --- | --- | --- | --- | --- |")
    for name, population in POPULATIONS.items():
        for n in SIZES:
            ours, percentile, none = (100 * each for each in coverage(population, n, simulations))
            print(f"| {name} | {n} | {ours:.1f}% | {percentile:.1f}% | {none:.1f}% |", flush=True)
    for n in SIZES:
        print(
            f"| bits per byte of passages | {n} | {100 * coverage_of_bits(n, simulations):.1f}% |"
        )
    for share in (0.5, 0.8):
        for n in SIZES:
            told = 100 * coverage_of_shares(share, n, simulations)
            print(f"| hits, {share} (Wilson) | {n} | {told:.1f}% |", flush=True)
    print("\n| differences of none | n | shown | by randomisation alone | interval holds 0 |")
    print("| --- | --- | --- | --- | --- |")
    for name, pair in PAIRS.items():
        for n in SIZES:
            both, alone, held = (100 * each for each in false_alarms(pair, n, simulations))
            print(f"| {name} | {n} | {both:.1f}% | {alone:.1f}% | {held:.1f}% |", flush=True)


if __name__ == "__main__":
    main()
