"""A writer learns a text, and its adapter is read back by plain peft."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from pipelines.errors import InvalidValue
from pipelines.recipes.finetune import writer as writer_module
from pipelines.recipes.finetune.tuning import tune
from pipelines.recipes.finetune.writer import Writer
from tests.recipes.finetune.conftest import PlanFor, train_until_killed


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(torch.arange(1, 40)[None]).logits
    return logits


def base_of(writer: Writer) -> Any:
    path = writer._plan.base.path
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


@pytest.mark.parametrize("rank", [8, None])
def test_it_overfits_one_batch(tale: Path, plan_for: PlanFor, rank: int | None) -> None:
    writer = Writer(plan_for("writer", tale, rank=rank))
    trained = [p for p in writer.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for _ in range(40):
        loss = writer.loss(np.random.default_rng(0))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_adapter_is_on_all_linear_layers_but_the_head(tale: Path, plan_for: PlanFor) -> None:
    writer = Writer(plan_for("writer", tale))
    config = writer.model.peft_config["default"]
    layers = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {name.split(".")[-1] for name in config.target_modules} == layers
    names = [name for name, p in writer.model.named_parameters() if p.requires_grad]
    assert names
    assert all(".lora_" in name for name in names)


def test_plain_peft_reads_the_adapter_on_the_base(
    tale: Path, plan_for: PlanFor, tmp_path: Path
) -> None:
    writer = Writer(plan_for("writer", tale))
    tune(writer, writer._plan.options, None)
    writer.save(tmp_path / "adapter")
    before = logits_of(base_of(writer))
    loaded = PeftModel.from_pretrained(base_of(writer), tmp_path / "adapter")
    torch.testing.assert_close(logits_of(loaded), logits_of(writer.model), atol=2e-2, rtol=0)
    assert (logits_of(loaded) - before).abs().max() > 0.2
    assert torch.equal(
        logits_of(writer.open_tuned(base_of(writer), tmp_path / "adapter")), logits_of(loaded)
    )
    files = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    saved = load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}


def test_the_adapter_names_its_base_by_reference(
    tale: Path, plan_for: PlanFor, tmp_path: Path
) -> None:
    writer = Writer(plan_for("writer", tale))
    writer.save(tmp_path / "adapter")
    text = (tmp_path / "adapter/adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny-writer"
    assert json.loads(text)["task_type"] == "CAUSAL_LM"
    assert json.loads(text)["r"] == json.loads(text)["lora_alpha"] == 4
    assert str(writer._plan.base.path.parent) not in text


def test_a_whole_model_is_saved_whole(tale: Path, plan_for: PlanFor, tmp_path: Path) -> None:
    writer = Writer(plan_for("writer", tale, rank=None))
    tune(writer, writer._plan.options, None)
    told = logits_of(writer.model)
    writer.save(tmp_path / "whole")
    loaded = writer.open_tuned(None, tmp_path / "whole")
    torch.testing.assert_close(logits_of(loaded), told, atol=5e-2, rtol=0)
    assert (told - logits_of(base_of(writer))).abs().max() > 0.2
    assert (tmp_path / "whole/tokenizer.json").is_file()
    assert not list((tmp_path / "whole").glob("adapter*"))


def test_a_resumed_run_ends_in_the_same_bits(tale: Path, plan_for: PlanFor) -> None:
    whole = Writer(plan_for("writer", tale, "whole", steps=6))
    tune(whole, whole._plan.options, None)
    killed = Writer(plan_for("writer", tale, "killed", steps=6))
    train_until_killed(killed, killed._plan.options, 4)
    resumed = Writer(plan_for("writer", tale, "killed", steps=6, resume=True))
    tune(resumed, resumed._plan.options, None)
    assert torch.equal(logits_of(whole.model), logits_of(resumed.model))


def test_checkpointing_changes_memory_and_not_the_gradients(tale: Path, plan_for: PlanFor) -> None:
    gradients = []
    for checkpointing in (False, True):
        writer = Writer(plan_for("writer", tale, gradient_checkpointing=checkpointing))
        assert writer.model.is_gradient_checkpointing == checkpointing
        writer.model.train()
        writer.loss(np.random.default_rng(0)).backward()
        gradients.append([p.grad for p in writer.model.parameters() if p.grad is not None])
    assert gradients[0]
    assert all(map(torch.allclose, *gradients))


def test_every_held_out_byte_is_scored_once(tale: Path, plan_for: PlanFor) -> None:
    """With all weights at zero each token is equally likely, so the score is known."""
    tale.write_text(tale.read_text() * 3)  # its passages are longer than the window
    writer = Writer(plan_for("writer", tale))
    model = base_of(writer)
    torch.nn.init.zeros_(model.model.embed_tokens.weight)
    score = writer.measure(model)["bits_per_byte"]
    tokens = sum(len(row) - 1 for row in writer._held_out)
    size = sum(len(text.encode()) for text in writer.texts.held_out)
    assert max(len(row) for row in writer._held_out) > writer._context
    assert score.value == pytest.approx(tokens * np.log2(model.config.vocab_size) / size, rel=1e-5)
    assert score.samples == len(writer.texts.held_out)


def test_the_window_is_of_what_is_learned_and_not_of_what_is_scored(
    tale: Path, plan_for: PlanFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tale.write_text(tale.read_text() * 3)
    short, usual = (Writer(plan_for("writer", tale, window=length)) for length in (16, None))
    shapes = []

    def seen(model: Any, tokens: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(tokens.shape))
        return torch.zeros(())

    monkeypatch.setattr(writer_module, "next_token_loss", seen)
    for lesson in (short, usual):
        lesson.loss(np.random.default_rng(0))
    assert shapes == [(4, 17), (4, usual._context + 1)]
    assert short.glance(base_of(short)) == usual.glance(base_of(usual))
    with pytest.raises(InvalidValue, match=r"window is 5,000 tokens; the base reads at most"):
        Writer(plan_for("writer", tale, window=5_000))


def test_another_kind_of_model_is_refused(tale: Path, plan_for: PlanFor) -> None:
    plan = plan_for("writer", tale)
    other = dataclasses.replace(plan, base=dataclasses.replace(plan.base, family="fill-mask"))
    with pytest.raises(
        InvalidValue, match="is of the family fill-mask; give a base of the family causal"
    ):
        Writer(other)
