"""A captioner learns captions, and its adapter is read back by plain peft."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText

from pipelines.errors import InvalidValue
from pipelines.files.imagefolder import DataLimits, Pair
from pipelines.recipes.finetune.captioner import Captioner
from pipelines.recipes.finetune.tuning import tune
from tests.recipes.finetune.conftest import PlanFor, train_until_killed


def logits_of(captioner: Captioner, model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(
            pixel_values=captioner._pixels(captioner._held_out_pairs()),
            decoder_input_ids=torch.tensor([[1, 5, 6, 7]] * len(captioner._held_out)),
        ).logits
    return logits


def base_of(captioner: Captioner) -> Any:
    path = captioner._plan.base.path
    return AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32)


@pytest.mark.parametrize("rank", [8, None])
def test_it_overfits_one_batch(imagefolder: Path, plan_for: PlanFor, rank: int | None) -> None:
    captioner = Captioner(plan_for("captioner", imagefolder, rank=rank), imagefolder)
    trained = [p for p in captioner.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    losses = []
    for _ in range(25):
        loss = captioner.loss(np.random.default_rng(0))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_plain_peft_reads_the_adapter_on_the_base(
    imagefolder: Path, plan_for: PlanFor, tmp_path: Path
) -> None:
    captioner = Captioner(plan_for("captioner", imagefolder), imagefolder)
    tune(captioner, captioner._plan.options, None)
    captioner.save(tmp_path / "adapter")
    before = logits_of(captioner, base_of(captioner))
    loaded = PeftModel.from_pretrained(base_of(captioner), tmp_path / "adapter")
    after = logits_of(captioner, loaded)
    scale = before.abs().max()
    assert (after - logits_of(captioner, captioner.model)).abs().max() < 5e-3 * scale
    assert (after - before).abs().max() > 2e-2 * scale
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-captioner"
    assert any("attn" in name for name in config["target_modules"])


def test_a_whole_captioner_is_saved_whole(
    imagefolder: Path, plan_for: PlanFor, tmp_path: Path
) -> None:
    captioner = Captioner(plan_for("captioner", imagefolder, rank=None), imagefolder)
    tune(captioner, captioner._plan.options, None)
    told = logits_of(captioner, captioner.model)
    captioner.save(tmp_path / "whole")
    loaded = captioner.open_tuned(None, tmp_path / "whole")
    scale = told.abs().max()
    assert (logits_of(captioner, loaded) - told).abs().max() < 1e-2 * scale
    for name in ("tokenizer.json", "preprocessor_config.json"):
        assert (tmp_path / "whole" / name).is_file()


def test_a_caption_of_any_length_counts_alike(imagefolder: Path, plan_for: PlanFor) -> None:
    """What fills up a shorter caption neither is told nor changes what is."""
    captioner = Captioner(plan_for("captioner", imagefolder), imagefolder)
    long, other = captioner._held_out_pairs(2)
    short = dataclasses.replace(other, text="a dog")
    with torch.no_grad():
        together, counts = captioner._nats(captioner.model.eval(), [long, short])
        alone, count = captioner._nats(captioner.model, [short])
    assert counts.tolist() == [len(long.text.split()) + 1, 3]
    assert count.tolist() == [3]
    torch.testing.assert_close(together[1:], alone)


def test_scores_are_of_all_held_out_pictures(imagefolder: Path, plan_for: PlanFor) -> None:
    captioner = Captioner(plan_for("captioner", imagefolder, validation=0.4), imagefolder)
    scores = captioner.measure(captioner.model)
    assert {name: score.samples for name, score in scores.items()} == {"bleu": 5, "caption_loss": 5}
    told = captioner.held_out()
    assert told["held_out_loss"] == pytest.approx(scores["caption_loss"].value)
    assert told["held_out_bleu"] == scores["bleu"].value


def test_a_resumed_run_ends_in_the_same_bits(imagefolder: Path, plan_for: PlanFor) -> None:
    whole = Captioner(plan_for("captioner", imagefolder, "whole", steps=4), imagefolder)
    tune(whole, whole._plan.options, None)
    killed = Captioner(plan_for("captioner", imagefolder, "killed", steps=4), imagefolder)
    train_until_killed(killed, killed._plan.options, 2)
    plan = plan_for("captioner", imagefolder, "killed", steps=4, resume=True)
    resumed = Captioner(plan, imagefolder)
    tune(resumed, plan.options, None)
    assert torch.equal(logits_of(whole, whole.model), logits_of(resumed, resumed.model))


def test_checkpointing_keeps_the_gradients(imagefolder: Path, plan_for: PlanFor) -> None:
    gradients = []
    for checkpointing in (False, True):
        plan = plan_for("captioner", imagefolder, gradient_checkpointing=checkpointing)
        captioner = Captioner(plan, imagefolder)
        captioner.model.train()
        captioner.loss(np.random.default_rng(0)).backward()
        gradients.append([p.grad for p in captioner.model.parameters() if p.grad is not None])
    assert gradients[0]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*gradients, strict=True))


def test_a_caption_that_would_be_cut_is_refused(imagefolder: Path, plan_for: PlanFor) -> None:
    path = imagefolder / "metadata.jsonl"
    plain = path.read_text()
    for long in (plain.replace("a dog", "a " * 60 + "dog", 1), with_a_second(plain, "a " * 60)):
        path.write_text(long)
        with pytest.raises(
            InvalidValue, match=r"00\.png has \d+ tokens; the base writes at most 40"
        ):
            Captioner(plan_for("captioner", imagefolder), imagefolder)


def with_a_second(lines: str, caption: str) -> str:
    first, rest = lines.split("\n", 1)
    return json.dumps(json.loads(first) | {"wordings": [caption]}) + "\n" + rest


def test_of_several_captions_one_is_drawn_at_each_showing(
    retold: Path, plan_for: PlanFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = Captioner(plan_for("captioner", retold), retold)
    shown: list[tuple[str, str]] = []

    def nats(model: Any, pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        shown.extend((pair.name, pair.text) for pair in pairs)
        return torch.ones(len(pairs)), torch.ones(len(pairs))

    monkeypatch.setattr(captioner, "_nats", nats)
    for _ in range(2):
        for seed in range(60):
            captioner.loss(np.random.default_rng(seed))
    half = len(shown) // 2
    assert shown[:half] == shown[half:], "the seed says which"
    right = {pair.name: set(pair.captions) for pair in captioner._pairs}
    names = {name for name, _ in shown}
    assert {name: {text for at, text in shown if at == name} for name in names} == {
        name: right[name] for name in names
    }


def test_every_caption_of_a_picture_is_right_where_it_is_scored(
    retold: Path, plan_for: PlanFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = Captioner(plan_for("captioner", retold), retold)
    seconds = [f"{pair.text} again" for pair in captioner._held_out_pairs()]
    monkeypatch.setattr(captioner, "_captions", lambda model, pairs: seconds)
    assert captioner.measure(captioner.model)["bleu"].value == pytest.approx(100)


def test_another_kind_of_captioner_is_refused(imagefolder: Path, plan_for: PlanFor) -> None:
    plan = plan_for("captioner", imagefolder)
    blip = dataclasses.replace(plan, base=dataclasses.replace(plan.base, family="blip"))
    with pytest.raises(InvalidValue, match="is of the family blip; give a base of the family"):
        Captioner(blip, imagefolder)


def test_empty_captions_are_refused(imagefolder: Path, plan_for: PlanFor) -> None:
    path = imagefolder / "metadata.jsonl"
    path.write_text(path.read_text().replace("a dog face on a red background", " ", 1))
    with pytest.raises(InvalidValue, match="1 picture without a caption"):
        Captioner(plan_for("captioner", imagefolder), imagefolder)
    assert DataLimits().least_pictures > 2
