"""Trains the painter's autoencoder on sprites cut out of emoji scenes.

python -m pipelines.recipes.vae.train --minutes 40
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional

from pipelines.recipes import command_line, results, training
from pipelines.recipes.autoencoders import Autoencoder
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    GRID,
    Pixels,
    World,
    arrange,
    as_images,
    drawn_at_random,
    parse,
)
from pipelines.recipes.vae.model import build

CROP = 64
KL_WEIGHT = 1e-6
_BATCH_SIZE = 16


def crop_around_item(world: World, rng: np.random.Generator) -> Pixels:
    """A window ``(64, 64, 3)`` uint8 of a random scene, on the grid, with a sprite in it."""
    scene = world.sample(rng)
    boxes = arrange(scene, rng)
    left, top, edge = boxes[int(rng.integers(len(boxes)))]
    pixels = world.draw(scene, boxes)
    x, y = (
        np.clip(start + (edge - CROP) // 2 + rng.integers(-2, 3) * GRID, 0, EDGE - CROP)
        // GRID * GRID
        for start in (left, top)
    )  # fmt: skip
    return pixels[y : y + CROP, x : x + CROP]


def reconstruction_loss(
    output: torch.Tensor, target: torch.Tensor, scales: int = 4
) -> torch.Tensor:
    """L1 on values and on their gradients ``(B, 3, H, W)``, summed over halved sizes."""
    loss = output.new_zeros(())
    for _ in range(scales):
        loss = loss + functional.l1_loss(output, target)
        for axis in (-1, -2):
            loss = loss + functional.l1_loss(output.diff(dim=axis), target.diff(dim=axis))
        output, target = functional.avg_pool2d(output, 2), functional.avg_pool2d(target, 2)
    return loss


def scenes_of(world: World, count: int, seed: int, held_out: bool = False) -> torch.Tensor:
    """The same random scenes at every call: ``(count, 3, 128, 128)`` in [-1, 1]."""
    drawn = drawn_at_random(world, count, np.random.default_rng(seed), held_out)
    return as_images([pixels for _, pixels in drawn])


@torch.no_grad()
def reconstructed(vae: Autoencoder, images: torch.Tensor) -> torch.Tensor:
    """Images ``(N, 3, H, W)`` in [-1, 1] through the autoencoder, on its device."""
    parts = images.to(vae.device).split(_BATCH_SIZE)
    decoded = [vae.decode(vae.encode(part).latent_dist.mode()).sample for part in parts]
    return torch.cat(decoded).clamp(-1, 1)


def held_out_error(vae: Autoencoder, world: World) -> float:
    """Mean absolute error in [-1, 1] units over 32 whole held-out scenes."""
    images = scenes_of(world, 32, seed=1234, held_out=True)
    return float((reconstructed(vae, images).cpu() - images).abs().mean())


def sample_sheet(vae: Autoencoder, images: torch.Tensor) -> Image.Image:
    """Scenes ``(N, 3, H, W)`` in [-1, 1] above, their reconstructions below."""
    both = torch.cat([images, reconstructed(vae, images).cpu()])
    return results.sheet(results.pictures_of(both), columns=len(images))


@torch.no_grad()
def standardise(vae: AutoencoderKL, images: torch.Tensor) -> None:
    """Folds mean and deviation of the images' latents into the weights.

    A pipeline subtracts ``shift_factor`` and multiplies by ``scaling_factor``, but
    ``StableDiffusionPipeline`` knows only the scale. So ``z -> (z - mean) / deviation``, per
    channel, goes into the 1 x 1 convolutions around the latents, and the scale is 1.
    """
    parts = images.to(vae.device).split(_BATCH_SIZE)
    latents = torch.cat([vae.encode(part).latent_dist.mode() for part in parts])
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    assert vae.quant_conv is not None and vae.post_quant_conv is not None
    quant, post, channels = vae.quant_conv, vae.post_quant_conv, mean.numel()
    quant.weight[:channels] /= deviation.view(-1, 1, 1, 1)
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.bias[channels:] -= 2 * deviation.log()  # the second half is the log variance
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(dim=1)
    post.weight *= deviation.view(1, -1, 1, 1)
    vae.register_to_config(scaling_factor=1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "vae", "emoji-painter/vae", _BATCH_SIZE, 1e-3)
    _, options, world = parse(parser, arguments)
    vae = training.starting_model(
        options, AutoencoderKL, lambda: build((8, 8, 8, 8)) if options.smoke else build()
    )
    run = training.Run(options, vae)
    samples = options.run_dir / "samples.png"
    shown = scenes_of(world, 8, seed=1234, held_out=True)

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        crops = [crop_around_item(world, rng) for _ in range(options.batch_size)]
        images = as_images(crops).to(run.device, memory_format=torch.channels_last)
        posterior = vae.encode(images).latent_dist
        output = vae.decode(posterior.sample()).sample
        loss = reconstruction_loss(output.float(), images) + KL_WEIGHT * posterior.kl().mean()
        return loss, {"loss": loss, "error": (output - images).abs().mean()}

    def evaluate() -> dict[str, float]:
        sample_sheet(run.average, shown).save(samples)
        return {"held_out_error": held_out_error(run.average, world)}

    run.train(step, evaluate, evaluate_every=1000, log_every=100)

    standardise(run.average, scenes_of(world, 8 if options.smoke else 256, seed=7))
    best = results.save(run.average, options.output).to(run.device)
    run.log(held_out_error=held_out_error(best, world))
    sample_sheet(best, shown).save(samples)
    results.keep_log(options)


if __name__ == "__main__":
    main()
