"""One text names a data set: embedded, of the Hub, or, for the machine's owner, a file."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.datasets import sources
from pipelines.datasets.samples import embedded, read_folder
from pipelines.datasets.sources import in_file, named, owned
from pipelines.errors import Cancelled, InvalidValue, ModelUnavailable
from pipelines.events import Progress
from pipelines.hub.disk import stored
from pipelines.settings import Limits, Settings
from tests.evaluation.conftest import make_scenes, zipped
from tests.hub import conftest as hub_fixtures
from tests.loopback_hub import MAIN, V1, Hub, Repository

hub, online = hub_fixtures.hub, hub_fixtures.online


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh data directory, no models and no Hub."""
    return Settings(models_dir=tmp_path / "models", data_dir=tmp_path / "data", hub_enabled=False)


@pytest.fixture
def scenes_of(hub: Hub, tmp_path: Path) -> Callable[..., Path]:
    """Puts so many pictures on the Hub as ``ada/scenes``, with what else repositories have."""

    def make(count: int = 4, **changes: Any) -> Path:
        folder = make_scenes(tmp_path / "hub" / "scenes", count)
        (folder / "scenes.py").write_text("raise SystemExit('a loading script')")
        (folder / "train.pkl").write_bytes(b"a pickle")
        hub.repositories["datasets/ada/scenes"] = Repository(folder, **changes)
        return folder

    return make


def fetched(hub: Hub) -> set[str]:
    return {path.removeprefix("datasets/ada/scenes/") for path in hub.sent}


def test_pictures_are_fetched_and_are_those_of_their_folder(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path]
) -> None:
    folder = scenes_of(4)
    found = named(" ada/scenes ", online)

    assert found.name == f"ada/scenes@{MAIN}"
    assert found.signature == f"ada/scenes@{MAIN}@{found.sha256[:16]}"
    assert found.sha256 == read_folder(folder).sha256
    assert found.samples[3].picture(Limits()).size == (32, 32)
    assert all(s.file and s.file.is_relative_to(online.data_dir / "hub") for s in found.samples)
    assert fetched(hub) == {"metadata.jsonl", *(f"{i}.png" for i in range(4))}


def test_what_is_here_is_not_fetched_again_and_what_was_cut_is(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path]
) -> None:
    scenes_of(4)
    first = named("ada/scenes", online)
    hub.sent.clear()
    assert named(f"https://huggingface.co/datasets/ada/scenes/tree/{MAIN}", online) == first
    assert hub.sent == {}
    assert first.samples[2].file is not None
    first.samples[2].file.resolve().write_bytes(b"half")
    assert named(first.name, online) == first
    assert fetched(hub) == {"2.png"}


def test_a_revision_and_a_folder_are_followed(
    online: Settings, hub: Hub, tmp_path: Path, scenes_of: Callable[..., Path]
) -> None:
    make_scenes(tmp_path / "splits" / "train", 3)
    make_scenes(tmp_path / "splits" / "test", 2)
    scenes_of(4, v1=tmp_path / "splits")
    found = named("ada/scenes/test@v1", online)

    assert (found.name, len(found.samples)) == (f"ada/scenes/test@{V1}", 2)
    assert fetched(hub) == {"test/metadata.jsonl", "test/0.png", "test/1.png"}
    with pytest.raises(InvalidValue, match="2 sets of data: test, train"):
        named("ada/scenes@v1", online)


@pytest.mark.parametrize(
    ("file", "content"),
    [("tales.txt", "once\nupon\n"), ("tales.jsonl", '{"text": "once"}\n{"text": "upon"}\n')],
)
def test_texts_are_fetched(
    online: Settings, hub: Hub, tmp_path: Path, file: str, content: str
) -> None:
    (tmp_path / "tales").mkdir()
    (tmp_path / "tales" / file).write_text(content)
    (tmp_path / "tales" / "README.md").write_text("# Tales")
    hub.repositories["datasets/ada/tales"] = Repository(tmp_path / "tales")
    found = named("ada/tales", online)

    assert found.name == f"ada/tales@{MAIN}"
    assert [sample.text for sample in found.samples] == ["once", "upon"]
    assert set(hub.sent) == {f"datasets/ada/tales/{file}"}


REFUSED: dict[str, tuple[str, dict[str, Any], Callable[[Path], object]]] = {
    "gated": ("is gated", {"gated": True}, lambda folder: None),
    "private": ("no public data set", {"private": "hf_x"}, lambda folder: None),
    "no list": (
        r"\.pkl, \.png, \.py files, which are not read",
        {},
        lambda folder: (folder / "metadata.jsonl").unlink(),
    ),
    "too large": (
        "a data set may have at most",
        {},
        lambda folder: (folder / "9.png").write_bytes(b"\0" * 300_000),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_told_before_anything_is_fetched(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path], case: str
) -> None:
    words, changes, change = REFUSED[case]
    change(scenes_of(2, **changes))
    with pytest.raises(InvalidValue, match=words):
        named("ada/scenes", replace(online, limits=Limits(data_bytes=200_000)))
    assert hub.sent == {}
    assert not (online.data_dir / "hub").exists()


def test_what_does_not_fit_the_disk_budget_is_told(
    online: Settings, scenes_of: Callable[..., Path]
) -> None:
    scenes_of(2)
    with pytest.raises(ModelUnavailable, match="all downloads together may take"):
        named("ada/scenes", replace(online, disk_budget_bytes=100))


def test_pictures_of_the_hub_are_checked_like_any(
    online: Settings, scenes_of: Callable[..., Path]
) -> None:
    folder = scenes_of(3)
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    with pytest.raises(InvalidValue, match=r"1 picture that cannot be used: 1\.png .*damaged"):
        named("ada/scenes", online)


def test_progress_is_told_and_who_is_told_may_stop_it(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path]
) -> None:
    scenes_of(30)
    told: list[Progress] = []
    named("ada/scenes", online, told.append)
    assert told[0] == Progress("Asking the Hub for ada/scenes")
    loading = [event for event in told if event.message.startswith("Downloading ada/scenes")]
    fractions = [event.fraction or 0.0 for event in loading]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert loading[-1].seconds_left == 0
    assert told[-1].message == "Looking at the pictures"


def test_a_stopped_download_ends_soon_and_goes_on_where_it_was(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path]
) -> None:
    scenes_of(30)

    told: list[float] = []

    def stop_once(event: Progress) -> None:
        told.append(event.fraction or 0.0)
        if told[-1] > 0.1 and len([fraction for fraction in told if fraction > 0.1]) == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        named("ada/scenes", online, stop_once)
    assert len([fraction for fraction in told if fraction > 0.1]) == 1, "nothing comes after it"
    first = fetched(hub)
    assert 0 < len(first) < 25
    assert list((online.data_dir / "hub").rglob("*.incomplete")) == []
    kept = {f.name for f in (online.data_dir / "hub").rglob("snapshots/*/*")}
    assert kept
    hub.sent.clear()
    assert len(named("ada/scenes", online).samples) == 30
    assert not kept & fetched(hub)


def test_a_lost_connection_is_told_and_the_rest_is_fetched_later(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path]
) -> None:
    folder = scenes_of(3, drops=True, refuses_ranges_of_downloads=True, weights="2.png")
    Image.effect_noise((300, 300), 90).save(folder / "2.png")
    with pytest.raises(InvalidValue, match=r"could not be reached .* only the rest is fetched"):
        named("ada/scenes", online)
    repository = hub.repositories["datasets/ada/scenes"]
    repository.drops = repository.refuses_ranges_of_downloads = False
    assert len(named("ada/scenes", online).samples) == 3
    assert list((online.data_dir / "hub").rglob("*.incomplete")) == []


def test_what_a_killed_download_left_is_cleared_away(
    online: Settings, scenes_of: Callable[..., Path]
) -> None:
    scenes_of(2)
    blobs = online.data_dir / "hub" / "datasets--ada--scenes" / "blobs"
    blobs.mkdir(parents=True)
    old, young = blobs / "x.1.incomplete", blobs / "x.2.incomplete"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    named("ada/scenes", online)
    assert (old.exists(), young.exists()) == (False, True)


def test_it_counts_among_the_downloads_as_used_now(
    online: Settings, scenes_of: Callable[..., Path]
) -> None:
    scenes_of(2)
    named("ada/scenes", online)
    (one,) = stored(online)
    os.utime(one.path, (0, 0))
    named("ada/scenes", online)
    (one,) = stored(online)
    assert (one.reference, one.commit, one.kind) == ("ada/scenes", MAIN, "data set")
    assert time.time() - one.last_used < 60


def test_the_owners_token_goes_with_the_owners_wish_alone(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes_of(2, private="hf_secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(InvalidValue, match="no public data set"):
        named("ada/scenes", replace(online, use_own_token=True, share=True))
    assert all("authorization" not in headers for _, headers in hub.requests)
    assert len(named("ada/scenes", replace(online, use_own_token=True)).samples) == 2


# Without the Hub


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes the Hub from the network, as far as its client is concerned."""
    return lambda: monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("given", ["ada/scenes", f"ada/scenes@{MAIN}", "ada/scenes/test@v1"])
def test_what_is_here_opens_without_the_hub_and_says_so(
    online: Settings,
    tmp_path: Path,
    scenes_of: Callable[..., Path],
    offline: Callable[[], None],
    given: str,
) -> None:
    for part in ("train", "test"):
        make_scenes(tmp_path / "splits" / part, 2)
    scenes_of(4, v1=tmp_path / "splits")
    before = named(given, online)
    offline()
    after = named(given, online)
    commit = before.name.rpartition("@")[2][:12]
    assert after.notes == (
        f"The Hub could not be reached; {before.name.rpartition('@')[0]} is as it was fetched "
        f"before, at the commit {commit}.",
    )
    assert replace(after, notes=()) == before
    assert named(given, online) == after


def test_texts_that_are_here_open_without_the_hub(
    online: Settings, hub: Hub, tmp_path: Path, offline: Callable[[], None]
) -> None:
    (tmp_path / "tales").mkdir()
    (tmp_path / "tales" / "tales.txt").write_text("once\nupon\n")
    hub.repositories["datasets/ada/tales"] = Repository(tmp_path / "tales")
    before = named("ada/tales", online)
    offline()
    after = named("ada/tales", online)
    assert (after.name, after.samples, len(after.notes)) == (before.name, before.samples, 1)


def test_the_newest_commit_that_is_whole_opens_without_the_hub(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path], offline: Callable[[], None]
) -> None:
    folder = scenes_of(2)
    named("ada/scenes", online)
    Image.new("RGB", (32, 32), "navy").save(folder / "1.png")
    hub.repositories["datasets/ada/scenes"].commit = "d" * 40
    second = named("ada/scenes", online)
    offline()
    assert named("ada/scenes", online).name == second.name == f"ada/scenes@{'d' * 40}"
    assert second.samples[1].file is not None
    second.samples[1].file.unlink()
    assert named("ada/scenes", online).name == f"ada/scenes@{MAIN}"


def test_what_is_not_whole_here_is_not_opened_without_the_hub(
    online: Settings, scenes_of: Callable[..., Path], offline: Callable[[], None]
) -> None:
    scenes_of(2)
    found = named("ada/scenes", online)
    offline()
    assert found.samples[0].file is not None
    found.samples[0].file.unlink()
    for given in ("ada/scenes", "ada/scenes@v1", "ada/other"):
        with pytest.raises(InvalidValue, match="The Hub could not be reached for ada/"):
            named(given, online)


def test_what_took_a_token_opens_for_nobody_else_without_the_hub(
    online: Settings,
    scenes_of: Callable[..., Path],
    offline: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenes_of(2, private="hf_secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    own = replace(online, use_own_token=True)
    before = named("ada/scenes", own)
    offline()
    for _ in range(2):
        assert named("ada/scenes", own).name == before.name
        with pytest.raises(InvalidValue, match="could not be reached"):
            named("ada/scenes", replace(own, share=True))


def test_what_the_hub_refuses_is_not_opened_from_the_disk(
    online: Settings, hub: Hub, scenes_of: Callable[..., Path]
) -> None:
    scenes_of(2)
    named("ada/scenes", online)
    hub.repositories.clear()
    with pytest.raises(InvalidValue, match="The Hub has no public data set ada/scenes"):
        named("ada/scenes", online)


# Names, and paths for the owner alone


@pytest.mark.parametrize(
    "given",
    ["", " ", "/etc/passwd", "..", "ada", None, 3, True, float("nan"), ["ada/x"], "x" * 10_000],
    ids=lambda value: str(value)[:12],
)
def test_what_names_nothing_is_told_what_does(settings: Settings, given: Any) -> None:
    with pytest.raises(InvalidValue, match=r"emoji-scenes.*owner/name@revision") as caught:
        named(given, settings)
    assert len(str(caught.value)) < 300


def test_a_visitors_text_is_never_a_path(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_scenes(tmp_path / "ada" / "scenes", 2)
    monkeypatch.chdir(tmp_path)
    assert len(owned("ada/scenes", settings).samples) == 2
    with pytest.raises(InvalidValue, match="is on the Hub, and this page was started without it"):
        named("ada/scenes", settings)
    assert named(" emoji-scenes", settings) is embedded("emoji-scenes")


def test_the_owner_may_name_files_and_folders(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_scenes(tmp_path / "home" / "scenes", 2)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tales.TXT").write_text("one\ntwo")
    (tmp_path / "tales.jsonl").write_text('{"text": "one"}\n{"text": "two"}')
    pictures = owned(str(folder), settings)

    assert owned("~/scenes", settings) == pictures
    assert owned(str(zipped(folder, tmp_path / "s.zip")), settings).sha256 == pictures.sha256
    for name in ("tales.TXT", "tales.jsonl"):
        found = owned(str(tmp_path / name), settings)
        assert (found.name, [s.text for s in found.samples]) == ("tales", ["one", "two"])
    assert owned("emoji-scenes", settings) is embedded("emoji-scenes")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "data is ''"),
        ("x" * 10_000, "data is 'xxx"),
        ("x" * 300, "cannot be opened"),
        ("nowhere", "There is no data set 'nowhere'; give emoji-scenes, shakespeare; a .txt"),
        ("~nobody/scenes", "There is no data set"),
        ("not/here", "is on the Hub, and this page was started without it"),
    ],
    ids=lambda text: text[:12],
)
def test_the_owner_is_told_what_is_not_there(settings: Settings, given: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=re.escape(words)):
        owned(given, settings)


def test_an_unpacked_zip_lies_among_what_is_kept_for_a_while(
    settings: Settings, tmp_path: Path
) -> None:
    path = zipped(make_scenes(tmp_path / "scenes", 2), tmp_path / "mine.ZIP")
    found = in_file(path, settings)
    assert found.name == "mine"
    assert found.samples[0].file is not None
    assert found.samples[0].file.is_relative_to(settings.data_dir / "tmp")


def test_the_help_names_what_may_be_given() -> None:
    for word in ("emoji-scenes", ".txt", ".jsonl", "ZIP", "metadata.csv", "owner/name"):
        assert word in sources.HELP
