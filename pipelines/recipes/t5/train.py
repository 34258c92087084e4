"""Trains a T5 on five tasks over tales that a grammar writes.

    python -m pipelines.recipes.t5.train --steps 5500

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from huggingface_hub import ModelCardData
from torch.nn import functional
from transformers import PreTrainedTokenizerBase, T5ForConditionalGeneration

from pipelines.recipes import command_line, results, training
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.t5.data import IGNORED, TASKS, Batch, Example, batch, example, examples
from pipelines.recipes.t5.model import CONTEXT, build, train_tokenizer
from pipelines.recipes.t5.scores import scores
from pipelines.recipes.tales import grammar

HELD_OUT_SEED = 4321
SAMPLE_TOKENS = 160

ABOUT = """\
Five tasks on tales of the emoji world, as texts to read and to write. A prompt begins with the
name of the task and a colon: `fill:` (words for `<extra_id_0>`, `<extra_id_1>`, …), `restore:`
(capitals, stops and quotes), `order:` (sentences that are mixed up), `question: … tale: …`, and
`title:`. A `T5ForConditionalGeneration` of {millions:.1f} million parameters, in half precision;
it reads and writes {context} tokens at most."""

DATA = (
    "tales written while it trains, by the grammar of `pipelines/recipes/tales`; a tenth of the "
    "pairs of a hero's kind and a first thing is held out"
)


def nats_of(model: T5ForConditionalGeneration, shown: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each example the summed cross-entropy in nats, and how many tokens it writes: ``(B,)``."""
    labels = shown.labels.to(model.device)
    logits = model(
        input_ids=shown.sources.to(model.device),
        attention_mask=shown.is_text.to(model.device),
        decoder_input_ids=model.prepare_decoder_input_ids_from_labels(labels),
        use_cache=False,
    ).logits
    nats = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(labels)
    return nats.sum(1), (labels != IGNORED).sum(1)


def mean_losses(
    model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, shown: Sequence[Example]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The mean of all written tokens in nats, and that of each task among the examples.

    Short and long texts are computed apart, for padding would be a third of the work.
    """
    ordered = sorted(shown, key=lambda each: len(each.source))
    half = len(ordered) // 2
    computed = [
        nats_of(model, batch(tokenizer, part)) for part in (ordered[:half], ordered[half:]) if part
    ]
    nats, counts = (torch.cat(parts) for parts in zip(*computed, strict=True))
    parts = {}
    for task in {each.task for each in shown}:
        rows = torch.tensor([each.task == task for each in ordered], device=nats.device)
        parts[f"loss_{task}"] = nats.detach()[rows].sum() / counts[rows].sum()
    return nats.sum() / counts.sum(), parts


@torch.no_grad()
def answers(
    model: T5ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[str],
    limit: int,
) -> list[str]:
    """What the model most likely writes for each text, up to ``limit`` tokens."""
    model.train(False)
    encoded = tokenizer(list(sources), padding=True, return_tensors="pt").to(model.device)
    output = model.generate(  # type: ignore[misc]
        **encoded, max_new_tokens=limit, do_sample=False
    )
    return [str(tokenizer.decode(row, skip_special_tokens=True)) for row in output]


def held_out_scores(
    model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, shown: Sequence[Example]
) -> dict[str, float]:
    """Each task's measures, averaged over its examples."""
    measured: dict[str, list[float]] = {}
    for task in TASKS:
        asked = [each for each in shown if each.task == task]
        longest = max(len(tokenizer(each.target)["input_ids"]) for each in asked)
        given = answers(model, tokenizer, [each.source for each in asked], longest + 8)
        for each, answer in zip(asked, given, strict=True):
            for name, value in scores(each, answer).items():
                measured.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in measured.items()}


def held_out_examples(of_each: int) -> list[Example]:
    """The same ones every time, ``of_each`` task, on pairs that training never shows."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    return [example(task, rng, held_out=True) for task in TASKS for _ in range(of_each)]


def samples(
    model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, limit: int
) -> str:
    """Two held-out examples of each task with what the model writes and what is right."""
    shown = held_out_examples(2)
    given = answers(model, tokenizer, [each.source for each in shown], limit)
    parts = (
        f"{each.source}\n=> {answer}\n(right: {each.target})"
        for each, answer in zip(shown, given, strict=True)
    )
    return "\n\n".join(parts) + "\n"


def write_card(
    model: T5ForConditionalGeneration, measured: Mapping[str, float], count: int, run: training.Run
) -> None:
    """``README.md`` of the checkpoint, with the scores of the saved files."""
    metadata = ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="text2text-generation",
        language="en",
        tags=["emoji-tales"],
    )
    rows = [(name.replace("_", ", "), f"{value:.3f}") for name, value in measured.items()]
    results.write_run_card(
        run,
        "t5",
        metadata,
        DATA,
        f"{run.options.batch_size} texts",
        ABOUT.format(millions=model.num_parameters() / 1e6, context=CONTEXT),
        f"On {count} held-out examples of each task, the likeliest answers of the saved files; "
        "`pipelines/recipes/t5/README.md` says what is counted:",
        results.table(("task, measure", "value"), rows),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "t5", "emoji-tasks", 32, 3e-3)
    _, options = command_line.parse(parser, arguments)
    tokenizer = training.run_tokenizer(
        options, lambda: train_tokenizer(grammar.tale_texts(300 if options.smoke else 20_000))
    )
    model = training.starting_model(
        options,
        T5ForConditionalGeneration,
        lambda: build(tokenizer, 32, (1, 1)) if options.smoke else build(tokenizer),
    )
    run = training.Run(
        options, model, weight_decay=0.1, optimizer=partial(muon_or_adamw, for_adamw=["lm_head"])
    )
    run.log(parameters=model.num_parameters())
    glance = held_out_examples(2 if options.smoke else 32)

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, parts = mean_losses(model, tokenizer, examples(options.batch_size, rng))
        return loss, {"loss": loss, **parts}

    run.train(
        step,
        lambda: held_out_scores(run.average, tokenizer, glance),
        evaluate_every=500,
        log_every=25,
    )

    best = results.save(run.average, options.output, tokenizer).to(run.device)
    count = 2 if options.smoke else 128
    measured = held_out_scores(best, tokenizer, held_out_examples(count))
    run.log(**measured)
    results.keep_log(options)
    text = samples(best, tokenizer, 4 if options.smoke else SAMPLE_TOKENS)
    (options.run_dir / "samples.txt").write_text(text, encoding="utf-8")
    write_card(best, measured, count, run)


if __name__ == "__main__":
    main()
