"""Trains the captioner on emoji scenes, drawn afresh for every step.

    python -m pipelines.recipes.captioner.train --minutes 26

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional
from transformers import (
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderModel,
)

from pipelines.metrics.bleu import corpus_bleu
from pipelines.metrics.proportion import proportion
from pipelines.recipes import training
from pipelines.recipes.captioner.data import PARTS, Batch, draw_batch, words_of
from pipelines.recipes.captioner.familiarity import SCENES, describe_world, write_world
from pipelines.recipes.captioner.model import (
    IMAGE_EDGE,
    Familiarity,
    build,
    build_image_processor,
    build_tokenizer,
)
from pipelines.recipes.captioner.ood_report import foreign_shares
from pipelines.recipes.captioner.reading import Reader, names_all, tells
from pipelines.recipes.emoji_scenes.data import World, add_world_option, world_named

BACKGROUND_WEIGHT = 0.1
"""Most cells show background, which is soon learned."""

HELD_OUT_SEED = 1234


class Lesson(nn.Module):
    """The captioner, and a teacher's aid that is not saved: each cell names its emoji.

    Without the aid the encoder learns only through the decoder, which must learn to
    look before it can tell; with it every cell of every picture teaches at once. A cell
    also says whether its thing stands alone, to the left, above and so on: names alone
    can be had without any notion of place, and then the captions' places are guesses.
    """

    def __init__(self, captioner: VisionEncoderDecoderModel, emoji: int) -> None:
        super().__init__()
        self.captioner = captioner
        width = captioner.config.get_text_config().hidden_size
        self.namer = nn.Linear(width, emoji + 1)
        self.placer = nn.Linear(width, len(PARTS))

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Two losses in nats: of the captions' words, and of the cells' names and parts."""
        tokens = batch.tokens.to(self.namer.weight.device)
        padding = self.captioner.config.pad_token_id
        output = self.captioner(
            pixel_values=batch.images.to(tokens.device),
            decoder_input_ids=tokens[:, :-1],
            decoder_attention_mask=tokens[:, :-1] != padding,
        )
        words = functional.cross_entropy(
            output.logits.float().flatten(0, 1),
            tokens[:, 1:].flatten(),
            ignore_index=padding,
        )
        seen = output.encoder_last_hidden_state
        cells = _of_cells(self.namer(seen), batch.cells) + _of_cells(self.placer(seen), batch.parts)
        return words, cells


def _of_cells(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of ``(B, 64, classes)``, where class 0, background, weighs less."""
    weights = torch.ones(logits.shape[-1], device=logits.device)
    weights[0] = BACKGROUND_WEIGHT
    targets = targets.to(logits.device).flatten()
    return functional.cross_entropy(logits.float().flatten(0, 1), targets, weights)


@torch.no_grad()
def captions_of(
    model: VisionEncoderDecoderModel, tokenizer: PreTrainedTokenizerBase, images: torch.Tensor
) -> list[str]:
    """Greedy captions of ``(N, 3, 128, 128)`` in [-1, 1]."""
    model.train(False)
    texts: list[str] = []
    for part in images.split(64):
        ids = cast(Any, model).generate(pixel_values=part.to(model.device), do_sample=False)
        texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


@torch.no_grad()
def held_out_scores(
    lesson: Lesson, tokenizer: PreTrainedTokenizerBase, world: World, batch: Batch
) -> dict[str, float]:
    """Loss on unseen scenes, and how many greedy captions name what is there.

    ``named``: the right emoji and colour; ``told``: and a place that is true as well;
    ``bleu``: against the batch's own captions.
    """
    lesson.train(False)
    words, cells = lesson(batch)
    reader = Reader(world.emoji)
    captions = captions_of(lesson.captioner, tokenizer, batch.images)
    readings = [reader.read(text) for text in captions]
    named = [names_all(r, s) for r, s in zip(readings, batch.scenes, strict=True)]
    told = [tells(*each) for each in zip(readings, batch.scenes, batch.boxes, strict=True)]
    right = tokenizer.batch_decode(batch.tokens, skip_special_tokens=True)
    return {
        "held_out_loss": words.item(),
        "held_out_cells": cells.item(),
        "named": proportion(named, "scene").value,
        "told": proportion(told, "scene").value,
        "bleu": corpus_bleu(captions, [[text] for text in right]).value,
    }


def save(
    model: VisionEncoderDecoderModel, tokenizer: PreTrainedTokenizerBase, output: Path
) -> VisionEncoderDecoderModel:
    """Writes the checkpoint in half precision; returns it as it reads back."""
    deepcopy(model).half().save_pretrained(output, max_shard_size="8MB")
    tokenizer.save_pretrained(output)
    build_image_processor().save_pretrained(output)
    training.forget_paths(output)
    return VisionEncoderDecoderModel.from_pretrained(output, dtype=torch.float32)


def sample_sheet(
    images: torch.Tensor, captions: Sequence[str], path: Path, columns: int = 4
) -> None:
    """A picture: held-out scenes with their captions beneath."""
    rows = -(-len(captions) // columns)
    cell, text_height = IMAGE_EDGE + 8, 48
    sheet = Image.new("RGB", (columns * cell, rows * (cell + text_height)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (image, text) in enumerate(zip(images, captions, strict=True)):
        x, y = index % columns * cell + 4, index // columns * (cell + text_height) + 4
        pixels = (image.permute(1, 2, 0) * 127.5 + 127.5).round().byte().numpy()
        sheet.paste(Image.fromarray(pixels), (x, y))
        pen.text((x, y + IMAGE_EDGE + 2), textwrap.fill(text, 23), fill="black", font_size=10)
    sheet.save(path)


def begin_with(
    options: training.Options, tokenizer: PreTrainedTokenizerFast
) -> VisionEncoderDecoderModel:
    """A blank captioner, or the one that ``--init-from`` names.

    Raises:
        SystemExit: that one has other words than this world.
    """
    if options.init_from is None:
        torch.manual_seed(options.seed)
        return build(tokenizer, 32, (1, 1), 1) if options.smoke else build(tokenizer)
    known = PreTrainedTokenizerFast.from_pretrained(options.init_from)
    training.check_words(known, tokenizer, options.init_from)
    return VisionEncoderDecoderModel.from_pretrained(options.init_from, dtype=torch.float32)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = training.parser(__doc__ or "", "captioner", "emoji-captioner", 32, 1e-3)
    add_world_option(parser)
    parsed = parser.parse_args(arguments)
    options = training.options_from(parsed)
    world = world_named(parsed.world, options.smoke)
    tokenizer = build_tokenizer(words_of(world))
    count = 8 if options.smoke else 256
    rng = np.random.default_rng(HELD_OUT_SEED)
    held_out = draw_batch(world, tokenizer, count, rng, held_out=True)

    model = begin_with(options, tokenizer)
    run = training.Run(options, Lesson(model, len(world.emoji)), weight_decay=0.05)
    averaged = cast(Lesson, run.averaged.module)
    run.log(words=len(tokenizer), parameters=model.num_parameters())
    for rng in run.steps():
        batch = draw_batch(world, tokenizer, options.batch_size, rng)
        with run.accelerator.autocast():
            words, cells = run.model(batch)
        run.update(words + cells)
        if run.is_due(50):
            run.log(loss=words.item(), cells=cells.item())
        if run.is_due(500):
            run.log(**held_out_scores(averaged, tokenizer, world, held_out))

    best = save(averaged.captioner, tokenizer, options.output)
    averaged.captioner = best.to(run.accelerator.device)
    run.log(**held_out_scores(averaged, tokenizer, world, held_out))
    description = describe_world(best, world, 64 if options.smoke else SCENES)
    write_world(description, options.output)
    known = Familiarity.from_json(description["familiarity"])
    run.log(**foreign_shares(best, known, 4 if options.smoke else 64))
    training.keep_log(options)
    shown = held_out.images[:16]
    sample_sheet(shown, captions_of(best, tokenizer, shown), options.run_dir / "samples.png")


if __name__ == "__main__":
    main()
