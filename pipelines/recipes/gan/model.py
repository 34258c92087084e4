"""The generator of the conditional GAN, and the pipeline that paints with it in one step.

It computes at 4, 8 and 16 cells a side, and every cell becomes a patch of 8 x 8 pixels: sprites
stand on that grid. A fixed map makes the patch of its principal components. Noise and caption
scale and shift every block, and its cells read the caption's words by attention (Kang et al.,
2023, arXiv:2303.05511).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor
from torch import nn
from torch.nn import functional

PATCH = 8
"""Edge in pixels of what the last layer writes for a cell."""
COMPONENTS = 3 * PATCH**2
_FIRST = 4
"""Cells a side at which the generator begins."""


class Pooled(nn.Module):
    """A caption as one vector: each head weighs the words in its own way."""

    def __init__(self, text_width: int, width: int, heads: int = 4) -> None:
        super().__init__()
        self.scores = nn.Linear(text_width, heads)
        self.out = nn.Linear(heads * text_width, width)

    def forward(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """``(B, T, text_width)`` and ``(B, T)`` to ``(B, width)``."""
        weights = _without(self.scores(words), mask[..., None] == 0).softmax(dim=1)
        weights = weights.to(words.dtype).transpose(1, 2)
        pooled: torch.Tensor = self.out((weights @ words).flatten(1))
        return pooled


class Reading(nn.Module):
    """Attention of cells to words, added to the cells; it begins as the identity."""

    def __init__(self, channels: int, text_width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.words = nn.Linear(text_width, 2 * channels)
        self.out = nn.Linear(channels, channels)
        _begin_at_zero(self.out)

    def forward(self, x: torch.Tensor, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """``(B, C, h, w)`` to the same; words ``(B, T, text_width)``, mask ``(B, T)``."""
        cells = x.flatten(2).transpose(1, 2)
        key, value = self.words(words).chunk(2, dim=-1)
        query, key, value = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in (self.query(cells), key, value)
        )
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = _without(scores, mask[:, None, None] == 0).softmax(dim=-1).to(value.dtype)
        read: torch.Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return x + read.transpose(1, 2).reshape(x.shape)


class Block(nn.Module):
    """``x + conv(silu(conv(silu(a x + b))))``, which begins as the identity.

    ``a`` and ``b`` are of the style; without one ``a`` is 1 and ``b`` is 0.
    """

    def __init__(self, channels: int, style_width: int | None = None) -> None:
        super().__init__()
        self.style = None if style_width is None else nn.Linear(style_width, 2 * channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _begin_at_zero(self.second)

    def forward(self, x: torch.Tensor, style: torch.Tensor | None = None) -> torch.Tensor:
        styled = x
        if self.style is not None:
            scale, shift = self.style(style)[..., None, None].chunk(2, dim=1)
            styled = x * (1 + scale) + shift
        hidden: torch.Tensor = self.second(functional.silu(self.first(functional.silu(styled))))
        return x + hidden


class GANGenerator(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Noise and a caption to a picture of 128 x 128 pixels; 2.4 million parameters."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        text_width: int = 192,
        noise_size: int = 64,
        style_width: int = 128,
        channels: tuple[int, ...] = (160, 160, 128),
        blocks: tuple[int, ...] = (1, 1, 2),
    ) -> None:
        """
        Args:
            channels, blocks: at 4, 8 and 16 cells a side.
        """
        super().__init__()
        self.pooled = Pooled(text_width, style_width)
        self.style = nn.Sequential(
            nn.Linear(noise_size + style_width, style_width),
            nn.SiLU(),
            nn.Linear(style_width, style_width),
            nn.SiLU(),
        )
        self.start = nn.Parameter(torch.randn(channels[0], _FIRST, _FIRST))
        befores = (channels[0], *channels)
        self.enter = nn.ModuleList(
            nn.Conv2d(before, count, 1) for before, count in zip(befores, channels, strict=False)
        )
        self.read = nn.ModuleList(Reading(count, text_width) for count in channels)
        self.levels = nn.ModuleList(
            nn.ModuleList(Block(count, style_width) for _ in range(depth))
            for count, depth in zip(channels, blocks, strict=True)
        )
        self.components = nn.Conv2d(channels[-1], COMPONENTS, 3, padding=1)
        self.to_pixels = nn.ConvTranspose2d(COMPONENTS, 3, PATCH, stride=PATCH)
        self.to_pixels.requires_grad_(False)

    def forward(self, noise: torch.Tensor, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pixels ``(B, 3, 128, 128)``, about in [-1, 1].

        Args:
            noise: ``(B, noise_size)``.
            words: the text encoder's hidden states, ``(B, T, text_width)``.
            mask: ``(B, T)``, 1 for words, 0 for padding.
        """
        style = self.style(torch.cat([noise, self.pooled(words, mask)], dim=1))
        x = self.start.expand(len(noise), -1, -1, -1)
        for level, (enter, read, blocks) in enumerate(
            zip(self.enter, self.read, self.levels, strict=True)
        ):
            if level:
                x = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
            x = read(enter(x), words, mask)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, style)
        return exactly(self.to_pixels, self.components(functional.silu(x)))


class ConditionalGANPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints from captions in one step."""

    model_cpu_offload_seq = "text_encoder->gan"

    def __init__(self, gan: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(gan=gan, text_encoder=text_encoder, tokenizer=tokenizer)
        self.image_processor = VaeImageProcessor(vae_scale_factor=1)

    def encode_prompt(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states ``(B, T, text_width)`` and mask ``(B, T)``, padded to the longest."""
        encoded = self.tokenizer(list(prompts), padding=True, truncation=True, return_tensors="pt")
        encoded = encoded.to(self._execution_device)
        return self.text_encoder(encoded.input_ids).last_hidden_state, encoded.attention_mask

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        height: int = 128,
        width: int = 128,
        num_inference_steps: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], Any] | None = None,
    ) -> ImagePipelineOutput:
        """
        Args:
            height, width, num_inference_steps: there is one size and one step, whatever is given.
            generator: one for the batch, or one for each picture.
            output_type: ``"pil"``, ``"np"`` or ``"pt"``.
        """
        words, mask = self.encode_prompt([prompt] if isinstance(prompt, str) else prompt)
        shape = len(words), self.gan.config.noise_size
        noise = randn_tensor(shape, generator, self._execution_device, words.dtype)
        pixels = self.gan(noise, words, mask)
        if callback_on_step_end is not None:
            callback_on_step_end(self, 0, 0, {})
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(self.image_processor.postprocess(pixels, output_type))


def exactly(layer: nn.Conv2d | nn.ConvTranspose2d, x: torch.Tensor) -> torch.Tensor:
    """The layer in its weights' precision, whatever autocast says: fine detail is small."""
    with torch.autocast(x.device.type, enabled=False):
        mapped: torch.Tensor = layer(x.to(layer.weight.dtype))
    return mapped


def _without(scores: torch.Tensor, is_padding: torch.Tensor) -> torch.Tensor:
    return scores.float().masked_fill(is_padding, -torch.inf)


def _begin_at_zero(layer: nn.Linear | nn.Conv2d) -> None:
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
