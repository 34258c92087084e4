"""Checks of feature arrays, as an extractor gives them: one row a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue

LARGEST = 1e30
"""Features beyond it are a fault of the extractor, and their products overflow."""


def feature_pair(
    features: npt.NDArray[Any], reference: npt.NDArray[Any], least: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both in double precision: ``(n, d)`` and ``(m, d)``.

    Raises:
        InvalidValue: either has another form, fewer than ``least`` rows, or values that
            are not numbers within ±1e30; or they differ in d.
    """
    pair = feature_rows("features", features, least), feature_rows("reference", reference, least)
    if pair[0].shape[1] != pair[1].shape[1]:
        raise InvalidValue(
            f"features have {pair[0].shape[1]} dimensions and reference has {pair[1].shape[1]}; "
            "both must come from the same extractor."
        )
    return pair


def feature_rows(name: str, values: npt.NDArray[Any], least: int) -> npt.NDArray[np.float64]:
    """One array in double precision, ``(n, d)``.

    Raises:
        InvalidValue: as ``feature_pair``.
    """
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InvalidValue(
            f"{name} has shape {values.shape} and type {values.dtype}; give real numbers with "
            "one row a picture, (N, d)."
        )
    if len(values) < least or values.shape[1] < 1:
        raise InvalidValue(
            f"{name} has shape {values.shape}; give at least {least} rows of at least 1 feature. "
            "Evaluate more pictures."
        )
    wide = values.astype(np.float64)
    if not (np.abs(wide) <= LARGEST).all():  # false for NaN, too
        raise InvalidValue(
            f"{name} holds NaN, infinity or values beyond ±{LARGEST:g}; give finite numbers "
            "within it. Run the extractor in float32."
        )
    return wide


def directions(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Each row over its Euclidean norm, ``(n, d)``; their products are cosines.

    Raises:
        InvalidValue: as ``feature_pair``, or a row of zeros, which has no direction.
    """
    wide = feature_rows(name, values, least=1)
    largest = np.abs(wide).max(axis=1, keepdims=True)
    if not largest.all():
        raise InvalidValue(
            f"row {int(largest[:, 0].argmin())} of {name} holds nothing but 0 and has no "
            "direction. Leave it out, or look at what the extractor was given."
        )
    scaled = wide / largest  # no square overflows or vanishes
    return np.asarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))
