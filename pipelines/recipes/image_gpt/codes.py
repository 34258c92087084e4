"""Trains the tokenizer of pictures, the first part of the budget: its decoder learns to mend.

Components and codebook are fitted, not trained: see ``PictureTokenizer``. So codes mean the same
from the first step on, and a sprite on the grid has the same codes wherever it stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.recipes import command_line, results, training
from pipelines.recipes.emoji_scenes.data import World, as_images
from pipelines.recipes.image_gpt.model import PictureTokenizer
from pipelines.recipes.vae.train import crop_around_item, reconstruction_loss, scenes_of

STEPS_SHARE, MINUTES_SHARE = 0.4, 0.2
"""Of the budget: by steps, so many for each of the GPT's, which take longer; by the clock, a part
of the whole."""
LEARNING_RATE, BATCH_SIZE = 1e-3, 16


@torch.no_grad()
def reconstructed(tokenizer: PictureTokenizer, images: torch.Tensor) -> torch.Tensor:
    """Images ``(N, 3, 128, 128)`` in [-1, 1] through their codes, on the processor."""
    parts = images.to(tokenizer.device).split(BATCH_SIZE)
    return torch.cat([tokenizer(tokenizer.encode(part)) for part in parts]).clamp(-1, 1).cpu()


def sample_sheet(tokenizer: PictureTokenizer, images: torch.Tensor) -> Image.Image:
    """Scenes above, and what their codes hold of them below."""
    both = torch.cat([images, reconstructed(tokenizer, images)])
    return results.sheet(results.pictures_of(both), columns=len(images))


def trained_tokenizer(options: command_line.Options, world: World) -> PictureTokenizer:
    """A tokenizer of the world's pictures. Its state and log lie in ``codes`` of the run's folder,
    and a run that is resumed goes on with them."""
    folder = options.run_dir / "codes"
    part = replace(
        options,
        run_dir=folder,
        steps=None if options.steps is None else max(1, round(STEPS_SHARE * options.steps)),
        minutes=None if options.minutes is None else MINUTES_SHARE * options.minutes,
        resume=options.resume and (folder / training.STATE_FILE).is_file(),
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
    )
    small: dict[str, Any] = {"codes": 64, "block_out_channels": (8, 8, 16, 16), "blocks": (1, 1, 1)}
    torch.manual_seed(options.seed)
    tokenizer: PictureTokenizer = PictureTokenizer(**(small if options.smoke else {}))
    if not part.resume:
        scenes = scenes_of(world, 32 if options.smoke else 1500, seed=7)
        tokenizer.fit(scenes, torch.Generator().manual_seed(options.seed))
    run = training.Run(part, tokenizer)
    held_out = scenes_of(world, 8 if options.smoke else 32, seed=1234, held_out=True)

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        crops = [crop_around_item(world, rng) for _ in range(BATCH_SIZE)]
        images = as_images(crops).to(run.device, memory_format=torch.channels_last)
        output = tokenizer(tokenizer.encode(images)).float()
        loss = reconstruction_loss(output, images)
        return loss, {"loss": loss, "error": (output - images).abs().mean()}

    def evaluate() -> dict[str, float]:
        sample_sheet(run.average, held_out[:8]).save(folder / "samples.png")
        error = (reconstructed(run.average, held_out) - held_out).abs().mean()
        return {"held_out_error": float(error)}

    run.train(step, evaluate, evaluate_every=1000, log_every=100)
    run.log(**evaluate())
    average: PictureTokenizer = run.average
    return average
