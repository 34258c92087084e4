"""A painter learns pictures as its base wants to be taught, and diffusers reads the adapter."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from pipelines.errors import InvalidValue
from pipelines.recipes import extractor
from pipelines.recipes.finetune.painter import Painter
from pipelines.recipes.finetune.tuning import tune
from tests.recipes.finetune.conftest import PlanFor, train_until_killed


def told_by(unet: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(1, 8, 16, 16, generator=generator)
    hidden = torch.randn(1, 32, 16, generator=generator)
    with torch.no_grad():
        told: torch.Tensor = unet.eval()(noisy, torch.tensor([500]), hidden).sample
    return told


def pipeline_of(painter: Painter) -> Any:
    return StableDiffusionPipeline.from_pretrained(painter._plan.base.path, dtype=torch.float32)


@pytest.mark.parametrize("rank", [8, None])
def test_it_overfits_one_batch(imagefolder: Path, plan_for: PlanFor, rank: int | None) -> None:
    painter = Painter(plan_for("painter", imagefolder, rank=rank), imagefolder)
    trained = [p for p in painter.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for _ in range(30):
        torch.manual_seed(0)
        loss = painter.loss(np.random.default_rng(0))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_the_adapter_is_on_attention_and_convolutions_of_the_unet_alone(
    imagefolder: Path, plan_for: PlanFor
) -> None:
    painter = Painter(plan_for("painter", imagefolder), imagefolder)
    parameters = dict(painter.model.named_parameters())
    names = [name for name, p in parameters.items() if p.requires_grad]
    assert all(".lora_" in name for name in names)
    for part in ("to_q", "to_out.0", "ff.net.2", "conv1", "conv_shortcut", "downsamplers.0.conv"):
        assert any(f"{part}.lora_A" in name for name in names), part
    parts = (painter.pipeline.vae, painter.pipeline.text_encoder)
    assert not any(p.requires_grad for part in parts for p in part.parameters())


def test_plain_diffusers_reads_the_adapter_on_the_base(
    imagefolder: Path, plan_for: PlanFor, tmp_path: Path
) -> None:
    painter = Painter(plan_for("painter", imagefolder), imagefolder)
    tune(painter, painter._plan.options, None)
    painter.save(tmp_path / "adapter")
    assert [path.name for path in (tmp_path / "adapter").iterdir()] == [
        "pytorch_lora_weights.safetensors"
    ]
    saved = load_file(tmp_path / "adapter/pytorch_lora_weights.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}
    pipeline = pipeline_of(painter)
    before = told_by(pipeline.unet)
    pipeline.load_lora_weights(tmp_path / "adapter")
    after = told_by(pipeline.unet)
    torch.testing.assert_close(after, told_by(painter.model), atol=5e-3, rtol=0)
    assert (after - before).abs().max() > 0.02
    pipeline.unload_lora_weights()
    assert torch.equal(told_by(pipeline.unet), before)


def test_a_whole_painter_is_saved_whole(
    imagefolder: Path, plan_for: PlanFor, tmp_path: Path
) -> None:
    painter = Painter(plan_for("painter", imagefolder, rank=None), imagefolder)
    tune(painter, painter._plan.options, None)
    told = told_by(painter.model)
    painter.save(tmp_path / "whole")
    loaded = painter.open_tuned(None, tmp_path / "whole")
    torch.testing.assert_close(told_by(loaded.unet), told, atol=1e-2, rtol=0)
    assert (told - told_by(pipeline_of(painter).unet)).abs().max() > 0.02
    assert loaded.scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_base_says_what_is_to_be_told(
    imagefolder: Path, plan_for: PlanFor, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A U-Net that tells just the right thing has no error; one of another kind has."""
    real = StableDiffusionPipeline.from_pretrained

    def of_kind(*given: Any, **named: Any) -> Any:
        pipeline = real(*given, **named)
        pipeline.scheduler.register_to_config(prediction_type=kind)
        return pipeline

    monkeypatch.setattr(StableDiffusionPipeline, "from_pretrained", of_kind)
    painter = Painter(plan_for("painter", imagefolder), imagefolder)
    chosen, steps = torch.tensor([0, 1]), torch.tensor([300, 700])
    noise = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(5))
    latents = painter._latents[chosen]
    signal = painter._schedule.alphas_cumprod[steps].view(-1, 1, 1, 1)
    right = {
        "epsilon": noise,
        "sample": latents,
        "v_prediction": signal.sqrt() * noise - (1 - signal).sqrt() * latents,
    }
    for told, answer in right.items():
        output = SimpleNamespace(sample=answer)
        pipeline = SimpleNamespace(
            tokenizer=painter.pipeline.tokenizer,
            text_encoder=painter.pipeline.text_encoder,
            unet=lambda *inputs, output=output: output,
        )
        texts, same_noise = ["a dog", "a cat"], torch.Generator().manual_seed(5)
        errors = painter._errors(pipeline, [0, 1], texts, steps, same_noise)
        assert (errors.max() < 1e-6) == (told == kind)


def test_the_base_s_own_schedule_is_trained_on(imagefolder: Path, plan_for: PlanFor) -> None:
    painter = Painter(plan_for("painter", imagefolder), imagefolder)
    assert painter._schedule.config.rescale_betas_zero_snr
    assert painter._schedule.alphas_cumprod[-1] == pytest.approx(0, abs=1e-6)


def test_the_held_out_loss_is_the_same_at_every_call(imagefolder: Path, plan_for: PlanFor) -> None:
    painter = Painter(plan_for("painter", imagefolder), imagefolder)
    assert painter.held_out() == painter.held_out()
    score = painter.measure(painter.pipeline)["denoising_loss"]
    assert score.samples == 2
    assert math.isnan(score.low), "two samples have no interval"


def test_a_resumed_run_ends_in_the_same_bits(imagefolder: Path, plan_for: PlanFor) -> None:
    whole = Painter(plan_for("painter", imagefolder, "whole", steps=4), imagefolder)
    tune(whole, whole._plan.options, None)
    killed = Painter(plan_for("painter", imagefolder, "killed", steps=4), imagefolder)
    train_until_killed(killed, killed._plan.options, 2)
    resumed = Painter(plan_for("painter", imagefolder, "killed", steps=4, resume=True), imagefolder)
    tune(resumed, resumed._plan.options, None)
    assert torch.equal(told_by(whole.model), told_by(resumed.model))


def test_checkpointing_keeps_the_gradients(imagefolder: Path, plan_for: PlanFor) -> None:
    gradients = []
    for checkpointing in (False, True):
        plan = plan_for("painter", imagefolder, gradient_checkpointing=checkpointing)
        painter = Painter(plan, imagefolder)
        assert painter.model.is_gradient_checkpointing == checkpointing
        painter.model.train()
        torch.manual_seed(0)
        painter.loss(np.random.default_rng(0)).backward()
        gradients.append([p.grad for p in painter.model.parameters() if p.grad is not None])
    assert gradients[0]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))


@pytest.mark.usefixtures("tiny_extractor")
def test_distances_are_told_where_an_extractor_is_at_hand(
    imagefolder: Path, plan_for: PlanFor
) -> None:
    painter = Painter(plan_for("painter", imagefolder, validation=0.4), imagefolder)
    scores = painter.measure(painter.pipeline)
    assert set(scores) == {"denoising_loss", "fid", "kid"}
    assert scores["fid"].samples == 5
    assert "tiny-captioner-encoder@" in scores["kid"].signature
    assert extractor.load_extractor(512) is None
    glance = painter.held_out()  # with so few pictures it sees them all
    assert glance["held_out_fid"] == pytest.approx(scores["fid"].value)
    assert glance["held_out_kid"] == pytest.approx(scores["kid"].value)


def test_of_several_captions_one_is_drawn_at_each_showing(
    retold: Path, plan_for: PlanFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = Painter(plan_for("painter", retold), retold)
    shown: list[str] = []

    def errors(pipeline: Any, chosen: list[int], texts: list[str], steps: Any) -> torch.Tensor:
        own = [{"", *painter._pairs[index].captions} for index in chosen]
        assert all(text in right for text, right in zip(texts, own, strict=True))
        shown.extend(texts)
        return torch.ones(len(texts))

    monkeypatch.setattr(painter, "_errors", errors)
    for seed in range(60):
        painter.loss(np.random.default_rng(seed))
    assert set(shown) == {""} | {text for i in painter._seen for text in painter._pairs[i].captions}


def test_another_kind_of_pipeline_is_refused(imagefolder: Path, plan_for: PlanFor) -> None:
    plan = plan_for("painter", imagefolder)
    flux = dataclasses.replace(plan, base=dataclasses.replace(plan.base, family="FluxPipeline"))
    with pytest.raises(InvalidValue, match="family FluxPipeline; give a base of the family Stable"):
        Painter(flux, imagefolder)


def test_data_with_problems_are_refused_before_the_base_is_opened(
    imagefolder: Path, plan_for: PlanFor
) -> None:
    with (imagefolder / "metadata.jsonl").open("a") as lines:
        lines.write(json.dumps({"file_name": "gone.png", "text": "a dog"}) + "\n")
    with pytest.raises(InvalidValue, match=r"gone\.png"):
        Painter(plan_for("painter", imagefolder), imagefolder)
