"""CLIPScore (Hessel et al., 2021, arXiv:2104.08718) of given features.

``features_of`` in ``recipes/clip/model.py`` makes such features with any model of transformers
that embeds pictures and texts in one space.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue
from pipelines.metrics.features import directions, feature_pair
from pipelines.metrics.score import Score, mean_score, name_and_hash

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
    values = clip_score_of_each(pictures, texts)
    model = name_and_hash("model", model)
    return mean_score(values, WEIGHT, f"CLIPScore({model})|n:{len(values)}|w:{WEIGHT}", seed)


def clip_score_of_each(pictures: npt.NDArray[Any], texts: npt.NDArray[Any]) -> Array:
    """``2.5 max(cos(picture, text), 0)`` of each pair: ``(n,)``.

    Raises:
        InvalidValue: as ``clip_score``.
    """
    seen, read = feature_pair(pictures, texts, least=2)
    if len(seen) != len(read):
        raise InvalidValue(
            f"There are {len(seen)} pictures and {len(read)} texts; give one text for each."
        )
    cosines = (directions("pictures", seen) * directions("texts", read)).sum(axis=1)
    return np.asarray(WEIGHT * np.maximum(cosines, 0))
