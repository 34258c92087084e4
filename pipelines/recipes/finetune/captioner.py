"""Fine-tunes an encoder-decoder captioner on an imagefolder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ImageOps
from torch.nn import functional
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from pipelines.errors import InvalidValue
from pipelines.files.imagefolder import DataLimits, Pair
from pipelines.metrics.bleu import corpus_bleu
from pipelines.metrics.score import Score
from pipelines.recipes import results
from pipelines.recipes.captioner.train import captions_of
from pipelines.recipes.finetune.lesson import PictureLesson
from pipelines.recipes.finetune.plan import Plan, to_device
from pipelines.runtime.loading import OFFLINE

SHOWN = 4
_BATCH_SIZE = 16
_IGNORED = -100
_EDGE = 152
"""Of pictures in the sample sheet."""


class Captioner(PictureLesson):
    """Learns captions; scored by loss and BLEU."""

    auto_class = AutoModelForImageTextToText

    def __init__(self, plan: Plan, folder: Path) -> None:
        super().__init__(plan, folder, "vision-encoder-decoder", "emoji-captioner")
        self._tokenizer: Any = AutoTokenizer.from_pretrained(plan.base.path, **OFFLINE)
        self._processor: Any = AutoImageProcessor.from_pretrained(plan.base.path, **OFFLINE)
        self._readers = self._tokenizer, self._processor
        base = self.open_base()
        self._config = base.config
        self._check_lengths()
        self.model = self._prepared(base)

    @property
    def work(self) -> tuple[int, int]:
        """In pictures; most are used twice, for the loss and for a caption."""
        pictures = len(self._held_out)
        return 2 * pictures + min(pictures, SHOWN), 2 * self.glanced

    def _check_lengths(self) -> None:
        """Refuses captions that are longer than the decoder's context."""
        most = getattr(self._config.decoder, "max_position_embeddings", None)
        for pair in self._pairs:
            length = max(len(self._encode(caption)) for caption in pair.captions)
            if most is not None and length > most:
                raise InvalidValue(
                    f"The text of {pair.name} has {length} tokens; the base writes at most {most}. "
                    "Shorten it."
                )

    def _encode(self, text: str) -> list[int]:
        """Begin token, words, end token."""
        begin, end = self._config.decoder_start_token_id, self._config.eos_token_id
        end = self._tokenizer.eos_token_id if end is None else end
        return [begin, *self._tokenizer.encode(text, add_special_tokens=False), end]

    def _pixels(self, pairs: Sequence[Pair]) -> torch.Tensor:
        pictures = [pair.picture(DataLimits()) for pair in pairs]
        pixels: torch.Tensor = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        return pixels

    def _nats(self, model: Any, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Nats of each caption, and its number of tokens: ``(B,)`` both."""
        rows = [torch.tensor(self._encode(pair.text)) for pair in pairs]
        tokens = to_device(
            torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=_IGNORED)
        )
        given, wanted = tokens[:, :-1], tokens[:, 1:]
        logits = model(
            pixel_values=to_device(self._pixels(pairs)),
            decoder_input_ids=given.clamp(min=0),
            decoder_attention_mask=(given != _IGNORED).long(),
        ).logits
        nats = functional.cross_entropy(
            logits.float().transpose(1, 2), wanted, ignore_index=_IGNORED, reduction="none"
        )
        return nats.sum(dim=1), (wanted != _IGNORED).sum(dim=1)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        chosen = rng.integers(len(self._seen), size=self._plan.options.batch_size)
        nats, tokens = self._nats(self.model, self._drawn([self._seen[i] for i in chosen], rng))
        return nats.sum() / tokens.sum()

    def _held_out_pairs(self, most: int | None = None) -> list[Pair]:
        return [self._pairs[index] for index in self._held_out[:most]]

    @torch.no_grad()
    def _scores(self, model: Any, pairs: Sequence[Pair]) -> tuple[list[float], Score]:
        """Nats a token of each picture's first caption; BLEU of greedy captions against all."""
        means: list[float] = []
        for start in range(0, len(pairs), _BATCH_SIZE):
            nats, tokens = self._nats(model.train(False), pairs[start : start + _BATCH_SIZE])
            means += (nats / tokens).tolist()
            self.on_work(len(nats))
        return means, corpus_bleu(self._captions(model, pairs), [pair.captions for pair in pairs])

    def _captions(self, model: Any, pairs: Sequence[Pair]) -> list[str]:
        texts: list[str] = []
        for start in range(0, len(pairs), _BATCH_SIZE):
            pixels = self._pixels(pairs[start : start + _BATCH_SIZE])
            texts += captions_of(model, self._tokenizer, pixels)
            self.on_work(len(pixels))
        return texts

    def glance(self, model: Any) -> dict[str, float]:
        means, bleu = self._scores(model, self._held_out_pairs(self.glanced))
        return {"held_out_loss": float(np.mean(means)), "held_out_bleu": bleu.value}

    def measure(self, model: Any) -> dict[str, Score]:
        means, bleu = self._scores(model, self._held_out_pairs())
        return {"bleu": bleu, "caption_loss": self._mean(means, "caption_loss|nats a token")}

    def show(self, model: Any) -> list[str]:
        """Captions of the first held-out pictures."""
        return self._captions(model, self._held_out_pairs(SHOWN))

    def write_samples(self, before: Sequence[str], after: Sequence[str], folder: Path) -> str:
        """``samples.png``: held-out pictures, each with the base's and the fine-tune's caption."""
        pictures = [
            ImageOps.pad(pair.picture(DataLimits()), (_EDGE, _EDGE), color="white")
            for pair in self._held_out_pairs(len(before))
        ]
        both = zip(before, after, strict=True)
        captions = [f"base: {old}\nfine-tune: {new}" for old, new in both]
        results.sheet(pictures, len(pictures), captions).save(folder / "samples.png")
        return "The base's caption above, the fine-tune's below.\n\n![samples](samples.png)"
