"""A causal writer learns from text files."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.errors import InvalidValue
from pipelines.metrics.likelihood import bits_per_byte
from pipelines.metrics.score import Score
from pipelines.recipes.finetune import lora
from pipelines.recipes.finetune.data import Texts, encode, read_texts
from pipelines.recipes.finetune.plan import Plan, to_device
from pipelines.recipes.gpt.data import Tokens, windows
from pipelines.recipes.gpt.train import next_token_loss
from pipelines.runtime.loading import OFFLINE, load_model

LONGEST_WINDOW = 1024
"""Tokens of a window, where the base's context has as many."""

GLANCE_PASSAGES = 8
"""Held-out passages that the scores during training read."""

PROMPTS = ("Once upon a time", "The king said:", "It was late in the evening when")
SAMPLE_TOKENS = 80
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+.!|~$:@-])")


class Writer:
    """The base with what is trained of it, and the texts."""

    evaluate_every = 100

    def __init__(self, plan: Plan) -> None:
        if plan.base.family != "causal":
            raise InvalidValue(
                f"{plan.base.reference} is a {plan.base.family} model; give a base that writes on "
                "from a beginning, such as fairytale-gpt."
            )
        self._plan = plan
        self.on_work: Callable[[float], None] = lambda amount: None
        self._tokenizer: Any = AutoTokenizer.from_pretrained(plan.base.path, **OFFLINE)
        self.texts: Texts = read_texts(plan.data, plan.validation, plan.options.seed)
        self.model: Any = lora.prepared(self.open_base(), plan, "CAUSAL_LM")
        self._row = encode(self._tokenizer, self.texts.seen)

    @property
    def data_sha256(self) -> str:
        return self.texts.sha256

    @property
    def data_size(self) -> str:
        return f"{self.texts.characters:,} characters"

    @property
    def work(self) -> tuple[int, int]:
        """Texts that ``measure`` and ``show`` read or write, and those of ``glance``."""
        passages = len(self.texts.held_out)
        return passages + len(PROMPTS), min(passages, GLANCE_PASSAGES)

    def open_base(self) -> Any:
        """The base as it is, in float32."""
        return load_model(AutoModelForCausalLM, self._plan.base, self._plan.device)

    def open_tuned(self, base: Any, folder: Path) -> Any:
        return lora.tuned(AutoModelForCausalLM, base, self._plan, folder)

    @cached_property
    def _context(self) -> int:
        known = getattr(self.model.config, "max_position_embeddings", LONGEST_WINDOW)
        return int(min(known, LONGEST_WINDOW))

    @cached_property
    def _held_out(self) -> list[Tokens]:
        return [encode(self._tokenizer, [text])[:-1] for text in self.texts.held_out]

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        tokens = windows(self._row, self._plan.options.batch_size, self._context, rng)
        return next_token_loss(self.model, to_device(tokens))

    def held_out(self) -> dict[str, float]:
        return self.glance(self.model)

    def glance(self, model: Any) -> dict[str, float]:
        """Nats a token, and bits a byte, of the first held-out passages."""
        rows = self._held_out[:GLANCE_PASSAGES]
        nats = [self._nats(model, row) for row in rows]
        tokens = sum(len(row) - 1 for row in rows)
        return {
            "held_out_loss": sum(nats) / tokens,
            "held_out_bits_per_byte": self._bits_per_byte(nats).value,
        }

    @torch.no_grad()
    def _nats(self, model: Any, row: Tokens) -> float:
        """Of a passage: every token is told once, from those before it in its window."""
        model.train(False)
        tokens, nats = to_device(torch.from_numpy(row)), 0.0
        for start in range(0, len(row) - 1, self._context):
            window = tokens[start : start + self._context + 1]
            nats += next_token_loss(model, window[None]).item() * (len(window) - 1)
        self.on_work(1)
        return nats

    def measure(self, model: Any) -> dict[str, Score]:
        """Bits per byte of all held-out passages."""
        nats = [self._nats(model, row) for row in self._held_out]
        return {"bits_per_byte": self._bits_per_byte(nats)}

    def _bits_per_byte(self, nats: Sequence[float]) -> Score:
        """Of as many held-out passages, from the first."""
        sizes = [len(text.encode()) for text in self.texts.held_out[: len(nats)]]
        return bits_per_byte(nats, sizes, f"held-out-passages@{self.texts.sha256[:16]}")

    def save(self, folder: Path) -> None:
        lora.save(self.model, self._plan, folder, self._tokenizer)

    @torch.no_grad()
    def show(self, model: Any) -> list[str]:
        """What it makes of the fixed prompts, one seed for each."""
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
        """``samples.txt``: each prompt by the base, then by the fine-tune; a table of the same."""
        parts = [
            f"[base]\n{old}\n\n[fine-tune]\n{new}" for old, new in zip(before, after, strict=True)
        ]
        (folder / "samples.txt").write_text("\n\n--------\n\n".join(parts) + "\n", encoding="utf-8")
        rows = [f"| {_cell(old)} | {_cell(new)} |" for old, new in zip(before, after, strict=True)]
        return "\n".join(["| base | fine-tune |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table, where none of its characters is markup."""
    escaped = _MARKUP.sub(r"\\\1", html.escape(text.strip(), quote=False))
    return "<br>".join(escaped.splitlines())
