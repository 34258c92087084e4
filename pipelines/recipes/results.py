"""What a training leaves behind: checkpoint, log, curves, model card and sample sheets."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelCardData
from PIL import Image, ImageDraw

from pipelines.hub.selection import TRAINING_LOG
from pipelines.recipes.command_line import Options
from pipelines.recipes.training import LOG_FILE, Run

Model = TypeVar("Model")

_LINE = 14
"""Height of a line of a caption in a sample sheet, in pixels."""


def save(model: Model, output: Path, *readers: Any) -> Model:
    """Writes a checkpoint in half precision; returns it as it loads, in float32.

    Args:
        model: of transformers or diffusers, or a diffusers pipeline; it is left unchanged.
        readers: tokenizer and image processor, to be saved beside it.
    """
    write_checkpoint(deepcopy(model), output, *readers)
    kind: Any = type(model)
    saved: Model = kind.from_pretrained(output, dtype=torch.float32)
    return saved


def write_checkpoint(model: Any, output: Path, *readers: Any) -> None:
    """The same without a copy of the model, which becomes half precision."""
    model.to(dtype=torch.float16).save_pretrained(output, max_shard_size="8MB")
    for reader in readers:
        reader.save_pretrained(output)
    for file in output.rglob("*.json"):  # no path of this machine
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def keep_log(options: Options) -> None:
    """Draws the run's curves and copies its log beside the checkpoint, where evaluations read it.

    Call it last, after the scores of the saved files are logged.
    """
    draw_curves(options.run_dir)
    shutil.copyfile(options.run_dir / LOG_FILE, options.output / TRAINING_LOG)


def draw_curves(run_dir: Path) -> None:
    """``curves.png``: each logged value over the steps, in its own plot."""
    from matplotlib.figure import Figure

    path = run_dir / LOG_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in map(json.loads, lines):
        for name in line.keys() - {"step", "seconds"}:
            curves.setdefault(name, []).append((line["step"], line[name]))
    curves = {name: points for name, points in sorted(curves.items()) if len(points) > 1}
    if not curves:
        return
    figure = Figure(figsize=(6, 2.2 * len(curves)), layout="constrained")
    plots = figure.subplots(len(curves), squeeze=False)[:, 0]
    for plot, (name, points) in zip(plots, curves.items(), strict=True):
        plot.plot(*zip(*points, strict=True), linewidth=1)
        plot.set_title(name, loc="left", fontsize=9)
        plot.grid(alpha=0.3)
    plots[-1].set_xlabel("step")
    figure.savefig(run_dir / "curves.png", dpi=110)


def write_card(folder: Path, metadata: ModelCardData, *sections: str) -> None:
    """``README.md`` of a checkpoint: front matter, the folder's name as title, the sections."""
    text = "\n\n".join([f"---\n{metadata.to_yaml()}\n---", f"# {folder.name}", *sections])
    (folder / "README.md").write_text(text + "\n", encoding="utf-8")


def write_run_card(
    run: Run,
    recipe: str,
    metadata: ModelCardData,
    data: str,
    a_step: str,
    about: str,
    evaluated: str,
    scores: str,
    *more: str,
) -> None:
    """``README.md`` of a run's checkpoint: what it is, how it was made, and its scores.

    Args:
        recipe: the name of its folder.
        data: what it learned from.
        a_step: what a step has, such as ``32 pictures``.
        about: what the model is and how it is used, in Markdown.
        evaluated: on what ``scores``, a table, were measured.
        more: sections that follow.
    """
    steps = f"{run.step:,} of {a_step}"
    facts = [("data", data), ("recipe", f"`pipelines/recipes/{recipe}`"), ("steps", steps)]
    made = table(("", ""), facts)
    write_card(run.options.output, metadata, about, made, evaluated, scores, *more)


def table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def pictures_of(images: torch.Tensor) -> list[Image.Image]:
    """Images ``(N, 3, H, W)`` in [-1, 1] as pictures."""
    pixels = (images.clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1)
    return [Image.fromarray(each) for each in pixels.cpu().numpy()]


def sheet(
    pictures: Sequence[Image.Image], columns: int, captions: Sequence[str] = ()
) -> Image.Image:
    """Pictures of one size in rows, with a caption below each if there are captions."""
    width, height = pictures[0].size
    margin = 8 if captions else 0
    wrapped = [
        "\n".join(textwrap.fill(line, width // 6) for line in caption.splitlines())
        for caption in captions
    ]
    text_height = _LINE * max((text.count("\n") + 1 for text in wrapped), default=0)
    across, down = width + margin, height + margin + text_height
    whole = Image.new("RGB", (columns * across, -(-len(pictures) // columns) * down), "white")
    pen = ImageDraw.Draw(whole)
    for index, picture in enumerate(pictures):
        x, y = index % columns * across + margin // 2, index // columns * down + margin // 2
        whole.paste(picture, (x, y))
        if captions:
            pen.text((x, y + height + 2), wrapped[index], fill="black", font_size=10)
    return whole
