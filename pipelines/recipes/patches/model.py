"""A crisp autoencoder: patches by their principal components, and a decoder that mends them.

The encoder begins as a fixed linear map, the principal components of 8 x 8 patches, and the
decoder as its inverse plus a residual network whose last layer is zero. So the first step
already reconstructs as well as any linear map can, and training adds what it lacks. No norms:
half of a small decoder's time went into their backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import nn
from torch.nn import functional

PATCH = 8
"""Edge of a patch in pixels: a latent cell."""
LATENT_CHANNELS = 16


@dataclass(frozen=True)
class PointMass:
    """The latents of pictures as a distribution without a spread, as pipelines expect one."""

    mean: torch.Tensor

    def mode(self) -> torch.Tensor:
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.mean


@dataclass(frozen=True)
class Encoded:
    """What ``encode`` returns."""

    latent_dist: PointMass


def _begin_at_zero(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class Block(nn.Module):
    """``x + conv(silu(conv(silu x)))``, which begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _begin_at_zero(self.second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.second(functional.silu(self.first(functional.silu(x))))
        return x + hidden


class Doubled(nn.Module):
    """Twice the height and width: sub-pixel convolution (Shi et al., 2016, arXiv:1609.05158)
    beside a copy of the pixels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.out = out
        self.spread = nn.Conv2d(channels, 4 * out, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        copied = functional.interpolate(x[:, : self.out], scale_factor=2.0)
        return copied + functional.pixel_shuffle(self.spread(x), 2)


class PatchAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """128 x 128 pixels to 16 x 16 cells of 16 channels and back; 6 million parameters.

    ``StableDiffusionPipeline`` takes it for its ``vae``: it has ``encode``, ``decode`` and, in
    its configuration, ``block_out_channels`` and ``scaling_factor``.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (64, 128, 256, 256),
        blocks: tuple[int, ...] = (2, 3, 3),
        latent_channels: int = LATENT_CHANNELS,
        scaling_factor: float = 1.0,
        force_upcast: bool = False,
        sample_size: int = 128,
    ) -> None:
        """
        Args:
            block_out_channels: of the decoder at the full size's half, quarter and eighth; the
                last stands for the eighth again, because pipelines count one level for each
                halving and one more.
            blocks: how many at each of these sizes.
        """
        super().__init__()
        self.to_cells = nn.Conv2d(3, latent_channels, PATCH, stride=PATCH)
        self.to_pixels = nn.ConvTranspose2d(latent_channels, 3, PATCH, stride=PATCH)
        half, quarter, eighth, _ = block_out_channels
        last = nn.Conv2d(half, 12, 3, padding=1)
        self.residual = nn.Sequential(
            nn.Conv2d(latent_channels, eighth, 3, padding=1),
            *(Block(eighth) for _ in range(blocks[2])),
            Doubled(eighth, quarter),
            *(Block(quarter) for _ in range(blocks[1])),
            Doubled(quarter, half),
            *(Block(half) for _ in range(blocks[0])),
            nn.SiLU(),
            last,
            nn.PixelShuffle(2),
        )
        _begin_at_zero(last)

    @torch.no_grad()
    def begin_at_components(self, pictures: torch.Tensor, power: float = 0.5) -> None:
        """Sets both linear maps to the principal components of the pictures' patches.

        Each channel of the cells then has mean 0 over these pictures, and all channels together
        have variance 1.

        Args:
            pictures: ``(N, 3, H, W)`` in [-1, 1], ``N`` of some hundreds.
            power: how far a channel keeps its own deviation: with 0 all channels deviate by 1,
                with 1 as their components do in pixels. What varies little is fine detail; where
                it is made as loud as colour, a denoiser works at detail first.
        """
        patches = functional.unfold(pictures, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
        mean = patches.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
        channels = self.to_cells.out_channels
        deviations = values[-channels:].flip(0).clamp(min=1e-6).sqrt()
        components = vectors[:, -channels:].flip(1).T
        wanted = deviations**power / (deviations**power).square().mean().sqrt()
        scales = (wanted / deviations)[:, None]
        into, back = components * scales, components / scales
        self.to_cells.weight.copy_(into.view_as(self.to_cells.weight))
        self.to_pixels.weight.copy_(back.view_as(self.to_pixels.weight))
        assert self.to_cells.bias is not None and self.to_pixels.bias is not None
        self.to_cells.bias.copy_(-into @ mean)
        # A transposed convolution has one bias a colour; the patches' mean is one, nearly.
        self.to_pixels.bias.copy_(mean.view(3, -1).mean(dim=1))

    def encode(self, x: torch.Tensor, return_dict: bool = True) -> Encoded:
        """Pixels ``(B, 3, H, W)`` in [-1, 1] to cells ``(B, 16, H / 8, W / 8)``."""
        return Encoded(PointMass(self.to_cells(x)))

    def decode(
        self, z: torch.Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> Any:
        """Cells ``(B, 16, h, w)`` to pixels ``(B, 3, 8 h, 8 w)``, about in [-1, 1]."""
        pixels: torch.Tensor = self.to_pixels(z) + self.residual(z)
        return DecoderOutput(sample=pixels) if return_dict else (pixels,)
