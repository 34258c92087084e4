"""The command from end to end: what it refuses, and what it leaves in the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.repocard import metadata_load
from PIL import Image

from pipelines.hub.publish import check_folder
from pipelines.recipes import extractor, training
from pipelines.recipes.finetune.__main__ import main
from pipelines.recipes.finetune.card import licence_of
from pipelines.recipes.finetune.plan import Plan
from pipelines.settings import ROOT
from tests.recipes.finetune.conftest import PlanFor


def options(mode: str, models_dir: Path, data: Path, tmp_path: Path) -> list[str]:
    base = str(models_dir / f"tiny-{mode}")
    folders = ["--output", str(tmp_path / "tuned"), "--run-dir", str(tmp_path / "run")]
    return [mode, "--base", base, "--data", str(data), *folders, "--smoke"]


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
ALWAYS = {"README.md", "training_log.jsonl"}


def test_a_writer_s_folder_is_ready_to_be_published(
    models_dir: Path, tale: Path, tmp_path: Path
) -> None:
    main(options("writer", models_dir, tale, tmp_path))
    tuned = tmp_path / "tuned"
    assert left_in(tuned) == ADAPTER | ALWAYS | {"samples.txt"}
    check_folder(tuned)
    card = metadata_load(tuned / "README.md")
    assert card is not None
    assert card["base_model"] == "tiny-writer"
    assert (card["library_name"], card["pipeline_tag"]) == ("peft", "text-generation")
    assert "license" in card
    (metric,) = card["model-index"][0]["results"][0]["metrics"]
    assert metric["type"] == "bits_per_byte"
    assert metric["value"] > 0
    assert metric["args"]["samples"] == 6
    assert metric["args"]["base_value"] > 0
    text = (tuned / "README.md").read_text()
    assert "--base tiny-writer --data tale.txt" in text
    assert str(tmp_path) not in text
    assert "base" in (tuned / "samples.txt").read_text()
    lines = [json.loads(line) for line in (tuned / "training_log.jsonl").read_text().splitlines()]
    assert sum("held_out_bits_per_byte" in line for line in lines) == 5


def test_a_painter_s_folder_is_ready_to_be_published(
    models_dir: Path, imagefolder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor, "MODELS", tmp_path)
    main(options("painter", models_dir, imagefolder, tmp_path))
    tuned = tmp_path / "tuned"
    assert left_in(tuned) == ALWAYS | {"pytorch_lora_weights.safetensors", "samples.png"}
    check_folder(tuned)
    card = metadata_load(tuned / "README.md")
    assert card is not None
    assert (card["base_model"], card["library_name"]) == ("tiny-painter", "diffusers")
    assert card["model-index"][0]["results"][0]["metrics"][0]["type"] == "denoising_loss"
    assert Image.open(tuned / "samples.png").size == (2 * 128, 2 * 128)


def test_a_captioner_s_folder_is_ready_to_be_published(
    models_dir: Path, imagefolder: Path, tmp_path: Path
) -> None:
    main(options("captioner", models_dir, imagefolder, tmp_path))
    tuned = tmp_path / "tuned"
    assert left_in(tuned) == ADAPTER | ALWAYS | {"samples.png"}
    check_folder(tuned)
    card = metadata_load(tuned / "README.md")
    assert card is not None
    metrics = [result["metrics"][0] for result in card["model-index"][0]["results"]] + card[
        "model-index"
    ][0]["results"][0]["metrics"]
    assert {"bleu", "caption_loss"} <= {metric["type"] for metric in metrics}


def test_a_whole_fine_tune_is_a_base_for_the_next(
    models_dir: Path, tale: Path, tmp_path: Path
) -> None:
    given = options("writer", models_dir, tale, tmp_path)
    main([*given, "--full"])
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= left_in(tmp_path / "tuned")
    check_folder(tmp_path / "tuned")
    card = metadata_load(tmp_path / "tuned/README.md")
    assert card is not None
    assert (card["library_name"], card["base_model_relation"]) == ("transformers", "finetune")
    again = ["--base", str(tmp_path / "tuned"), "--output", str(tmp_path / "second")]
    main([*given, *again, "--base-name", "ada/tuned"])
    config = json.loads((tmp_path / "second/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "ada/tuned"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--validation", "0"], "--validation is 0.0; give a share"),
        (["--validation", "nan"], "--validation is nan"),
        (["--lora-rank", "0"], "--lora-rank is 0; it must be from 1 to 256"),
        (["--patience", "0"], "--patience is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--window", "0"], "--window is 0; it must be from 1"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--learning-rate", "-1"], "--learning-rate is -1"),
        (["--data", "gone.txt"], "there is no gone.txt"),
        (["--base", "nobody"], "There is no model 'nobody'"),
        (["--base", "tiny-painter"], "tiny-painter"),
        (["--base-name", "/mnt/disk/base"], "--base-name is '/mnt/disk/base'"),
        (["--resume"], "--resume: there is no"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    models_dir: Path, tale: Path, tmp_path: Path, changes: list[str], message: str
) -> None:
    if changes[1:] == ["tiny-painter"]:
        changes = ["--base", str(models_dir / "tiny-painter")]
    with pytest.raises(SystemExit) as caught:
        main([*options("writer", models_dir, tale, tmp_path), *changes])
    assert message in str(caught.value)
    assert not (tmp_path / "tuned").exists()


def test_the_card_s_command_makes_the_same_plan(tale: Path, plan_for: PlanFor) -> None:
    def told(**changes: Any) -> str:
        plan: Plan = plan_for("writer", tale, **changes)
        return plan.command()

    assert "--lora-rank 4 " in told()
    assert "--full" in told(rank=None)
    assert "--window" not in told()
    assert told(window=64).endswith("--window 64")
    assert told(patience=3).endswith("--patience 3")
    assert told(gradient_checkpointing=True).endswith("--gradient-checkpointing")
    assert "--seed 5" in told(seed=5)


def test_the_licence_is_the_base_s(tmp_path: Path) -> None:
    assert licence_of(tmp_path) == "unknown"
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# A base\n")
    assert licence_of(tmp_path) == "mit"


def test_publishing_imports_no_torch() -> None:
    program = (
        "import sys; from pipelines.recipes.finetune.__main__ import parser; parser(); "
        "print(*sys.modules)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "transformers", "diffusers"} & set(child.stdout.split())


def logged(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / training.LOG_FILE).read_text().splitlines()]


def test_two_processes_train_one_model(models_dir: Path, tale: Path, tmp_path: Path) -> None:
    """Each draws its own batches, and after every step both have the same weights."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    given = options("writer", models_dir, tale, tmp_path)
    child = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "pipelines.recipes.finetune", *given],
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    states = [
        torch.load(folder / training.STATE_FILE, weights_only=True)
        for folder in (tmp_path / "run", tmp_path / "run/process-1")
    ]
    first, second = (list(state["averaged"].values()) for state in states)
    tensors = [(a, b) for a, b in zip(first, second, strict=True) if isinstance(a, torch.Tensor)]
    assert tensors
    assert all(torch.equal(a, b) for a, b in tensors)
    losses = [
        next(line["loss"] for line in logged(folder) if "loss" in line)
        for folder in (tmp_path / "run", tmp_path / "run/process-1")
    ]
    assert losses[0] != losses[1], "they have seen other batches"
    assert (tmp_path / "tuned/README.md").is_file()
