"""Trains the coder on Python's standard library and permissive npm packages of this machine.

    python -m pipelines.recipes.code.train --steps 6500

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``. What the model
writes is parsed and never run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import ModelCardData
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from pipelines.recipes import command_line, results, training
from pipelines.recipes.code.data import PACKAGE_FOLDERS, Source, read_sources
from pipelines.recipes.code.judge import cuts, indentation_kept, parses
from pipelines.recipes.code.model import build, train_tokenizer
from pipelines.recipes.gpt.data import Passage, row_of, sized, windows
from pipelines.recipes.gpt.model import CONTEXT
from pipelines.recipes.gpt.train import held_out_scores, next_token_loss
from pipelines.recipes.muon import muon_or_adamw

LANGUAGES = ("python", "javascript")
LONG_FROM = 0.7
"""Before this share of the budget, windows are half as long and twice as many, as the writer's."""
HELD_OUT_SEED = 4321
COMPLETION = 128
"""Tokens of a completion; before it the model reads up to ``CONTEXT - COMPLETION``."""
CASES_OF_A_FILE = 2
LEAST = 300
"""Characters of a file before a cut, and after it."""
EXCERPT_TOKENS, HELD_OUT_TOKENS = 8_000, 50_000
"""Of each language's held-out files so much is scored during training, and at its end."""

ABOUT = """\
Goes on with Python and JavaScript: a `LlamaForCausalLM` of {millions:.1f} million parameters, in
half precision, with {context} tokens of context. It writes what looks like code and does not
know what it does: parse it, read it, and do not run it unread."""


@dataclass(frozen=True)
class Case:
    """The beginning of a held-out file, for the model to go on with."""

    language: str
    prefix: str


def cases(sources: Sequence[Source], of_a_file: int, files: int | None = None) -> list[Case]:
    """Beginnings of the held-out files, the same every time.

    Of cuts behind which the file itself has a whole statement within as many characters as a
    completion has.
    """
    rng = np.random.default_rng(HELD_OUT_SEED)
    found = []
    for language in LANGUAGES:
        held_out = [s for s in sources if s.language == language and s.is_held_out]
        for source in held_out[:files]:
            beginnings = (
                prefix
                for prefix in cuts(source, LEAST, rng)
                if parses(language, prefix, source.text[len(prefix) : len(prefix) + LEAST])
                is not False
            )
            found += [Case(language, prefix) for prefix in islice(beginnings, of_a_file)]
    return found


@torch.no_grad()
def completions(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    prefixes: Sequence[str],
    length: int = COMPLETION,
) -> list[str]:
    """What the model writes behind the last tokens of each prefix, as its own settings draw it.

    A completion that ends its file has a line break at its end.
    """
    model.train(False)
    torch.manual_seed(HELD_OUT_SEED)
    texts = []
    for start in range(0, len(prefixes), 16):
        rows = [tokenizer.encode(p)[-(CONTEXT - length) :] for p in prefixes[start : start + 16]]
        encoded = tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        output = model.generate(  # type: ignore[misc]
            **encoded.to(model.device), max_new_tokens=length
        )
        for row in output[:, encoded["input_ids"].shape[1] :]:
            text = str(tokenizer.decode(row, skip_special_tokens=True))
            is_ended = bool((row == tokenizer.eos_token_id).any())
            texts.append(f"{text}\n" if is_ended else text)
    return texts


def completion_scores(asked: Sequence[Case], written: Sequence[str]) -> dict[str, float]:
    """Of each language the share of completions that parse, and of their lines those that are
    rightly indented. Without node, JavaScript is not parsed and that share is left out."""
    scores = {}
    for language in dict.fromkeys(case.language for case in asked):
        pairs = [
            (case.prefix, text)
            for case, text in zip(asked, written, strict=True)
            if case.language == language
        ]
        parsed = [parses(language, *pair) for pair in pairs]
        if None not in parsed:
            scores[f"{language}_parses"] = sum(map(bool, parsed)) / len(parsed)
        kept = [indentation_kept(language, *pair) for pair in pairs]
        lines = sum(count for _, count in kept)
        scores[f"{language}_indented"] = sum(right for right, _ in kept) / max(1, lines)
    return scores


def bits(model: LlamaForCausalLM, passages: Mapping[str, Passage], name: str) -> dict[str, float]:
    """Bits per byte of each language's passage."""
    key = "{}_{}_bits_per_byte"
    return {
        key.format(name, language): held_out_scores(model, [passage], name)[f"{name}_bits_per_byte"]
        for language, passage in passages.items()
    }


def held_out_passages(
    tokenizer: PreTrainedTokenizerBase, sources: Sequence[Source], most: int
) -> dict[str, Passage]:
    """The held-out files of each language that has some as one row, up to so many tokens."""
    texts = {
        language: [s.text for s in sources if s.language == language and s.is_held_out]
        for language in LANGUAGES
    }
    return {
        language: sized(tokenizer, row_of(tokenizer, files)[:most])
        for language, files in texts.items()
        if files
    }


def samples(asked: Sequence[Case], written: Sequence[str]) -> Iterator[str]:
    """The last lines of each prefix, and what the model wrote behind them."""
    for case, text in zip(asked, written, strict=True):
        before = "".join(case.prefix.splitlines(keepends=True)[-8:])
        says = parses(case.language, case.prefix, text)
        yield f"{case.language}, parses: {says}\n{before}>>>>{text}<<<<\n"


def packages_table(sources: Sequence[Source]) -> str:
    """Every package that was learned from, with its licence and files."""
    counts = Counter((source.package, source.licence) for source in sources)
    rows = [(*package, count) for package, count in sorted(counts.items())]
    return results.table(("package", "licence", "files"), rows)


def write_card(
    model: LlamaForCausalLM,
    measured: Mapping[str, float],
    asked: Sequence[Case],
    sources: Sequence[Source],
    run: training.Run,
) -> None:
    """``README.md`` of the checkpoint, with the scores of the saved files and all packages."""
    metadata = ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["code"],
    )
    held_out = sum(source.is_held_out for source in sources)
    rows = [(name.replace("_", " "), f"{value:.3f}") for name, value in measured.items()]
    results.write_run_card(
        run,
        "code",
        metadata,
        f"{len(sources):,} files of the packages below, {held_out} of them held out",
        f"{run.options.batch_size * CONTEXT:,} tokens",
        ABOUT.format(millions=model.num_parameters() / 1e6, context=CONTEXT),
        f"On the held-out files, from the saved ones, with {len(asked)} completions; "
        "`pipelines/recipes/code/README.md` says what is counted. JavaScript is parsed where node "
        "is installed.",
        results.table(("what", "value"), rows),
        "## What it learned from",
        packages_table(sources),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "code", "small-coder", 8, 3e-3)
    parser.add_argument(
        "--packages",
        type=Path,
        nargs="+",
        default=PACKAGE_FOLDERS,
        help="folders of npm packages",
    )
    parsed, options = command_line.parse(parser, arguments)
    sources = read_sources(parsed.packages)
    learned = [source.text for source in sources if not source.is_held_out]
    tokenizer = training.run_tokenizer(options, lambda: train_tokenizer(learned))
    row = row_of(tokenizer, learned)
    excerpts = held_out_passages(tokenizer, sources, EXCERPT_TOKENS)
    most = EXCERPT_TOKENS if options.smoke else HELD_OUT_TOKENS

    width, layers = (32, 2) if options.smoke else (256, 4)
    model = training.starting_model(
        options, LlamaForCausalLM, lambda: build(tokenizer, width, layers)
    )
    run = training.Run(
        options, model, weight_decay=0.1, optimizer=partial(muon_or_adamw, for_adamw=["lm_head"])
    )
    files = Counter(source.language for source in sources)
    run.log(tokens=len(row), parameters=model.num_parameters(), **files)

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        halves = 2 if run.progress < LONG_FROM else 1
        tokens = windows(row, options.batch_size * halves, CONTEXT // halves, rng)
        loss = next_token_loss(model, tokens.to(run.device))
        return loss, {"loss": loss}

    run.train(step, lambda: bits(run.average, excerpts, "glance"), evaluate_every=500, log_every=25)

    best = results.save(run.average, options.output, tokenizer).to(run.device)
    asked = cases(sources, 1, 2) if options.smoke else cases(sources, CASES_OF_A_FILE)
    written = completions(best, tokenizer, [case.prefix for case in asked])
    measured = bits(best, held_out_passages(tokenizer, sources, most), "held_out")
    measured |= completion_scores(asked, written)
    run.log(**measured)
    results.keep_log(options)
    some = slice(None, None, max(1, len(asked) // 12))
    text = "\n--------\n".join(samples(asked[some], written[some]))
    (options.run_dir / "samples.txt").write_text(text, encoding="utf-8")
    write_card(best, measured, asked, sources, run)


if __name__ == "__main__":
    main()
