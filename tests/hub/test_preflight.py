"""What is told before a download is what loading then shows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.device import Device
from pipelines.errors import ModelUnavailable
from pipelines.events import with_result
from pipelines.hub import resolve
from pipelines.hub.preflight import preflight
from pipelines.image_captioning import pipeline as describing
from pipelines.runtime.studio import Studio, parameter_bytes
from pipelines.settings import Limits, Settings
from pipelines.tasks import Task
from pipelines.text_generation import pipeline as writing
from pipelines.text_to_image import pipeline as painting
from tests.hub.checkpoints import LLAMA, checkpoint
from tests.hub.lora_files import WRITER_LAYER, peft_lora
from tests.loopback_hub import MAIN, Hub, Repository

CPU = Device("cpu", "float32", "")
GPU = Device("cuda", "float16", "")
LOADERS: dict[str, tuple[Task, Any]] = {
    "tiny-writer": ("write", writing.load),
    "tiny-painter": ("paint", painting.load),
    "tiny-captioner": ("describe", describing.load_captioner),
}


def measured(model: Any) -> int:
    if hasattr(model, "pipeline"):
        parts = model.pipeline.components.values()
        return parameter_bytes(*(part for part in parts if hasattr(part, "parameters")))
    return parameter_bytes(model.model)


@pytest.mark.parametrize("name", LOADERS)
def test_the_expected_memory_is_what_is_then_measured(
    online: Settings, hub: Hub, name: str
) -> None:
    task, load = LOADERS[name]
    hub.repositories["ada/model"] = Repository(online.models_dir / name)
    remote = preflight("ada/model", task, online, CPU)
    local = preflight(name, task, online, CPU)
    assert remote.expected_memory_bytes == local.expected_memory_bytes
    *_, opened = with_result(Studio(online).open(name, task, load, measured))
    with opened.lease:
        assert abs(remote.expected_memory_bytes / measured(opened.model) - 1) < 0.15
    half = preflight(name, task, online, GPU)
    assert half.expected_memory_bytes == pytest.approx(local.expected_memory_bytes / 2, rel=0.02)


def test_no_byte_of_weights_is_fetched(online: Settings, hub: Hub) -> None:
    writer = online.models_dir / "tiny-writer"
    hub.repositories["ada/writer"] = Repository(writer, card={"license": "mit"})
    found = preflight("ada/writer", "write", online, CPU)
    length = int.from_bytes((writer / "model.safetensors").read_bytes()[:8], "little")
    header = next(h for line, h in hub.requests if "model.safetensors" in line)
    assert header["range"].startswith("bytes=0-")
    assert length < 100_000
    assert not (online.data_dir / "hub").exists()

    size = sum(f.stat().st_size for f in writer.iterdir())
    assert (found.reference, found.commit, found.licence) == ("ada/writer", MAIN, "mit")
    assert (found.family, found.does, found.stored_as) == ("causal", ("write",), "F32")
    assert (found.bytes_total, found.bytes_to_fetch) == (size, size)
    assert found.parameters == resolve("tiny-writer", "write", online).parameters
    assert found.computed_in == "float32"
    assert found.free_disk_bytes > 0
    assert not (found.is_local or found.is_gated or found.is_private)
    assert found.fits
    assert found.verdict.startswith("ada/writer fits: about ")
    assert found.helps == ()


def test_what_is_fetched_already_is_not_counted_again(online: Settings, hub: Hub) -> None:
    hub.repositories["ada/writer"] = Repository(online.models_dir / "tiny-writer")
    resolve("ada/writer", "write", online)
    found = preflight("ada/writer", "write", online, CPU)
    assert found.bytes_to_fetch == 0
    assert found.verdict.endswith("all here.")


def test_local_models_are_told_of_without_the_hub(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "extra" / "mine"
    shutil.copytree(settings.models_dir / "tiny-writer", folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Mine\n")
    own = replace(settings, extra_models_dir=folder.parent)
    found = preflight("mine", "write", own, CPU)
    assert (found.is_local, found.fits, found.licence) == (True, True, "apache-2.0")
    assert found.bytes_to_fetch == 0


def test_a_composition_is_told_of_as_a_whole(online: Settings, hub: Hub, tmp_path: Path) -> None:
    hub.repositories["ada/writer"] = Repository(online.models_dir / "tiny-writer")
    lora = peft_lora(tmp_path / "lora", {WRITER_LAYER: (32, 32)}, base="bob/copy")
    hub.repositories["bob/lora"] = Repository(lora)
    bare = preflight("ada/writer", "write", online, CPU)
    found = preflight("ada/writer + bob/lora:0.5", "write", online, CPU)
    assert found.reference == "ada/writer + bob/lora:0.5"
    numbers = 2 * 32 + 32 * 2  # of a rank of 2 on a layer of 32 x 32
    assert found.expected_memory_bytes - bare.expected_memory_bytes == 4 * numbers
    assert found.bytes_to_fetch - bare.bytes_to_fetch == sum(
        f.stat().st_size for f in lora.iterdir()
    )
    assert found.notes == (
        "bob/lora was trained on 'bob/copy'; its layers fit ada/writer as well.",
    )
    assert not (online.data_dir / "hub").exists()


def test_adapters_count_in_the_memory_that_a_composition_needs(
    online: Settings, hub: Hub, tmp_path: Path
) -> None:
    hub.repositories["bob/lora"] = Repository(
        peft_lora(tmp_path / "lora", {WRITER_LAYER: (32, 32)})
    )
    needed = preflight("tiny-writer + bob/lora", "write", online, CPU).expected_memory_bytes
    small = replace(online, memory_budget_bytes=needed - 1)
    found = preflight("tiny-writer + bob/lora", "write", small, CPU)
    assert found.verdict.startswith("tiny-writer with its adapters needs about ")
    assert preflight("tiny-writer + bob/lora:0", "write", small, CPU).fits
    assert preflight("tiny-writer", "write", small, CPU).fits


def test_a_verdict_of_no_says_what_would_help(online: Settings, hub: Hub) -> None:
    hub.repositories["ada/writer"] = Repository(online.models_dir / "tiny-writer")
    needed = preflight("ada/writer", "write", online, CPU).expected_memory_bytes
    small = replace(online, memory_budget_bytes=needed - 1)
    found = preflight("ada/writer", "write", small, CPU)
    assert not found.fits
    assert found.verdict.startswith("ada/writer needs about ")
    assert found.verdict.endswith(".")
    assert found.helps[0] == "Choose a smaller model, or start with a larger budget."
    assert found.helps[1].startswith("On a GPU it is computed in half precision")
    assert preflight("ada/writer", "write", small, GPU).fits

    crowded = replace(online, limits=Limits(download_bytes=10))
    found = preflight("ada/writer", "write", crowded, CPU)
    assert not found.fits
    assert "a download may have" in found.verdict


def test_a_gated_model_is_told_of_as_far_as_it_can_be_seen(online: Settings, hub: Hub) -> None:
    hub.repositories["ada/gated"] = Repository(online.models_dir / "tiny-writer", gated=True)
    found = preflight("ada/gated", "write", online, CPU)
    assert (found.is_gated, found.fits, found.family) == (True, False, None)
    assert found.verdict == "ada/gated is gated: its owner has to grant access first."
    assert "https://huggingface.co/ada/gated" in found.helps[0]
    assert found.bytes_to_fetch > 10_000


def test_a_wrong_task_and_pickles_are_verdicts(online: Settings, hub: Hub, tmp_path: Path) -> None:
    found = preflight("tiny-painter", "write", online, CPU)
    assert (found.does, found.family, found.fits) == (("paint",), "StableDiffusionPipeline", False)
    assert found.verdict.startswith("tiny-painter paints pictures; here a model is needed")
    hub.repositories["ada/old"] = Repository(checkpoint(tmp_path, "m", LLAMA, "a.bin"))
    found = preflight("ada/old", "write", online, CPU)
    assert found.verdict == "ada/old has no safetensors weights."


@pytest.mark.parametrize("typed", [None, "", "../x", "ada/nothing"])
def test_where_there_is_nothing_to_tell_of_it_is_an_error(
    online: Settings, hub: Hub, typed: object
) -> None:
    with pytest.raises(ModelUnavailable):
        preflight(typed, "write", online, CPU)
