"""The share of samples of which something is true, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipelines.errors import InvalidValue
from pipelines.metrics import interval
from pipelines.metrics.score import Score


def proportion(hits: Sequence[bool], judge: str, higher_is_better: bool = True) -> Score:
    """The share of true ones, with Wilson's 95% interval (Wilson, 1927, JASA 22:209); fewer than
    ``interval.FEWEST`` samples have none.

    Args:
        hits: one for each sample.
        judge: who or what decided, for the signature.
        higher_is_better: false where the hits are faults.

    Raises:
        InvalidValue: there are no samples.
    """
    n = len(hits)
    if n == 0:
        raise InvalidValue("There are no samples, so there is no share of them. Give at least one.")
    count = sum(map(bool, hits))
    share = count / n
    z = interval.NORMAL_QUANTILE
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Exactly 0 and 1 by the formula too, but for rounding.
    low, high = 0.0 if count == 0 else centre - reach, 1.0 if count == n else centre + reach
    if n < interval.FEWEST:
        low, high = interval.NONE
    return Score(
        value=share,
        low=low,
        high=high,
        samples=n,
        signature=f"share|judge:{judge}|samples:{n}|ci:wilson|numpy:{np.__version__}",
        higher_is_better=higher_is_better,
    )
