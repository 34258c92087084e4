"""Our Fréchet distance, its interval included, against one by a matrix square root.

    pip install scipy
    python -m tests.benchmarks.frechet

768 dimensions, 200 samples each, the two in turn. Goal: at least 20 times faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from pipelines.metrics.frechet import frechet_distance

Array = npt.NDArray[np.float64]


def by_matrix_root(x: Array, y: Array) -> float:
    """As the first implementations have it, the imaginary part thrown away."""
    s, t = np.cov(x.T), np.cov(y.T)
    root: Any = linalg.sqrtm(s @ t)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(s) + np.trace(t) - 2 * np.trace(root).real)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 768)), rng.normal(size=(200, 768)) + 0.1
    calls: dict[str, Callable[[], float]] = {
        "ours": lambda: frechet_distance(x, y, "noise@00000000").value,
        "matrix root": lambda: by_matrix_root(x, y),
    }
    values: dict[str, float] = {}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(runs + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            values[name] = call()
            if turn > 0:  # the first of each warms up
                times[name].append(time.perf_counter() - began)
    for name in calls:
        print(f"{name:11} {values[name]:.6f}, median {statistics.median(times[name]):.4f} s")
    ratios = [b / a for a, b in zip(times["ours"], times["matrix root"], strict=True)]
    print(f"ratio       median {statistics.median(ratios):.0f} (goal 20 or more), of {runs} pairs")


if __name__ == "__main__":
    main()
