"""The painter's autoencoder: 128 x 128 pixels to 16 x 16 cells of eight channels.

A convolutional variational autoencoder (Kingma and Welling, 2013, arXiv:1312.6114) in
the form that latent diffusion uses (Rombach et al., 2021, arXiv:2112.10752).
"""

from __future__ import annotations

from diffusers import AutoencoderKL

LATENT_CHANNELS = 8
REDUCTION = 8


def build(channels: tuple[int, ...] = (32, 64, 96, 128)) -> AutoencoderKL:
    """An untrained autoencoder: 3.3 million parameters at the standard widths."""
    levels = len(channels)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
        force_upcast=False,
    )
