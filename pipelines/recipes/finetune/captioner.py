"""A captioner with an encoder that looks and a decoder that tells learns from an imagefolder."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from torch.nn import functional
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from pipelines.errors import InvalidValue
from pipelines.files.imagefolder import DataLimits, Pair, usable_pairs
from pipelines.metrics import interval
from pipelines.metrics.bleu import corpus_bleu
from pipelines.metrics.score import Score
from pipelines.recipes.finetune import lora
from pipelines.recipes.finetune.plan import Plan, split, to_device
from pipelines.runtime.loading import OFFLINE, load_model

GLANCE = 64
"""Held-out pictures that the scores during training read."""

READ_AT_ONCE = 16
SHOWN = 4
_IGNORED = -100
_CELL = 160


class Captioner:
    """The base with what is trained of it, and the pairs."""

    evaluate_every = 100

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self.on_work: Callable[[float], None] = lambda amount: None
        if plan.base.family != "vision-encoder-decoder":
            raise InvalidValue(
                f"{plan.base.reference} is a {plan.base.family} captioner; give a base that is a "
                "VisionEncoderDecoderModel, such as emoji-captioner."
            )
        pairs, self.report = usable_pairs(folder, DataLimits())
        seen, held_out = split(len(pairs), plan.validation, plan.options.seed)
        self._seen = [pairs[index] for index in seen]
        self._held_out = [pairs[index] for index in held_out]
        self._tokenizer: Any = AutoTokenizer.from_pretrained(plan.base.path, **OFFLINE)
        self._processor: Any = AutoImageProcessor.from_pretrained(plan.base.path, **OFFLINE)
        base = self.open_base()
        self._config = base.config
        self._check_lengths(pairs)
        self.model: Any = lora.prepared(base, plan)

    @property
    def data_sha256(self) -> str:
        return self.report.sha256

    @property
    def data_size(self) -> str:
        return f"{len(self._seen) + len(self._held_out):,} pictures"

    @property
    def work(self) -> tuple[int, int]:
        """Pictures that ``measure`` and ``show`` read, and those of ``glance``; some twice."""
        pictures = len(self._held_out)
        return 2 * pictures + min(pictures, SHOWN), 2 * min(pictures, GLANCE)

    def open_base(self) -> Any:
        """The base as it is, in float32."""
        return load_model(AutoModelForImageTextToText, self._plan.base, self._plan.device)

    def open_tuned(self, base: Any, folder: Path) -> Any:
        return lora.tuned(AutoModelForImageTextToText, base, self._plan, folder)

    def _check_lengths(self, pairs: Sequence[Pair]) -> None:
        """Refuses a caption that would be cut."""
        most = getattr(self._config.decoder, "max_position_embeddings", None)
        for pair in pairs:
            length = len(self._encode(pair.text))
            if most is not None and length > most:
                raise InvalidValue(
                    f"The text of {pair.name} has {length} tokens; the base tells at most {most}. "
                    "Shorten it."
                )

    def _encode(self, text: str) -> list[int]:
        """Beginning, words, end."""
        begin = self._config.decoder_start_token_id
        end = self._config.eos_token_id
        end = self._tokenizer.eos_token_id if end is None else end
        return [begin, *self._tokenizer.encode(text, add_special_tokens=False), end]

    def _pixels(self, pairs: Sequence[Pair]) -> torch.Tensor:
        pictures = [pair.picture(DataLimits()) for pair in pairs]
        pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        moved: torch.Tensor = to_device(pixels)
        return moved

    def _nats(self, model: Any, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each picture's caption: nats over all its tokens, and their number, ``(B,)``."""
        rows = [torch.tensor(self._encode(pair.text)) for pair in pairs]
        tokens = to_device(
            torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=_IGNORED)
        )
        given, told = tokens[:, :-1], tokens[:, 1:]
        logits = model(
            pixel_values=self._pixels(pairs),
            decoder_input_ids=given.clamp(min=0),
            decoder_attention_mask=(given != _IGNORED).long(),
        ).logits
        nats = functional.cross_entropy(
            logits.float().transpose(1, 2), told, ignore_index=_IGNORED, reduction="none"
        )
        return nats.sum(dim=1), (told != _IGNORED).sum(dim=1)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        chosen = rng.integers(len(self._seen), size=self._plan.options.batch_size)
        nats, tokens = self._nats(self.model, [self._seen[index] for index in chosen])
        return nats.sum() / tokens.sum()

    def held_out(self) -> dict[str, float]:
        return self.glance(self.model)

    def glance(self, model: Any) -> dict[str, float]:
        """Nats a token and BLEU of greedy captions, on the first held-out pictures."""
        few = self._held_out[:GLANCE]
        means = self._mean_nats(model, few)
        captions = self.captions(model, few)
        bleu = corpus_bleu(captions, [[pair.text] for pair in few])
        return {"held_out_loss": float(np.mean(means)), "held_out_bleu": bleu.value}

    @torch.no_grad()
    def _mean_nats(self, model: Any, pairs: Sequence[Pair]) -> list[float]:
        """Nats a token of each picture's caption."""
        means: list[float] = []
        for start in range(0, len(pairs), READ_AT_ONCE):
            nats, tokens = self._nats(model, pairs[start : start + READ_AT_ONCE])
            means += (nats / tokens).tolist()
            self.on_work(len(nats))
        return means

    @torch.no_grad()
    def captions(self, model: Any, pairs: Sequence[Pair]) -> list[str]:
        """Greedy captions."""
        texts: list[str] = []
        for start in range(0, len(pairs), READ_AT_ONCE):
            pixels = self._pixels(pairs[start : start + READ_AT_ONCE])
            ids = model.generate(pixel_values=pixels, do_sample=False, num_beams=1)
            texts += self._tokenizer.batch_decode(ids, skip_special_tokens=True)
            self.on_work(len(ids))
        return texts

    def measure(self, model: Any) -> dict[str, Score]:
        """BLEU of greedy captions and nats a token, on all held-out pictures."""
        model.train(False)
        nats = np.array(self._mean_nats(model, self._held_out))
        mean, variance = float(nats.mean()), float(nats.var(ddof=1) / len(nats))
        captions = self.captions(model, self._held_out)
        return {
            "bleu": corpus_bleu(captions, [[pair.text] for pair in self._held_out]),
            "caption_loss": Score(
                mean,
                *interval.normal(mean, variance),
                samples=len(nats),
                signature=f"caption_loss|nats a token|data:{self.report.sha256[:16]}"
                f"|samples:{len(nats)}|ci:normal",
                higher_is_better=False,
            ),
        }

    def save(self, folder: Path) -> None:
        lora.save(self.model, self._plan, folder, self._tokenizer, self._processor)

    def show(self, model: Any) -> list[str]:
        """Captions of the first held-out pictures."""
        return self.captions(model, self._held_out[:SHOWN])

    def write_samples(self, before: Sequence[str], after: Sequence[str], folder: Path) -> str:
        """``samples.png``: held-out pictures, below each the base's caption and the fine-tune's."""
        sheet = Image.new("RGB", (_CELL * len(before), _CELL * 2), "white")
        pen = ImageDraw.Draw(sheet)
        for column, (pair, old, new) in enumerate(zip(self._held_out, before, after, strict=False)):
            picture = ImageOps.contain(pair.picture(DataLimits()), (_CELL - 8, _CELL - 8))
            sheet.paste(picture, (column * _CELL + 4, 4))
            for y, who, text in ((_CELL, "base", old), (_CELL + 80, "fine-tune", new)):
                told = textwrap.fill(f"{who}: {text}", 26)
                pen.text((column * _CELL + 4, y), told, fill="black", font_size=10)
        sheet.save(folder / "samples.png")
        return "The base's caption above, the fine-tune's below.\n\n![samples](samples.png)"
