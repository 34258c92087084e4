"""Trains the conditional GAN on emoji scenes.

python -m pipelines.recipes.gan.train --steps 10000
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.recipes import command_line, results, training
from pipelines.recipes.diffusion.checkpoint import (
    SHEET_PROMPTS,
    add_words_option,
    save,
    text_parts,
)
from pipelines.recipes.diffusion.train import (
    PAINTED,
    PAINTED_AT_THE_END,
    colour_right,
    held_out_kid,
    held_out_scenes,
)
from pipelines.recipes.emoji_scenes.card import write_card
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    as_images,
    caption,
    drawn_at_random,
    parse,
    plain_caption,
)
from pipelines.recipes.extractor import load_extractor
from pipelines.recipes.gan.discriminator import Discriminator, Pair, losses
from pipelines.recipes.gan.model import ConditionalGANPipeline, GANGenerator
from pipelines.recipes.vae.train import scenes_of

BETAS = (0.0, 0.99)
"""No momentum: the other side moves, so old gradients mislead."""
PENALTY = 10.0
"""The weight of the penalties at the beginning; it falls to a tenth as the learning rate does.
R3GAN has 2 for pictures of 64 x 64 and 150 for 256 x 256 (faces)."""
PENALTY_EVERY = 4
"""Steps from one with penalties to the next, which weigh as much more (Karras et al., 2020,
arXiv:1912.04958)."""
_BATCH_SIZE = 16
ABOUT = """\
Paints emoji scenes of 128 x 128 pixels from captions in one step: the generator of a conditional \
GAN, with the text encoder of `emoji-painter`. Its class is `ConditionalGANPipeline` of this \
repository."""


def adam(model: torch.nn.Module, learning_rate: float, weight_decay: float) -> Any:
    return torch.optim.AdamW(
        training.decaying(model.parameters(), weight_decay), lr=learning_rate, betas=BETAS
    )


def paint(pipeline: ConditionalGANPipeline, captions: Sequence[str]) -> list[Image.Image]:
    """A picture of each caption, picture i from seed i."""
    pictures: list[Image.Image] = []
    for start in range(0, len(captions), _BATCH_SIZE):
        part = list(captions[start : start + _BATCH_SIZE])
        seeds = range(start, start + len(part))
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        pictures += pipeline(part, generator=generators).images
    return pictures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "gan", "emoji-gan", 32, 5e-4)
    add_words_option(parser)
    parsed, options, world = parse(parser, arguments)
    tokenizer, text_encoder = text_parts(parsed.words, world)
    text_encoder.eval().requires_grad_(False)
    text_width = text_encoder.config.hidden_size
    small: dict[str, Any] = {"channels": (16, 16, 16), "blocks": (1, 1, 1)}
    generator = training.starting_model(
        options, GANGenerator, lambda: GANGenerator(text_width, **(small if options.smoke else {}))
    )
    judge = Discriminator(text_width, *([(16, 16, 16)] if options.smoke else []))
    pair = Pair(generator, judge)
    pair.begin_at_components(scenes_of(world, 32 if options.smoke else 512, seed=7))
    run = training.Run(options, pair, optimizer=adam)
    text_encoder.to(run.device)
    painted, painted_at_the_end = (4, 8) if options.smoke else (PAINTED, PAINTED_AT_THE_END)
    to_paint = held_out_scenes(world, painted_at_the_end)
    captions = [plain_caption(scene) for scene in to_paint]
    extractor = load_extractor(EDGE)
    sheet = options.run_dir / "samples.png"

    def assemble() -> ConditionalGANPipeline:
        pipeline = ConditionalGANPipeline(run.average.generator, text_encoder, tokenizer)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        scenes = drawn_at_random(world, options.batch_size, rng)
        drawn = as_images([pixels for _, pixels in scenes]).to(run.device)
        texts = [caption(scene, rng) for scene, _ in scenes]
        encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        encoded = encoded.to(run.device)
        with torch.no_grad():
            words = text_encoder(encoded["input_ids"]).last_hidden_state
        rate = training.learning_rate_at(run.progress, PENALTY, warmup=0.0)
        weight = 0.0 if run.step % PENALTY_EVERY else PENALTY_EVERY * max(rate, PENALTY / 10)
        values = losses(run.model, drawn, words, encoded["attention_mask"], weight)
        return torch.stack([*values.values()]).sum(), values

    def evaluate() -> dict[str, float]:
        pipeline = assemble()
        results.sheet(paint(pipeline, SHEET_PROMPTS), columns=4).save(sheet)
        return held_out_kid(world, paint(pipeline, captions[:painted]), extractor)

    run.train(step, evaluate, 500, log_every=40)

    saved = save(assemble(), world, None, options.output).to(run.device)
    results.sheet(paint(saved, SHEET_PROMPTS), columns=4).save(sheet)
    pictures = paint(saved, captions)
    scores = held_out_kid(world, pictures[:painted], extractor)
    scores["colour_right"] = colour_right(pictures, to_paint)
    run.log(**scores)
    results.keep_log(options)
    count = f"On {len(pictures)} held-out scenes (KID on {painted})"
    write_card(run, "gan", "diffusers", "text-to-image", ABOUT, count, scores)


if __name__ == "__main__":
    main()
