"""References to the Hub: what is fetched, what is not, and what is told when it fails."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.device import Device
from pipelines.errors import Cancelled, LoadFailed, ModelUnavailable, OutOfBudget, WrongTask
from pipelines.events import Progress
from pipelines.hub import resolve
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.tasks import Task
from pipelines.text_generation.pipeline import TextRequest, generate
from tests.hub.checkpoints import LLAMA, checkpoint
from tests.hub.lora_files import WRITER_LAYER, peft_lora
from tests.loopback_hub import MAIN, V1, Hub, Repository
from tests.running import finished

CPU = Device("cpu", "float32", "")
GPU = Device("cuda", "float16", "")


@pytest.fixture
def writer(models_dir: Path, tmp_path: Path) -> Path:
    """The tiny writer with what repositories have beside it: pickles, code, copies."""
    folder = tmp_path / "writer"
    shutil.copytree(models_dir / "tiny-writer", folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling.py").write_text("raise SystemExit('remote code')")
    (folder / "consolidated.safetensors").write_bytes(b"\0" * 64)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"\0" * 64)
    return folder


def fetched(hub: Hub) -> set[str]:
    """The files whose content was asked for, whole or in part."""
    return {path.split("/", 2)[2] for path in hub.sent}


def test_a_model_is_fetched_into_the_data_directory(
    online: Settings, hub: Hub, writer: Path, models_dir: Path
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    snapshot = resolve("ada/writer", "write", online)
    assert (snapshot.reference, snapshot.commit, snapshot.family) == ("ada/writer", MAIN, "causal")
    assert snapshot.path.is_relative_to(online.data_dir / "hub")
    there = sorted(f.name for f in snapshot.path.rglob("*") if f.is_file())
    assert there == sorted(f.name for f in (models_dir / "tiny-writer").iterdir())
    local = resolve("tiny-writer", "write", online)
    assert (snapshot.weight_bytes, snapshot.parameters) == (local.weight_bytes, local.parameters)


def test_neither_pickles_nor_code_nor_copies_are_fetched(
    online: Settings, hub: Hub, writer: Path, models_dir: Path
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    resolve("ada/writer", "write", online)
    assert fetched(hub) == {f.name for f in (models_dir / "tiny-writer").iterdir()}


def test_what_is_here_is_not_fetched_again(online: Settings, hub: Hub, writer: Path) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    first = resolve("ada/writer", "write", online)
    hub.sent.clear()
    assert resolve("ada/writer", "write", online) == first
    assert hub.sent == {}


@pytest.mark.parametrize(
    "typed",
    [
        "ada/writer@v1",
        f"ada/writer@{V1}",
        "https://huggingface.co/ada/writer/tree/v1",
        "https://hf.co/ada/writer/blob/v1/config.json",
    ],
)
def test_a_revision_is_followed_to_its_commit(
    online: Settings, hub: Hub, writer: Path, models_dir: Path, typed: str
) -> None:
    hub.repositories["ada/writer"] = Repository(writer, v1=models_dir / "tiny-writer")
    snapshot = resolve(typed, "write", online)
    assert (snapshot.reference, snapshot.commit) == ("ada/writer", V1)


def test_a_folder_of_a_repository_is_a_model(online: Settings, hub: Hub, models_dir: Path) -> None:
    hub.repositories["ada/all"] = Repository(models_dir)
    snapshot = resolve("ada/all/tiny-writer", "write", online)
    assert snapshot.reference == "ada/all/tiny-writer"
    assert snapshot.path.name == "tiny-writer"
    assert (snapshot.path / "model.safetensors").is_file()
    assert not any("painter" in path for path in hub.sent)
    with pytest.raises(ModelUnavailable, match="ada/all has no folder nowhere"):
        resolve("ada/all/nowhere", "write", online)


def test_a_pipeline_is_fetched_in_the_precision_of_the_device(
    online: Settings, hub: Hub, models_dir: Path, tmp_path: Path
) -> None:
    painter = tmp_path / "painter"
    shutil.copytree(models_dir / "tiny-painter", painter)
    for weights in list(painter.rglob("*.safetensors")):
        shutil.copy(weights, weights.with_suffix(".fp16.safetensors"))
    shutil.copy(next(painter.rglob("*.safetensors")), painter / "whole-checkpoint.safetensors")
    hub.repositories["ada/painter"] = Repository(painter)
    half = resolve("ada/painter", "paint", online, device=GPU)
    assert half.variant == "fp16"
    sent = {name for name in fetched(hub) if name.endswith(".safetensors")}
    assert sent == {
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
    }
    full = resolve("ada/painter", "paint", online, device=CPU)
    assert full.variant is None
    assert full.parameters == half.parameters


def test_base_and_adapter_come_from_the_hub(
    online: Settings, hub: Hub, writer: Path, tmp_path: Path
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    lora = peft_lora(tmp_path / "lora", {WRITER_LAYER: (32, 32)}, base="ada/writer")
    (lora / "checkpoint-5").mkdir()
    (lora / "checkpoint-5" / "adapter_model.safetensors").write_bytes(b"\0" * 64)
    hub.repositories["bob/lora"] = Repository(lora, commit="c" * 40)
    snapshot = resolve("bob/lora:0.5", "write", online)
    assert (snapshot.name, snapshot.commit) == ("ada/writer + bob/lora:0.5", MAIN)
    (adapter,) = snapshot.adapters
    assert (adapter.reference, adapter.commit, adapter.weight) == ("bob/lora", "c" * 40, 0.5)
    assert (adapter.path / "adapter_model.safetensors").is_file()
    assert not any("checkpoint-5" in path for path in hub.sent)


def test_a_misfit_is_told_before_anything_is_fetched(
    online: Settings, hub: Hub, writer: Path, tmp_path: Path
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    lora = peft_lora(tmp_path / "lora", {WRITER_LAYER: (32, 48)})
    hub.repositories["bob/lora"] = Repository(lora, commit="c" * 40)
    with pytest.raises(ModelUnavailable, match=r"bob/lora does not fit ada/writer: .* 32 x 48"):
        resolve("ada/writer + bob/lora", "write", online)
    assert not (online.data_dir / "hub").exists()


# What is told


Make = Callable[[Path, Path], Repository]
VLM = {"model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"],
       "vision_config": {}}  # fmt: skip
NEW = {"model_type": "llama9", "architectures": ["Llama9ForCausalLM"]}
REFUSED: dict[str, tuple[Task, type[Exception], str, Make]] = {
    "another task": (
        "write", WrongTask, "ada/model paints pictures; here a model is needed that writes",
        lambda models, tmp: Repository(models / "tiny-painter"),
    ),
    "no task": (
        "write", WrongTask, "of no kind that this page knows",
        lambda models, tmp: Repository(checkpoint(tmp, "m", {"model_type": "vit"})),
    ),
    "gated": (
        "write", ModelUnavailable, "ada/model is gated: .* https://huggingface.co/ada/model",
        lambda models, tmp: Repository(models / "tiny-writer", gated=True),
    ),
    "private": (
        "write", ModelUnavailable, "no public model ada/model",
        lambda models, tmp: Repository(models / "tiny-writer", private="hf_secret"),
    ),
    "pickles": (
        "write", ModelUnavailable, "ada/model has no safetensors weights",
        lambda models, tmp: Repository(checkpoint(tmp, "m", LLAMA, "pytorch_model.bin")),
    ),
    "remote code": (
        "write", ModelUnavailable, r"needs code of its own \(trust_remote_code\)",
        lambda models, tmp: Repository(
            checkpoint(tmp, "m", {**NEW, "auto_map": {"AutoModel": "x.Y"}}, "model.safetensors")
        ),
    ),
    "a new architecture": (
        "write", ModelUnavailable, "architecture 'llama9', which this version of transformers",
        lambda models, tmp: Repository(checkpoint(tmp, "m", NEW, "model.safetensors")),
    ),
    "a package": (
        "describe", ModelUnavailable, "needs the package torchvision.*pip install torchvision",
        lambda models, tmp: Repository(checkpoint(tmp, "m", VLM, "model.safetensors")),
    ),
    "shards without their list": (
        "write", ModelUnavailable, "that are none of the files which the libraries look for",
        lambda models, tmp: Repository(
            checkpoint(tmp, "m", LLAMA, "model-00001-of-00002.safetensors")
        ),
    ),
    "a million layers": (
        "write", ModelUnavailable, r"speaks of 1,000,000 layers \(num_hidden_layers\)",
        lambda models, tmp: Repository(
            checkpoint(
                tmp, "m", {**json.loads(LLAMA), "num_hidden_layers": 10**6}, "model.safetensors"
            )
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_told_before_anything_is_fetched(
    online: Settings, hub: Hub, models_dir: Path, tmp_path: Path, case: str
) -> None:
    task, error, message, make = REFUSED[case]
    hub.repositories["ada/model"] = make(models_dir, tmp_path)
    with pytest.raises(error, match=message):
        resolve("ada/model", task, online)
    assert not (online.data_dir / "hub").exists()
    assert resolve("tiny-writer", "write", online).reference == "tiny-writer"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("ada/nothing", "The Hub has no public model ada/nothing"),
        ("ada/writer@v9", "ada/writer has no revision v9"),
    ],
)
def test_what_is_not_there_is_told(
    online: Settings, hub: Hub, writer: Path, typed: str, message: str
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    with pytest.raises(ModelUnavailable, match=message):
        resolve(typed, "write", online)


def test_a_hub_that_cannot_be_reached_is_told_and_local_models_work(
    online: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match="could not be reached for ada/writer"):
        resolve("ada/writer", "write", online)
    assert resolve("tiny-writer", "write", online).weight_bytes > 10_000


def test_a_damaged_file_is_told_before_it_is_fetched(
    online: Settings, hub: Hub, writer: Path
) -> None:
    file = writer / "model.safetensors"
    content = file.read_bytes()
    hub.repositories["ada/writer"] = Repository(writer)
    for broken, message in (
        (content[:-7], "it has .* bytes and its header speaks of"),
        (b"\xff" * 200, "its header is longer than the file"),
        (content[:8] + b"x" + content[9:], "its header cannot be read"),
        (b"", "is damaged"),
    ):
        file.write_bytes(broken)
        with pytest.raises(ModelUnavailable, match=rf"model.safetensors of ada/writer .*{message}"):
            resolve("ada/writer", "write", online)
    assert not (online.data_dir / "hub").exists()


def test_a_header_longer_than_the_first_look_is_read(
    online: Settings, hub: Hub, writer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.hub.remote._FIRST_LOOK", 100)
    hub.repositories["ada/writer"] = Repository(writer)
    assert resolve("ada/writer", "write", online).parameters > 1_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limits": Limits(download_bytes=10_000)}, "0.0 MB a download may have"),
        ({"disk_budget_bytes": 10_000}, "all downloads together may take"),
    ],
)
def test_what_is_too_large_to_fetch_is_told(
    online: Settings, hub: Hub, writer: Path, change: dict[str, object], message: str
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    with pytest.raises(ModelUnavailable, match=message):
        resolve("ada/writer", "write", replace(online, **change))  # type: ignore[arg-type]
    assert not (online.data_dir / "hub").exists()


def test_what_is_too_large_for_the_memory_is_told_before_it_is_fetched(
    online: Settings, hub: Hub, writer: Path
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    parameters = resolve("tiny-writer", "write", online).parameters
    small = replace(online, memory_budget_bytes=4 * parameters - 1)
    with pytest.raises(OutOfBudget, match=r"ada/writer needs about .* and the budget is"):
        resolve("ada/writer", "write", small, device=CPU)
    assert not (online.data_dir / "hub").exists()
    assert resolve("ada/writer", "write", small, device=GPU).parameters == parameters


# While it goes on


def test_progress_tells_bytes_speed_and_time_left(online: Settings, hub: Hub, writer: Path) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    events: list[Progress] = []
    resolve("ada/writer", "write", online, events.append)
    assert events[0] == Progress("Asking the Hub for ada/writer")
    fractions = [event.fraction for event in events[1:] if event.fraction is not None]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert len(set(fractions)) > 3
    assert " · 0.0 MB of 0." in events[1].message
    assert events[-1].message.endswith("MB/s")
    assert events[-1].seconds_left == 0


def test_who_is_told_may_stop_the_download(online: Settings, hub: Hub, writer: Path) -> None:
    hub.repositories["ada/writer"] = Repository(writer)

    def stop(event: Progress) -> None:
        if (event.fraction or 0) > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        resolve("ada/writer", "write", online, stop)
    assert list((online.data_dir / "hub").rglob("*.incomplete")) == []
    assert resolve("ada/writer", "write", online).weight_bytes > 10_000


def test_closing_a_run_ends_its_download(online: Settings, hub: Hub, writer: Path) -> None:
    hub.repositories["ada/writer"] = Repository(writer, slow=0.05)
    run = generate(Studio(online), TextRequest("ada/writer", "Once", 4))
    while not next(run).message.startswith("Downloading"):  # type: ignore[union-attr]
        pass
    run.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        before = dict(hub.sent)
        time.sleep(0.3)
        if hub.sent == before:
            break
    assert "ada/writer/tokenizer.json" not in hub.sent or (
        sum(hub.sent.values()) < sum(f.stat().st_size for f in writer.iterdir() if f.is_file())
    )


def test_a_cut_connection_is_taken_up_where_it_broke(
    online: Settings, hub: Hub, writer: Path
) -> None:
    hub.repositories["ada/writer"] = Repository(writer, drops=1)
    snapshot = resolve("ada/writer", "write", online)
    whole = (writer / "model.safetensors").read_bytes()
    assert (snapshot.path / "model.safetensors").read_bytes() == whole


def test_a_lost_connection_is_told_and_the_rest_is_fetched_later(
    online: Settings, hub: Hub, writer: Path
) -> None:
    repository = Repository(writer, drops=True, refuses_ranges_of_downloads=True)
    hub.repositories["ada/writer"] = repository
    studio = Studio(online)
    assert finished(generate, studio, TextRequest("tiny-writer", "Once", 2)).new_tokens > 0
    with pytest.raises(ModelUnavailable, match=r"connection to the Hub was lost after .* MB of"):
        finished(generate, studio, TextRequest("ada/writer", "Once", 2))
    assert list((online.data_dir / "hub").rglob("*.incomplete")) == []
    assert [r.key.partition("@")[0] for r in studio.residency.residents()] == ["tiny-writer"]

    repository.drops = repository.refuses_ranges_of_downloads = False
    hub.sent.clear()
    assert finished(generate, studio, TextRequest("ada/writer", "Once", 2)).new_tokens > 0
    assert "ada/writer/tokenizer.json" not in hub.sent


def test_what_a_killed_download_left_is_cleared_away(
    online: Settings, hub: Hub, writer: Path
) -> None:
    hub.repositories["ada/writer"] = Repository(writer)
    blobs = online.data_dir / "hub" / "models--ada--writer" / "blobs"
    blobs.mkdir(parents=True)
    old, young = blobs / "x.1.incomplete", blobs / "x.2.incomplete"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    resolve("ada/writer", "write", online)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_broken_checkpoint_leaves_what_was_loaded_answering(
    online: Settings, hub: Hub, models_dir: Path, tmp_path: Path
) -> None:
    """Its header is right and its layers are not: only loading can tell."""
    half = checkpoint(
        tmp_path, "m", (models_dir / "tiny-writer" / "config.json").read_text().replace(
            '"num_hidden_layers": 2', '"num_hidden_layers": 1'), "model.safetensors"
    )  # fmt: skip
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(models_dir / "tiny-writer" / name, half)
    hub.repositories["ada/half"] = Repository(half)
    studio = Studio(online)
    request = TextRequest("tiny-writer", "Once", 2, seed=1)
    before = finished(generate, studio, request).text
    with pytest.raises(LoadFailed, match="ada/half is not whole"):
        finished(generate, studio, TextRequest("ada/half", "Once", 2))
    assert finished(generate, studio, request).text == before
