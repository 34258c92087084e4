"""Data sets of the Hub by their lists of files: what is fetched, and what is refused before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.repository import (
    Chosen,
    Listing,
    check_size,
    choose,
    look_up,
    parse_data_reference,
)
from pipelines.errors import InvalidValue
from pipelines.hub.references import Reference
from pipelines.settings import Limits, Settings
from tests.evaluation.conftest import make_scenes
from tests.hub import conftest as hub_fixtures
from tests.loopback_hub import MAIN, V1, Hub, Repository

hub, online = hub_fixtures.hub, hub_fixtures.online
LIMITS = Limits()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh data directory, no models and no Hub."""
    return Settings(models_dir=tmp_path / "models", data_dir=tmp_path / "data", hub_enabled=False)


def listed(*names: str, folder: str = "", size: int = 1_000) -> Listing:
    return Listing(Reference("ada/set", None, folder), MAIN, dict.fromkeys(names, size))


@pytest.mark.parametrize(
    ("text", "repo", "revision", "folder"),
    [
        ("ada/set", "ada/set", None, ""),
        ("ada/set@v1", "ada/set", "v1", ""),
        (f"ada/set/in/test@{MAIN}", "ada/set", MAIN, "in/test"),
        ("datasets/ada/set@v1", "ada/set", "v1", ""),
        ("https://huggingface.co/datasets/ada/set", "ada/set", None, ""),
        ("https://www.huggingface.co/datasets/ada/set/", "ada/set", None, ""),
        ("https://hf.co/datasets/ada/set/tree/v1/test", "ada/set", "v1", "test"),
        ("https://hf.co/datasets/ada/set/blob/main/in/a.txt", "ada/set", "main", "in/a.txt"),
    ],
)
def test_a_reference_names_a_place(text: str, repo: str, revision: str | None, folder: str) -> None:
    assert parse_data_reference(text) == Reference(repo, revision, folder)


@pytest.mark.parametrize(
    "text",
    [
        *("", "set", "../ada/set", "ada/../set", "/ada/set", "ada/set@../x", "ada\\set", "a--b/c"),
        *("https://huggingface.co/ada/set", "https://huggingface.co/spaces/ada/set"),
        *("https://example.org/datasets/ada/set", "file:///datasets/ada/set", "datasets/set"),
        *("https://huggingface.co/datasets/ada/set/viewer/default/train", "ada/" + "x" * 10_000),
    ],
)
def test_what_is_no_reference_is_none(text: str) -> None:
    assert parse_data_reference(text) is None


PICTURES = ("README.md", "load.py", "metadata.jsonl", "0.png", "in/1.JPG", "notes.txt", "x.bin")
SPLITS = ("train/metadata.csv", "train/0.png", "test/metadata.jsonl", "test/1.png")


@pytest.mark.parametrize(
    ("names", "folder", "top", "files", "has_pictures"),
    [
        (PICTURES, "", "", {"metadata.jsonl", "0.png", "in/1.JPG"}, True),
        (SPLITS, "test", "test", {"test/metadata.jsonl", "test/1.png"}, True),
        (SPLITS, "train/metadata.csv", "train", {"train/metadata.csv", "train/0.png"}, True),
        (SPLITS[:2], "", "train", set(SPLITS[:2]), True),
        ((*PICTURES, *SPLITS), "", "", {*PICTURES[2:5], "train/0.png", "test/1.png"}, True),
        (("README.md", "LICENSE.txt", "a/tales.TXT"), "", "a/tales.TXT", {"a/tales.TXT"}, False),
        (("a.jsonl", "b.txt"), "a.jsonl", "a.jsonl", {"a.jsonl"}, False),
        (("a/x.jsonl", "b.txt", "ab/c.txt"), "a", "a/x.jsonl", {"a/x.jsonl"}, False),
        (("data/a.parquet", "tales.txt", ".cache.txt"), "", "tales.txt", {"tales.txt"}, False),
    ],
)
def test_pictures_with_a_list_or_a_file_of_texts_are_chosen(
    names: tuple[str, ...], folder: str, top: str, files: set[str], has_pictures: bool
) -> None:
    chosen = choose(listed(*names, folder=folder))
    assert chosen == Chosen(top, dict.fromkeys(files, 1_000), has_pictures)


@pytest.mark.parametrize(
    ("names", "folder", "words"),
    [
        (SPLITS, "", r"2 sets of data: test, train\. Name one .* ada/set/test"),
        (("a.txt", "b.txt", "c.txt", "d.txt"), "", r"4 sets .*a\.txt, b\.txt, c\.txt and 1 more"),
        (("data/a.parquet", "set.py", "README.md"), "", r"\.md, \.parquet, \.py files, which are"),
        (("0.png", "1.png"), "", r"\.png files.*imagefolder form .*metadata\.jsonl or metadata"),
        (("x.pkl", "README"), "", r"\.pkl, other files.*its own code is not run"),
        (("a.parquet",), "a.parquet", r"ada/set/a\.parquet has \.parquet files"),
        (SPLITS, "valid", "ada/set has no folder or file valid"),
        ((), "", "ada/set is empty"),
    ],
)
def test_none_and_several_are_refused(names: tuple[str, ...], folder: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        choose(listed(*names, folder=folder))


def test_sizes_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = listed("metadata.jsonl", "0.png", "1.png")
    check_size(pictures, choose(pictures), Limits(data_bytes=3_000))
    with pytest.raises(InvalidValue, match=r"ada/set has 0\.0 MB; a data set may have at most"):
        check_size(pictures, choose(pictures), Limits(data_bytes=2_999))
    texts = listed("a.txt", size=17 * 1024**2)
    with pytest.raises(InvalidValue, match=r"The text has .* Give a part"):
        check_size(texts, choose(texts), LIMITS)
    many = listed("metadata.jsonl", *(f"{i}.png" for i in range(10_002)))
    with pytest.raises(InvalidValue, match="10,003 pictures; at most 10,000"):
        check_size(many, choose(many), LIMITS)


# What the Hub tells


def test_a_repository_is_looked_up_by_one_request(
    online: Settings, hub: Hub, tmp_path: Path
) -> None:
    hub.repositories["datasets/ada/set"] = Repository(make_scenes(tmp_path / "x", 2))
    found = look_up(Reference("ada/set", "v1"), online)

    assert (found.commit, found.name) == (V1, f"ada/set@{V1}")
    assert sorted(found.files) == ["0.png", "1.png", "metadata.jsonl"]
    assert found.files["0.png"] == (tmp_path / "x" / "0.png").stat().st_size
    assert hub.asked_for("") == ["GET /api/datasets/ada/set/revision/v1"]
    assert all("authorization" not in headers for _, headers in hub.requests)


@pytest.mark.parametrize(
    ("changes", "revision", "words"),
    [
        ({"gated": True}, None, "ada/set is gated.*https://huggingface.co/datasets/ada/set"),
        ({"private": "hf_secret"}, None, "The Hub has no public data set ada/set"),
        ({}, "v9", "ada/set has no revision v9"),
    ],
)
def test_what_cannot_be_had_is_told(
    online: Settings, hub: Hub, tmp_path: Path, changes: dict[str, Any], revision: str, words: str
) -> None:
    hub.repositories["datasets/ada/set"] = replace(Repository(tmp_path), **changes)
    with pytest.raises(InvalidValue, match=words):
        look_up(Reference("ada/set", revision), online)


def test_a_model_is_no_data_set(online: Settings, hub: Hub, tmp_path: Path) -> None:
    hub.repositories["ada/set"] = Repository(tmp_path)
    with pytest.raises(InvalidValue, match="no public data set ada/set"):
        look_up(Reference("ada/set"), online)


def test_a_hub_that_cannot_be_reached_is_told(
    online: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InvalidValue, match="could not be reached for ada/set"):
        look_up(Reference("ada/set"), online)


def test_a_token_is_not_shown() -> None:
    assert "hf_" not in repr(Listing(Reference("ada/set"), MAIN, {}, token="hf_secret"))
