"""Trains the painter on latents of emoji scenes, after the autoencoder.

python -m pipelines.recipes.vae.train --minutes 40
python -m pipelines.recipes.diffusion.train --minutes 60
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from transformers import PreTrainedTokenizerFast

from pipelines.metrics.kernel import kernel_distance
from pipelines.recipes import command_line, results, training
from pipelines.recipes.autoencoders import Autoencoder, load_autoencoder
from pipelines.recipes.diffusion.checkpoint import assemble, paint, sample_sheet, save
from pipelines.recipes.diffusion.data import WINDOWS, LatentScenes, encode_scenes, encode_windows
from pipelines.recipes.diffusion.model import (
    Painter,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    denoising_errors,
    spread_timesteps,
)
from pipelines.recipes.diffusion.preview import SCENES, fit_preview
from pipelines.recipes.diffusion.words import teach_words
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    Scene,
    World,
    drawn_at_random,
    parse,
    plain_caption,
    scene_words,
)
from pipelines.recipes.emoji_scenes.oracle import background_colour
from pipelines.recipes.extractor import Extractor, load_extractor
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.vae.train import held_out_error

COVERED_WEIGHT = 4.0
"""The weight of a cell under an item in the loss: items are learned last."""
LATE = 1.5
"""Draws more of the noisy timesteps, in which the words matter: see ``spread_timesteps``."""
WINDOWS_UNTIL = 0.6
"""The share of the budget in which only windows are shown: see ``data``."""
FULL_LENGTH = 0.25
"""The share of batches whose captions are padded to 32 tokens, as the pipeline pads them. The
others are padded to their longest, about 14: a fifth faster. So padding loses its meaning."""
PAINTED, PAINTED_AT_THE_END = 32, 96
"""Held-out scenes that are painted for scores."""
OUTER_LAYERS = ("unet.conv_in", "unet.conv_out")
"""Left to AdamW: they read the latents and write the velocity."""
WORD_STEPS_HELP = "steps that first train the text encoder alone; none with --init-from"
_HELD_OUT_SEED = 5


def pick(
    scenes: LatentScenes,
    windows: Sequence[LatentScenes],
    progress: float,
    rng: np.random.Generator,
) -> LatentScenes:
    """A kind of window at first, whole scenes later."""
    if progress >= WINDOWS_UNTIL:
        return scenes
    return windows[rng.choice(len(WINDOWS), p=[window.share for window in WINDOWS])]


def mean_error(errors: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """The mean of errors ``(B, C, H, W)``; cells ``covered`` ``(B, H, W)`` weigh more."""
    weights = 1 + (COVERED_WEIGHT - 1) * covered[:, None].float().to(errors.device)
    return (errors * weights / weights.mean()).mean()


def tokenize(
    tokenizer: PreTrainedTokenizerFast, captions: list[str], padding: str = "max_length"
) -> torch.Tensor:
    """Token ids ``(B, T)``: T is 32, as in the pipeline, or less for padding to the ``longest``."""
    encoded = tokenizer(captions, padding=padding, truncation=True, return_tensors="pt")
    ids: torch.Tensor = encoded["input_ids"]
    return ids


@torch.no_grad()
def held_out_loss(
    painter: Painter, tokenizer: PreTrainedTokenizerFast, scenes: LatentScenes
) -> float:
    """The loss on held-out scenes, with the same noise at every call."""
    generator = torch.Generator().manual_seed(11)
    device = painter.unet.device
    ids = tokenize(tokenizer, [wordings[0] for wordings in scenes.captions]).to(device)
    latents = scenes.latents.float().to(device)
    timesteps = spread_timesteps(len(latents), generator=generator).to(device)
    with training.bfloat16(device):
        predict = painter.predictor(ids)
        errors = denoising_errors(predict, build_scheduler(), latents, timesteps, generator)
    return float(errors.mean())


def held_out_scenes(world: World, count: int) -> list[Scene]:
    """The same scenes at every call, a smaller number being the first of a larger one."""
    rng = np.random.default_rng(_HELD_OUT_SEED)
    return [world.sample(rng, held_out=True) for _ in range(count)]


def held_out_scores(
    pipeline: StableDiffusionPipeline,
    latents: LatentScenes,
    world: World,
    pictures: Sequence[Image.Image],
    extractor: Extractor | None,
) -> dict[str, float]:
    """The loss; and if there is an extractor, the KID to drawings of the same scenes.

    Args:
        pictures: painted from the captions of the first held-out scenes.
    """
    painter = Painter(pipeline.text_encoder, pipeline.unet)
    loss = held_out_loss(painter, pipeline.tokenizer, latents)
    return {"held_out_loss": loss} | held_out_kid(world, pictures, extractor)


def held_out_kid(
    world: World, pictures: Sequence[Image.Image], extractor: Extractor | None
) -> dict[str, float]:
    """The KID of pictures of the first held-out scenes; empty without an extractor."""
    if extractor is None:
        return {}
    rng = np.random.default_rng(_HELD_OUT_SEED)
    drawn = [each for _, each in drawn_at_random(world, len(pictures), rng, held_out=True)]
    ours, real = extractor.features(pictures), extractor.features(drawn)
    return {"held_out_kid": kernel_distance(ours, real, extractor.name).value}


def colour_right(pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> float:
    """The share of pictures whose background is their scene's."""
    colours = [background_colour(np.asarray(picture)) for picture in pictures]
    return float(np.mean([c == scene.colour for c, scene in zip(colours, scenes, strict=True)]))


def starting_painter(
    options: command_line.Options, tokenizer: PreTrainedTokenizerFast, latent_channels: int
) -> Painter:
    """A new painter or that of ``--init-from``, with plain attention where there is no GPU.

    On a processor the backward pass of PyTorch's fused attention is slow in bf16; matrix
    products make a whole step a quarter to a half faster.

    Raises:
        SystemExit: the checkpoint of ``--init-from`` has another vocabulary.
    """
    width, layers, channels = (32, 1, (16, 16)) if options.smoke else (192, 3, (96, 128, 160))

    def untrained() -> Painter:
        text_encoder = build_text_encoder(len(tokenizer), width, layers)
        return Painter(text_encoder, build_unet(channels, width, latent_channels))

    painter = training.starting_model(options, Painter, untrained, tokenizer)
    if not torch.cuda.is_available():
        painter.unet.set_attn_processor(AttnProcessor())
        painter.text_encoder.set_attn_implementation("eager")
    return painter


def encoded_data(
    options: command_line.Options, count: int, vae: Autoencoder, world: World
) -> tuple[LatentScenes, list[LatentScenes], LatentScenes]:
    """Scenes, windows of each kind, and held-out scenes; the first two cached for the run."""
    folder = options.run_dir
    scenes = encode_scenes(vae, world, count, seed=1, cache=folder / "latents.safetensors")
    windows = [
        encode_windows(vae, world, kind, count, seed=3, cache=folder / f"windows{i}.safetensors")
        for i, kind in enumerate(WINDOWS)
    ]
    held_out = encode_scenes(vae, world, min(count, 128), seed=2, cache=None, held_out=True)
    return scenes, windows, held_out


def parse_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, command_line.Options, World]:
    """The options of a painter of latents, and its world."""
    parser.add_argument(
        "--vae",
        type=Path,
        default=Path("assets/models/emoji-painter/vae"),
        help="the trained autoencoder",
    )
    parser.add_argument("--scenes", type=int, default=16_000, help="scenes to draw and encode")
    return parse(parser, arguments)


def teach_words_first(
    run: training.Run,
    painter: Painter,
    tokenizer: PreTrainedTokenizerFast,
    vae: Autoencoder,
    world: World,
    steps: int,
) -> None:
    """Trains the text encoder alone, from which the moving average begins as well."""
    steps = 2 if run.options.smoke else steps
    learned = teach_words(painter.text_encoder, tokenizer, vae, world, steps, run.options.seed)
    run.averaged.module.load_state_dict(painter.state_dict())
    run.log(words_right=learned)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "diffusion", "emoji-painter", 32, 7e-4)
    parser.add_argument("--word-steps", type=int, default=1500, help=WORD_STEPS_HELP)
    parsed, options, world = parse_options(parser, arguments)
    tokenizer = build_tokenizer(scene_words(world))
    vae = load_autoencoder(parsed.vae)
    painter = starting_painter(options, tokenizer, vae.config.latent_channels)
    run = training.Run(options, painter, optimizer=partial(muon_or_adamw, for_adamw=OUTER_LAYERS))
    vae.to(run.device)

    if run.step == 0 and options.init_from is None:
        teach_words_first(run, painter, tokenizer, vae, world, parsed.word_steps)
    count = 16 if options.smoke else parsed.scenes
    scenes, windows, held_out = encoded_data(options, count, vae, world)
    painted, painted_at_the_end = (4, 8) if options.smoke else (PAINTED, PAINTED_AT_THE_END)
    to_paint = held_out_scenes(world, painted_at_the_end)
    captions = [plain_caption(scene) for scene in to_paint]
    scheduler, extractor = build_scheduler(), load_extractor(EDGE)
    sheet = options.run_dir / "samples.png"

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        chosen = pick(scenes, windows, run.progress, rng)
        size = options.batch_size * scenes.edge // chosen.edge
        latents, covered, captions = chosen.batch(rng, size)
        padding = "max_length" if rng.random() < FULL_LENGTH else "longest"
        ids = tokenize(tokenizer, captions, padding).to(run.device)
        timesteps = spread_timesteps(size, LATE).to(run.device)
        predict = painter.predictor(ids)
        errors = denoising_errors(predict, scheduler, latents.to(run.device), timesteps)
        loss = mean_error(errors, covered)
        return loss, {"loss": loss}

    def evaluate() -> dict[str, float]:
        if run.step == 0:
            return {}
        pipeline = assemble(run.average, vae, tokenizer)
        sample_sheet(pipeline, sheet)
        pictures = [] if extractor is None else paint(pipeline, captions[:painted])
        return held_out_scores(pipeline, held_out, world, pictures, extractor)

    run.train(step, evaluate, 1000)

    pipeline = assemble(run.average, vae, tokenizer)
    saved = save(pipeline, world, fit_preview(vae, scenes.latents[:SCENES]), options.output).to(
        run.device
    )
    sample_sheet(saved, sheet, 2 if options.smoke else 20)
    pictures = paint(saved, captions)
    run.log(**held_out_scores(saved, held_out, world, pictures[:painted], extractor))
    error = held_out_error(saved.vae, world)
    run.log(colour_right=colour_right(pictures, to_paint), autoencoder_error=error)
    results.keep_log(options)


if __name__ == "__main__":
    main()
