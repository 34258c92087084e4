"""Fits the map from latents to colours by which the page previews a picture at each step.

    python -m pipelines.recipes.diffusion.preview assets/models/emoji-painter

fits it anew for a painter's autoencoder, and writes it to its ``world.json``: some seconds. The
map has the products of channels, too: by a linear one white came out yellow and black purple.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch.nn import functional

from pipelines.recipes.autoencoders import Autoencoder, load_autoencoder
from pipelines.recipes.emoji_scenes.data import World
from pipelines.recipes.emoji_scenes.vocabulary import COLOURS
from pipelines.recipes.vae.train import scenes_of

SCENES = 128
_PLAIN = 1e-3
"""Largest variance of a colour within a cell that shows background alone."""
_BACKGROUNDS = 0.5
"""What plain cells weigh together, all colours alike; what shows things weighs the rest."""
_RIDGE = 1e-6
_ROUNDS = 10


@torch.no_grad()
def fit_preview(vae: Autoencoder, latents: torch.Tensor) -> dict[str, object]:
    """The map from latent cells to the mean colour of their pixels, by weighted least squares.

    Beyond black and white any value is as good, for it is clipped when it is shown.

    Args:
        latents: ``(N, C, h, w)``, as they are denoised.
    """
    latents = latents.float().to(vae.device)
    pictures = torch.cat([vae.decode(part).sample for part in latents.split(16)])
    edge = pictures.shape[-1] // latents.shape[-1]
    mean = functional.avg_pool2d(pictures, edge)
    variance = functional.avg_pool2d(pictures**2, edge) - mean**2
    colours = mean.permute(0, 2, 3, 1).flatten(0, 2).double()
    is_plain = (variance.amax(dim=1) < _PLAIN).flatten()
    cells = latents.permute(0, 2, 3, 1).flatten(0, 2).double()
    first, second = torch.triu_indices(cells.shape[1], cells.shape[1])
    products = cells[:, first] * cells[:, second]
    design = torch.cat([cells, products, torch.ones_like(cells[:, :1])], dim=1)
    solution = _fitted(design, colours, _weights(colours, is_plain))
    channels = cells.shape[1]
    return {
        "weights": solution[:channels].tolist(),
        "products": solution[channels:-1].tolist(),
        "bias": solution[-1].tolist(),
    }


def _weights(colours: torch.Tensor, is_plain: torch.Tensor) -> torch.Tensor:
    """``(cells,)``, one on average: every background colour counts alike."""
    known = torch.tensor(list(COLOURS.values())).to(colours) / 127.5 - 1
    nearest = torch.cdist(colours, known).argmin(dim=1)
    weights = torch.zeros_like(colours[:, 0])
    weights[~is_plain] = (1 - _BACKGROUNDS) / (~is_plain).sum().clamp(min=1)
    found = nearest[is_plain].unique()
    for colour in found:
        chosen = is_plain & (nearest == colour)
        weights[chosen] = _BACKGROUNDS / len(found) / chosen.sum()
    return weights * len(weights)


def _fitted(design: torch.Tensor, colours: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    weighted = design * weights[:, None]
    ridge = _RIDGE * len(design) * torch.eye(design.shape[1]).to(design)
    target = colours
    for _ in range(_ROUNDS):
        solution: torch.Tensor = torch.linalg.solve(
            design.T @ weighted + ridge, weighted.T @ target
        )
        reached = design @ solution
        beyond = ((colours > 0.97) & (reached > colours)) | (
            (colours < -0.97) & (reached < colours)
        )
        target = torch.where(beyond, reached, colours)
    return solution


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    file: Path = parser.parse_args().checkpoint / "world.json"
    vae = load_autoencoder(file.parent / "vae")
    with torch.no_grad():
        parts = scenes_of(World(), SCENES, seed=0).split(16)
        latents = torch.cat([vae.encode(part).latent_dist.mode() for part in parts])
    known = json.loads(file.read_text("utf-8"))
    known["preview"] = fit_preview(vae, latents * vae.config.scaling_factor)
    file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
