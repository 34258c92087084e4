"""What the Paint tab begins with when a model is chosen, and what a run shows."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from pipelines.runtime.receipts import PNG_KEY, hash_pictures
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.schedulers import OWN_SCHEDULER
from pipelines.text_to_image.tab import _handler, _own_settings


@pytest.mark.parametrize("model", ["ada/painter", "", None, 7])
def test_of_a_painter_that_tells_nothing_the_models_own_are_taken(
    settings: Settings, model: object
) -> None:
    assert _own_settings(settings, model)[:3] == (-1, -1, OWN_SCHEDULER)


@pytest.mark.parametrize("model", ["painter", "painter + night:0.7", "night"])
def test_a_painter_of_the_small_world_begins_with_its_own_numbers(
    settings: Settings, tmp_path: Path, model: str
) -> None:
    shutil.copytree(settings.models_dir / "tiny-painter", tmp_path / "own/painter")
    (tmp_path / "own/night").mkdir()
    (tmp_path / "own/night/pytorch_lora_weights.safetensors").write_bytes(b"")
    (tmp_path / "own/night/README.md").write_text("---\nbase_model: painter\n---\n")
    own = replace(settings, extra_models_dir=tmp_path / "own")
    assert _own_settings(own, model)[:3] == (20, 4.0, "DDIM")


ASKED = ("tiny-painter", "a <b>cat</b>", "", 2, 4.0, "DDIM", 5, 3, 0, 0)
"""What the handler is given."""


def test_each_picture_says_what_made_it(studio: Studio) -> None:
    *_, (gallery, status, *_) = _handler(studio)(*ASKED)
    assert [caption for _, caption in gallery] == [
        f"seed {seed} · tiny-painter · a <b>cat</b>" for seed in (5, 6, 7)
    ]
    assert "Done" in status


def test_a_stopped_run_leaves_what_is_finished_with_its_receipts(studio: Studio) -> None:
    """Nothing of a stopped run could be kept: all pictures were painted in one batch."""
    run = _handler(studio)(*ASKED)
    finished = (shown for shown in run if isinstance(shown[-1], dict) and "task" in shown[-1])
    next(finished)
    gallery, _, _, facts, receipt = next(finished)
    run.close()  # type: ignore[attr-defined]
    assert (receipt["request"]["seed"], receipt["request"]["count"]) == (5, 2)
    assert "5 to 6" in facts
    for (path, caption), seed in zip(gallery, (5, 6), strict=True):
        with Image.open(path) as picture:
            own = json.loads(picture.info[PNG_KEY])
            assert own["output_sha256"] == hash_pictures([picture])
        assert own["request"]["seed"] == seed
        assert caption.startswith(f"seed {seed} · tiny-painter")


def test_of_another_painter_on_this_disk_the_page_says_what_it_takes_and_why(
    settings: Settings, tmp_path: Path
) -> None:
    for name in ("xl-turbo", "falcmix"):
        (tmp_path / "own" / name).mkdir(parents=True)
        index = tmp_path / "own" / name / "model_index.json"
        index.write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    own = replace(settings, extra_models_dir=tmp_path / "own")
    *values, turbo = _own_settings(own, "xl-turbo")
    assert values == [-1, -1, OWN_SCHEDULER]
    assert turbo["value"] == "Its own settings: 4 steps, guidance 0: the name says turbo."
    *_, falcmix = _own_settings(own, "falcmix")
    assert falcmix["value"].startswith("Its own settings: 30 steps, guidance 5: usual")
    assert turbo["visible"] is falcmix["visible"] is True
    assert _own_settings(own, "tiny-painter")[3]["visible"] is False


def test_a_loras_name_changes_what_the_page_says_of_its_base(
    settings: Settings, tmp_path: Path
) -> None:
    """The page showed 30 steps for a LoRA that needs 4, and named no reason."""
    for name in ("xl", "xl-lcm", "no-base-turbo"):
        (tmp_path / "own" / name).mkdir(parents=True)
    index = tmp_path / "own/xl/model_index.json"
    index.write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    for name in ("xl-lcm", "no-base-turbo"):
        (tmp_path / "own" / name / "pytorch_lora_weights.safetensors").write_bytes(b"")
    (tmp_path / "own/xl-lcm/README.md").write_text("---\nbase_model: xl\n---\n")
    own = replace(settings, extra_models_dir=tmp_path / "own")

    def said(model: str) -> str:
        return str(_own_settings(own, model)[3]["value"])

    four = "Its own settings: 4 steps, guidance 1: the name says lcm (xl-lcm)."
    assert said("xl + xl-lcm:0.8") == said("xl + ada/night + xl-lcm") == said("xl-lcm") == four
    assert said("xl + xl-lcm:0").startswith("Its own settings: 30 steps")
    assert said("xl + xl-lcm:-1").startswith("Its own settings: 30 steps")
    assert said("xl + xl-lcm:nine") == said("no-base-turbo") == ""


def test_a_full_disk_is_said_in_a_sentence(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Image.Image, *args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(gr.Error, match=r"disk of this page is full.*Make room"):
        list(_handler(studio)(*ASKED))
