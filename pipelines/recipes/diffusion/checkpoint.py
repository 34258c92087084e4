"""The trained parts as a checkpoint that anybody can load, and what such a one can do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from pipelines import small_world
from pipelines.recipes import training
from pipelines.recipes.diffusion.data import LatentScenes
from pipelines.recipes.diffusion.model import Painter, build_scheduler
from pipelines.recipes.emoji_scenes.data import Pixels, Scene, World, plain_caption, plural
from pipelines.recipes.emoji_scenes.oracle import background_colour
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS
from pipelines.recipes.vae.train import held_out_error

PAINTED_AT_ONCE = 8
"""Pictures in a batch, where models are scored."""
HELD_OUT_SEED = 5
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


def assemble(
    painter: Painter, vae: AutoencoderKL, tokenizer: PreTrainedTokenizerFast
) -> StableDiffusionPipeline:
    """The trained parts as the pipeline that anybody can load."""
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


def sample_sheet(
    pipeline: StableDiffusionPipeline, path: Path, steps: int = small_world.STEPS
) -> None:
    """One picture with the eight fixed prompts, the small world's guidance, seed 0."""
    prompts = list(SHEET_PROMPTS)
    generators = [torch.Generator().manual_seed(0) for _ in prompts]
    pictures = pipeline(
        prompts,
        num_inference_steps=steps,
        guidance_scale=small_world.GUIDANCE_SCALE,
        generator=generators,
    ).images
    sheet = Image.new("RGB", (128 * 4, 128 * 2))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (128 * (index % 4), 128 * (index // 4)))
    sheet.save(path)


@torch.no_grad()
def fit_preview(vae: AutoencoderKL, scenes: LatentScenes, count: int = 256) -> dict[str, object]:
    """The linear map from latent cells to the mean colour of their pixels, by least squares."""
    latents = scenes.latents[:count].float().to(vae.device)
    pictures = torch.cat([vae.decode(part).sample for part in latents.split(16)])
    colours = functional.avg_pool2d(pictures, pictures.shape[-1] // latents.shape[-1])
    cells = latents.permute(0, 2, 3, 1).flatten(0, 2)
    design = torch.cat([cells, torch.ones_like(cells[:, :1])], dim=1)
    solution = torch.linalg.lstsq(design, colours.permute(0, 2, 3, 1).flatten(0, 2)).solution
    return {"weights": solution[:-1].tolist(), "bias": solution[-1].tolist()}


def write_world(world: World, preview: dict[str, object], path: Path) -> None:
    """What this painter knows, for the page to name, and how to preview its latents."""
    known = {
        "schema": 1,
        "preview": preview,
        "names": [entry.name for entry in world.emoji],
        "aliases": {alias: entry.name for entry in world.emoji for alias in entry.names[1:]},
        "plurals": {plural(entry.name): entry.name for entry in world.emoji},
        "colours": list(COLOURS),
    }
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def paint(pipeline: StableDiffusionPipeline, scenes: Sequence[Scene]) -> list[Pixels]:
    """A picture of each scene's plain caption, as ``small_world`` has it, picture i from seed i."""
    pictures: list[Pixels] = []
    for start in range(0, len(scenes), PAINTED_AT_ONCE):
        part = scenes[start : start + PAINTED_AT_ONCE]
        images = pipeline(
            [plain_caption(scene) for scene in part],
            num_inference_steps=small_world.STEPS,
            guidance_scale=small_world.GUIDANCE_SCALE,
            generator=[torch.Generator().manual_seed(start + i) for i in range(len(part))],
        ).images
        pictures += [np.asarray(image) for image in images]
    return pictures


def score(pipeline: StableDiffusionPipeline, world: World, count: int) -> dict[str, float]:
    """What a saved checkpoint can do on held-out scenes.

    ``colour_right`` is the share of pictures whose background is nearest to the colour that
    a plain caption asks for: the median over a frame of four pixels, by Euclidean distance
    in RGB; steps and guidance of ``small_world``, the saved scheduler, seed i for picture i.
    ``autoencoder_error`` is as in the recipe ``vae``.
    """
    rng = np.random.default_rng(HELD_OUT_SEED)
    scenes = [world.sample(rng, held_out=True) for _ in range(count)]
    found = [background_colour(picture) for picture in paint(pipeline, scenes)]
    right = sum(a == scene.colour for a, scene in zip(found, scenes, strict=True))
    return {
        "colour_right": right / count,
        "autoencoder_error": held_out_error(pipeline.vae, world),
    }


def save(
    pipeline: StableDiffusionPipeline, world: World, preview: dict[str, object], output: Path
) -> StableDiffusionPipeline:
    """Writes the pipeline in half precision, and what the page needs to know of it; returns
    it as it reads back."""
    pipeline.tokenizer("", padding="max_length")  # how it pads is saved, as it was used last
    pipeline.to(dtype=torch.float16).save_pretrained(
        output, safe_serialization=True, max_shard_size="8MB"
    )
    training.forget_paths(output)
    write_world(world, preview, output / "world.json")
    saved = StableDiffusionPipeline.from_pretrained(output, dtype=torch.float32)
    saved.set_progress_bar_config(disable=True)
    return saved
