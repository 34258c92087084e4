"""Families and tasks, read from configurations."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import WrongTask
from pipelines.hub import local_names, resolve
from pipelines.hub.families import family_of, tasks_of_family
from pipelines.hub.local import tasks_of
from pipelines.hub.other_pipelines import what_it_does
from pipelines.hub.own_models import own_class
from pipelines.settings import Settings
from pipelines.tasks import TASKS, Task
from tests.hub.checkpoints import checkpoint

SEES: dict[str, Any] = {"vision_config": {"model_type": "x"}}
CASES: list[tuple[str, str, dict[str, Any], str | None, Task | None]] = [
    ("llama", "LlamaForCausalLM", {}, "causal", "write"),
    ("gpt2", "GPT2LMHeadModel", {}, "causal", "write"),
    ("bart", "BartForCausalLM", {}, "causal", "write"),
    ("t5", "T5ForConditionalGeneration", {}, "seq2seq", "write"),
    ("t5", "T5WithLMHeadModel", {}, "seq2seq", "write"),
    ("marian", "MarianMTModel", {}, "seq2seq", "write"),
    ("bart", "BartForConditionalGeneration", {}, "seq2seq", "write"),
    ("bert", "BertForMaskedLM", {}, "fill-mask", "write"),
    ("xlm", "XLMWithLMHeadModel", {}, "fill-mask", "write"),
    ("xlm", "XLMWithLMHeadModel", {"causal": True}, "causal", "write"),
    ("reformer", "ReformerModelWithLMHead", {}, "causal", "write"),
    ("blip", "BlipForConditionalGeneration", SEES, "blip", "describe"),
    ("blip-2", "Blip2ForConditionalGeneration", SEES, "blip-2", "describe"),
    ("git", "GitForCausalLM", SEES, "git", "describe"),
    ("llava", "LlavaForConditionalGeneration", SEES, "image-text-to-text", "describe"),
    ("qwen2_vl", "Qwen2VLForConditionalGeneration", SEES, "image-text-to-text", "describe"),
    ("vision-encoder-decoder", "VisionEncoderDecoderModel", {},
     "vision-encoder-decoder", "describe"),
    ("whisper", "WhisperForConditionalGeneration", {}, None, None),
    ("bart", "BartForSequenceClassification", {}, None, None),
    ("bert", "BertModel", {}, None, None),
    ("vit", "ViTForImageClassification", SEES, None, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model_type", "architecture", "more", "family", "task"), CASES, ids=lambda v: str(v)[:40]
)
def test_the_family_and_its_task_are_read_from_the_configuration(
    tmp_path: Path,
    model_type: str,
    architecture: str,
    more: dict[str, Any],
    family: str | None,
    task: Task | None,
) -> None:
    config = {"model_type": model_type, "architectures": [architecture], **more}
    assert family_of(config) == family
    folder = checkpoint(tmp_path, "model", config)
    assert (family_of(folder), tasks_of(folder)) == (family, () if task is None else (task,))


def test_every_painter_is_a_pipeline_of_diffusers_or_of_ours() -> None:
    import diffusers

    assert "StableDiffusionPipeline" in TASKS["paint"].families
    for name in TASKS["paint"].families:
        assert hasattr(diffusers, name) or own_class(name), name
        assert family_of({"_class_name": name}) == name
    assert family_of({"_class_name": "StableDiffusionInpaintPipeline"}) is None
    assert family_of({"_class_name": ["StableDiffusionPipeline"]}) is None


def test_a_family_can_be_of_two_tasks(tmp_path: Path, settings: Settings) -> None:
    """Its checkpoints are opened for both, and refused for a third with what they do."""
    families = [name for task in TASKS.values() for name in task.families]
    assert {name for name in families if families.count(name) > 1} == {"ImageGPTPipeline"}
    assert tasks_of_family("ImageGPTPipeline") == ("paint", "describe")
    folder = checkpoint(tmp_path, "both-ways", {"_class_name": "ImageGPTPipeline"})
    (folder / "config.json").rename(folder / "model_index.json")
    own = replace(settings, extra_models_dir=tmp_path)
    assert [task for task in TASKS if "both-ways" in local_names(own, task)] == [
        "paint",
        "describe",
    ]
    with pytest.raises(WrongTask, match="both-ways paints pictures and describes pictures; here a"):
        resolve("both-ways", "write", own)


def _pipelines_of_diffusers() -> dict[str, Any]:
    import diffusers

    names = [name for name in dir(diffusers) if name.endswith("Pipeline")]
    return {name: getattr(diffusers, name) for name in names if name != "DiffusionPipeline"}


def test_every_pipeline_of_diffusers_paints_or_it_is_known_what_it_does() -> None:
    families = TASKS["paint"].families
    unknown = [
        name
        for name in _pipelines_of_diffusers()
        if name not in families and what_it_does(name) is None
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("WanPipeline", "makes videos"),
        ("StableAudioPipeline", "makes sound"),
        ("FluxFillPipeline", "repaints a part of a picture"),
        ("QwenImageEditPlusPipeline", "changes a picture that is given to it"),
        ("NobodysPipeline", None),
    ],
)
def test_a_pipeline_of_another_task_is_called_what_it_is(name: str, does: str | None) -> None:
    assert what_it_does(name) == does


def test_a_painters_row_fits_the_call_of_its_class() -> None:
    from inspect import signature

    classes = _pipelines_of_diffusers()
    for name, family in TASKS["paint"].families.items():
        takes = signature(classes[name].__call__).parameters if name in classes else {}
        if "prompt" in takes:  # others are ours, or lack a package here
            assert family.guided_by in (None, *takes), name
            assert not family.takes_negative_prompt or "negative_prompt" in takes, name


def test_what_the_library_itself_opens_for_text_to_image_is_known() -> None:
    """ControlNets and perturbed guidance apart, which need more than a text."""
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    named = {each.__name__ for each in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    plain = {name for name in named if not re.search("Control|PAG|Helios", name)}
    assert plain <= set(TASKS["paint"].families)


def test_the_snapshot_knows_its_family(settings: Settings) -> None:
    assert resolve("tiny-writer", "write", settings).family == "causal"
    assert resolve("tiny-painter", "paint", settings).family == "StableDiffusionPipeline"
    assert resolve("tiny-captioner", "describe", settings).family == "vision-encoder-decoder"
