"""The training curves of a checkpoint that has the log of its training beside it.

A log is a line of JSON for each entry: ``step``, ``seconds`` and numbers by name. It may come
from anybody, so anything else in it is ignored, and long logs are thinned.
"""

from __future__ import annotations

import json
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
    curves: dict[str, Curve] = {}
    for entry in entries:
        step: Any = entry.get("step") if isinstance(entry, dict) else None
        if not is_finite(step):
            continue
        for name, value in entry.items():
            if name not in _NOT_CURVES and len(name) <= _LONGEST_NAME and is_finite(value):
                curves.setdefault(name, []).append((int(step), float(value)))
    several = {name: points for name, points in sorted(curves.items()) if len(points) > 1}
    thinned = {}
    for name in list(several)[:MOST_CURVES]:
        points = several[name]
        every = -(-len(points) // MOST_POINTS)
        thinned[name] = points[::-1][::every][::-1]  # the last, where it ended, is among them
    return thinned
