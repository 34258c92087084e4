"""How much the samples of one model differ among themselves: pictures by their features.

For texts see ``wording``. More variety is not better in itself; noise has most of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.metrics import interval
from pipelines.metrics.features import directions, feature_rows
from pipelines.metrics.score import Score, name_and_hash

Array = npt.NDArray[np.float64]


def mean_cosine_distance(features: npt.NDArray[Any], extractor: str) -> Score:
    """The mean of ``1 - cos`` over all pairs of different pictures, from 0 to 2.

    The interval is a jackknife: every picture is left out once, exactly.

    Args:
        features: ``(n, d)``, n at least 2.
        extractor: its name and the hash of its weights, ``name@hash``.

    Raises:
        InvalidValue: fewer rows, other forms, a row of zeros, or a name without a hash.
    """
    extractor = name_and_hash("extractor", extractor)
    rows = directions("features", feature_rows("features", features, least=2))
    n = len(rows)
    to_others = n - 1 - (rows @ rows.sum(axis=0) - 1)  # of each, the sum of its distances
    total = float(to_others.sum())
    value = max(0.0, total / (n * (n - 1)))
    without = (total - 2 * to_others) / ((n - 1) * max(1, n - 2))
    low, high = interval.student(value, (n - 1) * float(without.var()), n, 0.0, 2.0)
    return Score(
        value,
        low,
        high,
        n,
        f"mean_cosine_distance({extractor})|n:{n}|ci:jackknife-t|numpy:{np.__version__}",
        higher_is_better=True,
        warning=_warning(n),
    )


LEAST_RELIABLE = 20
"""Below it a score carries a warning: an interval from so few pictures is a guess."""


def _warning(n: int) -> str | None:
    if n >= LEAST_RELIABLE:
        return None
    return f"{n} pictures; give at least {LEAST_RELIABLE} to tell how much they vary."
