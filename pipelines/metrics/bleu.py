"""Corpus BLEU (Papineni et al., 2002) as sacrebleu has it (Post, 2018, arXiv:1804.08771).

Only tokenisers that need no download are offered: sacrebleu's, and ``ptb`` for captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from pipelines.metrics import interval, ptb
from pipelines.metrics.captions import caption_words, check_pairs
from pipelines.metrics.score import Score
from pipelines.validation import MAX_SEED, choice, whole_number

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

TOKENIZERS = ("13a", "intl", "char", "zh", "none", "ptb")
_ORDERS = 4


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str = "13a",
    seed: int = 0,
) -> Score:
    """BLEU-4 of a corpus, from 0 to 100; higher is better.

    The interval resamples sentences with their references as in ``interval``.

    Args:
        hypotheses: what the model wrote; an empty one is allowed and matches nothing.
        references: for each hypothesis one or more right answers; their numbers and
            their order may differ.
        tokenize: one of ``TOKENIZERS``; ``none`` cuts at spaces, ``ptb`` as the COCO caption
            evaluation does, in lower case.
        seed: of the resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: fewer than 2 sentences, a hypothesis without references, a blank
            reference, or an unknown tokeniser.
    """
    seed = whole_number("seed", seed, 0, MAX_SEED)
    metric, hypotheses, references = _prepared(hypotheses, references, tokenize)
    value = metric.corpus_score(hypotheses, list(zip_longest(*references))).score
    signature = str(metric.get_signature())
    if tokenize == "ptb":
        signature = signature.replace("|tok:none|", f"|tok:{ptb.NAME}|")
    rows = _statistics(metric, hypotheses, references)
    low, high = interval.bootstrap(rows, bleu_of_sums, seed, 0.0, 100.0)
    return Score(
        value,
        low,
        high,
        len(hypotheses),
        f"BLEU|sentences:{len(hypotheses)}|ci:{interval.named(seed)}"
        f"|{signature}|numpy:{np.__version__}",
        higher_is_better=True,
        warning=_warning(rows),
    )


def _warning(rows: interval.Array) -> str | None:
    """Where BLEU says little: of texts that are one word each it is 0, whatever is in them."""
    short = int((rows[:, 1] < _ORDERS).sum())
    if 2 * short <= len(rows):
        return None
    return (
        f"{short} of {len(rows)} right answers have fewer than {_ORDERS} words, and BLEU counts "
        f"runs of {_ORDERS}. Use chrF or another tokeniser; captions in a script without spaces "
        "are one word each."
    )


def bleu_statistics(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str = "13a",
) -> interval.Array:
    """For each sentence, the lengths of hypothesis and reference, the matching n-grams for n
    from 1 to 4, and all n-grams: ``(N, 10)``.

    Raises:
        InvalidValue: as ``corpus_bleu``.
    """
    return _statistics(*_prepared(hypotheses, references, tokenize))


def bleu_of_sums(sums: interval.Array) -> interval.Array:
    """BLEU of summed statistics, ``(..., 10)`` to ``(...)``, smoothed as sacrebleu's ``exp``:
    the k-th n-gram order without a match counts as one match in 2^k."""
    system, reference = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    is_missed = (matches == 0) & (totals > 0)
    smoothed = np.where(is_missed, 0.5 ** is_missed.cumsum(axis=-1), matches)
    is_defined = matches.any(axis=-1) & totals.all(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # where it is not defined, it is 0
        precision = np.log(smoothed / totals).mean(axis=-1)
        brevity = np.minimum(0, 1 - reference / system)
        values = 100 * np.exp(precision + brevity)
    return np.where(is_defined, values, 0.0)


def _prepared(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str,
) -> tuple[BLEU, Sequence[str], Sequence[Sequence[str]]]:
    from sacrebleu.metrics.bleu import BLEU  # half a second that the page need not wait for

    tokenize = choice("tokenize", tokenize, TOKENIZERS)
    if tokenize != "ptb":
        check_pairs(hypotheses, references)
        return BLEU(tokenize=tokenize), hypotheses, references
    pairs = caption_words(hypotheses, references)
    return (
        BLEU(lowercase=True, tokenize="none"),
        [" ".join(words) for words, _ in pairs],
        [[" ".join(words) for words in answers] for _, answers in pairs],
    )


def _statistics(
    metric: BLEU, hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> interval.Array:
    rows = []
    for hypothesis, answers in zip(hypotheses, references, strict=True):
        counts = metric.corpus_score([hypothesis], [[answer] for answer in answers])
        rows.append([counts.sys_len, counts.ref_len, *counts.counts, *counts.totals])
    return np.array(rows, np.float64)
