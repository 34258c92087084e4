"""What is on the disk, and how room is made without touching what is in use."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.device import Device
from pipelines.errors import ModelUnavailable
from pipelines.hub import resolve
from pipelines.hub.disk import delete, stored
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import TextRequest, generate
from tests.loopback_hub import Hub, Repository
from tests.running import finished

CPU = Device("cpu", "float32", "")
COMMITS = {"ada/one": "1" * 40, "ada/two": "2" * 40, "ada/three": "3" * 40}


@pytest.fixture
def filled(online: Settings, hub: Hub) -> Settings:
    """Two models on disk: ``ada/one``, used long ago, and ``ada/two``, used a day later."""
    for name, commit in COMMITS.items():
        hub.repositories[name] = Repository(online.models_dir / "tiny-writer", commit=commit)
    for day, name in enumerate(("ada/one", "ada/two"), start=1):
        snapshot = resolve(name, "write", online)
        os.utime(snapshot.path, (day * 86_400, day * 86_400))
    return online


def names(settings: Settings) -> list[str]:
    return [one.reference for one in stored(settings)]


def size(settings: Settings) -> int:
    return stored(settings)[0].size_bytes


def test_what_is_on_disk_is_listed_with_size_and_last_use(filled: Settings) -> None:
    two, one = stored(filled)
    assert one.kind == "model"
    assert (one.reference, one.commit, one.last_used) == ("ada/one", "1" * 40, 86_400)
    assert two.last_used == 2 * 86_400
    whole = sum(f.stat().st_size for f in (filled.models_dir / "tiny-writer").iterdir())
    assert one.size_bytes == two.size_bytes == whole
    resolve("ada/one", "write", filled)
    assert names(filled) == ["ada/one", "ada/two"]


def test_nothing_fetched_is_an_empty_list(settings: Settings) -> None:
    assert stored(settings) == []


def test_one_is_deleted_and_its_bytes_are_freed(filled: Settings) -> None:
    before = size(filled)
    assert delete("ada/one", "1" * 40, filled) == before
    assert names(filled) == ["ada/two"]
    with pytest.raises(ModelUnavailable, match="'ada/one' is not on this disk"):
        delete("ada/one", "1" * 40, filled)


@pytest.mark.parametrize("given", ["../..", "", "ada/two", None])
def test_only_what_is_listed_is_deleted(filled: Settings, given: object) -> None:
    with pytest.raises(ModelUnavailable, match="is not on this disk"):
        delete(given, "1" * 40, filled)  # type: ignore[arg-type]
    assert len(stored(filled)) == 2


def test_what_is_in_memory_is_not_deleted(filled: Settings) -> None:
    studio = Studio(filled)
    finished(generate, studio, TextRequest("ada/one", "Once", 2))
    with pytest.raises(ModelUnavailable, match="ada/one is in use"):
        delete("ada/one", "1" * 40, filled, studio.residency.commits())
    assert "ada/one" in names(filled)


def test_room_is_made_by_what_was_used_least_recently(filled: Settings) -> None:
    budget = replace(filled, disk_budget_bytes=int(2.5 * size(filled)))
    resolve("ada/three", "write", budget)
    assert names(filled) == ["ada/three", "ada/two"]


def test_no_room_is_made_where_there_is_enough(filled: Settings) -> None:
    budget = replace(filled, disk_budget_bytes=int(3.5 * size(filled)))
    resolve("ada/three", "write", budget)
    assert len(names(filled)) == 3


def test_what_is_in_use_stays_and_the_next_goes(filled: Settings) -> None:
    budget = replace(filled, disk_budget_bytes=int(2.5 * size(filled)))
    resolve("ada/three", "write", budget, in_use={"1" * 12})
    assert names(filled) == ["ada/three", "ada/one"]


def test_what_was_resolved_just_now_stays(filled: Settings) -> None:
    resolve("ada/one", "write", filled)
    resolve("ada/two", "write", filled)
    budget = replace(filled, disk_budget_bytes=int(2.5 * size(filled)))
    with pytest.raises(ModelUnavailable, match="downloads in use hold"):
        resolve("ada/three", "write", budget)
    assert names(filled) == ["ada/two", "ada/one"]


def test_the_model_itself_is_not_deleted_for_its_own_missing_files(filled: Settings) -> None:
    snapshot = resolve("ada/one", "write", filled)
    lost = snapshot.path / "tokenizer.json"
    blob = lost.resolve()
    lost.unlink()
    blob.unlink()
    os.utime(snapshot.path, (0, 0))
    budget = replace(filled, disk_budget_bytes=int(1.9 * size(filled)))
    assert resolve("ada/one", "write", budget).path == snapshot.path
    assert lost.is_file()
    assert names(filled) == ["ada/one"]


def test_a_truncated_file_on_disk_is_fetched_again(filled: Settings) -> None:
    weights = resolve("ada/one", "write", filled).path / "model.safetensors"
    whole = weights.read_bytes()
    Path(weights.resolve()).write_bytes(whole[:-9])
    again = resolve("ada/one", "write", filled).path / "model.safetensors"
    assert again.read_bytes() == whole
