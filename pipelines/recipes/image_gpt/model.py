"""Image GPT, both ways: a tokenizer of pictures, and one GPT-2 over words and picture codes.

A picture of 128 x 128 pixels becomes 256 codes, and a GPT-2 (Radford et al., 2019) learns rows
of two forms: caption then picture, picture then caption (DALL-E, Ramesh et al., 2021,
arXiv:2102.12092, with the second direction beside the first). The state at the token between
the two has read one side alone, and is projected into a space that both sides share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import (
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,  # noqa: F401 - diffusers wants its parts' base classes named here
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from pipelines import small_world
from pipelines.errors import NotFinite
from pipelines.recipes.captioner.model import build_image_processor
from pipelines.recipes.patches.model import PatchAutoencoder

EDGE = 16
"""Codes in a row of a picture, and rows."""
CELLS = EDGE * EDGE
_BEFORE_CODES = 2
"""Positions of the tokens that begin and end a caption; a picture's codes follow."""
_BEFORE_WORDS = _BEFORE_CODES + CELLS + 1
"""Positions before a caption's first word: those, the codes, and the token after a picture."""
LONGEST_CAPTION = 40
"""Words of a caption and its end, at most."""
_ROUNDS = 15
_CHUNK = 8192


class PictureTokenizer(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Pictures to codes and back: the crisp autoencoder with a codebook between its halves.

    Vector quantisation (van den Oord et al., 2017, arXiv:1711.00937) without its training: a
    cell holds the principal components of a patch of 8 x 8 pixels, its code is the nearest of
    ``codes`` centroids, and only the decoder learns.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        codes: int = 1024,
        block_out_channels: tuple[int, ...] = (32, 64, 128, 128),
        blocks: tuple[int, ...] = (1, 2, 3),
    ) -> None:
        """``block_out_channels`` and ``blocks`` as in ``PatchAutoencoder``: 1.5 million numbers."""
        super().__init__()
        self.autoencoder = PatchAutoencoder(block_out_channels, blocks)
        channels = self.autoencoder.config.latent_channels
        self.codebook = nn.Parameter(torch.zeros(codes, channels), requires_grad=False)
        self.autoencoder.to_cells.requires_grad_(False)

    @torch.no_grad()
    def fit(self, pictures: torch.Tensor, generator: torch.Generator) -> None:
        """Sets components and centroids to those of the pictures' patches.

        k-means begins at the most frequent patches, the backgrounds, so that each has a code of
        its own, and at others that differ.

        Args:
            pictures: ``(N, 3, 128, 128)`` in [-1, 1], ``N`` of some hundreds.
        """
        self.autoencoder.begin_at_components(pictures, power=1.0)
        cells = torch.cat([self._cells(part) for part in pictures.split(64)])
        points, counts = torch.unique((cells * 100).round(), dim=0, return_counts=True)
        points, counts = points / 100, counts.float()
        codes = len(self.codebook)
        if len(points) < codes:
            raise ValueError(f"{len(points)} different patches are fewer than {codes} codes")
        rarity = torch.rand(len(points), generator=generator) / counts.sqrt()
        rarity[counts.topk(codes // 4).indices] = 0.0
        centroids = points[rarity.topk(codes, largest=False).indices]
        for _ in range(_ROUNDS):
            distances, nearest = _nearest(points, centroids)
            weights = torch.zeros(codes).index_add_(0, nearest, counts)
            sums = torch.zeros_like(centroids).index_add_(0, nearest, points * counts[:, None])
            is_empty = weights == 0
            centroids = sums / weights.clamp(min=1)[:, None]
            far = (distances * counts.sqrt()).topk(int(is_empty.sum())).indices
            centroids[is_empty] = points[far]
        self.codebook.copy_(centroids)

    def _cells(self, pictures: torch.Tensor) -> torch.Tensor:
        """``(N, 3, 128, 128)`` to ``(N * 256, C)``, row by row."""
        cells: torch.Tensor = self.autoencoder.to_cells(pictures)
        return cells.flatten(2).transpose(1, 2).flatten(0, 1)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures ``(N, 3, 128, 128)`` in [-1, 1] to codes ``(N, 256)``, row by row."""
        _, codes = _nearest(self._cells(pictures), self.codebook)
        return codes.view(len(pictures), -1)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes ``(N, h * w)`` of square pictures to pixels ``(N, 3, 8 h, 8 w)``."""
        edge = round(codes.shape[1] ** 0.5)
        cells = self.codebook[codes].transpose(1, 2).unflatten(2, (edge, edge))
        pixels: torch.Tensor = self.autoencoder.decode(cells.contiguous()).sample
        return pixels

    def colours(self) -> torch.Tensor:
        """The mean colour of each code's patch, before the decoder mends it: ``(codes, 3)``."""
        linear = self.autoencoder.to_pixels
        assert linear.bias is not None
        colours: torch.Tensor = self.codebook @ linear.weight.mean(dim=(2, 3)) + linear.bias
        return colours


def _nearest(points: torch.Tensor, centroids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance to and number of the nearest centroid of each point: ``(N,)``, ``(N,)``."""
    parts = [torch.cdist(part, centroids).min(dim=1) for part in points.split(_CHUNK)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


@dataclass(frozen=True)
class Rows:
    """What the GPT reads, ``(B, T)`` each: tokens, 1 where they count, and their positions."""

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor

    def to(self, device: torch.device) -> Rows:
        return Rows(*(part.to(device) for part in (self.ids, self.mask, self.positions)))


class PictureGPT(GPT2LMHeadModel):
    """A GPT-2 whose vocabulary is words, one token that asks for a caption, and picture codes.

    Two forms of rows: ``<bos> words <eos> codes``, and ``<bos> <eos> codes <caption> words
    <eos>``, which begins as an empty caption does. A word has the same position in both, and so
    has a code, whatever the length of the caption.
    """

    def __init__(self, config: GPT2Config) -> None:
        """``config`` also has ``words``, the size of the tokenizer; ``codes``; ``shared_width``."""
        super().__init__(config)
        self.to_shared = nn.Linear(config.n_embd, config.shared_width, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.7))
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def caption_token(self) -> int:
        return int(self.config.words)

    @property
    def first_code(self) -> int:
        return int(self.config.words) + 1

    def states(self, rows: Rows, cache: DynamicCache | None = None) -> torch.Tensor:
        """The last hidden states ``(B, T, C)``.

        With a ``cache``, the rows are what follows on it, and their mask covers both.
        """
        output = self.transformer(
            rows.ids,
            attention_mask=rows.mask,
            position_ids=rows.positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        states: torch.Tensor = output.last_hidden_state
        return states

    def code_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of the next code, among codes alone: ``(..., C)`` to ``(..., codes)``."""
        return functional.linear(states, self.lm_head.weight[self.first_code :])

    def picture_rows(self, codes: torch.Tensor) -> Rows:
        """``<bos> <eos> codes <caption>`` of ``(B, 256)``: what a caption follows on."""
        around = codes.new_tensor(
            [[self.config.bos_token_id, self.config.eos_token_id, self.caption_token]]
        ).expand(len(codes), -1)
        ids = torch.cat([around[:, :2], codes + self.first_code, around[:, 2:]], dim=1)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return Rows(ids, torch.ones_like(ids), positions)

    def shared(self, rows: Rows) -> torch.Tensor:
        """Where captions (``prompt_rows``) or pictures (``picture_rows``) lie: ``(B, S)``."""
        features: torch.Tensor = self.to_shared(self.states(rows)[:, -1])
        return features


def build(
    tokenizer: PreTrainedTokenizerBase, codes: int = 1024, width: int = 256, layers: int = 6
) -> PictureGPT:
    """An untrained model: 4.5 million parameters at the standard sizes."""
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
    kind: Any = GPT2Config  # keeps further values, too
    config = kind(
        vocab_size=len(tokenizer) + 1 + codes,
        n_positions=_BEFORE_WORDS + LONGEST_CAPTION,
        n_embd=width,
        n_layer=layers,
        n_head=max(1, width // 64),
        n_inner=3 * width,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        pad_token_id=tokenizer.pad_token_id,
        words=len(tokenizer),
        codes=codes,
        shared_width=96,
        **special,
    )
    return PictureGPT(config)


def prompt_rows(tokenizer: PreTrainedTokenizerBase, captions: Sequence[str]) -> Rows:
    """``<bos> words <eos>``, padded on the left: what a picture follows on."""
    encoded = tokenizer(
        list(captions), padding=True, padding_side="left", truncation=True, return_tensors="pt"
    )
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    place = mask.cumsum(dim=1) - 1  # of the token that begins a caption: 0
    positions = torch.where(place > 0, place + _BEFORE_WORDS - 1, 0)
    positions[:, -1] = _BEFORE_CODES - 1
    return Rows(ids, mask, positions)


class TokenSampler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Chooses the next code of a picture, as a scheduler does the next latents.

    Its timesteps are a picture's rows. Of the likeliest codes that together have ``top_p`` of
    the probability (Holtzman et al., 2019, arXiv:1904.09751) one is drawn. Guidance (Ho and
    Salimans, 2022, arXiv:2207.12598) chooses among these alone: of codes that are all but
    impossible the ratio to an empty caption's probability says nothing, and may be huge.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, rows: int = EDGE, temperature: float = 1.0, top_p: float = 0.95) -> None:
        self.timesteps = torch.arange(rows)

    def step(
        self,
        logits: torch.Tensor,
        timestep: int,
        tokens: torch.Tensor,
        generators: Sequence[torch.Generator | None],
        other_logits: torch.Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One more code for each picture.

        Args:
            logits: of the next code, ``(B, K)``.
            tokens: the codes so far, ``(B, n)``.
            generators: one a picture, on the processor.
            other_logits: those behind the caption to move away from, ``(B, K)``.

        Returns:
            The codes ``(B, n + 1)``, and as the estimate of the picture each cell's code as one
            of K channels, ``(B, K, rows, rows)``; 0 where there is none yet.

        Raises:
            NotFinite: the logits are not.
        """
        if not torch.isfinite(logits).all():
            raise NotFinite("The GPT gave numbers that are not finite. The weights may be damaged.")
        logs = (logits.float().cpu() / self.config.temperature).log_softmax(dim=-1)
        ordered, order = logs.exp().sort(dim=-1, descending=True)
        is_likely = ordered.cumsum(dim=-1) - ordered < self.config.top_p
        is_likely = torch.zeros_like(is_likely).scatter(-1, order, is_likely)
        if other_logits is not None:
            other = (other_logits.float().cpu() / self.config.temperature).log_softmax(dim=-1)
            logs = other + guidance_scale * (logs - other)
        uniform = torch.stack([torch.rand(logs.shape[-1], generator=g) for g in generators])
        noise = -(-uniform.clamp(min=1e-20).log()).log()  # Gumbel's: the maximum is a draw
        chosen = (logs + noise).masked_fill(~is_likely, -torch.inf).argmax(dim=-1, keepdim=True)
        tokens = torch.cat([tokens, chosen.to(tokens)], dim=1)
        rows = self.config.rows
        estimate = torch.zeros(len(tokens), logits.shape[-1], rows * rows)
        estimate.scatter_(1, tokens.cpu()[:, None], 1.0)
        return tokens, estimate.unflatten(2, (rows, rows))


class ImageGPTPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints from a caption, code after code, row after row; with guidance, away from what an
    empty caption or a negative prompt makes likely."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        gpt: PictureGPT,
        picture_tokenizer: PictureTokenizer,
        scheduler: TokenSampler,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer, gpt=gpt, picture_tokenizer=picture_tokenizer, scheduler=scheduler
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: list[str],
        num_inference_steps: int = EDGE,
        guidance_scale: float = small_world.GUIDANCE_SCALE,
        negative_prompt: list[str] | None = None,
        generator: list[torch.Generator] | None = None,
        width: int = 8 * EDGE,
        height: int = 8 * EDGE,
        output_type: str = "pil",
        callback_on_step_end: Callable[..., Any] | None = None,
    ) -> ImagePipelineOutput:
        """A picture of 128 x 128 pixels for each prompt.

        Args:
            num_inference_steps: not read; there is a step for each of the 16 rows.
            guidance_scale: 1 or less for none.
            generator: one a prompt.
            width, height: not read.
            callback_on_step_end: called with pipeline, row, row and ``{}`` after each row.
        """
        count, captions = len(prompt), list(prompt)
        generators = [None] * count if generator is None else generator
        if guidance_scale > 1:
            captions += [""] * count if negative_prompt is None else negative_prompt
        rows = prompt_rows(self.tokenizer, captions).to(self.gpt.device)
        cache = DynamicCache(config=self.gpt.config)
        tokens = rows.ids.new_zeros(count, 0)
        for place in range(CELLS):
            logits, *others = self.gpt.code_logits(self.gpt.states(rows, cache)[:, -1]).split(count)
            row = place // EDGE
            tokens, _ = self.scheduler.step(
                logits, row, tokens, generators, *others, guidance_scale=guidance_scale
            )
            rows = _following(rows, tokens[:, -1:] + self.gpt.first_code, _BEFORE_CODES + place)
            if callback_on_step_end is not None and place % EDGE == EDGE - 1:
                callback_on_step_end(self, row, row, {})
        pixels = self.picture_tokenizer(tokens)
        images = VaeImageProcessor().postprocess(pixels.float(), output_type=output_type)
        return ImagePipelineOutput(images=images)


def _following(rows: Rows, new: torch.Tensor, position: int) -> Rows:
    """The next column: ``new`` ``(N, 1)`` for each of the rows, or for both halves of them."""
    new = new.repeat(len(rows.ids) // len(new), 1)
    mask = torch.cat([rows.mask, torch.ones_like(new)], dim=1)
    return Rows(new, mask, torch.full_like(new, position))


class PictureReader:
    """What the captioner reads pictures with: any picture to 256 codes."""

    def __init__(self, tokenizer: PictureTokenizer) -> None:
        self.tokenizer = tokenizer
        self._processor = build_image_processor()

    @classmethod
    def from_pretrained(cls, folder: Path, **options: Any) -> PictureReader:
        """The picture tokenizer of a saved pipeline, in float32."""
        tokenizer = PictureTokenizer.from_pretrained(
            folder / "picture_tokenizer", dtype=torch.float32, **options
        )
        return cls(tokenizer.eval())

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Codes ``(N, 256)``."""
        pixels = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return self.tokenizer.encode(pixels)
