"""Trains a CNN with an LSTM and attention on emoji scenes that are drawn for every step.

    python -m pipelines.recipes.show_attend_tell.train --steps 7000

Data, auxiliary heads, scores and detector are those of the recipe ``captioner``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipelines.recipes import command_line, training
from pipelines.recipes.captioner.data import draw_batch, words_of
from pipelines.recipes.captioner.model import build_tokenizer
from pipelines.recipes.captioner.train import HELD_OUT_SEED, Lesson, finish, held_out_scores
from pipelines.recipes.emoji_scenes.data import parse
from pipelines.recipes.show_attend_tell.model import ShowAttendTell, build

COVER_WEIGHT = 1.0
"""Of the regulariser, the paper's lambda."""

ABOUT = """\
Says what an emoji scene shows, as in *Show, Attend and Tell* (arXiv:1502.03044). A \
`ShowAttendTell` of {:.1f} million parameters, in half precision, whose class stands in \
`pipelines/recipes/show_attend_tell/model.py`: a convolutional encoder gives a vector for each of \
64 cells, and an LSTM looks at some of them before it writes each word."""


def uncovered(attention: torch.Tensor, is_word: torch.Tensor) -> torch.Tensor:
    """The doubly stochastic regulariser, ``(1 - sum over words of attention)^2``, mean of cells.

    A word's attention sums to one over the cells; this asks the same of a cell's over the words
    (equation 14 of Xu et al.), so that no part of a picture is ignored.

    Args:
        attention: ``(B, T, S)``.
        is_word: ``(B, T)`` bool, False for padding.
    """
    looked_at = (attention.float() * is_word[..., None]).sum(dim=1)
    return (1 - looked_at).square().mean()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(
        __doc__ or "", "show-attend-tell", "emoji-show-attend-tell", 32, 1e-3
    )
    _, options, world = parse(parser, arguments)
    tokenizer = build_tokenizer(words_of(world))
    rng = np.random.default_rng(HELD_OUT_SEED)
    held_out = draw_batch(world, tokenizer, 8 if options.smoke else 256, rng, held_out=True)

    model = training.starting_model(
        options,
        ShowAttendTell,
        lambda: build(tokenizer, (16, 16, 32), 1) if options.smoke else build(tokenizer),
        tokenizer,
    )
    lesson = Lesson(model, len(world.emoji))
    run = training.Run(options, lesson, weight_decay=0.05)
    run.log(words=len(tokenizer), parameters=model.num_parameters())

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        batch = draw_batch(world, tokenizer, options.batch_size, rng)
        output = lesson.read(batch)
        words, cells = lesson.losses(output, batch)
        attention = output.cross_attentions[0][:, 0]
        is_word = (batch.tokens[:, 1:] != tokenizer.pad_token_id).to(attention.device)
        cover = uncovered(attention, is_word)
        loss = words + cells + COVER_WEIGHT * cover
        return loss, {"loss": words, "cells": cells, "cover": cover}

    def evaluate() -> dict[str, float]:
        return held_out_scores(run.average, tokenizer, world, held_out)

    run.train(step, evaluate, 500)
    about = ABOUT.format(model.num_parameters() / 1e6)
    finish(run, tokenizer, world, held_out, "show_attend_tell", about)


if __name__ == "__main__":
    main()
