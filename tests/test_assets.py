"""What ships: models in half precision, small enough for git and for a GPU machine's transfer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from pipelines.hub.headers import read_header
from pipelines.settings import ROOT

MODELS = ROOT / "assets/models"
THE_THREE = ("fairytale-gpt", "emoji-painter", "emoji-captioner")


def tracked() -> list[Path]:
    """The files that git knows; all of them where this is no checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [file for file in files if file.is_file()]


def test_the_tree_and_its_files_keep_to_their_limits() -> None:
    sizes = {file: file.stat().st_size for file in tracked()}
    assert sum(sizes.values()) < 150_000_000
    assert sum(size for file, size in sizes.items() if file.is_relative_to(MODELS)) < 110_000_000
    assert max(sizes.values()) < 9_000_000
    assert sum(size for file, size in sizes.items() if is_of(file, THE_THREE)) < 50_000_000
    clip = sum(size for file, size in sizes.items() if is_of(file, ("emoji-clip",)))
    assert 0 < clip < 8_000_000


def is_of(file: Path, models: tuple[str, ...]) -> bool:
    return any(file.is_relative_to(MODELS / name) for name in models)


@pytest.mark.parametrize("name", THE_THREE)
def test_the_models_ship_in_half_precision(name: str) -> None:
    headers = [read_header(file) for file in (MODELS / name).rglob("*.safetensors")]
    assert headers
    assert {tensor.dtype for header in headers for tensor in header.values()} == {"F16"}


def test_the_libraries_own_classes_load_them() -> None:
    """Without a line of this repository."""
    half = {"dtype": torch.float16}
    writer = AutoModelForCausalLM.from_pretrained(MODELS / "fairytale-gpt", **half)
    assert writer.config.model_type == "llama"
    captioner = AutoModelForImageTextToText.from_pretrained(MODELS / "emoji-captioner", **half)
    assert captioner.config.model_type == "vision-encoder-decoder"
    painter = StableDiffusionPipeline.from_pretrained(MODELS / "emoji-painter", **half)
    assert 8e6 < sum(p.numel() for p in painter.unet.parameters()) < 12e6
