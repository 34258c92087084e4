"""Families and tasks, read from configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.hub import resolve
from pipelines.hub.families import family_of
from pipelines.hub.local import task_of
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
    assert (family_of(folder), task_of(folder)) == (family, task)


def test_every_painter_is_a_pipeline_of_diffusers_or_of_ours() -> None:
    import diffusers

    assert "StableDiffusionPipeline" in TASKS["paint"].families
    for name in TASKS["paint"].families:
        assert hasattr(diffusers, name) or own_class(name), name
        assert family_of({"_class_name": name}) == name
    assert family_of({"_class_name": "StableDiffusionInpaintPipeline"}) is None
    assert family_of({"_class_name": ["StableDiffusionPipeline"]}) is None


def test_a_family_is_of_one_task() -> None:
    families = [name for task in TASKS.values() for name in task.families]
    assert len(families) == len(set(families))


def test_the_snapshot_knows_its_family(settings: Settings) -> None:
    assert resolve("tiny-writer", "write", settings).family == "causal"
    assert resolve("tiny-painter", "paint", settings).family == "StableDiffusionPipeline"
    assert resolve("tiny-captioner", "describe", settings).family == "vision-encoder-decoder"
