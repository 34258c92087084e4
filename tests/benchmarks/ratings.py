"""How often the intervals of ratings hold the true ones, and how long 10,000 votes take.

    python -m tests.benchmarks.ratings

Goals: 93 to 97% in every row, less than a second.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt

from pipelines.metrics.ratings import CENTRE, PER_NAT, Vote, bradley_terry

Array = npt.NDArray[np.float64]


def simulated(
    strengths: Array, tie_strength: float, count: int, rng: np.random.Generator
) -> list[Vote]:
    """Votes between random pairs of models ``model 0`` and on, of these log strengths."""
    pairs = [rng.choice(len(strengths), 2, replace=False) for _ in range(count)]
    either = strengths[np.array(pairs)]
    weights = np.exp(np.column_stack([either, either.mean(axis=1)])) * [1, 1, tie_strength]
    drawn = rng.random((count, 1)) * weights.sum(axis=1, keepdims=True)
    said = (drawn > weights.cumsum(axis=1)).sum(axis=1)
    outcomes = ("first", "second", "tie")
    return [
        Vote(f"model {one}", f"model {other}", outcomes[which])
        for (one, other), which in zip(pairs, said, strict=True)
    ]


def coverage(
    models: int, votes: int, simulations: int, tie_strength: float = 0.5, spread: float = 1.0
) -> float:
    """The share of intervals that hold the true points, of log strengths up to ``spread``."""
    strengths = np.linspace(-spread, spread, models)
    truth = CENTRE + PER_NAT * strengths
    hits = []
    for seed in range(simulations):
        cast = simulated(strengths, tie_strength, votes, np.random.default_rng(seed))
        for rating in bradley_terry(cast).ratings:
            hits.append(rating.low <= truth[int(rating.name.split()[1])] <= rating.high)
    return float(np.mean(hits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    simulations = parser.parse_args().simulations
    for models, votes, ties in ((2, 100, 0.5), (4, 100, 0.5), (4, 1000, 0.5), (8, 1000, 0.0)):
        share = coverage(models, votes, simulations, ties)
        print(f"{models} models, {votes:5,} votes, tie strength {ties}: {100 * share:.1f}%")
    for votes, spread in ((10, 0.5), (20, 0.5), (20, 1.2), (50, 1.2)):
        share = coverage(2, votes, simulations, 0.0, spread)
        print(f"2 models, {votes} votes, log strengths {spread} apart from 0: {100 * share:.1f}%")
    cast = simulated(np.linspace(-1, 1, 8), 0.5, 10_000, np.random.default_rng(0))
    began = time.perf_counter()
    bradley_terry(cast)
    print(f"8 models, 10,000 votes: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
