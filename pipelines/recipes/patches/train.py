"""Trains the crisp autoencoder on emoji scenes.

    python -m pipelines.recipes.patches.train --steps 6000

With ``--learn-cells`` the encoder is trained, too, and only begins at the components.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from pipelines.recipes import command_line, results, training
from pipelines.recipes.emoji_scenes.data import World, as_images, parse
from pipelines.recipes.patches.model import PatchAutoencoder
from pipelines.recipes.vae.train import (
    crop_around_item,
    reconstructed,
    reconstruction_loss,
    sample_sheet,
    scenes_of,
)

NOISE = 0.4
"""Cells are decoded with noise of up to this deviation: a painter's cells are not exact."""
ADVERSARIAL_FROM = 0.7
"""The share of the budget from which a discriminator judges, too."""
ADVERSARIAL_WEIGHT, FEATURE_WEIGHT = 0.05, 0.5
FLAT_WEIGHT = 0.1
"""Of the difference between the cells of neighbours, where the encoder learns: what varies
slowly is what a denoiser predicts well."""


class Discriminator(nn.Module):
    """Judges patches (Isola et al., 2017, arXiv:1611.07004), spectrally normalised (Miyato et
    al., 2018, arXiv:1802.05957), on pixels folded to half the size."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        channels = (12, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(
            parametrizations.spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1))
            for before, after in pairwise(channels)
        )
        self.verdict = parametrizations.spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """The features of each layer for ``(B, 3, H, W)``; last, the verdicts ``(B, 1, h, w)``."""
        features = [functional.pixel_unshuffle(pictures, 2)]
        for layer in self.layers:
            features.append(functional.leaky_relu(layer(features[-1]), 0.2))
        return [*features[1:], self.verdict(features[-1])]


class Pair(nn.Module):
    """Autoencoder and discriminator as one module: one optimiser, one state to resume from."""

    def __init__(self, autoencoder: PatchAutoencoder, discriminator: Discriminator) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.discriminator = discriminator

    def judged(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """The discriminator's features, through which no gradient reaches its own weights."""
        frozen = {
            name: parameter.detach() for name, parameter in self.discriminator.named_parameters()
        }
        features = torch.func.functional_call(self.discriminator, frozen, (pictures,))
        return cast(list[torch.Tensor], features)


def adversarial_loss(
    pair: Pair, output: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of both sides: hinge (Lim and Ye, 2017, arXiv:1705.02894), and for the autoencoder
    the distance of the discriminator's features.

    Args:
        output, target: ``(B, 3, H, W)``.

    Returns:
        That of the autoencoder, without gradients for the discriminator, and the reverse.
    """
    *features, verdict = pair.judged(output)
    *wanted, _ = pair.judged(target)
    matched = torch.stack(
        [functional.l1_loss(a, b.detach()) for a, b in zip(features, wanted, strict=True)]
    ).mean()
    painter = FEATURE_WEIGHT * matched - ADVERSARIAL_WEIGHT * verdict.mean()
    real, fake = (pair.discriminator(each.detach())[-1] for each in (target, output))
    judge = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    return painter, judge


def roughness(cells: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of neighbouring cells ``(B, C, h, w)``, for unit variance."""
    return sum((cells.diff(dim=axis).square().mean() for axis in (-1, -2)), cells.new_zeros(()))


@torch.no_grad()
def held_out_scores(autoencoder: PatchAutoencoder, pictures: torch.Tensor) -> dict[str, float]:
    """Mean absolute error, and the gradients' energy against the originals', of pictures
    ``(N, 3, 128, 128)`` in [-1, 1]."""
    output = reconstructed(autoencoder, pictures).cpu()
    energy, wanted = (
        sum(float(each.diff(dim=axis).square().sum()) for axis in (-1, -2))
        for each in (output, pictures)
    )
    return {
        "held_out_error": float((output - pictures).abs().mean()),
        "held_out_sharpness": energy / wanted,
        "cell_roughness": float(roughness(autoencoder.to_cells(pictures.to(autoencoder.device)))),
    }


def build(options: command_line.Options, world: World, power: float) -> PatchAutoencoder:
    """An autoencoder at the components of the world's scenes."""
    small: dict[str, Any] = {"block_out_channels": (8, 8, 16, 16), "blocks": (1, 1, 1)}
    autoencoder: PatchAutoencoder = PatchAutoencoder(**(small if options.smoke else {}))
    scenes = scenes_of(world, 32 if options.smoke else 512, seed=7)
    autoencoder.begin_at_components(scenes, power)
    return autoencoder


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "patches", "emoji-painter-crisp/vae", 16, 1e-3)
    parser.add_argument("--learn-cells", action="store_true", help="train the encoder, too")
    parser.add_argument(
        "--power", type=float, default=0.5, help="0: all channels alike, 1: as loud as in pixels"
    )
    parsed, options, world = parse(parser, arguments)
    autoencoder = training.starting_model(
        options, PatchAutoencoder, lambda: build(options, world, parsed.power)
    )
    autoencoder.to_cells.requires_grad_(parsed.learn_cells)
    pair = Pair(autoencoder, Discriminator(8 if options.smoke else 48))
    run = training.Run(options, pair)
    held_out = scenes_of(world, 8 if options.smoke else 64, seed=1234, held_out=True)
    samples = options.run_dir / "samples.png"

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        crops = [crop_around_item(world, rng) for _ in range(options.batch_size)]
        pictures = as_images(crops).to(run.device, memory_format=torch.channels_last)
        cells = autoencoder.encode(pictures).latent_dist.mode()
        deviation = NOISE * torch.rand(len(cells), 1, 1, 1, device=run.device)
        noise = deviation * torch.randn(cells.shape).to(run.device)
        output = autoencoder.decode(cells + noise).sample.float()
        loss = reconstruction_loss(output, pictures)
        values = {"error": (output - pictures).abs().mean()}
        if parsed.learn_cells:
            loss = loss + FLAT_WEIGHT * roughness(cells) + _unit(cells)
        if run.progress >= ADVERSARIAL_FROM:
            painter, judge = adversarial_loss(pair, output, pictures)
            loss = loss + painter + judge
            values |= {"painter": painter, "judge": judge}
        return loss, {"loss": loss, **values}

    def evaluate() -> dict[str, float]:
        average = run.average.autoencoder
        sample_sheet(average, held_out[:8]).save(samples)
        return held_out_scores(average, held_out)

    run.train(step, evaluate, evaluate_every=500, log_every=50)

    best = results.save(run.average.autoencoder, options.output).to(run.device)
    run.log(**held_out_scores(best, held_out))
    sample_sheet(best, held_out[:8]).save(samples)
    results.keep_log(options)


def _unit(cells: torch.Tensor) -> torch.Tensor:
    """How far each channel's mean is from 0 and its variance from 1."""
    mean, variance = cells.mean(dim=(0, 2, 3)), cells.var(dim=(0, 2, 3))
    return mean.square().mean() + (variance - 1).square().mean()


if __name__ == "__main__":
    main()
