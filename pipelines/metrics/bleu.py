"""Corpus BLEU (Papineni et al., 2002) as sacrebleu has it (Post, 2018, arXiv:1804.08771).

Only tokenisers that need no download are offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import InvalidValue, abbreviated
from pipelines.metrics import interval
from pipelines.metrics.score import Score
from pipelines.validation import MAX_SEED, choice, whole_number

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

TOKENIZERS = ("13a", "intl", "char", "zh", "none")


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str = "13a",
    lowercase: bool = False,
    seed: int = 0,
) -> Score:
    """BLEU-4 over all sentences at once, from 0 to 100; 100 at best.

    The interval resamples sentences with their references (Koehn, 2004).

    Args:
        hypotheses: what the model wrote; an empty one is allowed and matches nothing.
        references: for each hypothesis one or more right answers; their numbers and
            their order may differ.
        tokenize: one of ``TOKENIZERS``; ``none`` cuts at spaces.
        seed: of the resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: fewer than 2 sentences, a hypothesis without references, a blank
            reference, or an unknown tokeniser.
    """
    from sacrebleu.metrics.bleu import BLEU  # half a second that the page need not wait for

    tokenize = choice("tokenize", tokenize, TOKENIZERS)
    seed = whole_number("seed", seed, 0, MAX_SEED)
    _check(hypotheses, references)
    metric = BLEU(lowercase=lowercase, tokenize=tokenize)
    value = metric.corpus_score(hypotheses, list(zip_longest(*references))).score
    signature = metric.get_signature()
    rows = [_statistics(metric, *pair) for pair in zip(hypotheses, references, strict=True)]

    def score(sums: interval.Array) -> float:
        system_length, reference_length, *counts = sums.astype(int).tolist()
        return metric.compute_bleu(
            counts[:4], counts[4:], system_length, reference_length, metric.smooth_method
        ).score

    low, high = interval.bootstrap(np.array(rows, np.float64), score, seed)
    return Score(
        value,
        low,
        high,
        len(hypotheses),
        f"BLEU|sentences:{len(hypotheses)}|ci:bootstrap-{interval.RESAMPLES}|seed:{seed}"
        f"|{signature}|numpy:{np.__version__}",
        higher_is_better=True,
    )


def _statistics(metric: BLEU, hypothesis: str, references: Sequence[str]) -> list[int]:
    """Both lengths, n-grams that match and n-grams in all, for n from 1 to 4: 10 numbers."""
    found = metric.corpus_score([hypothesis], [[reference] for reference in references])
    return [found.sys_len, found.ref_len, *found.counts, *found.totals]


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(hypotheses) != len(references) or len(hypotheses) < 2:
        raise InvalidValue(
            f"There are {len(hypotheses)} hypotheses and {len(references)} lists of references; "
            "give one list for each of at least 2 hypotheses."
        )
    for number, (hypothesis, answers) in enumerate(
        zip(hypotheses, references, strict=True), start=1
    ):
        if not isinstance(hypothesis, str):
            raise InvalidValue(f"hypothesis {number} is {abbreviated(hypothesis)}; give a text.")
        if isinstance(answers, str) or not answers:
            raise InvalidValue(
                f"references of sentence {number} are {abbreviated(answers)}; give a list of at "
                "least 1 text."
            )
        for answer in answers:
            if not isinstance(answer, str) or not answer.strip():
                raise InvalidValue(
                    f"a reference of sentence {number} is {abbreviated(answer)}; give a text that "
                    "is not blank. Leave out references that are missing."
                )
