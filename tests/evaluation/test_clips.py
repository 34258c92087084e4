"""CLIP models by name and by reference: vetted like every other, and found again at a commit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.samples import DataSet
from pipelines.device import Device
from pipelines.errors import ModelUnavailable, OutOfBudget, StudioError, WrongTask
from pipelines.evaluation.clips import clip_names, resolve_clip
from pipelines.evaluation.features import weights_hash
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.request import Describing, EvaluationRequest
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from tests.evaluation.test_features import make_clip
from tests.hub import conftest as hub_fixtures
from tests.hub.lora_files import WRITER_LAYER, peft_lora
from tests.loopback_hub import MAIN, V1, Hub, Repository
from tests.running import finished

hub, online = hub_fixtures.hub, hub_fixtures.online

CPU = Device("cpu", "float32", "")


@pytest.fixture(scope="module")
def clip_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip")


def resolved(name: str, settings: Settings) -> Any:
    return resolve_clip(name, settings, CPU, lambda progress: None)


def test_a_clip_of_the_hub_is_fetched_and_stays(
    online: Settings, hub: Hub, clip_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["ada/clip"] = Repository(clip_dir, v1=clip_dir)
    found = resolved(" ada/clip ", online)
    assert (found.reference, found.commit, found.notes) == ("ada/clip", MAIN, ())
    assert weights_hash(found.path) == weights_hash(clip_dir)
    assert found.weight_bytes == (clip_dir / "model.safetensors").stat().st_size
    assert found.parameters > 0
    assert resolved("ada/clip@v1", online).commit == V1
    assert not any("authorization" in headers for _, headers in hub.requests)

    hub.sent.clear()
    assert resolved("ada/clip", online) == found
    assert "ada/clip/model.safetensors" not in hub.sent
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = resolved("ada/clip", online)
    assert again.path == found.path
    assert "could not be reached" in again.notes[0]


def test_a_score_by_a_clip_of_the_hub_names_its_commit(
    online: Settings, hub: Hub, clip_dir: Path, pairs_dir: Path, scenes: DataSet
) -> None:
    hub.repositories["ada/clip"] = Repository(clip_dir)
    studio = Studio(replace(online, models_dir=pairs_dir))
    request = EvaluationRequest(
        "describe", scenes, ("emoji-captioner", "other-captioner"), ("caption_clip_score",), 4, 0,
        Describing(max_new_tokens=4), "ada/clip",
    )  # fmt: skip
    result = finished(generate, studio, request)

    assert result.request.clip == f"ada/clip@{MAIN}"
    signature = result.models[0].scores["caption_clip_score"].signature
    assert signature.startswith(f"CLIPScore(ada/clip-without-prefix@{weights_hash(clip_dir)})|n:4")


def test_what_is_no_clip_in_safetensors_is_not_fetched(
    online: Settings, hub: Hub, clip_dir: Path, tmp_path: Path
) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text(json.dumps({"architectures": ["CLIPModel"]}))
    (pickled / "pytorch_model.bin").write_bytes(b"\0" * 64)
    hub.repositories["ada/pickled"] = Repository(pickled)
    hub.repositories["ada/writer"] = Repository(online.models_dir / "tiny-writer")
    hub.repositories["ada/gated"] = Repository(clip_dir, gated=True)
    lora = peft_lora(tmp_path / "lora", {WRITER_LAYER: (32, 32)}, base="ada/writer")
    hub.repositories["ada/lora"] = Repository(lora)
    for name, error, words in (
        ("ada/pickled", ModelUnavailable, "no safetensors weights"),
        ("ada/writer", WrongTask, "ada/writer is no CLIP model"),
        ("ada/lora", WrongTask, "ada/writer is no CLIP model"),
        ("ada/gated", ModelUnavailable, "gated|access"),
        ("ada/nobody", ModelUnavailable, "ada/nobody"),
    ):
        with pytest.raises(error, match=words):
            resolved(name, online)
    assert not [path for path in hub.sent if path.endswith(".bin")]


def test_a_clip_larger_than_the_memory_is_not_fetched(
    online: Settings, hub: Hub, clip_dir: Path
) -> None:
    hub.repositories["ada/clip"] = Repository(clip_dir)
    with pytest.raises(OutOfBudget, match="ada/clip needs about"):
        resolved("ada/clip", replace(online, memory_budget_bytes=1_000))


@pytest.mark.parametrize(
    "name", ["nobody", "../clip", "tiny-writer", "a/b + c/d", "", "x" * 10_000, "ada/clip"]
)
def test_without_the_hub_there_is_what_is_here(
    settings: Settings, clip_dir: Path, name: str
) -> None:
    settings = replace(settings, extra_models_dir=clip_dir.parent)
    assert clip_names(settings) == ["clip"]
    assert resolved("clip", settings).path == clip_dir
    with pytest.raises(StudioError, match=r"no CLIP model .* there are: clip\. .* CLIPScore") as e:
        resolved(name, settings)
    assert len(str(e.value)) < 400
    assert "owner/repo" not in str(e.value)
