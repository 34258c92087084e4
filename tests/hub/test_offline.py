"""What was fetched opens without the Hub; what was not, and what is not whole, is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from pipelines.device import Device
from pipelines.errors import ModelUnavailable
from pipelines.hub import names_here, resolve
from pipelines.hub.disk import delete
from pipelines.hub.families import read_json
from pipelines.hub.offline_index import FILE, newest_first, record_commit
from pipelines.hub.preflight import preflight
from pipelines.hub.references import Reference
from pipelines.hub.remote import OutOfReach, hub_errors
from pipelines.hub.search import search
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import TextRequest, generate
from tests import tiny_models
from tests.hub.lora_files import WRITER_LAYER, peft_lora
from tests.loopback_hub import MAIN, V1, Hub, Repository, serve
from tests.running import finished

CPU = Device("cpu", "float32", "")
GPU = Device("cuda", "float16", "")
SECRET = "hf_the_owners_secret_token"


@pytest.fixture
def power() -> Iterator[ExitStack]:
    """Closed, it takes the Hub from the network."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def hub(power: ExitStack) -> Hub:
    """A Hub of this test's own, with one writer in two revisions, which can go away."""
    return power.enter_context(serve({}))


@pytest.fixture
def writer(online: Settings, hub: Hub) -> Repository:
    folder = online.models_dir / "tiny-writer"
    hub.repositories["ada/writer"] = Repository(folder, v1=folder)
    return hub.repositories["ada/writer"]


@pytest.mark.parametrize(
    ("opened", "typed", "commit"),
    [
        ("ada/writer", "ada/writer", MAIN),
        ("ada/writer", "https://huggingface.co/ada/writer/tree/main", MAIN),
        ("ada/writer", f"ada/writer@{MAIN}", MAIN),
        ("ada/writer@v1", "ada/writer@v1", V1),
        (f"ada/writer@{V1}", f"ada/writer@{V1}", V1),
    ],
)
def test_what_is_here_opens_when_the_hub_has_gone(
    online: Settings, writer: Repository, power: ExitStack, opened: str, typed: str, commit: str
) -> None:
    before = resolve(opened, "write", online, device=CPU)
    assert before.notes == ()
    power.close()
    after = resolve(typed, "write", online, device=CPU)
    assert after.notes == (
        "The Hub could not be reached; ada/writer is as it was fetched before, at the commit "
        f"{commit[:12]}.",
    )
    assert replace(after, notes=()) == before
    found = preflight(typed, "write", online, CPU)
    assert (found.fits, found.commit, found.notes) == (True, commit, after.notes)


def test_a_run_without_the_hub_says_so_and_its_receipt_has_the_commit(
    online: Settings, writer: Repository, power: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = TextRequest("ada/writer", "Once", 4, seed=1)
    before = finished(generate, Studio(online), request)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    after = finished(generate, Studio(online), request)
    assert after.text == before.text
    assert after.receipt["model"] == before.receipt["model"]
    assert MAIN[:12] in after.notes[0]
    assert before.notes == []


def test_a_base_and_its_adapter_open_without_the_hub(
    online: Settings, writer: Repository, hub: Hub, power: ExitStack, tmp_path: Path
) -> None:
    lora = peft_lora(tmp_path / "lora", {WRITER_LAYER: (32, 32)}, base="ada/writer")
    hub.repositories["bob/lora"] = Repository(lora, commit="c" * 40)
    before = resolve("bob/lora:0.5", "write", online)
    power.close()
    after = resolve("bob/lora:0.5", "write", online)
    assert replace(after, notes=()) == before
    assert [note.split("; ")[1][:11] for note in after.notes] == ["ada/writer ", "bob/lora is"]
    assert names_here(online, "write") == ["tiny-writer", "ada/writer", "bob/lora"]


def test_a_folder_of_a_repository_opens_without_the_hub(
    online: Settings, hub: Hub, power: ExitStack
) -> None:
    hub.repositories["ada/all"] = Repository(online.models_dir)
    before = resolve("ada/all/tiny-writer", "write", online)
    power.close()
    assert resolve("ada/all/tiny-writer", "write", online).path == before.path
    assert names_here(online, "write") == ["tiny-writer", "ada/all/tiny-writer"]
    with pytest.raises(OutOfReach):
        resolve("ada/all", "write", online)


def test_a_copy_in_half_precision_alone_opens_on_any_device(
    online: Settings, hub: Hub, power: ExitStack, tmp_path: Path
) -> None:
    painter = tmp_path / "painter"
    shutil.copytree(online.models_dir / "tiny-painter", painter)
    for weights in list(painter.rglob("*.safetensors")):
        shutil.copy(weights, weights.with_suffix(".fp16.safetensors"))
    hub.repositories["ada/painter"] = Repository(painter)
    resolve("ada/painter", "paint", online, device=GPU)
    power.close()
    assert resolve("ada/painter", "paint", online, device=CPU).variant == "fp16"


# What is not


def test_a_part_of_a_model_is_told(online: Settings, writer: Repository, power: ExitStack) -> None:
    snapshot = resolve("ada/writer", "write", online)
    (snapshot.path / "model.safetensors").unlink()
    (snapshot.path / "tokenizer.json").unlink()
    power.close()
    with pytest.raises(
        ModelUnavailable,
        match=r"ada/writer is not whole on this disk; it lacks tokenizer.json, model.saf",
    ):
        resolve("ada/writer", "write", online)
    assert names_here(online, "write") == ["tiny-writer"]


def test_a_cut_download_is_told_and_an_older_commit_opens(
    online: Settings, writer: Repository, power: ExitStack, tmp_path: Path
) -> None:
    resolve("ada/writer", "write", online)
    writer.main = tiny_models.make_writer(tmp_path / "newer", seed=1)
    writer.commit, writer.drops, writer.refuses_ranges_of_downloads = "d" * 40, True, True
    with pytest.raises(ModelUnavailable, match="connection to the Hub was lost"):
        resolve("ada/writer", "write", online)
    power.close()
    assert resolve("ada/writer", "write", online).commit == MAIN
    with pytest.raises(ModelUnavailable, match=r"it lacks model\.safetensors\."):
        resolve(f"ada/writer@{'d' * 40}", "write", online)


def test_what_was_never_fetched_and_other_revisions_are_told(
    online: Settings, writer: Repository, power: ExitStack
) -> None:
    resolve("ada/writer@v1", "write", online)
    power.close()
    with pytest.raises(OutOfReach, match="The Hub could not be reached for ada/other"):
        resolve("ada/other", "write", online)
    with pytest.raises(ModelUnavailable, match="main of ada/writer is not on this disk; v1 of it"):
        resolve("ada/writer", "write", online)


def test_what_was_deleted_is_gone(online: Settings, writer: Repository, power: ExitStack) -> None:
    resolve("ada/writer", "write", online)
    resolve("ada/writer@v1", "write", online)
    assert names_here(online, "write") == ["tiny-writer", "ada/writer", "ada/writer@v1"]
    delete("ada/writer", MAIN, online)
    assert names_here(online, "write") == ["tiny-writer", "ada/writer@v1"]
    power.close()
    with pytest.raises(ModelUnavailable, match="main of ada/writer is not on this disk; v1 of it"):
        resolve("ada/writer", "write", online)
    delete("ada/writer", V1, online)
    with pytest.raises(OutOfReach):
        resolve("ada/writer", "write", online)
    assert names_here(online, "write") == ["tiny-writer"]


def test_what_the_hub_refuses_is_not_opened_from_the_disk(
    online: Settings, writer: Repository, hub: Hub
) -> None:
    resolve("ada/writer@v1", "write", online)
    hub.repositories.clear()
    with pytest.raises(ModelUnavailable, match="The Hub has no public model ada/writer"):
        resolve("ada/writer@v1", "write", online)


@pytest.mark.parametrize(
    ("status", "is_out_of_reach"),
    [(400, False), (403, False), (404, False), (451, False),
     (408, True), (429, True), (500, True), (503, True)],
)  # fmt: skip
def test_only_no_answer_is_out_of_reach(status: int, is_out_of_reach: bool) -> None:
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    request = httpx2.Request("GET", "http://127.0.0.1/api/models/ada/writer")
    with pytest.raises(ModelUnavailable) as caught, hub_errors(Reference("ada/writer")):
        hf_raise_for_status(httpx2.Response(status, request=request))
    assert isinstance(caught.value, OutOfReach) == is_out_of_reach
    assert (f"it answered {status}" in str(caught.value)) != is_out_of_reach


def test_a_page_that_asks_to_log_in_is_no_hub() -> None:
    request = httpx2.Request("GET", "http://127.0.0.1/api/models/ada/writer")
    with pytest.raises(OutOfReach), hub_errors(Reference("ada/writer")):
        httpx2.Response(200, text="<html>Log in</html>", request=request).json()


def test_a_name_that_the_hub_does_not_allow_is_told(online: Settings) -> None:
    with pytest.raises(ModelUnavailable, match="ada/writer- is no name that a model of the Hub"):
        resolve("ada/writer-", "write", online)


def test_what_took_a_token_is_shown_to_nobody_else(
    online: Settings, writer: Repository, power: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: SECRET, raising=False)
    writer.private = SECRET
    own = replace(online, use_own_token=True)
    commit = resolve("ada/writer", "write", own).commit
    power.close()
    assert resolve("ada/writer", "write", own).commit == commit
    assert "ada/writer" in names_here(own, "write")
    for open_to_others in (online, replace(own, share=True), replace(own, host="0.0.0.0")):
        with pytest.raises(OutOfReach, match="could not be reached for ada/writer"):
            resolve("ada/writer", "write", open_to_others)
        assert names_here(open_to_others, "write") == ["tiny-writer"]


# Lists


def test_search_shows_what_is_here_with_the_hub_and_without(
    online: Settings, writer: Repository, power: ExitStack
) -> None:
    writer.facts |= {"pipeline_tag": "text-generation", "downloads": 5}
    resolve("ada/writer", "write", online)
    with_hub = search("write", "", online)
    assert [f.reference for f in with_hub.models] == ["tiny-writer", "ada/writer"]
    assert all(f.is_local for f in with_hub.models)
    power.close()
    without = search("write", "", online)
    assert without.models == with_hub.models
    assert without.note is not None
    assert [f.reference for f in search("paint", "", online).models] == ["tiny-painter"]


def test_a_page_without_the_hub_lists_its_own_models_alone(
    online: Settings, writer: Repository
) -> None:
    resolve("ada/writer", "write", online)
    assert names_here(replace(online, hub_enabled=False), "write") == ["tiny-writer"]


def test_a_commit_that_is_fetched_again_stands_in_the_index_once_and_last(tmp_path: Path) -> None:
    """A branch that went back to an older commit opens at that one."""
    where = Reference("ada/writer")
    for commit in (V1, MAIN):
        (tmp_path / "snapshots" / commit).mkdir(parents=True)
    for commit in (V1, MAIN, V1, V1):
        record_commit(tmp_path, where, commit, {"config.json": 1}, needs_token=False)
    entry = read_json(tmp_path / FILE)["ada/writer"]
    assert entry["revisions"] == {"main": [MAIN, V1]}
    assert newest_first("main", entry) == [V1, MAIN]
