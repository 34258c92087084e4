"""The flow transformer: a transformer over latent cells, and the pipeline that paints with it.

Blocks as in DiT (Peebles and Xie, 2022, arXiv:2212.09748): the timestep and the caption scale,
shift and gate every sublayer, and all gates begin at zero. One layer computes these for all
blocks, and each block adds a table of its own (Chen et al., 2023, arXiv:2310.00426). Between the
feed-forward's layers stands a convolution for each channel (Xie et al., 2024, arXiv:2410.10629).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    ConfigMixin,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    ImagePipelineOutput,
    ModelMixin,
)
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.utils.torch_utils import randn_tensor
from torch import nn
from torch.nn import functional
from transformers import CLIPTextModel

TIMESTEPS = 1000
"""What pure noise is to the transformer and the scheduler."""
SHIFT = 2.0
"""Moves the times of training and sampling towards noise (Esser et al., 2024, arXiv:2403.03206,
equation 23): a background of one colour shows through much of it, so that little is left to learn
in the middle of the line."""
_PARTS = 6
"""Shift, scale and gate of the attention, and of the feed-forward."""


class Block(nn.Module):
    """Attention of the cells to each other and to the caption's words, then a feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int, text_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.table = nn.Parameter(torch.zeros(_PARTS, width))
        self.cells = nn.Linear(width, 3 * width)
        self.words = nn.Linear(text_width, 2 * width)
        self.sharpness = nn.Parameter(torch.ones(heads, 1, 1))
        self.attended = nn.Linear(width, width)
        self.widen = nn.Linear(width, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(
        self, x: torch.Tensor, parts: torch.Tensor, words: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """Cells ``(B, h, w, width)`` to the same.

        Args:
            parts: of all blocks, ``(B, 6, width)``.
            words: ``(B, T, text_width)``.
            bias: of the attention, ``(B, 1, 1, h w + T)``: minus infinity for padding.
        """
        shift, scale, gate, shift2, scale2, gate2 = (
            part[:, None, None] for part in (parts + self.table).unbind(dim=1)
        )
        x = x + gate * self._attention(_normalised(x) * (1 + scale) + shift, words, bias)
        hidden = self.widen(_normalised(x) * (1 + scale2) + shift2).permute(0, 3, 1, 2)
        hidden = functional.gelu(self.mix(hidden), approximate="tanh").permute(0, 2, 3, 1)
        changed: torch.Tensor = x + gate2 * self.narrow(hidden)
        return changed

    def _attention(self, x: torch.Tensor, words: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        query, key, value = _by_head(self.cells(x).flatten(1, 2), 3, self.heads)
        word_key, word_value = _by_head(self.words(words), 2, self.heads)
        key, value = torch.cat([key, word_key], dim=2), torch.cat([value, word_value], dim=2)
        size = query.shape[-1:]
        query, key = (functional.rms_norm(each, size, eps=1e-6) for each in (query, key))
        query = query * (self.sharpness * size[0] ** -0.5).to(query.dtype)
        # Plain products: on a processor the fused ones have a slow backward pass in bf16.
        scores = query @ key.transpose(-1, -2)
        weights = (scores + bias.to(scores.dtype)).softmax(dim=-1).to(value.dtype)
        out: torch.Tensor = self.attended((weights @ value).transpose(1, 2).reshape(x.shape))
        return out


class FlowTransformer(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Predicts the flow's velocity at each latent cell; 4.2 million parameters."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        latent_channels: int = 8,
        text_width: int = 192,
        width: int = 192,
        layers: int = 8,
        heads: int = 6,
        hidden: int = 640,
        patch_size: int = 2,
        sample_size: int = 16,
    ) -> None:
        """
        Args:
            patch_size: edge in latent cells of what is one cell to the blocks.
            hidden: width between the layers of the feed-forwards.
            sample_size: edge of a whole picture in cells; it paints other sizes, too.
        """
        super().__init__()
        self.cells_in = nn.Linear(latent_channels * patch_size**2, width)
        self.frequencies = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0.0)
        self.time = TimestepEmbedding(256, width)
        self.caption = nn.Linear(text_width, width)
        self.parts = nn.Linear(width, _PARTS * width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, text_width) for _ in range(layers))
        self.last_parts = nn.Linear(width, 2 * width)
        self.cells_out = nn.Linear(width, latent_channels * patch_size**2)
        for layer in (self.parts, self.last_parts, self.cells_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        words: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """Noise less clean latents, ``(B, C, h, w)``.

        Args:
            latents: noisy ones, ``(B, C, h, w)``.
            timestep: ``(B,)``, 1000 for pure noise.
            words: the text encoder's hidden states, ``(B, T, text_width)``.
            mask: ``(B, T)``, 1 for words, 0 for padding.
        """
        patch_size = self.config.patch_size
        x = self.cells_in(functional.pixel_unshuffle(latents, patch_size).permute(0, 2, 3, 1))
        x = x + positions(*x.shape[1:]).to(x)
        ends = words[torch.arange(len(words)), mask.sum(dim=1) - 1]
        condition = self.time(self.frequencies(timestep).to(words.dtype)) + self.caption(ends)
        condition = functional.silu(condition)
        parts = self.parts(condition).unflatten(-1, (_PARTS, -1))
        seen = functional.pad(mask, (x.shape[1] * x.shape[2], 0), value=1)
        bias = torch.zeros(seen.shape, device=x.device).masked_fill(seen == 0, -torch.inf)
        for block in self.blocks:
            x = block(x, parts, words, bias[:, None, None])
        shift, scale = self.last_parts(condition)[:, None, None].chunk(2, dim=-1)
        cells = self.cells_out(_normalised(x) * (1 + scale) + shift).permute(0, 3, 1, 2)
        velocity: torch.Tensor = functional.pixel_shuffle(cells, patch_size)
        return velocity


class FlowPainter(nn.Module):
    """Text encoder and transformer as one module, for one optimiser and one moving average."""

    def __init__(self, text_encoder: CLIPTextModel, transformer: FlowTransformer) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.transformer = transformer

    @classmethod
    def from_pretrained(cls, path: Path, dtype: torch.dtype) -> FlowPainter:
        """These two parts of a saved pipeline."""
        text_encoder = CLIPTextModel.from_pretrained(path / "text_encoder", dtype=dtype)
        return cls(text_encoder, FlowTransformer.from_pretrained(path / "transformer", dtype=dtype))

    def flow_errors(
        self,
        input_ids: torch.Tensor,
        mask: torch.Tensor,
        latents: torch.Tensor,
        times: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Squared errors of the velocity at points between latents and noise, ``(B, C, h, w)``.

        Rectified flow (Liu et al., 2022, arXiv:2209.03003, equation 1).

        Args:
            input_ids, mask: of the captions, ``(B, T)``.
            latents: clean ones, ``(B, C, h, w)``.
            times: ``(B,)`` in (0, 1); 1 is noise.
            generator: of the noise, on the processor.
        """
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        share = times[:, None, None, None]
        noisy = (1 - share) * latents + share * noise
        words = self.text_encoder(input_ids).last_hidden_state
        velocity = self.transformer(noisy, TIMESTEPS * times, words, mask)
        errors: torch.Tensor = (velocity.float() - (noise - latents)).square()
        return errors


def spread_times(size: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Random times ``(size,)`` in (0, 1), logit-normal (equation 19 there) and shifted, one in
    each of ``size`` intervals that are as likely as each other."""
    even = (torch.arange(size) + torch.rand(size, generator=generator)) / size
    normal: torch.Tensor = torch.special.ndtri(even.clamp(1e-5, 1 - 1e-5))
    return (normal + math.log(SHIFT)).sigmoid()


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """The sampler of the checkpoint."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=TIMESTEPS, shift=SHIFT)


class FlowTransformerPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints from captions: Euler steps along the flow from noise to latents, then the decoder."""

    model_cpu_offload_seq = "text_encoder->transformer->vae"

    def __init__(
        self, vae: Any, text_encoder: Any, tokenizer: Any, transformer: Any, scheduler: Any
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            transformer=transformer,
            scheduler=scheduler,
        )
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)

    def encode_prompt(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states ``(B, 32, text_width)`` and mask ``(B, 32)``."""
        encoded = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt"
        ).to(self._execution_device)
        hidden = self.text_encoder(encoded.input_ids).last_hidden_state
        return hidden, encoded.attention_mask

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 4.0,
        negative_prompt: str | Sequence[str] = "",
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], Any] | None = None,
    ) -> ImagePipelineOutput:
        """
        Args:
            height, width: in pixels, multiples of the autoencoder's reduction.
            guidance_scale: how far to go from the negative prompt's velocity beyond the
                prompt's (Ho and Salimans, 2022, arXiv:2207.12598); 1 or less: no guidance.
            generator: one for the batch, or one for each picture.
            output_type: ``"pil"``, ``"np"``, ``"pt"``, or ``"latent"``.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        is_guided = guidance_scale > 1
        if is_guided:
            is_one = isinstance(negative_prompt, str)
            prompts = [*([negative_prompt] * len(prompts) if is_one else negative_prompt), *prompts]
        words, mask = self.encode_prompt(prompts)
        config, scale = self.transformer.config, self.vae_scale_factor
        edges = [e // scale if e else config.sample_size for e in (height, width)]
        shape = (len(prompts) // (1 + is_guided), config.latent_channels, *edges)
        latents = randn_tensor(shape, generator, self._execution_device, words.dtype)
        # The scheduler's own end with a step of no length.
        sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)
        self.scheduler.set_timesteps(sigmas=sigmas, device=latents.device)
        for step, timestep in enumerate(self.progress_bar(self.scheduler.timesteps)):
            noisy = torch.cat([latents, latents]) if is_guided else latents
            velocity = self.transformer(noisy, timestep.expand(len(noisy)), words, mask)
            if is_guided:
                away, towards = velocity.chunk(2)
                velocity = away + guidance_scale * (towards - away)
            (latents,) = self.scheduler.step(velocity, timestep, latents, return_dict=False)
            if callback_on_step_end is not None:
                tensors = callback_on_step_end(self, step, timestep, {"latents": latents})
                latents = tensors.get("latents", latents)
        self.maybe_free_model_hooks()
        if output_type == "latent":
            return ImagePipelineOutput(images=latents)
        pixels = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return ImagePipelineOutput(self.image_processor.postprocess(pixels, output_type))


def _by_head(x: torch.Tensor, count: int, heads: int) -> tuple[torch.Tensor, ...]:
    """``(B, N, count width)`` to ``count`` of ``(B, heads, N, width / heads)``."""
    apart: torch.Tensor = x.unflatten(-1, (count, heads, -1))
    return apart.permute(2, 0, 3, 1, 4).unbind()


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6)


def positions(rows: int, columns: int, width: int) -> torch.Tensor:
    """Sines and cosines of each cell's place, ``(rows, columns, width)``, counted from the middle.

    So the cells of a window are those in the middle of a whole picture.
    """
    frequencies = 64.0 ** -(torch.arange(width // 4) / (width // 4))
    waves = []
    for count in (rows, columns):
        angles = (torch.arange(count) - (count - 1) / 2)[:, None] * frequencies
        waves.append(torch.cat([angles.sin(), angles.cos()], dim=1))
    down, across = waves
    grid = down[:, None].expand(-1, columns, -1), across[None].expand(rows, -1, -1)
    return torch.cat(grid, dim=-1)
