"""Trains the painter on latents of emoji scenes, after the autoencoder.

python -m pipelines.recipes.vae.train --minutes 40
python -m pipelines.recipes.diffusion.train --minutes 60
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from transformers import PreTrainedTokenizerFast

from pipelines.metrics.kernel import kernel_distance
from pipelines.recipes import training
from pipelines.recipes.diffusion.checkpoint import (
    HELD_OUT_SEED,
    assemble,
    fit_preview,
    paint,
    sample_sheet,
    save,
    score,
)
from pipelines.recipes.diffusion.data import WINDOWS, LatentScenes, encode_scenes, encode_windows
from pipelines.recipes.diffusion.model import (
    Painter,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from pipelines.recipes.diffusion.words import teach_words
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    World,
    add_world_option,
    arrange,
    scene_words,
    world_named,
)
from pipelines.recipes.extractor import Extractor, extractor_at_hand
from pipelines.recipes.muon import MuonWithAdamW

COVERED_WEIGHT = 4.0
"""How much more a cell counts in which a thing stands: things are learned last."""
LATE = 1.5
"""More of the noisy timesteps, in which the words decide: see ``spread_timesteps``."""
GLANCE = 32
"""Pictures that are painted for the scores during training."""
WINDOWS_UNTIL = 0.6
"""The share of the budget in which only windows are shown; see ``data``."""
FULL_LENGTH = 0.25
"""The share of batches whose captions are padded as the pipeline pads them, to 32 tokens.
The others are padded to their longest, about 14: a fifth faster, and the painter learns
that padding means nothing."""


def spread_timesteps(
    size: int, late: float = 1.0, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Timesteps ``(size,)`` in [0, 1000), spread over the batch, each jittered.

    ``late`` above 1 draws more of the noisy ones: their density is that of t^(late - 1).
    """
    even = (torch.arange(size) + torch.rand(size, generator=generator)) / size
    return (even.pow(1 / late) * 1000).long().clamp(max=999)


def pick(
    scenes: LatentScenes,
    windows: Sequence[LatentScenes],
    progress: float,
    rng: np.random.Generator,
) -> LatentScenes:
    """What a step shows: some kind of window at first, whole scenes later."""
    if progress >= WINDOWS_UNTIL:
        return scenes
    return windows[rng.choice(len(WINDOWS), p=[window.share for window in WINDOWS])]


def velocity_loss(
    painter: Painter,
    scheduler: DDIMScheduler,
    latents: torch.Tensor,
    input_ids: torch.Tensor,
    timesteps: torch.Tensor,
    weights: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Mean squared error of the velocity v = alpha * noise - sigma * latents.

    Args:
        latents: ``(B, 8, edge, edge)``.
        input_ids: captions ``(B, 32)``.
        timesteps: ``(B,)`` int64 in [0, 1000).
        weights: of the cells, ``(B, 1, edge, edge)``; None counts them alike.
    """
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    target = scheduler.get_velocity(latents, noise, timesteps)
    errors: torch.Tensor = (painter(noisy, timesteps, input_ids).float() - target).square()
    if weights is not None:
        errors = errors * weights / weights.mean()
    return errors.mean()


def tokenize(
    tokenizer: PreTrainedTokenizerFast, captions: list[str], padding: str = "max_length"
) -> torch.Tensor:
    """Token ids ``(B, 32)``, padded as the pipeline pads them, or to the ``longest``."""
    encoded = tokenizer(captions, padding=padding, truncation=True, return_tensors="pt")
    ids: torch.Tensor = encoded["input_ids"]
    return ids


def averaged_painter(run: training.Run) -> Painter:
    """The painter with the moving average of its weights, to be used and not trained."""
    painter = run.averaged.module
    assert isinstance(painter, Painter)
    return painter.eval()


@torch.no_grad()
def held_out_loss(
    painter: Painter, tokenizer: PreTrainedTokenizerFast, scenes: LatentScenes
) -> float:
    """The loss on scenes never trained on, with fixed noise."""
    generator = torch.Generator().manual_seed(11)
    ids = tokenize(tokenizer, [wordings[0] for wordings in scenes.captions])
    device = painter.unet.device
    latents = scenes.latents.float().to(device)
    timesteps = spread_timesteps(len(latents), generator=generator).to(device)
    with training.bfloat16(device):
        loss = velocity_loss(
            painter, build_scheduler(), latents, ids.to(device), timesteps, generator=generator
        )
    return float(loss)


def held_out_scores(
    pipeline: StableDiffusionPipeline,
    scenes: LatentScenes,
    world: World,
    count: int,
    extractor: Extractor | None,
) -> dict[str, float]:
    """The loss; and the KID of ``count`` pictures, where an extractor is at hand.

    They are held against drawings of the very scenes that were asked for.
    """
    painter = Painter(pipeline.text_encoder, pipeline.unet)
    told = {"held_out_loss": held_out_loss(painter, pipeline.tokenizer, scenes)}
    if extractor is not None:
        rng = np.random.default_rng(HELD_OUT_SEED)
        asked = [world.sample(rng, held_out=True) for _ in range(count)]
        drawn = [world.draw(scene, arrange(scene, rng)) for scene in asked]
        ours, real = (extractor.features(each) for each in (paint(pipeline, asked), drawn))
        told["held_out_kid"] = kernel_distance(ours, real, extractor.name).value
    return told


def build_painter(options: training.Options, tokenizer: PreTrainedTokenizerFast) -> Painter:
    """A blank painter, or the one that ``--init-from`` names.

    Raises:
        SystemExit: that one has other words than this world.
    """
    if options.init_from is None:
        if options.smoke:
            encoder = build_text_encoder(len(tokenizer), width=32, layers=1)
            return Painter(encoder, build_unet((16, 16), text_width=32))
        return Painter(build_text_encoder(len(tokenizer)), build_unet())
    pipeline = StableDiffusionPipeline.from_pretrained(
        options.init_from, vae=None, dtype=torch.float32
    )
    training.check_words(pipeline.tokenizer, tokenizer, options.init_from)
    return Painter(pipeline.text_encoder, pipeline.unet)


def build_optimizer(
    painter: torch.nn.Module, learning_rate: float, weight_decay: float
) -> training.Optimizer:
    """Muon for the layers between, AdamW for what reads the latents and writes the velocity;
    AdamW for all where bf16 is only emulated."""
    if training.precision() == "no":
        return training.adamw(painter, learning_rate, weight_decay)
    layers = [
        layer
        for name, layer in painter.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
        and name not in ("unet.conv_in", "unet.conv_out")
    ]
    return MuonWithAdamW(painter, layers, learning_rate, weight_decay)


def use_plain_attention(painter: Painter) -> None:
    """Attention by matrix products, where there is no GPU.

    On a processor the backward pass of PyTorch's fused attention is slow in bf16: products
    of so short sequences make the whole step a quarter to a half faster.
    """
    if not torch.cuda.is_available():
        painter.unet.set_attn_processor(AttnProcessor())
        painter.text_encoder.set_attn_implementation("eager")


def parse_arguments() -> argparse.Namespace:
    arguments = training.parser(__doc__ or "", "diffusion", "emoji-painter", 32, 7e-4)
    arguments.add_argument("--vae", type=Path, default=Path("assets/models/emoji-painter/vae"))
    arguments.add_argument("--scenes", type=int, default=16_000, help="how many latents to prepare")
    add_world_option(arguments)
    arguments.add_argument(
        "--word-steps",
        type=int,
        default=1500,
        help="how long the words are taught first; not at all with --init-from",
    )
    return arguments.parse_args()


def main() -> None:
    parsed = parse_arguments()
    options = training.options_from(parsed)
    world = world_named(parsed.world, options.smoke)
    vae = AutoencoderKL.from_pretrained(parsed.vae, dtype=torch.float32).eval()
    tokenizer = build_tokenizer(scene_words(world))
    painter = build_painter(options, tokenizer)
    use_plain_attention(painter)
    run = training.Run(options, painter, optimizer=build_optimizer)
    device = run.accelerator.device
    vae.to(device)
    if run.step == 0 and options.init_from is None:
        steps = 2 if options.smoke else parsed.word_steps
        learned = teach_words(painter.text_encoder, tokenizer, vae, world, steps, options.seed)
        run.averaged.module.load_state_dict(painter.state_dict())
        run.log(words_right=learned)
    count = 16 if options.smoke else parsed.scenes
    scenes = encode_scenes(vae, world, count, 1, options.run_dir / "latents.safetensors")
    windows = [
        encode_windows(vae, world, kind, count, 3, options.run_dir / f"windows{i}.safetensors")
        for i, kind in enumerate(WINDOWS)
    ]
    held_out = encode_scenes(vae, world, min(count, 128), seed=2, cache=None, held_out=True)
    scheduler, extractor = build_scheduler(), extractor_at_hand(EDGE)
    sheet, glance = options.run_dir / "samples.png", 4 if options.smoke else GLANCE
    for rng in run.steps():
        shown = pick(scenes, windows, run.progress, rng)
        size = options.batch_size * scenes.edge // shown.edge
        latents, covered, captions = shown.batch(rng, size)
        padding = "max_length" if rng.random() < FULL_LENGTH else "longest"
        input_ids = tokenize(tokenizer, captions, padding).to(device)
        timesteps = spread_timesteps(size, LATE).to(device)
        weights = 1 + (COVERED_WEIGHT - 1) * covered[:, None].float().to(device)
        with run.accelerator.autocast():
            loss = velocity_loss(
                painter, scheduler, latents.to(device), input_ids, timesteps, weights
            )
        run.update(loss)
        if run.is_due(50):
            run.log(loss=loss.item())
        if run.is_due(1000) and run.step > 0:
            pipeline = assemble(averaged_painter(run), vae, tokenizer)
            run.log(**held_out_scores(pipeline, held_out, world, glance, extractor))
            sample_sheet(pipeline, sheet)

    pipeline = assemble(averaged_painter(run), vae, tokenizer)
    saved = save(pipeline, world, fit_preview(vae, scenes), options.output).to(device)
    sample_sheet(saved, sheet, 2 if options.smoke else 20)
    run.log(**held_out_scores(saved, held_out, world, glance, extractor))
    run.log(**score(saved, world, 8 if options.smoke else 96))
    training.keep_log(options)


if __name__ == "__main__":
    main()
