"""Fine-tunes a causal language model on text files."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.metrics.likelihood import bits_per_byte
from pipelines.metrics.score import Score
from pipelines.recipes import results
from pipelines.recipes.finetune.data import encode, read_texts
from pipelines.recipes.finetune.lesson import Lesson
from pipelines.recipes.finetune.plan import Plan, to_device
from pipelines.recipes.gpt.data import Tokens, windows
from pipelines.recipes.gpt.train import next_token_loss, window_nats
from pipelines.runtime.loading import OFFLINE
from pipelines.runtime.windows import window_of

GLANCE_PASSAGES = 8
"""Held-out passages, at most, that are scored during training."""

PROMPTS = ("Once upon a time", "The king said:", "It was late in the evening when")
SAMPLE_TOKENS = 80
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+.!|~$:@-])")


class Writer(Lesson):
    """Learns texts; scored by bits per byte."""

    auto_class = AutoModelForCausalLM

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, "causal", "fairytale-gpt")
        self.window = self._window = window_of(plan.base.path, plan.window)
        self._context = window_of(plan.base.path, None)  # scores do not depend on the window
        self._tokenizer: Any = AutoTokenizer.from_pretrained(plan.base.path, **OFFLINE)
        self._readers = (self._tokenizer,)
        self.texts = read_texts(plan.data, plan.validation, plan.options.seed)
        self.glanced = min(GLANCE_PASSAGES, len(self.texts.held_out))
        self.data_sha256 = self.texts.sha256
        self.data_size = f"{self.texts.characters:,} characters"
        self.model = self._prepared(self.open_base(), "CAUSAL_LM")
        self._row = encode(self._tokenizer, self.texts.seen)

    @property
    def work(self) -> tuple[int, int]:
        """In passages and samples."""
        return len(self.texts.held_out) + len(PROMPTS), self.glanced

    @cached_property
    def _held_out(self) -> list[Tokens]:
        return [encode(self._tokenizer, [text])[:-1] for text in self.texts.held_out]

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        tokens = windows(self._row, self._plan.options.batch_size, self._window, rng)
        return next_token_loss(self.model, to_device(tokens))

    def _scores(self, model: Any, most: int | None = None) -> tuple[float, Score]:
        """Nats a token and bits per byte of the first held-out passages."""
        rows, texts = self._held_out[:most], self.texts.held_out[:most]
        nats = []
        for row in rows:
            nats.append(float(window_nats(model, row, self._context)[0].sum()))
            self.on_work(1)
        sizes = [len(text.encode()) for text in texts]
        bits = bits_per_byte(nats, sizes, f"held-out-passages@{self.data_sha256[:16]}")
        return sum(nats) / sum(len(row) - 1 for row in rows), bits

    def glance(self, model: Any) -> dict[str, float]:
        loss, bits = self._scores(model, self.glanced)
        return {"held_out_loss": loss, "held_out_bits_per_byte": bits.value}

    def measure(self, model: Any) -> dict[str, Score]:
        return {"bits_per_byte": self._scores(model)[1]}

    @torch.no_grad()
    def show(self, model: Any) -> list[str]:
        """The fixed prompts, continued, one seed for each."""
        texts = []
        for seed, prompt in enumerate(PROMPTS):
            torch.manual_seed(seed)
            ids = to_device(self._tokenizer(prompt, return_tensors="pt")["input_ids"])
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=min(SAMPLE_TOKENS, self._context - ids.shape[1]),
                do_sample=True,
                temperature=0.8,
            )
            texts.append(str(self._tokenizer.decode(output[0], skip_special_tokens=True)))
            self.on_work(1)
        return texts

    def write_samples(self, before: Sequence[str], after: Sequence[str], folder: Path) -> str:
        """``samples.txt``: each prompt continued by the base, then by the fine-tune."""
        both = list(zip(before, after, strict=True))
        parts = [f"[base]\n{old}\n\n[fine-tune]\n{new}" for old, new in both]
        (folder / "samples.txt").write_text("\n\n--------\n\n".join(parts) + "\n", encoding="utf-8")
        return results.table(("base", "fine-tune"), [map(_cell, pair) for pair in both])


def _cell(text: str) -> str:
    """A text for a cell of a Markdown table, with all markup escaped."""
    escaped = _MARKUP.sub(r"\\\1", html.escape(text.strip(), quote=False))
    return "<br>".join(escaped.splitlines())
