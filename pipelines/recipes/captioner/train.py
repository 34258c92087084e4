"""Trains the captioner on emoji scenes that are drawn for every step.

    python -m pipelines.recipes.captioner.train --minutes 26

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase, VisionEncoderDecoderModel

from pipelines.metrics.bleu import corpus_bleu
from pipelines.recipes import command_line, results, training
from pipelines.recipes.captioner.attention import attention_sheet
from pipelines.recipes.captioner.data import PARTS, Batch, draw_batch, words_of
from pipelines.recipes.captioner.model import build, build_image_processor, build_tokenizer
from pipelines.recipes.captioner.ood_detector import SCENES, write_world
from pipelines.recipes.captioner.ood_report import detected_kinds
from pipelines.recipes.emoji_scenes.caption_parser import CaptionParser, describes, names_all
from pipelines.recipes.emoji_scenes.card import write_card
from pipelines.recipes.emoji_scenes.data import World, parse

BACKGROUND_WEIGHT = 0.1
"""In the losses of cells: most cells are background, which is soon learned."""

HELD_OUT_SEED = 1234

ABOUT = """\
Says what an emoji scene shows. A `VisionEncoderDecoderModel` of {:.1f} million parameters, in \
half precision: a Swin encoder and a GPT-2 decoder that attends to the picture's 64 cells."""

LABELS = {
    "held_out_loss": "loss, nats a token, standard wordings",
    "named": "the very emoji and the background's colour named",
    "told": "that, and a true place",
    "bleu": "BLEU against the standard wording",
}


class Lesson(nn.Module):
    """The captioner with two auxiliary heads, which are not saved.

    Through the decoder alone the encoder learns only once the decoder attends to it; the
    heads give every cell a loss of its own. One names the emoji that covers the cell, the other
    says whether that emoji is alone, left, above and so on: names can be learned without
    places, and then the places in captions are guesses.
    """

    def __init__(self, captioner: PreTrainedModel, emoji: int) -> None:
        super().__init__()
        self.captioner = captioner
        width = captioner.config.get_text_config().hidden_size
        self.namer = nn.Linear(width, emoji + 1)
        self.placer = nn.Linear(width, len(PARTS))

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """``losses`` of what the captioner reads."""
        return self.losses(self.read(batch), batch)

    def read(self, batch: Batch) -> Any:
        """The captioner's output for the batch's captions."""
        tokens = batch.tokens[:, :-1].to(self.namer.weight.device)
        return self.captioner(
            pixel_values=batch.images.to(tokens.device),
            decoder_input_ids=tokens,
            decoder_attention_mask=tokens != self.captioner.config.pad_token_id,
        )

    def losses(self, output: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Two in nats: of the captions' words, and of the cells' emoji and parts."""
        words = functional.cross_entropy(
            output.logits.float().flatten(0, 1),
            batch.tokens[:, 1:].to(output.logits.device).flatten(),
            ignore_index=self.captioner.config.pad_token_id,
        )
        states = output.encoder_last_hidden_state
        cells = _cell_loss(self.namer(states), batch.cells)
        return words, cells + _cell_loss(self.placer(states), batch.parts)


def _cell_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of ``(B, 64, classes)``; class 0 is background and weighs less."""
    weights = torch.ones(logits.shape[-1], device=logits.device)
    weights[0] = BACKGROUND_WEIGHT
    targets = targets.to(logits.device).flatten()
    return functional.cross_entropy(logits.float().flatten(0, 1), targets, weights)


@torch.no_grad()
def captions_of(
    model: Any, tokenizer: Any, images: torch.Tensor, batch_size: int = 64
) -> list[str]:
    """Greedy captions of preprocessed images ``(N, 3, H, W)``, for emoji scenes in [-1, 1]."""
    model.train(False)
    texts: list[str] = []
    for part in images.split(batch_size):
        ids = model.generate(pixel_values=part.to(model.device), do_sample=False, num_beams=1)
        texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


@torch.no_grad()
def held_out_scores(
    lesson: Lesson, tokenizer: PreTrainedTokenizerBase, world: World, batch: Batch
) -> dict[str, float]:
    """Losses on held-out scenes, and how good the greedy captions are.

    ``named`` is the share with the right emoji and colour, ``told`` that with a true place
    as well; ``bleu`` compares with the batch's own captions.
    """
    words, cells = lesson.train(False)(batch)
    parser = CaptionParser(world.emoji)
    captions = captions_of(lesson.captioner, tokenizer, batch.images)
    parsed = [parser.parse(text) for text in captions]
    references = tokenizer.batch_decode(batch.tokens, skip_special_tokens=True)
    return {
        "held_out_loss": words.item(),
        "held_out_cells": cells.item(),
        "named": float(np.mean(list(map(names_all, parsed, batch.scenes)))),
        "told": float(np.mean(list(map(describes, parsed, batch.scenes, batch.boxes)))),
        "bleu": corpus_bleu(captions, [[text] for text in references]).value,
    }


def finish(
    run: training.Run,
    tokenizer: PreTrainedTokenizerBase,
    world: World,
    held_out: Batch,
    recipe: str,
    about: str,
) -> None:
    """Saves the average of a run's captioner: weights, ``world.json``, card, scores, sheets.

    Args:
        recipe: the name of its folder.
        about: what the model is, for its card, in Markdown.
    """
    options, lesson = run.options, run.average
    lesson.captioner = results.save(
        lesson.captioner, options.output, tokenizer, build_image_processor()
    ).to(run.device)
    scores = held_out_scores(lesson, tokenizer, world, held_out)
    run.log(**scores)
    images = held_out.images[:16]
    captions = captions_of(lesson.captioner, tokenizer, images)
    sheet = results.sheet(results.pictures_of(images), 4, captions)
    sheet.save(options.run_dir / "samples.png")
    sheet = attention_sheet(lesson.captioner, tokenizer, images[:8])
    sheet.save(options.run_dir / "attention.png")
    detector = write_world(lesson.captioner, world, 64 if options.smoke else SCENES, options.output)
    run.log(**detected_kinds(lesson.captioner, detector, 4 if options.smoke else 64))
    results.keep_log(options)
    evaluated = f"On {len(held_out.scenes)} held-out scenes with greedy captions"
    rows = {label: scores[name] for name, label in LABELS.items()}
    write_card(run, recipe, "transformers", "image-to-text", about, evaluated, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "captioner", "emoji-captioner", 32, 1e-3)
    parser.add_argument(
        "--width", type=int, default=128, help="of patches; cells have two times it"
    )
    parsed, options, world = parse(parser, arguments)
    tokenizer = build_tokenizer(words_of(world))
    rng = np.random.default_rng(HELD_OUT_SEED)
    held_out = draw_batch(world, tokenizer, 8 if options.smoke else 256, rng, held_out=True)

    model = training.starting_model(
        options,
        VisionEncoderDecoderModel,
        lambda: (
            build(tokenizer, 32, (1, 1), 1) if options.smoke else build(tokenizer, parsed.width)
        ),
        tokenizer,
    )
    run = training.Run(options, Lesson(model, len(world.emoji)), weight_decay=0.05)
    run.log(words=len(tokenizer), parameters=model.num_parameters())

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        words, cells = run.model(draw_batch(world, tokenizer, options.batch_size, rng))
        return words + cells, {"loss": words, "cells": cells}

    def evaluate() -> dict[str, float]:
        return held_out_scores(run.average, tokenizer, world, held_out)

    run.train(step, evaluate, 500)
    finish(run, tokenizer, world, held_out, "captioner", ABOUT.format(model.num_parameters() / 1e6))


if __name__ == "__main__":
    main()
