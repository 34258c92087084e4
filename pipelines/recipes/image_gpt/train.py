"""Trains the picture tokenizer, then the GPT that paints and describes with its codes.

    python -m pipelines.recipes.image_gpt.train --steps 9500

The state stays in ``--run-dir``; the finished checkpoint goes to ``--output``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from pipelines.metrics.retrieval import recall
from pipelines.recipes import command_line, results, training
from pipelines.recipes.clip.data import equal_pairs
from pipelines.recipes.clip.model import contrastive_loss
from pipelines.recipes.diffusion.checkpoint import paint, save
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.recipes.emoji_scenes.caption_parser import CaptionParser, describes, names_all
from pipelines.recipes.emoji_scenes.card import write_card
from pipelines.recipes.emoji_scenes.data import World, as_images, parse, scene_words
from pipelines.recipes.emoji_scenes.oracle import Oracle
from pipelines.recipes.image_gpt.codes import MINUTES_SHARE, trained_tokenizer
from pipelines.recipes.image_gpt.data import (
    Batch,
    HeldOut,
    draw_batch,
    encoded,
    held_out_scenes,
    padding_of,
    rows_of,
)
from pipelines.recipes.image_gpt.model import (
    CELLS,
    LONGEST_CAPTION,
    ImageGPTPipeline,
    PictureGPT,
    PictureTokenizer,
    TokenSampler,
    build,
)
from pipelines.recipes.muon import muon_or_adamw

COVERED_WEIGHT = 4.0
"""Of a code under an item in the loss: bare background is soon learned."""
ALONE_WEIGHT = 0.25
"""Of the codes before which no caption stands: they are learned for guidance."""
SHARED_WEIGHT = 0.5
HELD_OUT_SEED = 1234
ABOUT = """\
Paints emoji scenes from captions, describes them, and places captions and pictures in one space \
of {dimensions} dimensions, all by one GPT-2 of {millions:.1f} million parameters over words and \
{codes:,} picture codes. It knows nothing but emoji scenes.

```python
from pipelines.recipes.image_gpt.model import ImageGPTPipeline

ImageGPTPipeline.from_pretrained("assets/models/{name}", dtype="float32")([prompt]).images[0]
```"""
_UNSAVED = "emoji-image-gpt@00000000"
"""Stands for the model in signatures of scores during training, when its weights have no hash."""


def losses(gpt: PictureGPT, batch: Batch) -> dict[str, torch.Tensor]:
    """In nats: codes behind a caption and alone, words behind a picture, pairs in shared space."""
    count = len(batch.codes)
    states = gpt.states(rows_of(gpt, batch))
    painting, describing = states[:count, -CELLS - 1 :], states[count:]
    words = gpt.lm_head(describing[:, CELLS + 2 : -1]).float()
    texts, pictures = painting[:, 0], describing[:, CELLS + 2]
    return {
        "painted": code_loss(gpt, painting[:, :-1], batch.codes),
        "alone": code_loss(gpt, describing[:, 1 : CELLS + 1], batch.codes),
        "words": functional.cross_entropy(
            words.flatten(0, 1), batch.words.flatten(), ignore_index=padding_of(gpt)
        ),
        "shared": contrastive_loss(
            gpt.to_shared(pictures), gpt.to_shared(texts), gpt.logit_scale.exp(), batch.is_same
        ),
    }


def code_loss(gpt: PictureGPT, states: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of codes ``(N, 256)`` by the states before them; items weigh more.

    A picture's commonest code is its background.
    """
    logits = gpt.code_logits(states).float()
    nats = functional.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none")
    is_covered = codes != codes.mode(dim=1, keepdim=True).values
    weights = 1 + (COVERED_WEIGHT - 1) * is_covered.float()
    return (nats * weights.flatten()).sum() / weights.sum()


def total(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    return (
        parts["painted"]
        + parts["words"]
        + ALONE_WEIGHT * parts["alone"]
        + SHARED_WEIGHT * parts["shared"]
    )


@torch.no_grad()
def captions_of(gpt: Any, tokenizer: PreTrainedTokenizerBase, codes: torch.Tensor) -> list[str]:
    """The likeliest caption, word by word, of each of the pictures ``(N, 256)``."""
    rows = gpt.train(False).picture_rows(codes.to(gpt.device))
    ids = gpt.generate(
        rows.ids, attention_mask=rows.mask, do_sample=False, max_new_tokens=LONGEST_CAPTION
    )
    texts: list[str] = tokenizer.batch_decode(ids[:, rows.ids.shape[1] :], skip_special_tokens=True)
    return texts


@torch.no_grad()
def held_out_scores(pipeline: ImageGPTPipeline, world: World, scenes: HeldOut) -> dict[str, float]:
    """Losses; the share of captions with the right names, and with a true place too; recall at 1
    of a picture's caption and of a caption's picture, by the cosine in shared space."""
    gpt, tokenizer = pipeline.gpt.train(False), pipeline.tokenizer
    is_same = torch.from_numpy(equal_pairs(scenes.captions))
    batch = encoded(
        tokenizer, pipeline.picture_tokenizer, scenes.pictures, scenes.captions, is_same
    ).to(gpt.device)
    with training.bfloat16(gpt.device):
        parts = losses(gpt, batch)
    parser = CaptionParser(world.emoji)
    parsed = [parser.parse(text) for text in captions_of(gpt, tokenizer, batch.codes)]
    pictures = gpt.shared(gpt.picture_rows(batch.codes)).double().cpu().numpy()
    texts = gpt.shared(batch.prompts).double().cpu().numpy()
    is_right = is_same.numpy()
    return {f"held_out_{name}": value.item() for name, value in parts.items()} | {
        "named": float(np.mean(list(map(names_all, parsed, scenes.scenes)))),
        "told": float(np.mean(list(map(describes, parsed, scenes.scenes, scenes.boxes)))),
        "text_at_1": recall(pictures, texts, is_right, _UNSAVED)[1].value,
        "picture_at_1": recall(texts, pictures, is_right.T, _UNSAVED)[1].value,
    }


def recognised(world: World, scenes: HeldOut, pictures: Sequence[Image.Image]) -> dict[str, float]:
    """The shares of paintings of the first scenes in which an oracle finds colour and emoji."""
    oracle = Oracle(world)
    findings = [oracle.recognise(np.asarray(picture)) for picture in pictures]
    pairs = list(zip(findings, scenes.scenes, strict=False))
    return {
        "colour_right": float(np.mean([found.colour == scene.colour for found, scene in pairs])),
        "emoji_right": float(np.mean([found.shows_items(scene) for found, scene in pairs])),
    }


def sample_sheet(
    pipeline: ImageGPTPipeline, scenes: HeldOut, painted: Sequence[Image.Image], path: Path
) -> None:
    """Eight paintings with their prompts; below, true pictures of the scenes with the captions
    that the model gives them."""
    drawn = [Image.fromarray(pixels) for pixels in scenes.pictures[:8]]
    pixels = as_images(scenes.pictures[:8]).to(pipeline.device)
    told = captions_of(pipeline.gpt, pipeline.tokenizer, pipeline.picture_tokenizer.encode(pixels))
    asked = [f"asked: {caption}" for caption in scenes.captions[: len(drawn)]]
    captions = [*asked, *(f"said: {caption}" for caption in told)]
    results.sheet([*painted[: len(drawn)], *drawn], 4, captions).save(path)


def preview(picture_tokenizer: PictureTokenizer) -> dict[str, object]:
    """The map by which the page shows what is painted so far: a colour for each code."""
    colours = picture_tokenizer.colours().detach().cpu()
    return {"weights": [[round(v, 3) for v in row] for row in colours.tolist()], "bias": [0.0] * 3}


class _Saved:
    """The GPT of a saved pipeline, as ``starting_model`` loads it."""

    @staticmethod
    def from_pretrained(path: Path, dtype: torch.dtype) -> PictureGPT:
        return PictureGPT.from_pretrained(path / "gpt", dtype=dtype)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "image-gpt", "emoji-image-gpt", 16, 2e-3)
    _, options, world = parse(parser, arguments)
    tokenizer = build_tokenizer(scene_words(world))
    if options.init_from is None:
        picture_tokenizer = trained_tokenizer(options, world)
    else:
        folder = options.init_from / "picture_tokenizer"
        picture_tokenizer = PictureTokenizer.from_pretrained(folder, dtype=torch.float32)
    codes = picture_tokenizer.config.codes
    width, layers = (64, 2) if options.smoke else (256, 6)
    kind: Any = _Saved
    gpt: PictureGPT = training.starting_model(
        options, kind, lambda: build(tokenizer, codes, width, layers), tokenizer
    )
    if not torch.cuda.is_available():  # the backward pass of the fused one is slow there
        gpt.set_attn_implementation("eager")
    run = training.Run(
        gpt_options(options), gpt, weight_decay=0.05,
        optimizer=partial(muon_or_adamw, for_adamw=["lm_head"]),
    )  # fmt: skip
    picture_tokenizer.to(run.device).requires_grad_(False)
    scenes = held_out_scenes(world, 8 if options.smoke else 128, HELD_OUT_SEED)
    run.log(words=len(tokenizer), parameters=gpt.num_parameters())

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        batch = draw_batch(world, tokenizer, picture_tokenizer, options.batch_size, rng)
        parts = losses(gpt, batch.to(run.device))
        return total(parts), parts

    def assembled() -> ImageGPTPipeline:
        pipeline = ImageGPTPipeline(tokenizer, run.average, picture_tokenizer, TokenSampler())
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def evaluate(pipeline: ImageGPTPipeline | None = None, painted: int = 16) -> dict[str, float]:
        if run.step == 0:
            return {}
        model = assembled() if pipeline is None else pipeline
        pictures = paint(model, scenes.captions[:painted])
        sample_sheet(model, scenes, pictures, options.run_dir / "samples.png")
        return held_out_scores(model, world, scenes) | recognised(world, scenes, pictures)

    run.train(step, evaluate, evaluate_every=1000, log_every=25)

    best = save(assembled(), world, preview(picture_tokenizer), options.output).to(run.device)
    scores = evaluate(best, 2 if options.smoke else 64)
    run.log(**scores)
    results.keep_log(options)
    about = ABOUT.format(
        dimensions=gpt.config.shared_width,
        millions=gpt.num_parameters() / 1e6,
        codes=codes,
        name=options.output.name,
    )
    evaluated = f"On {len(scenes.scenes)} held-out scenes in their standard wording"
    write_card(run, "image_gpt", "diffusers", "text-to-image", about, evaluated, in_words(scores))


def in_words(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores of the card, by what a reader calls them."""
    names = {
        "colour_right": "painted: the colour is right",
        "emoji_right": "painted: an oracle recognises the emoji",
        "named": "captions: emoji and colour are right",
        "told": "captions: the place too",
        "text_at_1": "recall at 1: a picture's caption",
        "picture_at_1": "recall at 1: a caption's picture",
    }
    return {words: scores[name] for name, words in names.items()}


def gpt_options(options: command_line.Options) -> command_line.Options:
    """What the first part leaves: the rest of the minutes, and nothing to resume if it did not
    come to its end."""
    minutes = options.minutes
    if minutes is not None and options.init_from is None:
        minutes *= 1 - MINUTES_SHARE
    has_state = (options.run_dir / training.STATE_FILE).is_file()
    return replace(options, minutes=minutes, resume=options.resume and has_state)


if __name__ == "__main__":
    main()
