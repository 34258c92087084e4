"""Trains the painter's autoencoder on sprites cut out of emoji scenes.

python -m pipelines.recipes.vae.train --minutes 40
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional

from pipelines.recipes import training
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    GRID,
    Pixels,
    World,
    add_world_option,
    arrange,
    to_signed,
    world_named,
)
from pipelines.recipes.vae.model import build

CROP = 64
KL_WEIGHT = 1e-6


def crop_around_item(world: World, rng: np.random.Generator) -> Pixels:
    """A ``(64, 64, 3)`` window of a random scene, on the grid, with a sprite in it."""
    scene = world.sample(rng)
    boxes = arrange(scene, rng)
    left, top, edge = boxes[int(rng.integers(len(boxes)))]
    pixels = world.draw(scene, boxes)
    offsets = []
    for start in (left, top):
        centred = start + (edge - CROP) // 2 + int(rng.integers(-2, 3)) * GRID
        offsets.append(min(max(centred, 0), EDGE - CROP) // GRID * GRID)
    x, y = offsets
    return pixels[y : y + CROP, x : x + CROP]


def reconstruction_loss(
    output: torch.Tensor, target: torch.Tensor, scales: int = 4
) -> torch.Tensor:
    """L1 on values and on their gradients, summed over halved sizes; edges weigh in."""
    loss = output.new_zeros(())
    for _ in range(scales):
        loss = loss + functional.l1_loss(output, target)
        for axis in (-1, -2):
            loss = loss + functional.l1_loss(output.diff(dim=axis), target.diff(dim=axis))
        output, target = functional.avg_pool2d(output, 2), functional.avg_pool2d(target, 2)
    return loss


@torch.no_grad()
def held_out_error(vae: AutoencoderKL, world: World, count: int = 32) -> float:
    """Mean absolute error in [-1, 1] units over whole held-out scenes."""
    images = held_out_images(world, count).to(vae.device)
    vae.eval()
    output = vae.decode(vae.encode(images).latent_dist.mode()).sample
    return float((output.clamp(-1, 1) - images).abs().mean())


def held_out_images(world: World, count: int) -> torch.Tensor:
    """The same held-out scenes at every call: ``(count, 3, 128, 128)`` in [-1, 1]."""
    rng = np.random.default_rng(1234)
    scenes = [world.sample(rng, held_out=True) for _ in range(count)]
    return torch.from_numpy(to_signed(np.stack([world.draw(s, arrange(s, rng)) for s in scenes])))


@torch.no_grad()
def sample_sheet(vae: AutoencoderKL, world: World, path: Path, count: int = 8) -> None:
    """A picture: held-out scenes above, what the autoencoder makes of them below."""
    images = held_out_images(world, count).to(vae.device)
    output = vae.decode(vae.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
    rows = [torch.cat(list(batch), dim=-1) for batch in (images, output)]
    sheet = (torch.cat(rows, dim=-2) * 127.5 + 127.5).round().byte().permute(1, 2, 0)
    Image.fromarray(sheet.cpu().numpy()).save(path)


@torch.no_grad()
def set_scaling(vae: AutoencoderKL, world: World, count: int = 256) -> None:
    """Writes the latents' mean and deviation into the configuration.

    A pipeline subtracts ``shift_factor`` and multiplies by ``scaling_factor``, so the
    denoiser sees latents of about zero mean and unit variance. ``StableDiffusionPipeline``
    knows only the scale; hence the mean is folded into the weights and the shift is left 0.
    """
    rng = np.random.default_rng(7)
    scenes = [world.sample(rng) for _ in range(count)]
    images = torch.from_numpy(to_signed(np.stack([world.draw(s, arrange(s, rng)) for s in scenes])))
    latents = torch.cat(
        [vae.encode(part.to(vae.device)).latent_dist.mode() for part in images.split(16)]
    )
    mean = latents.mean(dim=(0, 2, 3))
    deviation = latents.std(dim=(0, 2, 3))
    standardise_in_weights(vae, mean, deviation)
    vae.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def standardise_in_weights(vae: AutoencoderKL, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Folds ``z -> (z - mean) / deviation`` into the 1 x 1 convolutions around the latents.

    Args:
        mean, deviation: per latent channel, shape ``(C,)``.
    """
    assert vae.quant_conv is not None and vae.post_quant_conv is not None
    channels = mean.numel()
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:channels] /= deviation.view(-1, 1, 1, 1)
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.bias[channels:] -= 2 * deviation.log()  # the second half is the log variance
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(dim=1)
    post.weight *= deviation.view(1, -1, 1, 1)


def main() -> None:
    arguments = training.parser(__doc__ or "", "vae", "emoji-painter/vae", 16, 1e-3)
    add_world_option(arguments)
    parsed = arguments.parse_args()
    options = training.options_from(parsed)
    world = world_named(parsed.world, options.smoke)
    if options.init_from is not None:
        vae = AutoencoderKL.from_pretrained(options.init_from, dtype=torch.float32)
    else:
        vae = build((8, 8, 8, 8)) if options.smoke else build()
    run = training.Run(options, vae)
    for rng in run.steps():
        crops = np.stack([crop_around_item(world, rng) for _ in range(options.batch_size)])
        images = torch.from_numpy(to_signed(crops)).to(run.accelerator.device)
        images = images.contiguous(memory_format=torch.channels_last)
        with run.accelerator.autocast():
            posterior = vae.encode(images).latent_dist
            output = vae.decode(posterior.sample()).sample
        reconstruction = reconstruction_loss(output.float(), images)
        loss = reconstruction + KL_WEIGHT * posterior.kl().mean()
        run.update(loss)
        if run.is_due(100):
            run.log(loss=loss.item(), error=(output - images).abs().mean().item())
        if run.is_due(1000):
            run.log(held_out_error=held_out_error(run.averaged.module, world))
            sample_sheet(run.averaged.module, world, options.run_dir / "samples.png")

    best: AutoencoderKL = run.averaged.module
    best.eval()
    set_scaling(best, world, 8 if options.smoke else 256)
    best.to(torch.float16).save_pretrained(options.output, safe_serialization=True)
    training.forget_paths(options.output)
    saved = AutoencoderKL.from_pretrained(options.output, dtype=torch.float32)
    saved.to(run.accelerator.device)
    run.log(held_out_error=held_out_error(saved, world))
    sample_sheet(saved, world, options.run_dir / "samples.png")
    training.keep_log(options)


if __name__ == "__main__":
    main()
