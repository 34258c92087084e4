"""Trains the painter on latents of emoji scenes, after the autoencoder.

python -m pipelines.recipes.vae.train --minutes 40
python -m pipelines.recipes.diffusion.train --minutes 60
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from pipelines.recipes import training
from pipelines.recipes.diffusion.model import (
    Painter,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from pipelines.recipes.emoji_scenes.data import (
    Pixels,
    World,
    arrange,
    caption,
    plain_caption,
    plural,
    scene_words,
    to_signed,
)
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS
from pipelines.recipes.vae.train import held_out_error

CAPTION_DROPOUT = 0.1
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
_LATENTS_FILE = "latents.safetensors"


@dataclass(frozen=True)
class LatentScenes:
    """Scenes whose latents are computed once: ``latents[i]`` belongs to ``scenes[i]``."""

    latents: torch.Tensor
    captions: list[list[str]]

    def batch(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, list[str]]:
        """Random latents ``(size, 8, 16, 16)`` with one of their wordings, or with none."""
        indices = rng.integers(len(self.captions), size=size)
        words = [str(rng.choice(self.captions[index])) for index in indices]
        dropped = rng.random(size) < CAPTION_DROPOUT
        kept = ["" if drop else word for word, drop in zip(words, dropped, strict=True)]
        return self.latents[torch.from_numpy(indices)].float(), kept


@torch.no_grad()
def encode_scenes(
    vae: AutoencoderKL,
    world: World,
    count: int,
    seed: int,
    cache: Path | None,
    held_out: bool = False,
) -> LatentScenes:
    """Draws ``count`` scenes with eight wordings each and encodes them, or reads ``cache``."""
    rng = np.random.default_rng(seed)
    stored = load_file(cache)["latents"] if cache is not None and cache.is_file() else None
    parts, captions = [], []
    for start in range(0, count, 50):
        scenes = [world.sample(rng, held_out) for _ in range(min(50, count - start))]
        boxes = [arrange(scene, rng) for scene in scenes]
        captions += [[caption(scene, rng) for _ in range(8)] for scene in scenes]
        if stored is None:
            pixels = np.stack([world.draw(s, b) for s, b in zip(scenes, boxes, strict=True)])
            images = torch.from_numpy(to_signed(pixels)).to(
                vae.device, memory_format=torch.channels_last
            )
            with torch.autocast(vae.device.type, torch.bfloat16):
                parts.append(vae.encode(images).latent_dist.mode().half())
    latents = torch.cat(parts).cpu().contiguous() if stored is None else stored
    if latents.shape[0] != count:
        raise SystemExit(f"{cache} holds {latents.shape[0]} scenes, not {count}: delete it")
    if cache is not None and stored is None:
        save_file({"latents": latents}, cache)
    return LatentScenes(latents, captions)


def velocity_loss(
    painter: Painter,
    scheduler: DDIMScheduler,
    latents: torch.Tensor,
    input_ids: torch.Tensor,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Mean squared error of the velocity v = alpha * noise - sigma * latents.

    Timesteps are spread evenly over the batch, each jittered, which lowers the variance.
    """
    size = latents.shape[0]
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    jitter = torch.rand(size, generator=generator)
    timesteps = (
        ((torch.arange(size) + jitter) / size * 1000).long().clamp(max=999).to(latents.device)
    )
    noisy = scheduler.add_noise(latents, noise, timesteps)
    target = scheduler.get_velocity(latents, noise, timesteps)
    return functional.mse_loss(painter(noisy, timesteps, input_ids).float(), target)


def tokenize(tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> torch.Tensor:
    """Token ids ``(B, 32)``, padded as the pipeline pads them."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    ids: torch.Tensor = encoded["input_ids"]
    return ids


def averaged_painter(run: training.Run) -> Painter:
    """The painter with the moving average of its weights."""
    painter = run.averaged.module
    assert isinstance(painter, Painter)
    return painter


@torch.no_grad()
def held_out_loss(
    run: training.Run, tokenizer: PreTrainedTokenizerFast, scenes: LatentScenes
) -> float:
    """The loss of the averaged weights on scenes never trained on, with fixed noise."""
    generator = torch.Generator().manual_seed(11)
    painter = averaged_painter(run)
    painter.eval()
    ids = tokenize(tokenizer, [wordings[0] for wordings in scenes.captions])
    device = run.accelerator.device
    with run.accelerator.autocast():
        loss = velocity_loss(
            painter, build_scheduler(), scenes.latents.float().to(device), ids.to(device), generator
        )
    return float(loss)


def assemble(
    painter: Painter, vae: AutoencoderKL, tokenizer: PreTrainedTokenizerFast
) -> StableDiffusionPipeline:
    """The trained parts as the pipeline that anybody can load."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=painter.text_encoder,
        tokenizer=tokenizer,
        unet=painter.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sample_sheet(pipeline: StableDiffusionPipeline, path: Path, steps: int = 20) -> None:
    """One picture with the eight fixed prompts, guidance 4, seed 0."""
    pipeline.set_progress_bar_config(disable=True)
    prompts = list(SHEET_PROMPTS)
    generators = [torch.Generator().manual_seed(0) for _ in prompts]
    pictures = pipeline(
        prompts, num_inference_steps=steps, guidance_scale=4.0, generator=generators
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


def score(path: Path, world: World | None = None, count: int = 96) -> dict[str, float]:
    """What the saved checkpoint can do on held-out scenes.

    ``colour_right`` is the share of pictures whose background is nearest to the colour that
    a plain caption asks for: the median over a frame of four pixels, by Euclidean distance
    in RGB; 20 steps of the saved scheduler, guidance 4, seed i for picture i.
    ``autoencoder_error`` is as in the recipe ``vae``.
    """
    world = World() if world is None else world
    pipeline = StableDiffusionPipeline.from_pretrained(path, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(5)
    scenes = [world.sample(rng, held_out=True) for _ in range(count)]
    right = 0
    for start in range(0, count, 8):
        part = scenes[start : start + 8]
        pictures = pipeline(
            [plain_caption(scene) for scene in part],
            num_inference_steps=20,
            guidance_scale=4.0,
            generator=[torch.Generator().manual_seed(start + i) for i in range(len(part))],
        ).images
        found = [background_colour(np.asarray(picture)) for picture in pictures]
        right += sum(a == scene.colour for a, scene in zip(found, part, strict=True))
    return {
        "colour_right": right / count,
        "autoencoder_error": held_out_error(pipeline.vae, world),
    }


def background_colour(pixels: Pixels, frame: int = 4) -> str:
    """The name of the world's colour that is nearest to a picture's frame."""
    inside = np.ones(pixels.shape[:2], bool)
    inside[frame:-frame, frame:-frame] = False
    median = np.median(pixels[inside], axis=0)
    return min(COLOURS, key=lambda name: float(np.square(median - COLOURS[name]).sum()))


def main() -> None:
    arguments = training.parser(__doc__ or "", "diffusion", "emoji-painter", 32, 7e-4)
    arguments.add_argument("--vae", type=Path, default=Path("assets/models/emoji-painter/vae"))
    arguments.add_argument("--scenes", type=int, default=30_000, help="how many latents to prepare")
    parsed = arguments.parse_args()
    options = training.options_from(parsed)
    world = World()
    vae = AutoencoderKL.from_pretrained(parsed.vae, dtype=torch.float32).eval()
    tokenizer = build_tokenizer(scene_words(world))
    widths = {"width": 32, "layers": 1} if options.smoke else {}
    text_encoder = build_text_encoder(len(tokenizer), **widths)
    unet = build_unet((16, 16), text_width=32) if options.smoke else build_unet()
    painter = Painter(text_encoder, unet)
    run = training.Run(options, painter)

    device = run.accelerator.device
    vae.to(device)
    count = 16 if options.smoke else parsed.scenes
    scenes = encode_scenes(vae, world, count, seed=1, cache=options.run_dir / _LATENTS_FILE)
    held_out = encode_scenes(vae, world, min(count, 128), seed=2, cache=None, held_out=True)
    scheduler = build_scheduler()
    for rng in run.steps():
        latents, captions = scenes.batch(rng, options.batch_size)
        input_ids = tokenize(tokenizer, captions).to(device)
        with run.accelerator.autocast():
            loss = velocity_loss(painter, scheduler, latents.to(device), input_ids)
        run.update(loss)
        if run.is_due(50):
            run.log(loss=loss.item())
        if run.is_due(1000):
            run.log(held_out_loss=held_out_loss(run, tokenizer, held_out))
            sample_sheet(
                assemble(averaged_painter(run), vae, tokenizer), options.run_dir / "samples.png"
            )

    run.log(held_out_loss=held_out_loss(run, tokenizer, held_out))
    pipeline = assemble(averaged_painter(run).eval(), vae, tokenizer)
    sample_sheet(pipeline, options.run_dir / "samples.png", 2 if options.smoke else 20)
    preview = fit_preview(vae, scenes)
    pipeline.to(dtype=torch.float16).save_pretrained(
        options.output, safe_serialization=True, max_shard_size="8MB"
    )
    write_world(world, preview, options.output / "world.json")
    run.log(**score(options.output, world, 8 if options.smoke else 96))


if __name__ == "__main__":
    main()
