"""Trains the writer's architecture on characters, at the sizes of nanoGPT's CPU run.

    python -m pipelines.recipes.gpt.shakespeare --steps 2000 --data tinyshakespeare.txt

Four layers, 128 wide, 64 characters of context, twelve windows a step, the last tenth of
the text held out: what nanoGPT's README (https://github.com/karpathy/nanoGPT) gives a
validation loss of 1.88 for. Here every character of that tenth is scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from pipelines.recipes import training
from pipelines.recipes.gpt.data import Tokens, windows
from pipelines.recipes.gpt.model import build
from pipelines.recipes.gpt.train import next_token_loss, save

CONTEXT = 64
"""Characters that the model sees at once."""

_SCORED_AT_ONCE = 64


def character_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """One token for each character that the text has, in order of code point; no others."""
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(sorted(set(text)))}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def read(path: Path) -> str:
    """The text of a file.

    Raises:
        SystemExit: there is no such file, or it is too short for a window in each part.
    """
    if not path.is_file():
        raise SystemExit(f"--data: there is no file {path}")
    text = path.read_text(encoding="utf-8")
    if len(text) < 10 * CONTEXT:
        raise SystemExit(f"--data: {path} has {len(text)} characters; {10 * CONTEXT} are needed")
    return text


def split(row: Tokens) -> tuple[Tokens, Tokens]:
    """The first nine tenths; the last tenth, with the one token that stands before it."""
    cut = len(row) * 9 // 10
    return row[:cut], row[cut - 1 :]


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, row: Tokens) -> float:
    """Mean nats a token of all but the row's first.

    Every token is told once, from the 1 to 64 before it: the windows touch but do not
    overlap.
    """
    model.train(False)
    tokens = torch.from_numpy(row).to(model.device)
    *full, last = [tokens[i : i + CONTEXT + 1] for i in range(0, len(tokens) - 1, CONTEXT)]
    batches = [
        torch.stack(full[i : i + _SCORED_AT_ONCE]) for i in range(0, len(full), _SCORED_AT_ONCE)
    ]
    nats = 0.0
    for batch in (*batches, last[None]):
        nats += next_token_loss(model, batch).item() * batch[:, 1:].numel()
    return nats / (len(tokens) - 1)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = training.parser(__doc__ or "", "shakespeare", "shakespeare", 12, 4e-3)
    parser.set_defaults(output=Path.home() / ".cache/triptych/runs/shakespeare/model")
    parser.add_argument("--data", type=Path, required=True, help="a text file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse(arguments)
    options = training.options_from(parsed)
    text = read(parsed.data)
    tokenizer = character_tokenizer(text)
    row = np.asarray(tokenizer.convert_tokens_to_ids(list(text)), dtype=np.int64)
    seen, held_out = split(row)

    torch.manual_seed(options.seed)
    width, layers = (32, 2) if options.smoke else (128, 4)
    model = build(tokenizer, width, layers, heads=4, context=CONTEXT)
    run = training.Run(options, model, weight_decay=0.1)
    averaged = cast(LlamaForCausalLM, run.averaged.module)
    run.log(characters=len(seen), held_out=len(held_out) - 1, parameters=model.num_parameters())
    for rng in run.steps():
        tokens = windows(seen, options.batch_size, CONTEXT, rng)
        with run.accelerator.autocast():
            loss = next_token_loss(model, tokens.to(run.accelerator.device))
        run.update(loss)
        if run.is_due(50):
            run.log(loss=loss.item())
        if run.is_due(500):
            run.log(held_out_loss=held_out_loss(averaged, held_out))

    best = save(averaged, tokenizer, options.output)
    run.log(held_out_loss=held_out_loss(best, held_out))
    training.keep_log(options)


if __name__ == "__main__":
    main()
