"""Curves of training: read where a log lies, thinned, and nothing of what is no log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation import curves
from pipelines.evaluation.curves import read_curves
from pipelines.hub import Snapshot
from pipelines.hub.selection import TRAINING_LOG
from pipelines.hub.snapshots import Adapter
from pipelines.recipes.training import LOG_FILE


def snapshot(folder: Path, *adapters: Path) -> Snapshot:
    put_on = tuple(Adapter(path.name, path, "0" * 40, 1.0, 0) for path in adapters)
    return Snapshot("m", folder, "0" * 40, "write", 0, 0, "causal", adapters=put_on)


def write_log(folder: Path, entries: list[dict[str, Any]], name: str = TRAINING_LOG) -> Path:
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_each_number_over_the_steps(tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [
        {"step": 0, "seconds": 0.1, "words": 9},
        {"step": 0, "seconds": 0.2, "loss": 4.0},
        {"step": 50, "seconds": 9, "loss": 2.5, "held_out": 3},
        {"step": 99, "seconds": 19, "held_out": 2},
    ]
    expected = {"held_out": [(50, 3.0), (99, 2.0)], "loss": [(0, 4.0), (50, 2.5)]}
    assert read_curves(snapshot(write_log(tmp_path / "a", entries))) == expected
    assert read_curves(snapshot(write_log(tmp_path / "b", entries, LOG_FILE))) == expected
    assert read_curves(snapshot(tmp_path)) == {}


def test_of_a_model_with_adapters_it_is_the_first_adapter_s(tmp_path: Path) -> None:
    base = write_log(tmp_path / "base", [{"step": n, "base": n} for n in range(3)])
    tuned = write_log(tmp_path / "tuned", [{"step": n, "tuned": n} for n in range(3)])
    (tmp_path / "bare").mkdir()
    assert list(read_curves(snapshot(base, tuned, base))) == ["tuned"]
    assert read_curves(snapshot(base, tmp_path / "bare")) == {}


def test_long_logs_are_thinned_and_end_where_they_ended(tmp_path: Path) -> None:
    entries = [{"step": n, **{f"v{i:02}": n / 7 for i in range(20)}} for n in range(1001)]
    found = read_curves(snapshot(write_log(tmp_path, entries)))
    assert list(found) == [f"v{i:02}" for i in range(curves.MOST_CURVES)]
    points = found["v00"]
    assert curves.MOST_POINTS / 2 < len(points) <= curves.MOST_POINTS
    assert points[-1] == (1000, 1000 / 7)
    assert points == sorted(points)


@pytest.mark.parametrize(
    "text",
    [b"", b"loss\n", b"\xff\xfe", b"[" * 100_000, b"[]\n3\nnull\n", b'{"loss": 1}\n{"loss": 2}'],
    ids=["empty", "words", "bytes", "deep", "other", "no steps"],
)
def test_what_is_no_log_has_no_curves(tmp_path: Path, text: bytes) -> None:
    (tmp_path / TRAINING_LOG).write_bytes(text)
    assert read_curves(snapshot(tmp_path)) == {}


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "true", '"1"', "null", "[1]", "1" + "0" * 400]
)
def test_what_is_no_number_is_no_point(tmp_path: Path, value: str) -> None:
    lines = [f'{{"step": {n}, "odd": {value}, "loss": {n}}}' for n in range(2)]
    (tmp_path / TRAINING_LOG).write_text("\n".join([*lines, f'{{"step": {value}, "loss": 9}}']))
    assert read_curves(snapshot(tmp_path)) == {"loss": [(0, 0.0), (1, 1.0)]}


def test_a_log_that_is_too_large_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_log(tmp_path, [{"step": n, "loss": n} for n in range(9)])
    assert read_curves(snapshot(folder))
    monkeypatch.setattr(curves, "LARGEST_LOG_BYTES", 50)
    assert read_curves(snapshot(folder)) == {}
    write_log(tmp_path, [{"step": n, "x" * 61: n} for n in range(2)])
    monkeypatch.undo()
    assert read_curves(snapshot(folder)) == {}
