"""The share of samples of which something is true, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipelines.errors import InvalidValue
from pipelines.metrics.score import Score

_Z = 1.959963984540054  # the normal distribution's 97.5% quantile


def proportion(hits: Sequence[bool], judge: str, higher_is_better: bool = True) -> Score:
    """The share of true ones, with Wilson's 95% interval (Wilson, 1927, JASA 22:209).

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
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    reach = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return Score(
        value=share,
        # Exactly 0 and 1 by the formula too, but for rounding.
        low=0.0 if count == 0 else centre - reach,
        high=1.0 if count == n else centre + reach,
        samples=n,
        signature=f"share|judge:{judge}|samples:{n}|ci:wilson|numpy:{np.__version__}",
        higher_is_better=higher_is_better,
    )
