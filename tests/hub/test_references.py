"""References: every form that people copy, and what visitors must not reach."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ModelUnavailable, StudioError
from pipelines.hub import parse_reference, resolve
from pipelines.hub.references import Reference, composed_name
from pipelines.settings import Settings
from tests.loopback_hub import MAIN


@pytest.fixture
def online(settings: Settings) -> Settings:
    """Settings under which a Hub reference would be followed."""
    return replace(settings, hub_enabled=True)


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been looked up; nothing is."""
    asked: list[str] = []

    def refuse(where: Reference, *rest: Any) -> None:
        asked.append(where.name)
        raise ModelUnavailable("not in this test")

    monkeypatch.setattr("pipelines.hub.snapshots.look_up", refuse)
    return asked


@pytest.mark.parametrize(
    ("typed", "repo", "revision", "folder"),
    [
        ("openai/gpt2", "openai/gpt2", None, ""),
        ("a/b@v1.0", "a/b", "v1.0", ""),
        ("a/b@refs/pr/1", "a/b", "refs/pr/1", ""),
        (f"a/b@{MAIN}", "a/b", MAIN, ""),
        ("a/b/sub", "a/b", None, "sub"),
        ("a/b/sub/deeper@v1", "a/b", "v1", "sub/deeper"),
        ("https://huggingface.co/a/b", "a/b", None, ""),
        ("https://hf.co/a/b/", "a/b", None, ""),
        ("https://huggingface.co/a/b/tree/main", "a/b", "main", ""),
        ("https://huggingface.co/a/b/tree/main/sub/deeper/", "a/b", "main", "sub/deeper"),
        ("https://huggingface.co/a/b/tree/refs/pr/7/sub", "a/b", "refs/pr/7", "sub"),
        ("https://huggingface.co/a/b/blob/v1/config.json", "a/b", "v1", ""),
        ("https://huggingface.co/a/b/blob/v1/sub/config.json", "a/b", "v1", "sub"),
    ],
)
def test_a_reference_is_read_in_every_form_that_people_copy(
    typed: str, repo: str, revision: str | None, folder: str
) -> None:
    assert parse_reference(typed) == Reference(repo, revision, folder)


MALICIOUS: list[Any] = [
    "",
    " ",
    "\n\t",
    None,
    0,
    True,
    float("nan"),
    ["tiny-writer"],
    {"a": 1},
    b"tiny-writer",
    "x" * 100_000,
    "a/" * 50_000,
    "x/" + "y" * 100_000,
    "/etc/passwd",
    "/",
    "/tmp",
    "~/models",
    ".",
    "..",
    "../tiny-writer",
    "tiny-writer/../tiny-painter",
    "./tiny-writer",
    "tiny-writer/",
    "tiny-writer\0",
    "a/..",
    "../..",
    "a/b/",
    "a/b/../c",
    "a/b//c",
    "a/b/c/../../..",
    "a/b/.git",
    "a/b@",
    "a/b@../../etc",
    "a/b@-rf",
    "a--b/c",
    "a\\b",
    "C:\\models\\writer",
    "//server/share",
    "file:///etc/passwd",
    "file://tiny-writer",
    "http://127.0.0.1:7860/",
    "http://169.254.169.254/latest/meta-data",
    "https://huggingface.co.evil.example/a/b",
    "https://evil.example/huggingface.co/a/b",
    "https://user@huggingface.co/a/b",
    "https://huggingface.co/a/b/../../c",
    "https://huggingface.co/spaces/a/b",
    "https://huggingface.co/a",
    "a/b\nc/d",
    "a/b?x=1",
    "a/b#c",
    "%2e%2e/%2e%2e",
    "{0.__class__}/b",
    "$(id)/b",
    "pipelines",
    "tests",
    "assets/models",  # read as a Hub reference at most; see below
    "<img src=x onerror=alert(1)>",
    "модель/вес",
    "\ud800/b",
]


@pytest.mark.parametrize("given", MALICIOUS, ids=lambda value: ascii(value)[:40])
def test_what_is_no_reference_is_refused_with_what_is_allowed(
    online: Settings, no_download: list[str], given: Any
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        resolve(given, "write", online)
    if given == "assets/models":
        return
    assert no_download == []
    message = str(caught.value)
    assert "tiny-writer" in message
    assert "owner/repo" in message
    assert len(message) < 500


@pytest.mark.parametrize("directory", ["models/writer", "assets/models", "pipelines/recipes"])
def test_a_local_directory_of_that_name_is_never_opened(
    online: Settings,
    no_download: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    directory: str,
) -> None:
    shutil.copytree(online.models_dir / "tiny-writer", tmp_path / directory)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable, match="not in this test"):
        resolve(directory, "write", online)
    assert no_download == [directory]  # it was looked for on the Hub, and only there


def test_a_hostile_reference_takes_no_time(online: Settings, no_download: list[str]) -> None:
    began = time.perf_counter()
    for hostile in ("a." * 50_000, "-" * 100_000, "a/" + "b@" * 50_000, "https://hf.co/" * 8_000):
        with pytest.raises(ModelUnavailable):
            resolve(hostile, "write", online)
    assert time.perf_counter() - began < 1


def test_without_the_hub_a_reference_is_refused_before_any_request(
    settings: Settings, no_download: list[str]
) -> None:
    with pytest.raises(ModelUnavailable, match="started without it") as caught:
        resolve("openai/gpt2", "write", settings)
    assert "owner/repo" not in str(caught.value)
    assert no_download == []


def test_every_refusal_is_for_the_visitors_eyes(online: Settings, no_download: list[str]) -> None:
    for given in MALICIOUS:
        with pytest.raises(StudioError):
            resolve(given, "describe", online)


def test_a_step_upwards_inside_a_reference_is_none() -> None:
    assert parse_reference("a/b/sub..folder") is None


def test_a_composition_leaves_out_weights_of_one_alone() -> None:
    assert composed_name("a", [("b", 1.0), ("c", 0.5), ("d", 0.0)]) == "a + b + c:0.5 + d:0"
