"""LoRAs as PEFT and diffusers themselves save them are understood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.hub import resolve
from pipelines.settings import Settings


def test_a_lora_that_peft_saved_fits(settings: Settings, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base: Any = AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny-writer")
    base.name_or_path = "tiny-writer"
    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    get_peft_model(base, config).save_pretrained(str(tmp_path / "extra" / "lora"))
    own = replace(settings, extra_models_dir=tmp_path / "extra")
    assert resolve("tiny-writer + lora:0.5", "write", own).adapters[0].weight == 0.5


def test_a_lora_on_gpt2s_turned_and_swins_renamed_layers_fits(
    settings: Settings, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    path = settings.models_dir / "tiny-captioner"
    base: Any = AutoModelForImageTextToText.from_pretrained(path)
    base.name_or_path = "tiny-captioner"
    config = LoraConfig(r=2, target_modules=["c_attn", "c_fc", "k_proj"])
    get_peft_model(base, config).save_pretrained(str(tmp_path / "extra" / "lora"))
    own = replace(settings, extra_models_dir=tmp_path / "extra")
    snapshot = resolve("lora", "describe", own)
    assert snapshot.name == "tiny-captioner + lora"


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_lora_that_diffusers_saved_fits(settings: Settings, tmp_path: Path, part: str) -> None:
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    pipe: Any = StableDiffusionPipeline.from_pretrained(settings.models_dir / "tiny-painter")
    targets = ["to_q", "to_out.0"] if part == "unet" else ["q_proj", "out_proj"]
    module = getattr(pipe, part)
    module.add_adapter(LoraConfig(r=2, target_modules=targets))
    layers = {f"{part}_lora_layers": get_peft_model_state_dict(module)}
    StableDiffusionPipeline.save_lora_weights(str(tmp_path / "extra" / "lora"), **layers)
    own = replace(settings, extra_models_dir=tmp_path / "extra")
    assert resolve("tiny-painter + lora", "paint", own).adapters
