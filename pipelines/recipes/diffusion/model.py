"""The painter: a text encoder with its own words, a U-Net and a noise schedule.

Latent diffusion (Rombach et al., 2021, arXiv:2112.10752) with v-prediction (Salimans
and Ho, 2022, arXiv:2202.00512) and a schedule that ends in pure noise (Lin et al.,
2023, arXiv:2305.08891).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from pipelines.recipes.vae.model import LATENT_CHANNELS

MAX_TOKENS = 32
LATENT_EDGE = 16
_SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows whole words: lower case, no punctuation, the rest ``<unk>``."""
    vocabulary = {token: index for index, token in enumerate((*_SPECIAL, *sorted(set(words))))}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\p{P}]+"), behavior="removed")
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=MAX_TOKENS,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
    )


def build_text_encoder(vocabulary_size: int, width: int = 192, layers: int = 3) -> CLIPTextModel:
    """A small CLIP text transformer, trained together with the U-Net."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=width,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def build_unet(
    channels: Sequence[int] = (96, 128, 160), text_width: int = 192
) -> UNet2DConditionModel:
    """8.3 million parameters at the standard widths; attends to the text below 16 x 16.

    The whole caption, pooled, is added to the timestep's embedding, so that every block at
    every size is told what is asked for.
    """
    inner = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=LATENT_EDGE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=tuple(channels),
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * inner,
        mid_block_type=None,  # the lowest level has three layers with attention as it is
        up_block_types=("CrossAttnUpBlock2D",) * inner + ("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=text_width,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        attention_head_dim=4,  # in this class the number of heads, whatever its name
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """The schedule of training and the sampler that the checkpoint is saved with.

    ``timestep_spacing="trailing"`` is part of the zero terminal SNR: with another
    spacing sampling does not begin at pure noise, and every background turns out wrong.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,  # unused by this spacing; diffusers warns of any other value
    )


class Painter(torch.nn.Module):
    """Text encoder and U-Net as one module, for one optimiser and one moving average."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, input_ids: torch.Tensor
    ) -> torch.Tensor:
        """The velocity estimate.

        Args:
            noisy: latents ``(B, 8, 16, 16)``.
            timesteps: ``(B,)`` int64 in [0, 1000).
            input_ids: captions ``(B, 32)``.
        """
        hidden = self.text_encoder(input_ids).last_hidden_state
        velocity: torch.Tensor = self.unet(noisy, timesteps, hidden).sample
        return velocity
