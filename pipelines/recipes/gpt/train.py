"""Trains the writer on a folder of texts.

    python -m pipelines.recipes.gpt.train --minutes 22 --data books

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import cast

import torch
from torch.nn import functional
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from pipelines.metrics.likelihood import bits_per_byte
from pipelines.recipes import training
from pipelines.recipes.gpt.data import HELD_OUT, Passage, encode, passage, read_texts, windows
from pipelines.recipes.gpt.model import CONTEXT, build, train_tokenizer

LONG_FROM = 0.7
"""Until this share of the budget, windows are half as long and twice as many: near
words are learned first, and short windows are cheaper by a quarter."""

GLANCE_CHARACTERS = 20_000
"""How much of each held-out book the scores during training read."""

PROMPTS = (
    "Once upon a time",
    "There was once a king who had three daughters, and",
    '"Who are you?" asked the',
    "The old witch laughed and said:",
    "The wolf came to the door of the little house",
    "",
)


def next_token_loss(model: LlamaForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats: ``-log p(token | tokens before it)``.

    Args:
        tokens: ``(B, T + 1)``, each row's first token given, the others to be told.
    """
    logits = model(tokens[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())


@torch.no_grad()
def window_scores(model: LlamaForCausalLM, held_out: Passage) -> Iterator[tuple[float, int, int]]:
    """Nats, tokens and UTF-8 bytes of each window of a text.

    Every token is told once, from at most 511 before it: the windows touch but do not
    overlap, so a window's first words have little to go by.
    """
    model.train(False)
    row = torch.from_numpy(held_out.tokens).to(model.device)
    for start in range(0, len(row) - 1, CONTEXT):
        window = row[start : start + CONTEXT + 1]
        told = len(window) - 1
        nats = next_token_loss(model, window[None]).item() * told
        yield nats, told, int(held_out.sizes[start + 1 : start + 1 + told].sum())


def held_out_scores(model: LlamaForCausalLM, passages: Sequence[Passage]) -> tuple[float, float]:
    """Nats for each token, and ``metrics.likelihood.bits_per_byte``; of two windows at least."""
    windows = [window for held_out in passages for window in window_scores(model, held_out)]
    nats, tokens, sizes = zip(*windows, strict=True)
    digest = hashlib.sha256(b"".join(held_out.tokens.tobytes() for held_out in passages))
    bits = bits_per_byte(nats, sizes, f"held-out@{digest.hexdigest()[:16]}")
    return sum(nats) / sum(tokens), bits.value


def check_length(passages: Sequence[Passage]) -> None:
    """Raises SystemExit where these passages do not make two windows, as an interval takes."""
    windows = sum(-(-(len(held_out.tokens) - 1) // CONTEXT) for held_out in passages)
    if windows < 2:
        length = sum(len(held_out.tokens) for held_out in passages)
        raise SystemExit(f"--held-out: there are {length} tokens; give more than {CONTEXT}")


@torch.no_grad()
def write_samples(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, path: Path, length: int
) -> None:
    """What the writer makes of the fixed prompts in so many tokens, one seed for each."""
    model.train(False)
    texts = []
    for seed, prompt in enumerate(PROMPTS):
        torch.manual_seed(seed)
        ids = tokenizer(prompt or tokenizer.bos_token, return_tensors="pt")["input_ids"]
        ids = ids.to(model.device)
        output = model.generate(  # type: ignore[misc]
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=length
        )
        texts.append(str(tokenizer.decode(output[0], skip_special_tokens=True)))
    path.write_text("\n\n--------\n\n".join(texts) + "\n", encoding="utf-8")


def save(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, output: Path
) -> LlamaForCausalLM:
    """Writes the checkpoint in half precision; returns it as it reads back."""
    deepcopy(model).half().save_pretrained(output, max_shard_size="8MB")
    tokenizer.save_pretrained(output)
    training.forget_paths(output)
    return LlamaForCausalLM.from_pretrained(output, dtype=torch.float32)


def tokenizer_of(options: training.Options, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """The run's tokenizer: trained when the run begins, or that of ``--init-from``; read
    again when the run goes on."""
    folder = options.run_dir / "tokenizer"
    if not options.resume and options.init_from is not None:
        AutoTokenizer.from_pretrained(options.init_from).save_pretrained(folder)
    elif not options.resume:
        train_tokenizer(texts).save_pretrained(folder)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return tokenizer


def begin_with(options: training.Options, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A blank writer, or the one that ``--init-from`` names."""
    if options.init_from is not None:
        return LlamaForCausalLM.from_pretrained(options.init_from, dtype=torch.float32)
    return build(tokenizer, width=32, layers=2) if options.smoke else build(tokenizer)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = training.parser(__doc__ or "", "gpt", "fairytale-gpt", 8, 2e-3)
    parser.add_argument("--data", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--held-out", nargs="+", default=HELD_OUT, help="files never trained on")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse(arguments)
    options = training.options_from(parsed)
    texts, held_out_texts = read_texts(parsed.data, parsed.held_out)
    tokenizer = tokenizer_of(options, texts)
    row = encode(tokenizer, texts)
    held_out = [passage(tokenizer, text) for text in held_out_texts]
    glance = [passage(tokenizer, text, GLANCE_CHARACTERS) for text in held_out_texts]
    check_length(glance)

    torch.manual_seed(options.seed)
    model = begin_with(options, tokenizer)
    run = training.Run(options, model, weight_decay=0.1)
    averaged = cast(LlamaForCausalLM, run.averaged.module)
    run.log(tokens=len(row), parameters=model.num_parameters())
    for rng in run.steps():
        halves = 2 if run.progress < LONG_FROM else 1
        tokens = windows(row, options.batch_size * halves, CONTEXT // halves, rng)
        with run.accelerator.autocast():
            loss = next_token_loss(model, tokens.to(run.accelerator.device))
        run.update(loss)
        if run.is_due(50):
            run.log(loss=loss.item())
        if run.is_due(400):
            nats, bits = held_out_scores(averaged, glance)
            run.log(glance_loss=nats, glance_bits_per_byte=bits)

    best = save(averaged, tokenizer, options.output)
    nats, bits = held_out_scores(best, glance)
    run.log(glance_loss=nats, glance_bits_per_byte=bits)
    nats, bits = held_out_scores(best, held_out)
    run.log(held_out_loss=nats, held_out_bits_per_byte=bits)
    training.keep_log(options)
    length = 4 if options.smoke else 200
    write_samples(best, tokenizer, options.run_dir / "samples.txt", length)


if __name__ == "__main__":
    main()
