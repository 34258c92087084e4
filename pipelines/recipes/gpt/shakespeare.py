"""Trains the writer's architecture on characters, at the sizes of nanoGPT's CPU run.

    python -m pipelines.recipes.gpt.shakespeare --steps 2000 --data tinyshakespeare.txt

Four layers, 128 wide, 64 characters of context, twelve windows a step, the last tenth of
the text held out. nanoGPT's README (https://github.com/karpathy/nanoGPT) reports a
validation loss of 1.88, on random windows; here every held-out character is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from pipelines.recipes import command_line, results, training
from pipelines.recipes.gpt.data import Tokens, windows
from pipelines.recipes.gpt.model import build
from pipelines.recipes.gpt.train import next_token_loss, window_nats

CONTEXT = 64
"""Characters of context."""


def character_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """One token for each character of the text, in order of code point."""
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
    """The first nine tenths; and the last tenth with the token before it as context."""
    cut = len(row) * 9 // 10
    return row[:cut], row[cut - 1 :]


def held_out_scores(model: LlamaForCausalLM, row: Tokens) -> dict[str, float]:
    """Mean nats a token of all but the row's first."""
    nats, _ = window_nats(model, row, CONTEXT)
    return {"held_out_loss": float(nats.sum() / (len(row) - 1))}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "shakespeare", "", 12, 4e-3)
    parser.set_defaults(output=command_line.RUNS / "shakespeare/model")
    parser.add_argument("--data", type=Path, required=True, help="a text file")
    parsed, options = command_line.parse(parser, arguments)
    text = read(parsed.data)
    tokenizer = character_tokenizer(text)
    row = np.asarray(tokenizer.convert_tokens_to_ids(list(text)), dtype=np.int64)
    seen, held_out = split(row)

    width, layers = (32, 2) if options.smoke else (128, 4)
    model = training.starting_model(
        options, LlamaForCausalLM, lambda: build(tokenizer, width, layers, 4, CONTEXT), tokenizer
    )
    run = training.Run(options, model, weight_decay=0.1)
    run.log(characters=len(seen), held_out=len(held_out) - 1, parameters=model.num_parameters())

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        tokens = windows(seen, options.batch_size, CONTEXT, rng)
        loss = next_token_loss(model, tokens.to(run.device))
        return loss, {"loss": loss}

    run.train(step, lambda: held_out_scores(run.average, held_out), 500)

    best = results.save(run.average, options.output, tokenizer)
    run.log(**held_out_scores(best, held_out))
    results.keep_log(options)


if __name__ == "__main__":
    main()
