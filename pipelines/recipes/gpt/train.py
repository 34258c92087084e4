"""Trains the writer on a folder of texts.

    python -m pipelines.recipes.gpt.train --minutes 22 --data books

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from pipelines.metrics.likelihood import bits_per_byte
from pipelines.recipes import command_line, results, training
from pipelines.recipes.gpt.data import (
    HELD_OUT,
    Passage,
    Tokens,
    encode,
    passage,
    read_texts,
    windows,
)
from pipelines.recipes.gpt.model import CONTEXT, build, train_tokenizer

LONG_FROM = 0.7
"""Before this share of the budget, windows are half as long and twice as many: nearby
words are learned first, and short windows are a quarter cheaper."""

EXCERPT_CHARACTERS = 20_000
"""The beginning of each held-out book that is scored during training."""

PROMPTS = (
    "Once upon a time",
    "There was once a king who had three daughters, and",
    '"Who are you?" asked the',
    "The old witch laughed and said:",
    "The wolf came to the door of the little house",
    "",
)


def next_token_loss(model: LlamaForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats, ``-log p(token | tokens before it)``.

    Args:
        tokens: ``(B, T + 1)`` int64; each row's first token is only context.
    """
    logits = model(tokens[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())


@torch.no_grad()
def window_nats(
    model: LlamaForCausalLM, row: Tokens, context: int = CONTEXT
) -> tuple[npt.NDArray[np.float64], list[slice]]:
    """Scores every token of a row ``(N,)`` but its first, once, in windows side by side.

    Returns:
        The nats of each window, and where in the row its scored tokens are. A token is
        predicted from those before it in its window, at most ``context``.
    """
    model.train(False)
    tokens = torch.from_numpy(row).to(model.device)
    scored = [slice(i, min(i + context, len(row))) for i in range(1, len(row), context)]
    nats = [
        next_token_loss(model, tokens[None, at.start - 1 : at.stop]).item() * (at.stop - at.start)
        for at in scored
    ]
    return np.array(nats), scored


def window_scores(
    model: LlamaForCausalLM, passages: Sequence[Passage]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Nats and UTF-8 bytes of each window of the passages, ``(W,)`` both."""
    nats, sizes = [], []
    for each in passages:
        of_windows, scored = window_nats(model, each.tokens)
        nats.append(of_windows)
        sizes += [int(each.sizes[at].sum()) for at in scored]
    return np.concatenate(nats), np.array(sizes)


def held_out_scores(
    model: LlamaForCausalLM, passages: Sequence[Passage], name: str = "held_out"
) -> dict[str, float]:
    """Nats a token and bits per byte of passages with two windows or more."""
    nats, sizes = window_scores(model, passages)
    digest = hashlib.sha256(b"".join(each.tokens.tobytes() for each in passages)).hexdigest()
    bits = bits_per_byte(nats.tolist(), sizes.tolist(), f"held-out@{digest[:16]}")
    loss = nats.sum() / sum(len(each.tokens) - 1 for each in passages)
    return {f"{name}_loss": float(loss), f"{name}_bits_per_byte": bits.value}


def check_length(passages: Sequence[Passage]) -> None:
    """Raises SystemExit if the passages have fewer than two windows: no interval without."""
    windows = sum(-(-(len(each.tokens) - 1) // CONTEXT) for each in passages)
    if windows < 2:
        length = sum(len(each.tokens) for each in passages)
        raise SystemExit(f"--held-out: there are {length} tokens; give more than {CONTEXT}")


@torch.no_grad()
def write_samples(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, path: Path, length: int
) -> None:
    """Continues the fixed prompts by ``length`` tokens, one seed for each."""
    texts = []
    for seed, prompt in enumerate(PROMPTS):
        torch.manual_seed(seed)
        inputs = tokenizer(prompt or tokenizer.bos_token, return_tensors="pt").to(model.device)
        output = model.generate(  # type: ignore[misc]
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=length,
        )
        texts.append(str(tokenizer.decode(output[0], skip_special_tokens=True)))
    path.write_text("\n\n--------\n\n".join(texts) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "gpt", "fairytale-gpt", 8, 2e-3)
    parser.add_argument("--data", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--held-out", nargs="+", default=HELD_OUT, help="files never trained on")
    parsed, options = command_line.parse(parser, arguments)

    texts, held_out_texts = read_texts(parsed.data, parsed.held_out)
    tokenizer = training.run_tokenizer(options, lambda: train_tokenizer(texts))
    row = encode(tokenizer, texts)
    held_out = [passage(tokenizer, text) for text in held_out_texts]
    excerpts = [passage(tokenizer, text, EXCERPT_CHARACTERS) for text in held_out_texts]
    check_length(excerpts)

    width, layers = (32, 2) if options.smoke else (256, 6)
    model = training.starting_model(
        options, LlamaForCausalLM, lambda: build(tokenizer, width, layers)
    )
    run = training.Run(options, model, weight_decay=0.1)
    run.log(tokens=len(row), parameters=model.num_parameters())

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        halves = 2 if run.progress < LONG_FROM else 1
        tokens = windows(row, options.batch_size * halves, CONTEXT // halves, rng)
        loss = next_token_loss(model, tokens.to(run.device))
        return loss, {"loss": loss}

    run.train(step, lambda: held_out_scores(run.average, excerpts, "glance"), 400)

    best = results.save(run.average, options.output, tokenizer)
    run.log(**held_out_scores(best, excerpts, "glance"))
    run.log(**held_out_scores(best, held_out))
    results.keep_log(options)
    write_samples(best, tokenizer, options.run_dir / "samples.txt", 4 if options.smoke else 200)


if __name__ == "__main__":
    main()
