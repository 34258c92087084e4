"""A conditional variational autoencoder: a caption and a few random numbers become a picture.

Sohn et al., 2015 (Learning Structured Output Representation using Deep Conditional Generative
Models): prior, recognition network and generator, each of which reads the caption. Serving code
may import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from pipelines.recipes.patches.model import LATENT_CHANNELS, PATCH, Block, Doubled

EDGE = 128
"""Of a picture, in pixels."""
_FIRST, _LAST = 4, 16
"""Cells a side at which the generator begins, and at which it is done with the words."""

_QUIET = -4.0
"""Log variance of an untrained posterior. At 0 its draws are noise, the generator learns to
ignore them, and things end in the mean of all their places."""


@dataclass(frozen=True)
class Normal:
    """A normal distribution with independent numbers: ``mean`` and ``log_variance`` ``(B, Z)``."""

    mean: torch.Tensor
    log_variance: torch.Tensor

    def at(self, noise: torch.Tensor) -> torch.Tensor:
        """The draw that this standard noise ``(B, Z)`` becomes."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self, prior: Normal) -> torch.Tensor:
        """Kullback and Leibler's from a prior, in nats a picture: ``(B,)``."""
        ratio = self.log_variance - prior.log_variance
        offset = (self.mean - prior.mean).square() * (-prior.log_variance).exp()
        return 0.5 * (ratio.exp() + offset - 1 - ratio).sum(dim=1)


class Pooled(nn.Module):
    """The caption as one vector: the words' mean, weighted by what each has to say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """``(B, T, W)`` to ``(B, W)``."""
        pooled: torch.Tensor = (self.score(words).softmax(dim=1) * words).sum(dim=1)
        return pooled


class ReadingBlock(nn.Module):
    """A residual block whose every cell reads the words that concern it.

    Each cell attends to the words (Vaswani et al., 2017, arXiv:1706.03762), and what it reads
    scales and shifts it (Perez et al., 2017, arXiv:1709.07871).
    """

    def __init__(self, channels: int, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(channels, width, 1)
        self.keys = nn.Linear(width, 2 * width)
        self.effect = nn.Conv2d(width, 2 * channels, 1)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """``(B, C, h, w)`` and ``(B, T, W)`` to ``(B, C, h, w)``."""
        scale, shift = self.effect(self._read(x, words)).chunk(2, dim=1)
        hidden = self.first(functional.silu(x)) * (1 + scale) + shift
        change: torch.Tensor = self.second(functional.silu(hidden))
        return x + change

    def _read(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = x.shape
        query = self.query(x).flatten(2).transpose(1, 2)
        key, value = self.keys(words).chunk(2, dim=2)
        query, key, value = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in (query, key, value)
        )
        weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)
        read: torch.Tensor = (weights @ value).transpose(2, 3)
        return read.reshape(batch, -1, height, width)


class Recogniser(nn.Module):
    """The posterior: which numbers would have made this picture of this caption."""

    def __init__(self, width: int, latent_size: int, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third = channels
        self.layers = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, first, 3, padding=1),
            Block(first),
            nn.Conv2d(first, second, 2, stride=2),
            Block(second),
            nn.Conv2d(second, third, 2, stride=2),
            Block(third),
            nn.SiLU(),
            nn.Flatten(),
        )
        self.out = nn.Linear(third * _FIRST**2 + width, 2 * latent_size)
        nn.init.constant_(self.out.bias[latent_size:], _QUIET)

    def forward(self, cells: torch.Tensor, pooled: torch.Tensor) -> Normal:
        features = torch.cat([self.layers(cells), pooled], dim=1)
        return Normal(*self.out(features).float().chunk(2, dim=1))


class Generator(nn.Module):
    """Latent numbers and words to pixels: 4, 8, 16 cells a side with the words, then without."""

    def __init__(self, width: int, latent_size: int, channels: int) -> None:
        super().__init__()
        self.begin = nn.Linear(latent_size + width, channels * _FIRST**2)
        self.token = nn.Linear(latent_size, width)
        self.coarse = ReadingBlock(channels, width)
        self.middle = ReadingBlock(channels, width)
        self.places = nn.Parameter(torch.zeros(channels, _LAST, _LAST))
        self.fine = nn.ModuleList(ReadingBlock(channels, width) for _ in range(3))
        self.to_cells = nn.Conv2d(channels, LATENT_CHANNELS, 1)
        self.to_pixels = nn.ConvTranspose2d(LATENT_CHANNELS, 3, PATCH, stride=PATCH)
        half, quarter = channels // 4, channels // 2
        last = nn.Conv2d(half, 12, 3, padding=1)
        self.detail = nn.Sequential(
            Doubled(channels, quarter),
            Block(quarter),
            Doubled(quarter, half),
            Block(half),
            nn.SiLU(),
            last,
            nn.PixelShuffle(2),
        )
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, latents: torch.Tensor, words: torch.Tensor, pooled: torch.Tensor
    ) -> torch.Tensor:
        words = torch.cat([words, self.token(latents)[:, None]], dim=1)
        x = self.begin(torch.cat([latents, pooled], dim=1)).unflatten(1, (-1, _FIRST, _FIRST))
        x = functional.interpolate(self.coarse(x, words), scale_factor=2.0)
        x = functional.interpolate(self.middle(x, words), scale_factor=2.0) + self.places
        for block in self.fine:
            x = block(x, words)
        pixels: torch.Tensor = self.to_pixels(self.to_cells(x)) + self.detail(x)
        return pixels


class ConditionalVAE(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Prior, recognition network and generator of pictures of 128 x 128 pixels."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        text_width: int = 128,
        latent_size: int = 32,
        channels: int = 128,
        recogniser_channels: tuple[int, int, int] = (64, 96, 96),
    ) -> None:
        super().__init__()
        self.to_cells = nn.Conv2d(3, LATENT_CHANNELS, PATCH, stride=PATCH).requires_grad_(False)
        self.pool = Pooled(text_width)
        self.expect = nn.Sequential(
            nn.Linear(text_width, 2 * text_width),
            nn.SiLU(),
            nn.Linear(2 * text_width, 2 * latent_size),
        )
        self.recognise = Recogniser(text_width, latent_size, recogniser_channels)
        self.generate = Generator(text_width, latent_size, channels)

    def prior(self, words: torch.Tensor) -> Normal:
        """What the numbers are like for a caption: words ``(B, T, W)``."""
        return Normal(*self.expect(self.pool(words)).float().chunk(2, dim=1))

    def posterior(self, pictures: torch.Tensor, words: torch.Tensor) -> Normal:
        """What they are for this picture of it, ``(B, 3, 128, 128)`` in [-1, 1]."""
        posterior: Normal = self.recognise(self.to_cells(pictures), self.pool(words))
        return posterior

    def decode(self, latents: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Numbers ``(B, Z)`` and words ``(B, T, W)`` to pixels ``(B, 3, 128, 128)``, about in
        [-1, 1]."""
        pixels: torch.Tensor = self.generate(latents, words, self.pool(words))
        return pixels

    def forward(self, words: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Pictures of captions, from standard noise ``(B, Z)``."""
        return self.decode(self.prior(words).at(noise).to(words.dtype), words)


@dataclass(frozen=True)
class Point:
    """Where a walk begins or ends: numbers ``(1, Z)``, and a caption's words ``(1, T, W)``."""

    latents: torch.Tensor
    words: torch.Tensor


class ConditionalVAEPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints in one step, and walks between pictures and between captions."""

    model_cpu_offload_seq = "text_encoder->cvae"

    def __init__(
        self, cvae: ConditionalVAE, text_encoder: CLIPTextModel, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        super().__init__()
        self.register_modules(cvae=cvae, text_encoder=text_encoder, tokenizer=tokenizer)

    def read(self, captions: Sequence[str]) -> torch.Tensor:
        """The words of captions: ``(B, 32, W)``."""
        ids = self.tokenizer(
            list(captions), padding="max_length", truncation=True, return_tensors="pt"
        )["input_ids"]
        words: torch.Tensor = self.text_encoder(ids.to(self._execution_device)).last_hidden_state
        return words

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        height: int = EDGE,
        width: int = EDGE,
        num_inference_steps: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: Callable[[Any, int, int, dict[str, Any]], Any] | None = None,
    ) -> ImagePipelineOutput:
        """A picture of each prompt, in one step and of one size, whatever numbers are given.

        Args:
            generator: one for the batch, or one for each picture.
            output_type: ``"pil"``, ``"np"`` or ``"pt"``.
        """
        words = self.read([prompt] if isinstance(prompt, str) else prompt)
        shape = (len(words), self.cvae.config.latent_size)
        noise = randn_tensor(shape, generator, words.device, words.dtype)
        pixels = self.cvae(words, noise)
        if callback_on_step_end is not None:
            callback_on_step_end(self, 0, 0, {})
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(VaeImageProcessor().postprocess(pixels, output_type))

    @torch.no_grad()
    def at_caption(self, caption: str, noise: torch.Tensor) -> Point:
        """The point that is painted from a caption and noise ``(1, Z)``."""
        words = self.read([caption])
        return Point(self.cvae.prior(words).at(noise.to(words)).to(words.dtype), words)

    @torch.no_grad()
    def at_picture(self, picture: torch.Tensor, caption: str) -> Point:
        """The point that reconstructs a picture ``(3, 128, 128)`` in [-1, 1] of this caption."""
        words = self.read([caption])
        posterior = self.cvae.posterior(picture[None].to(words), words)
        return Point(posterior.mean.to(words.dtype), words)

    @torch.no_grad()
    def walk(self, first: Point, second: Point, count: int) -> list[Image.Image]:
        """Pictures at ``count`` evenly spaced points, the first and the second included.

        Between points of one caption its things wander; between captions they turn into others.
        """
        shares = torch.linspace(0, 1, count).to(first.words)
        latents = torch.lerp(first.latents, second.latents, shares[:, None])
        words = torch.lerp(first.words, second.words, shares[:, None, None])
        pictures: list[Image.Image] = VaeImageProcessor().postprocess(
            self.cvae.decode(latents, words), "pil"
        )
        return pictures
