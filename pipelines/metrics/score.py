"""What every metric returns: a value, its interval, and a signature of how it was computed.

The package scores the sentences, features or likelihoods that it is given; it loads no model
and reads no file.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from pipelines.errors import InvalidValue, abbreviated
from pipelines.metrics import interval
from pipelines.validation import MAX_SEED, whole_number


@dataclass(frozen=True)
class Score:
    """One metric of one set of samples.

    ``low`` and ``high`` bound the central 95% of what other samples of the same number
    would score; they know nothing of a bias that all such samples share, and are NaN where the
    samples are too few or all alike. ``samples``
    counts what was evaluated. ``signature`` names all that the value depends on beside
    the samples, so that scores with the same one may be compared. ``warning`` says why
    the value must not be compared at all.
    """

    value: float
    low: float
    high: float
    samples: int
    signature: str
    higher_is_better: bool
    warning: str | None = None


def mean_score(values: interval.Array, most: float, signature: str, seed: int) -> Score:
    """The mean of values of which more is better; the interval resamples them.

    Args:
        values: one for each sample, ``(n,)``, from 0 to ``most``.
        signature: its beginning; interval, seed and version are added.
        seed: of the resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: the seed is out of range.
    """
    seed = whole_number("seed", seed, 0, MAX_SEED)
    value = math.fsum(values) / len(values)
    rows = np.column_stack([values, np.ones(len(values))])
    low, high = interval.bootstrap(rows, interval.ratio, seed, 0.0, most)
    signature = f"{signature}|ci:{interval.named(seed)}|numpy:{np.__version__}"
    return Score(value, low, high, len(values), signature, higher_is_better=True)


def name_and_hash(field: str, value: str) -> str:
    """``value`` if it reads ``name@hash``, with at least 8 hexadecimal digits.

    Raises:
        InvalidValue: it does not, so a signature with it would not say what was used.
    """
    if re.fullmatch(r"[^@|\s]+@[0-9a-f]{8,64}", value) is None:
        raise InvalidValue(
            f"{field} is {abbreviated(value)}; give its name and the hash of its content as "
            "name@hash, with 8 to 64 hexadecimal digits and no spaces."
        )
    return value
