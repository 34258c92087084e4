"""ROUGE-L (Lin, 2004) as the COCO caption evaluation has it (Chen et al., 2015,
arXiv:1504.00325)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.metrics import interval, ptb
from pipelines.metrics.captions import Words, caption_words
from pipelines.metrics.score import Score, mean_score

BETA = 1.2


def rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]], seed: int = 0) -> Score:
    """The mean over captions of an F-measure of longest common subsequences, from 0 to 1.

    The interval resamples captions.

    Args:
        hypotheses: what the model wrote; an empty one scores 0.
        references: for each hypothesis one or more right answers.
        seed: of the resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: fewer than 2 captions, one without references, or a reference that
            holds no word.
    """
    values = rouge_l_of_each(hypotheses, references)
    signature = f"ROUGE-L|sentences:{len(values)}|beta:{BETA}|tok:{ptb.NAME}"
    return mean_score(values, 1.0, signature, seed)


def rouge_l_of_each(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> interval.Array:
    """``(1 + β²)PR / (R + β²P)`` of each caption: ``(N,)``.

    P and R are each the best over the references, so they may be of different ones.

    Raises:
        InvalidValue: as ``rouge_l``.
    """
    return np.array([_f_measure(*pair) for pair in caption_words(hypotheses, references)])


def _f_measure(hypothesis: Words, answers: Sequence[Words]) -> float:
    if not hypothesis:
        return 0.0
    shared = [_longest_common(hypothesis, answer) for answer in answers]
    precision = max(shared) / len(hypothesis)
    recall = max(length / len(answer) for length, answer in zip(shared, answers, strict=True))
    if precision == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common(first: Words, second: Words) -> int:
    """The number of words in the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = row[column]
            row[column] = diagonal + 1 if word == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]
