"""CLIPScore and RefCLIPScore (Hessel et al., 2021, arXiv:2104.08718) of given features.

``features_of`` in ``recipes/clip/model.py`` makes such features with any model of transformers
that embeds pictures and texts in one space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue
from pipelines.metrics import interval
from pipelines.metrics.features import directions, feature_pair
from pipelines.metrics.score import Score, name_and_hash
from pipelines.validation import MAX_SEED, whole_number

WEIGHT = 2.5
PREFIX = "A photo depicts "
"""Stands before every caption; a model of a world of its own may do without."""

Array = npt.NDArray[np.float64]


def clip_score(
    pictures: npt.NDArray[Any], texts: npt.NDArray[Any], model: str, seed: int = 0
) -> Score:
    """The mean of ``2.5 max(cos(picture, text), 0)`` over pairs, from 0 to 2.5.

    Args:
        pictures: features, ``(n, d)``, n at least 2.
        texts: features of the captions of the same pictures, ``(n, d)``.
        model: its name and the hash of its weights, ``name@hash``; a prefix other than
            ``PREFIX`` belongs into the name.
        seed: of the interval's resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: other forms, a row of zeros, or a name without a hash.
    """
    return _score("CLIPScore", clip_score_of_each(pictures, texts), model, seed)


def ref_clip_score(
    pictures: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    references: Sequence[npt.NDArray[Any]],
    model: str,
    seed: int = 0,
) -> Score:
    """The mean over pairs of the harmonic mean of CLIPScore and ``max(cos(text, its nearest
    reference), 0)``.

    Args:
        pictures, texts, model, seed: as in ``clip_score``.
        references: for each picture the features of its right answers, ``(r, d)``.

    Raises:
        InvalidValue: as ``clip_score``, or another number of references than of pictures.
    """
    scores = clip_score_of_each(pictures, texts)
    if len(references) != len(scores):
        raise InvalidValue(
            f"There are {len(references)} sets of references for {len(scores)} pictures; give "
            "one for each."
        )
    told = directions("texts", texts)
    nearest = []
    for row, answers in zip(told, references, strict=True):
        _, known = feature_pair(row[None], answers, least=1)
        nearest.append(max(0.0, float((directions("references", known) @ row).max())))
    agreed = np.array(nearest)
    both = scores + agreed
    harmonic = 2 * scores * agreed / np.where(both > 0, both, 1.0)
    return _score("RefCLIPScore", harmonic, model, seed)


def clip_score_of_each(pictures: npt.NDArray[Any], texts: npt.NDArray[Any]) -> Array:
    """``2.5 max(cos(picture, text), 0)`` of each pair: ``(n,)``.

    Raises:
        InvalidValue: as ``clip_score``.
    """
    shown, told = feature_pair(pictures, texts, least=2)
    if len(shown) != len(told):
        raise InvalidValue(
            f"There are {len(shown)} pictures and {len(told)} texts; give one text for each."
        )
    cosines = (directions("pictures", shown) * directions("texts", told)).sum(axis=1)
    return np.asarray(WEIGHT * np.maximum(cosines, 0))


def _score(name: str, values: Array, model: str, seed: int) -> Score:
    model, seed = name_and_hash("model", model), whole_number("seed", seed, 0, MAX_SEED)
    value, low, high = interval.mean(values, seed)
    return Score(
        value,
        low,
        high,
        len(values),
        f"{name}({model})|n:{len(values)}|w:{WEIGHT}|ci:bootstrap-{interval.RESAMPLES}"
        f"|seed:{seed}|numpy:{np.__version__}",
        higher_is_better=True,
    )
