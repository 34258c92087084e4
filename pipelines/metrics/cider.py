"""CIDEr (Vedantam et al., 2015, arXiv:1411.5726) as the COCO caption evaluation has it.

That is CIDEr-D: clipped counts, a Gaussian of the difference in length, times ten, words as
they stand. An n-gram's weight falls with the number of pictures whose references hold it, so
a score belongs to its set of references, and on one picture alone everything weighs 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.metrics import interval, ptb
from pipelines.metrics.captions import Ngram, caption_words, ngrams
from pipelines.metrics.score import Score, mean_score

SIGMA = 6.0
LONGEST = 4
"""N-grams of 1 to so many words."""
ALIKE = (
    "The right answers of all samples are alike. CIDEr weighs an n-gram by how few samples have it "
    "in their answers, so here every one weighs 0, whatever was written. Use ROUGE-L or BLEU."
)


def cider(hypotheses: Sequence[str], references: Sequence[Sequence[str]], seed: int = 0) -> Score:
    """The mean over captions, from 0 to 10; many papers print it times 100.

    The interval resamples captions and keeps the n-grams' weights.

    Args:
        hypotheses: what the model wrote; an empty one scores 0.
        references: for each hypothesis one or more right answers; the order does not matter.
        seed: of the resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: fewer than 2 captions, one without references, or a reference that
            holds no word.
    """
    values, is_weighed = _of_each(hypotheses, references)
    signature = (
        f"CIDEr-D|sentences:{len(values)}|n:{LONGEST}|sigma:{SIGMA:g}|df:references|tok:{ptb.NAME}"
    )
    return replace(mean_score(values, 10.0, signature, seed), warning=None if is_weighed else ALIKE)


def cider_of_each(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> interval.Array:
    """CIDEr-D of each caption, with the documents' frequencies of all references: ``(N,)``.

    Raises:
        InvalidValue: as ``cider``.
    """
    return _of_each(hypotheses, references)[0]


def _of_each(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[interval.Array, bool]:
    """``cider_of_each``, and whether any n-gram of a reference weighs anything."""
    pairs = caption_words(hypotheses, references)
    counted = [
        (ngrams(words, 1, LONGEST), [ngrams(answer, 1, LONGEST) for answer in answers])
        for words, answers in pairs
    ]
    documents = Counter(
        ngram for _, answers in counted for ngram in set().union(*(set(a) for a in answers))
    )
    weights = {ngram: math.log(len(counted) / count) for ngram, count in documents.items()}
    unseen = math.log(len(counted))
    scores = []
    for counts, answers in counted:
        vector = _weighted(counts, weights, unseen)
        similar = [_similarity(vector, _weighted(a, weights, unseen)) for a in answers]
        scores.append(10 * math.fsum(similar) / len(answers))
    return np.array(scores), any(weights.values())


@dataclass(frozen=True)
class _Vector:
    """For each n, the weights of a caption's n-grams and their Euclidean norm; its length
    is its number of bigrams, as in the evaluation's program."""

    values: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    length: int


def _weighted(counts: Counter[Ngram], weights: dict[Ngram, float], unseen: float) -> _Vector:
    values: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(LONGEST))
    for ngram, count in counts.items():
        values[len(ngram) - 1][ngram] = count * weights.get(ngram, unseen)
    norms = tuple(math.sqrt(math.fsum(v * v for v in of_n.values())) for of_n in values)
    return _Vector(values, norms, sum(c for ngram, c in counts.items() if len(ngram) == 2))


def _similarity(hypothesis: _Vector, answer: _Vector) -> float:
    """The mean over n of clipped cosines, times the Gaussian; sums are exact (``fsum``), so
    that no order of words or of references shows in the last digit."""
    cosines = []
    for n in range(LONGEST):
        other = answer.values[n]
        product = math.fsum(
            min(value, other[ngram]) * other[ngram]
            for ngram, value in hypothesis.values[n].items()
            if ngram in other
        )
        norms = hypothesis.norms[n] * answer.norms[n]
        cosines.append(product / norms if norms > 0 else 0.0)
    difference = hypothesis.length - answer.length
    return math.exp(-(difference**2) / (2 * SIGMA**2)) * math.fsum(cosines) / LONGEST
