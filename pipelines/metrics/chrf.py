"""chrF (Popović, 2015) as sacrebleu counts it.

Characters are compared, so no tokeniser is needed and inflected words earn their share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.metrics import interval
from pipelines.metrics.captions import check_pairs
from pipelines.metrics.score import Score
from pipelines.validation import MAX_SEED, whole_number

_BETA = 2
"""Recall counts twice as much as precision."""


def corpus_chrf(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    seed: int = 0,
) -> Score:
    """chrF2 of a corpus, from 0 to 100; higher is better.

    Of several references the one that fits a sentence best counts. The interval resamples
    sentences with their references.

    Args:
        hypotheses: what the model wrote; an empty one is allowed and matches nothing.
        references: for each hypothesis one or more right answers.
        seed: of the resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: fewer than 2 sentences, a hypothesis without references, or a blank
            reference.
    """
    from sacrebleu.metrics.chrf import CHRF  # half a second that the page need not wait for

    seed = whole_number("seed", seed, 0, MAX_SEED)
    statistics = chrf_statistics(hypotheses, references)
    counts = {len(answers) for answers in references}
    metric = CHRF()
    metric.num_refs = counts.pop() if len(counts) == 1 else -1
    low, high = interval.bootstrap(statistics, chrf_of_sums, seed, 0.0, 100.0)
    return Score(
        float(chrf_of_sums(statistics.sum(axis=0))),
        low,
        high,
        len(hypotheses),
        f"chrF2|sentences:{len(hypotheses)}"
        f"|ci:{interval.named(seed)}"
        f"|{metric.get_signature()}|numpy:{np.__version__}",
        higher_is_better=True,
    )


def chrf_statistics(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> interval.Array:
    """For each sentence and each n from 1 to 6, the character n-grams of the hypothesis, of the
    reference, and their matches: ``(N, 18)``.

    Raises:
        InvalidValue: as ``corpus_chrf``.
    """
    from sacrebleu.metrics.chrf import CHRF

    check_pairs(hypotheses, references)
    metric = CHRF()
    rows = []
    for hypothesis, answers in zip(hypotheses, references, strict=True):
        # Of references that fit alike sacrebleu takes the first, so their order is fixed.
        columns = [[answer] for answer in sorted(answers)]
        rows += metric._extract_corpus_statistics([hypothesis], columns)
    return np.array(rows, np.float64)


def chrf_of_sums(sums: interval.Array) -> interval.Array:
    """chrF2 of summed statistics, ``(..., 3 * orders)`` to ``(...)``.

    Precision and recall are means over the orders that both sides have.
    """
    written, asked, matched = (sums[..., i::3] for i in range(3))
    is_there = (written > 0) & (asked > 0)
    orders = np.maximum(1, is_there.sum(axis=-1))
    matched = np.where(is_there, matched, 0.0)
    precision = (matched / np.maximum(1, written)).sum(axis=-1) / orders
    recall = (matched / np.maximum(1, asked)).sum(axis=-1) / orders
    both = _BETA**2 * precision + recall
    return np.asarray(100 * (1 + _BETA**2) * precision * recall / np.where(both > 0, both, 1.0))
