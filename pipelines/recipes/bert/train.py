"""Trains a BERT on masked words of tales that a grammar writes.

    python -m pipelines.recipes.bert.train --steps 3800

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from huggingface_hub import ModelCardData
from torch.nn import functional
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from pipelines.recipes import command_line, results, training
from pipelines.recipes.bert.data import IGNORED, Batch, batch, random_text
from pipelines.recipes.bert.model import CONTEXT, build, train_tokenizer
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.tales import grammar

HELD_OUT_SEED = 4321
COPIED_WEIGHT = 3.0
"""In the loss, of names that stand elsewhere in the text, as the teller's."""

ABOUT = """\
Fills the gaps of texts of the emoji world, `[MASK]` for each: "There was a fox named Mila. [MASK]
had a red hat." A `BertForMaskedLM` of {millions:.1f} million parameters, in half precision; it
reads {context} tokens at most."""

DATA = (
    "tales written while it trains, by the grammar of `pipelines/recipes/tales`; a tenth of the "
    "pairs of a hero's kind and a first thing is held out"
)
MEASURES = {
    "accuracy": "masked words right",
    "accuracy_copied": "those of names, kinds, things and places that stand elsewhere in the text",
    "accuracy_other": "all others",
    "pseudo_perplexity": "pseudo-perplexity, each token masked by itself",
}


def named(model: BertForMaskedLM, shown: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the tokens to be named ``-log p`` in nats, and whether the model names them right: both
    ``(N,)``, row by row. Only these tokens pass the output layer."""
    chosen = (shown.labels != IGNORED).to(model.device)
    hidden = model.bert(
        input_ids=shown.tokens.to(model.device), attention_mask=shown.is_text.to(model.device)
    ).last_hidden_state
    logits, labels = model.cls(hidden[chosen]).float(), shown.labels.to(model.device)[chosen]
    return functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(-1) == labels


def copied_of(shown: Batch, device: torch.device) -> torch.Tensor:
    """Which of the tokens to be named can be copied from elsewhere: ``(N,)``."""
    return shown.copied[shown.labels != IGNORED].to(device)


def weighted_mean(nats: torch.Tensor, copied: torch.Tensor) -> torch.Tensor:
    """The mean of the nats, in which what can be copied has ``COPIED_WEIGHT``."""
    weights = torch.where(copied, COPIED_WEIGHT, 1.0)
    return (nats * weights).sum() / weights.sum()


def shares_right(shown: Batch, is_right: torch.Tensor) -> dict[str, float]:
    """Of the masked words the share whose tokens are all right: of all, of the names that can be
    copied from elsewhere in the text, and of the others."""
    chosen = shown.labels != IGNORED
    rows, _ = torch.nonzero(chosen, as_tuple=True)
    words: dict[tuple[int, int], list[tuple[bool, bool]]] = {}
    for row, word, *token in zip(
        rows.tolist(),
        shown.words[chosen].tolist(),
        is_right.tolist(),
        shown.copied[chosen].tolist(),
        strict=True,
    ):
        words.setdefault((row, word), []).append((token[0], token[1]))
    right = np.array([all(is_right for is_right, _ in tokens) for tokens in words.values()])
    copied = np.array([any(copied for _, copied in tokens) for tokens in words.values()])
    return {
        "accuracy": float(right.mean()),
        "accuracy_copied": float(right[copied].mean()) if copied.any() else math.nan,
        "accuracy_other": float(right[~copied].mean()) if not copied.all() else math.nan,
    }


@torch.no_grad()
def held_out_scores(model: BertForMaskedLM, shown: Sequence[Batch]) -> dict[str, float]:
    """The loss, and the shares of masked words that are right, averaged over the batches."""
    model.train(False)
    measured = []
    for each in shown:
        nats, is_right = named(model, each)
        measured.append({"held_out_loss": nats.mean().item(), **shares_right(each, is_right)})
    return {name: float(np.nanmean([m[name] for m in measured])) for name in measured[0]}


@torch.no_grad()
def pseudo_perplexity(
    model: BertForMaskedLM, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> float:
    """``exp`` of the mean ``-log p(token | all others of its text)``, each masked by itself.

    Salazar et al., 2020, "Masked Language Model Scoring" (arXiv:1910.14659), section 2.3.
    ``[CLS]`` and ``[SEP]`` are not masked.
    """
    model.train(False)
    nats = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
        places = torch.arange(1, ids.shape[1] - 1, device=model.device)
        masked = ids.repeat(len(places), 1)
        masked[torch.arange(len(places)), places] = tokenizer.mask_token_id
        for rows, at in zip(masked.split(64), places.split(64), strict=True):
            hidden = model.bert(input_ids=rows).last_hidden_state
            logits = model.cls(hidden[torch.arange(len(at)), at]).float()
            nats.append(functional.cross_entropy(logits, ids[0, at], reduction="none"))
    return math.exp(torch.cat(nats).mean().item())


def held_out_batches(tokenizer: PreTrainedTokenizerBase, count: int, rows: int) -> list[Batch]:
    """The same texts and masks every time, on pairs that training never shows."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    texts = [[random_text(rng, held_out=True) for _ in range(rows)] for _ in range(count)]
    return [batch(tokenizer, each, rng, always_masked=True) for each in texts]


def held_out_tales(count: int) -> list[str]:
    rng = np.random.default_rng(HELD_OUT_SEED + 1)
    return [grammar.random_tale(rng, held_out=True).text for _ in range(count)]


@torch.no_grad()
def samples(model: BertForMaskedLM, tokenizer: PreTrainedTokenizerBase, shown: Batch) -> str:
    """Masked texts, each with the words that the model names, and those that were there."""
    chosen = shown.labels != IGNORED
    hidden = model.bert(
        input_ids=shown.tokens.to(model.device), attention_mask=shown.is_text.to(model.device)
    ).last_hidden_state
    best = torch.where(chosen, model.cls(hidden).argmax(-1).cpu(), shown.labels)
    parts = []
    for tokens, named, labels, words in zip(
        shown.tokens, best, shown.labels, shown.words, strict=True
    ):
        answers = [
            f"{_decoded(tokenizer, named[words == w])} ({_decoded(tokenizer, labels[words == w])})"
            for w in words[labels != IGNORED].unique()
        ]
        text = _decoded(tokenizer, tokens[words >= 0])
        parts.append(f"{text}\n=> {', '.join(answers)}")
    return "\n\n".join(parts) + "\n"


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor) -> str:
    return str(tokenizer.decode(ids))


def write_card(model: BertForMaskedLM, measured: Mapping[str, float], run: training.Run) -> None:
    """``README.md`` of the checkpoint, with the scores of the saved files."""
    metadata = ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="fill-mask",
        language="en",
        tags=["emoji-tales"],
    )
    rows = [(words, f"{measured[name]:.3f}") for name, words in MEASURES.items()]
    results.write_run_card(
        run,
        "bert",
        metadata,
        DATA,
        f"{run.options.batch_size} texts",
        ABOUT.format(millions=model.num_parameters() / 1e6, context=CONTEXT),
        "On held-out tales, from the saved files, 15% of the words masked:",
        results.table(("what", "value"), rows),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "bert", "emoji-gaps", 32, 3e-3)
    _, options = command_line.parse(parser, arguments)
    tokenizer = training.run_tokenizer(
        options, lambda: train_tokenizer(grammar.tale_texts(300 if options.smoke else 20_000))
    )
    width, layers = (32, 2) if options.smoke else (192, 6)
    model = training.starting_model(
        options, BertForMaskedLM, lambda: build(tokenizer, width, layers)
    )
    head = ["cls.predictions.decoder"]  # which shares the embeddings
    run = training.Run(
        options, model, weight_decay=0.1, optimizer=partial(muon_or_adamw, for_adamw=head)
    )
    run.log(parameters=model.num_parameters())
    held_out = held_out_batches(tokenizer, 1 if options.smoke else 16, options.batch_size)

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        texts = [random_text(rng) for _ in range(options.batch_size)]
        shown = batch(tokenizer, texts, rng)
        nats, is_right = named(model, shown)
        copied = copied_of(shown, run.device)
        loss = weighted_mean(nats, copied)
        right = is_right.float().mean()
        return loss, {"loss": loss, "copied": nats.detach()[copied].mean(), "right": right}

    run.train(
        step, lambda: held_out_scores(run.average, held_out[:4]), evaluate_every=250, log_every=25
    )

    best = results.save(run.average, options.output, tokenizer).to(run.device)
    measured = held_out_scores(best, held_out)
    tales = held_out_tales(1 if options.smoke else 8)
    measured["pseudo_perplexity"] = pseudo_perplexity(best, tokenizer, tales)
    run.log(**measured)
    results.keep_log(options)
    text = samples(best, tokenizer, held_out[0])
    (options.run_dir / "samples.txt").write_text(text, encoding="utf-8")
    write_card(best, measured, run)


if __name__ == "__main__":
    main()
