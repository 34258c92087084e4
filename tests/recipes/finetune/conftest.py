"""Small data in the form that people bring it, and a plan for the tiny models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.recipes import extractor
from pipelines.recipes.command_line import Options
from pipelines.recipes.finetune.plan import Plan, open_base
from pipelines.recipes.finetune.tuning import tune
from tests.recipes.killing import killed_in_step

COLOURS = {"red": (220, 40, 40), "blue": (40, 40, 220), "white": (250, 250, 250)}
TALE = (
    "The ferry left before dawn, and nobody on the quay saw who was on board.\n"
    "By noon the wind had turned, and the old pilot said that he would not go out again.\n\n"
)

PlanFor = Callable[..., Plan]


def write_imagefolder(folder: Path, count: int = 12, edge: int = 128) -> Path:
    """Plain pictures with a darker square, told by their colour."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for index in range(count):
        colour = list(COLOURS)[index % len(COLOURS)]
        pixels = np.full((edge, edge, 3), COLOURS[colour], np.uint8)
        x, y = rng.integers(edge // 2, size=2)
        pixels[y : y + edge // 3, x : x + edge // 3] //= 2
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
        text = f"a dog face on a {colour} background"
        rows.append({"file_name": f"{index:02d}.png", "text": text})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def imagefolder(tmp_path: Path) -> Path:
    """Twelve pictures with captions."""
    return write_imagefolder(tmp_path / "pictures")


@pytest.fixture
def retold(imagefolder: Path) -> Path:
    """The same with three captions a picture."""
    path = imagefolder / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    told = [row | {"wordings": ["a dog", f"{row['text']} again"]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return imagefolder


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    """A text file that is told over and over."""
    path = tmp_path / "tale.txt"
    path.write_text(TALE * 30, encoding="utf-8")
    return path


@pytest.fixture
def plan_for(models_dir: Path, tmp_path: Path) -> PlanFor:
    """A plan of few steps for one of the tiny models."""

    def make(mode: str, data: Path, run: str = "run", **changes: Any) -> Plan:
        own = {key: changes.pop(key) for key in ("steps", "resume", "seed") if key in changes}
        options = Options(
            run_dir=tmp_path / run,
            output=tmp_path / f"{run}-out",
            steps=own.get("steps", 6),
            minutes=None,
            smoke=True,
            resume=own.get("resume", False),
            seed=own.get("seed", 0),
            batch_size=4,
            learning_rate=changes.pop("learning_rate", 1e-2),
        )
        base = open_base(str(models_dir / f"tiny-{mode}"), mode)
        fields = {"rank": 4, "validation": 0.2, "patience": None, "gradient_checkpointing": False}
        return Plan(mode=mode, base=base, data=data, options=options, **fields | changes)

    return make


def train_until_killed(lesson: Any, options: Options, after: int) -> None:
    """Trains so many steps and dies in the next."""
    killed_in_step(after, lambda: tune(lesson, options, patience=4))


@pytest.fixture
def tiny_extractor(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FID and KID by the tiny captioner's encoder in place of the embedded one's."""
    monkeypatch.setattr(extractor, "MODELS", models_dir)
    monkeypatch.setattr(extractor, "_CAPTIONER", "tiny-captioner")
