"""The painter as a ``StableDiffusionPipeline``: assembled, sampled from, and saved.

Painters of other kinds are sampled from and saved by the same functions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from PIL import Image
from transformers import AutoTokenizer, CLIPTextModel, PreTrainedTokenizerFast

from pipelines import small_world
from pipelines.recipes import results
from pipelines.recipes.autoencoders import Autoencoder
from pipelines.recipes.diffusion.model import Painter, build_scheduler
from pipelines.recipes.emoji_scenes.data import World, plural, scene_words
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS, Emoji, near_words

Pipeline = TypeVar("Pipeline", bound=Any)

BATCH_SIZE = 8
SHEET_PROMPTS = (
    "a red apple on a white background",
    "a cat face on a blue background",
    "a dog face to the left of a rose on a yellow background",
    "a small rocket above a big moon on a black background",
    "a dragon on a pink background",
    "a castle next to a tree on a cyan background",
    "a robot above a pizza on a green background",
    "two cherries on a gray background",
)


def add_words_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--words``, for ``text_parts``."""
    parser.add_argument(
        "--words",
        type=Path,
        default=Path("assets/models/emoji-painter"),
        help="a painter whose tokenizer and text encoder to use",
    )


def text_parts(folder: Path, world: World) -> tuple[Any, Any]:
    """Tokenizer and text encoder of a painter, for painters of other kinds.

    Raises:
        SystemExit: there is none, or it does not know the world's words.
    """
    if not (folder / "text_encoder").is_dir():
        raise SystemExit(f"--words: {folder} has no text_encoder; train a painter first")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    unknown = sorted(scene_words(world) - tokenizer.get_vocab().keys())
    if unknown:
        raise SystemExit(
            f"--words: {folder} does not know {len(unknown)} words of this world, such as "
            f"{unknown[0]!r}; give a painter of the same world"
        )
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    return tokenizer, encoder


def assemble(
    painter: Painter, vae: Autoencoder, tokenizer: PreTrainedTokenizerFast
) -> StableDiffusionPipeline:
    """The trained parts as a pipeline."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=painter.text_encoder,
        tokenizer=tokenizer,
        unet=painter.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(
    pipeline: DiffusionPipeline,
    captions: Sequence[str],
    steps: int = small_world.STEPS,
    on_painted: Callable[[int], None] = lambda count: None,
) -> list[Image.Image]:
    """A picture of each caption, picture i from seed i, by the pipeline's own scheduler, with
    the small world's guidance.

    ``on_painted`` is called with the number of pictures of each batch.
    """
    pictures: list[Image.Image] = []
    for start in range(0, len(captions), BATCH_SIZE):
        part = list(captions[start : start + BATCH_SIZE])
        pictures += pipeline(
            part,
            num_inference_steps=steps,
            guidance_scale=small_world.GUIDANCE_SCALE,
            generator=[torch.Generator().manual_seed(start + i) for i in range(len(part))],
        ).images
        on_painted(len(part))
    return pictures


def sample_sheet(pipeline: DiffusionPipeline, path: Path, steps: int = small_world.STEPS) -> None:
    """The eight fixed prompts, painted, as one picture."""
    results.sheet(paint(pipeline, SHEET_PROMPTS, steps), columns=4).save(path)


def save(
    pipeline: Pipeline, world: World, preview: dict[str, object] | None, output: Path
) -> Pipeline:
    """Writes the pipeline and ``world.json``; returns the pipeline as it loads, in float32.

    ``world.json`` has the words that the painter knows, those near to them, and the preview's map,
    if there is one.
    """
    pipeline.tokenizer("", padding="max_length")  # the last padding used is saved
    saved = results.save(pipeline, output)
    saved.set_progress_bar_config(disable=True)
    known = {"schema": 1, **words_of(world.emoji)}
    if preview is not None:
        known["preview"] = preview
    (output / "world.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return saved


def words_of(things: Sequence[Emoji]) -> dict[str, object]:
    """What captions call each thing of a world, and other words that are near to one."""
    names = {entry.name for entry in things}
    return {
        "names": [entry.name for entry in things],
        "aliases": {alias: entry.name for entry in things for alias in entry.names[1:]},
        "plurals": {plural(name): entry.name for entry in things for name in entry.names},
        "colours": list(COLOURS),
        "near": {name: words for name, words in near_words().items() if name in names},
    }
