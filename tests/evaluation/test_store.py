"""The store: what was kept is there again, whole, whoever asks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from PIL import Image

from pipelines.errors import StudioError
from pipelines.evaluation import store as module
from pipelines.evaluation.store import FILE, Output, RunCost, Store, key_of


def test_samples_outlive_the_connection(tmp_path: Path) -> None:
    first = Store(tmp_path)
    output = Output("a cat", facts={"nats": 1.5}, notes=("odd",), seconds=0.25, batch=8)
    first.save({"k": output})
    first.close()

    again = Store(tmp_path)
    assert again.load(["k", "none"]) == {"k": output}
    assert sqlite3.connect(tmp_path / FILE).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_two_connections_see_each_other(tmp_path: Path) -> None:
    one, other = Store(tmp_path), Store(tmp_path)
    one.save({"a": Output("1")})
    other.save({"b": Output("2")})

    assert set(one.load(["a", "b"])) == {"a", "b"}


def test_a_picture_lies_under_the_hash_of_its_pixels(tmp_path: Path) -> None:
    store = Store(tmp_path)
    picture = Image.new("RGB", (8, 8), "red")
    name = store.save_picture(picture)
    store.save({"k": Output(picture=name)})

    assert store.save_picture(picture.copy()) == name
    assert store.save_picture(Image.new("RGB", (8, 8), "blue")) != name
    with Image.open(store.picture_file(name)) as kept:
        assert kept.tobytes() == picture.tobytes()
    assert list(tmp_path.rglob("*.partial")) == []
    assert "k" in store.load(["k"])
    store.picture_file(name).unlink()
    assert store.load(["k"]) == {}, "a sample without its picture is no sample"


def test_the_newest_run_s_load_and_peak_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.cost("k") is None
    for cost in (RunCost(2.0, 30), RunCost(0.1, 20)):
        store.save_cost("k", cost)

    assert store.cost("k") == RunCost(0.1, 20)


def test_smaller_draws_that_were_seen_are_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.look("k", 50) == set()
    assert store.look("k", 20) == set()
    assert store.look("other", 80) == set()
    assert store.look("k", 50) == {20}
    store.close()
    assert Store(tmp_path).look("k", 80) == {20, 50}


def test_an_older_file_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIGRATIONS", module.MIGRATIONS[:1])
    old = Store(tmp_path)
    old.save({"k": Output("kept")})
    with sqlite3.connect(
        tmp_path / FILE
    ) as file:  # as versions did that saved no time of their own
        file.execute("UPDATE samples SET output = json_remove(output, '$.computed_at', "
                     "'$.machine_load'), computed_at = '2026-05-01 12:00:00'")  # fmt: skip
    old.close()
    monkeypatch.undo()

    new = Store(tmp_path)
    kept = new.load(["k"])["k"]
    assert kept == Output("kept", computed_at="2026-05-01 12:00:00")
    assert new.cost("k") is None


def test_a_newer_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).close()
    monkeypatch.setattr(module, "MIGRATIONS", module.MIGRATIONS[:1])

    with pytest.raises(StudioError, match="later version"):
        Store(tmp_path)


def test_a_key_depends_on_every_part_and_on_no_order() -> None:
    assert key_of({"a": 1, "b": {"c": 2}}) == key_of({"b": {"c": 2}, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
