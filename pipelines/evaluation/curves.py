"""How a checkpoint learned, where the log of its training lies beside it.

A log is a line of JSON for each entry: ``step``, ``seconds`` and numbers by name. It may come
from anybody, so what is not such a log is left out, and what is, is thinned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.hub import Snapshot
from pipelines.hub.selection import LARGEST_LOG_BYTES, TRAINING_LOG
from pipelines.validation import is_finite

LOGS = (TRAINING_LOG, "log.jsonl")
MOST_CURVES, MOST_POINTS = 12, 200
_LONGEST_NAME = 60
_NOT_CURVES = ("step", "seconds")

Curve = list[tuple[int, float]]


def read_curves(snapshot: Snapshot) -> dict[str, Curve]:
    """Each logged number over the steps, by name; of a model with adapters the first one's.

    At most 12 curves of 200 points; empty where there is no log, or none that can be read.
    """
    folder = snapshot.adapters[0].path if snapshot.adapters else snapshot.path
    logs = [folder / name for name in LOGS if (folder / name).is_file()]
    if not logs or logs[0].stat().st_size > LARGEST_LOG_BYTES:
        return {}
    try:
        entries = [json.loads(line) for line in logs[0].read_text(encoding="utf-8").splitlines()]
    except (ValueError, RecursionError):  # a log is no part of a model: it runs without
        return {}
    curves = _curves([entry for entry in entries if isinstance(entry, dict)])
    several = {name: points for name, points in sorted(curves.items()) if len(points) > 1}
    return {name: _thinned(several[name]) for name in list(several)[:MOST_CURVES]}


def _curves(entries: list[dict[str, Any]]) -> Mapping[str, Curve]:
    curves: dict[str, Curve] = {}
    for entry in entries:
        step: Any = entry.get("step")
        if not is_finite(step):
            continue
        for name, value in entry.items():
            if name not in _NOT_CURVES and len(name) <= _LONGEST_NAME and is_finite(value):
                curves.setdefault(name, []).append((int(step), float(value)))
    return curves


def _thinned(points: Curve) -> Curve:
    """So many of the points, evenly; the last, which tells how it ended, is among them."""
    every = -(-len(points) // MOST_POINTS)
    return points[::-1][::every][::-1]
