"""How well a language model predicts a text, whatever its tokeniser."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipelines.errors import InvalidValue, abbreviated
from pipelines.metrics import interval
from pipelines.metrics.score import Score, name_and_hash
from pipelines.validation import MAX_SEED, whole_number


def bits_per_byte(
    nats: Sequence[float], byte_counts: Sequence[int], text: str, seed: int = 0
) -> Score:
    """``sum(nats) / ln 2 / sum(bytes)``: bits that the model needs for a byte of UTF-8.

    Bytes are the same for every tokeniser, so no tokeniser is in the signature. The
    interval resamples passages; those that share context are wider apart than it says.

    Args:
        nats: of each passage, the negative log likelihood summed over its tokens.
        byte_counts: of each passage, the UTF-8 bytes that these tokens spell, 1 or more.
        text: its name and the hash of its content, ``name@hash``.
        seed: of the resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: fewer than 2 passages, lists of different lengths, a likelihood
            above 1, a count below 1, or a name without a hash.
    """
    text, seed = name_and_hash("text", text), whole_number("seed", seed, 0, MAX_SEED)
    _check(nats, byte_counts)
    low, high = interval.bootstrap(
        np.column_stack([nats, byte_counts]).astype(np.float64),
        lambda sums: float(sums[0] / math.log(2) / sums[1]),
        seed,
    )
    total = int(sum(byte_counts))
    return Score(
        math.fsum(nats) / math.log(2) / total,
        low,
        high,
        len(nats),
        f"bits_per_byte|text:{text}|bytes:{total}"
        f"|ci:bootstrap-{interval.RESAMPLES}|seed:{seed}|numpy:{np.__version__}",
        higher_is_better=False,
    )


def _check(nats: Sequence[float], byte_counts: Sequence[int]) -> None:
    if len(nats) != len(byte_counts) or len(nats) < 2:
        raise InvalidValue(
            f"There are {len(nats)} likelihoods and {len(byte_counts)} byte counts; give one of "
            "each for each of at least 2 passages."
        )
    for number, (loss, count) in enumerate(zip(nats, byte_counts, strict=True), start=1):
        if not 0 <= loss < math.inf:  # false for NaN, too
            raise InvalidValue(
                f"nats of passage {number} are {abbreviated(loss)}; give a finite number of 0 or "
                "more, the negative log likelihood summed over tokens."
            )
        if not isinstance(count, int | np.integer) or count < 1:
            raise InvalidValue(
                f"byte_counts of passage {number} is {abbreviated(count)}; give a whole number of "
                "1 or more. Leave out passages without text."
            )
