"""Trains the teller on tales and conversations that a grammar writes.

    python -m pipelines.recipes.tales.train --steps 5000

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from pipelines.recipes import command_line, results, training
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.tales import chat
from pipelines.recipes.tales.chat import Conversation, Turn
from pipelines.recipes.tales.data import Batch, batch, documents
from pipelines.recipes.tales.model import as_text, build, train_tokenizer
from pipelines.recipes.tales.wordings import wordings

SHORT, LONG = 256, 448
"""Tokens of a row until ``LONG_FROM`` of the budget and after it; a tale has about 220."""
LONG_FROM = 0.6
HELD_OUT_SEED = 4321

ASKED = ("ask_about_tale", "know", "caption", "refuse", "persona", "remember", "drill")
"""Intents whose last answer is compared with the grammar's, word for word."""

OPENINGS: tuple[tuple[Turn, ...], ...] = (
    (("user", "Tell me a story about a fox and a key."),),
    (("user", "Write a bedtime story about an owl named Tiromo and a pumpkin."),),
    (("user", "Once upon a time there was a little dragon named Zoe. She had a drum"),),
    (("user", "What does a cow say?"),),
    (("user", "Give me something to paint."),),
    (("user", "What is the capital of France?"),),
    (("system", "You are Kira, a robot."), ("user", "Who are you?")),
)


def weighted_loss(logits: torch.Tensor, shown: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted mean cross-entropy in nats, and that of each target token.

    Args:
        logits: ``(B, T, V)`` for rows of ``T + 1`` tokens.

    Returns:
        A scalar, and ``(B, T)``.
    """
    targets, weights = shown.tokens[:, 1:], shown.weights[:, 1:]
    nats = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), reduction="none"
    ).view_as(weights)
    return (nats * weights).sum() / weights.sum(), nats


def parts_of_loss(nats: torch.Tensor, shown: Batch) -> dict[str, torch.Tensor]:
    """The mean of the words that are copied, and of all that the model itself has to say."""
    copied, own = shown.copied[:, 1:], shown.weights[:, 1:] >= 1
    return {"copied": nats[copied].mean(), "own": nats[own].mean()}


def to(shown: Batch, device: torch.device) -> Batch:
    return Batch(*(part.to(device) for part in (shown.tokens, shown.weights, shown.copied)))


@torch.no_grad()
def held_out_losses(model: LlamaForCausalLM, shown: Batch) -> dict[str, float]:
    """Both parts of the loss on pairs of hero and thing that training never shows."""
    model.train(False)
    with training.bfloat16(model.device):
        logits = model(shown.tokens[:, :-1], use_cache=False).logits
    _, nats = weighted_loss(logits, shown)
    return {f"held_out_{name}": value.item() for name, value in parts_of_loss(nats, shown).items()}


@torch.no_grad()
def answers(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Sequence[Turn]],
    limit: int = 60,
) -> list[str]:
    """What the model most likely answers to each conversation, up to ``limit`` tokens."""
    model.train(False)
    texts = [as_text(turns) + "<|assistant|>" for turns in asked]
    encoded = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    encoded = encoded.to(model.device)
    output = model.generate(  # type: ignore[misc]
        **encoded, max_new_tokens=limit, do_sample=False, temperature=None, top_p=None
    )
    written = output[:, encoded["input_ids"].shape[1] :]
    return [str(tokenizer.decode(row, skip_special_tokens=True)).strip() for row in written]


def answers_right(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, each: int
) -> dict[str, float]:
    """Of each intent in ``ASKED``, the share of last answers that are the grammar's.

    Every wording that the grammar has for an answer or a title is right. A caption is right if
    it speaks of all that was asked for; a refusal, if it is one.
    """
    intents = {name: intent for name, (intent, _) in chat.INTENTS.items()} | {"drill": chat.drill}
    rng = np.random.default_rng(HELD_OUT_SEED)
    shares = {}
    for name in ASKED:
        talks = [_asked(intents[name], rng) for _ in range(each)]
        given = answers(model, tokenizer, [talk.turns[:-1] for talk in talks])
        right = [_is_right(name, talk, answer) for talk, answer in zip(talks, given, strict=True)]
        shares[f"right_{name}"] = sum(right) / each
    return shares


def _asked(intent: chat.Intent, rng: np.random.Generator) -> Conversation:
    """A conversation of the intent; a caption's is one that names what it is to show."""
    talk = intent(rng, False)
    return talk if intent is not chat.caption or talk.entities else _asked(intent, rng)


def _is_right(intent: str, talk: Conversation, answer: str) -> bool:
    wanted = talk.turns[-1][1]
    if intent == "refuse":
        return any(answer.startswith(refusal.partition("[")[0]) for refusal in wordings("refusal"))
    if intent == "caption":
        return bool(answer) and all(name in answer for name in talk.entities)
    return answer == wanted or answer in talk.also_right


def write_samples(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, options: command_line.Options
) -> None:
    """``samples.txt`` in the run's directory: what it answers to the fixed openings."""
    limit = 4 if options.smoke else 320
    given = [answers(model, tokenizer, [turns], limit)[0] for turns in OPENINGS]
    texts = (
        "\n".join(f"{role}: {text}" for role, text in (*turns, ("assistant", answer)))
        for turns, answer in zip(OPENINGS, given, strict=True)
    )
    path = options.run_dir / "samples.txt"
    path.write_text("\n\n--------\n\n".join(texts) + "\n", encoding="utf-8")


def _texts(count: int) -> Iterable[str]:
    stream = documents(np.random.default_rng(5))
    return (next(stream).text for _ in range(count))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "tales", "emoji-tales", 24, 3e-3)
    _, options = command_line.parse(parser, arguments)
    tokenizer = training.run_tokenizer(
        options, lambda: train_tokenizer(_texts(300 if options.smoke else 20_000))
    )
    width, layers = (32, 2) if options.smoke else (256, 6)
    model = training.starting_model(
        options, LlamaForCausalLM, lambda: build(tokenizer, width, layers)
    )
    run = training.Run(
        options, model, weight_decay=0.1, optimizer=partial(muon_or_adamw, for_adamw=["lm_head"])
    )
    rng = np.random.default_rng(HELD_OUT_SEED)
    held_out = to(batch(tokenizer, rng, options.batch_size, LONG, held_out=True), run.device)
    run.log(parameters=model.num_parameters())

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        length = SHORT if run.progress < LONG_FROM else LONG
        rows = max(1, options.batch_size * SHORT // length)
        shown = to(batch(tokenizer, rng, rows, length, run.progress), run.device)
        logits = model(shown.tokens[:, :-1], use_cache=False).logits
        loss, nats = weighted_loss(logits, shown)
        return loss, {"loss": loss, **parts_of_loss(nats.detach(), shown)}

    def evaluate() -> dict[str, float]:
        losses = held_out_losses(run.average, held_out)
        if run.step == 0 or run.step % 1000:
            return losses
        write_samples(run.average, tokenizer, options)
        return losses | answers_right(run.average, tokenizer, 16)

    run.train(step, evaluate, evaluate_every=250, log_every=25)

    best = results.save(run.average, options.output, tokenizer).to(run.device)
    run.log(**held_out_losses(best, held_out))
    run.log(**answers_right(best, tokenizer, 2 if options.smoke else 64))
    write_samples(best, tokenizer, options)
    results.keep_log(options)


if __name__ == "__main__":
    main()
