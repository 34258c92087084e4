"""The painter: a text encoder with its own words, a U-Net and a noise schedule.

Latent diffusion (Rombach et al., 2021, arXiv:2112.10752) with v-prediction (Salimans
and Ho, 2022, arXiv:2202.00512) and a schedule that ends in pure noise (Lin et al.,
2023, arXiv:2305.08891).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from pipelines.recipes.vae.model import LATENT_CHANNELS

MAX_TOKENS = 32
LATENT_EDGE = 16
_SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token for each word, lower case, without punctuation; other words are ``<unk>``."""
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
    """An untrained CLIP text transformer."""
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
    channels: Sequence[int] = (96, 128, 160),
    text_width: int = 192,
    latent_channels: int = LATENT_CHANNELS,
) -> UNet2DConditionModel:
    """8.3 million parameters at the standard widths; attends to the text below 16 x 16.

    The pooled caption is added to the timestep's embedding, so that every block at every
    size is conditioned on it.
    """
    inner = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=LATENT_EDGE,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=tuple(channels),
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * inner,
        mid_block_type=None,  # the lowest level already has three layers with attention
        up_block_types=("CrossAttnUpBlock2D",) * inner + ("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=text_width,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        attention_head_dim=4,  # despite its name, the number of heads
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """The noise schedule of training, and the sampler of the checkpoint.

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


def spread_timesteps(
    size: int, late: float = 1.0, generator: torch.Generator | None = None, count: int = 1000
) -> torch.Tensor:
    """Random timesteps ``(size,)`` in [0, count), one in each of ``size`` equal intervals.

    ``late`` above 1 draws more of the noisy ones: their density is that of t^(late - 1).
    """
    even = (torch.arange(size) + torch.rand(size, generator=generator)) / size
    return (even.pow(1 / late) * count).long().clamp(max=count - 1)


def denoising_errors(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    scheduler: Any,
    latents: torch.Tensor,
    timesteps: torch.Tensor,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Squared errors of what a U-Net predicts of noisy latents: ``(B, C, H, W)``.

    Args:
        predict: from noisy latents and timesteps what the scheduler's ``prediction_type``
            says: the noise, the clean latents, or the velocity ``alpha noise - sigma latents``.
        latents: clean ones, ``(B, C, H, W)``.
        timesteps: ``(B,)`` int64.
        generator: of the noise, on the processor.
    """
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    match scheduler.config.prediction_type:
        case "v_prediction":
            target = scheduler.get_velocity(latents, noise, timesteps)
        case "sample":
            target = latents
        case _:
            target = noise
    errors: torch.Tensor = (predict(noisy, timesteps).float() - target).square()
    return errors


class Painter(torch.nn.Module):
    """Text encoder and U-Net as one module, for one optimiser and one moving average."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet

    @classmethod
    def from_pretrained(cls, path: Path, dtype: torch.dtype) -> Painter:
        """These two parts of a saved pipeline."""
        pipeline = StableDiffusionPipeline.from_pretrained(path, vae=None, dtype=dtype)
        return cls(pipeline.text_encoder, pipeline.unet)

    def predictor(
        self, input_ids: torch.Tensor
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Predicts the velocity for captions ``(B, T)``: see ``denoising_errors``."""
        hidden = self.text_encoder(input_ids).last_hidden_state
        return lambda noisy, timesteps: self.unet(noisy, timesteps, hidden).sample
