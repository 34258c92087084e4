"""Trains the flow transformer on latents of emoji scenes, after an autoencoder.

python -m pipelines.recipes.flow_transformer.train --steps 30000
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from pipelines.recipes import command_line, results, training
from pipelines.recipes.autoencoders import Autoencoder, load_autoencoder
from pipelines.recipes.diffusion.checkpoint import (
    add_words_option,
    paint,
    sample_sheet,
    save,
    text_parts,
)
from pipelines.recipes.diffusion.data import LatentScenes
from pipelines.recipes.diffusion.preview import SCENES, fit_preview
from pipelines.recipes.diffusion.train import (
    PAINTED,
    PAINTED_AT_THE_END,
    colour_right,
    encoded_data,
    held_out_kid,
    held_out_scenes,
    mean_error,
    parse_options,
    pick,
)
from pipelines.recipes.emoji_scenes.card import write_card
from pipelines.recipes.emoji_scenes.data import EDGE, World, plain_caption
from pipelines.recipes.extractor import Extractor, load_extractor
from pipelines.recipes.flow_transformer.model import (
    FlowPainter,
    FlowTransformer,
    FlowTransformerPipeline,
    build_scheduler,
    spread_times,
)
from pipelines.recipes.muon import muon_or_adamw

OUTER_LAYERS = ("transformer.cells_in", "transformer.cells_out")
"""Left to AdamW: they read the latents and write the velocity."""
ABOUT = """\
Paints emoji scenes of 128 x 128 pixels from captions, by a transformer over latent cells that \
was trained with rectified flow: 20 Euler steps lead from noise to a picture. Its class is \
`FlowTransformerPipeline` of this repository."""


def starting_painter(
    options: command_line.Options,
    tokenizer: PreTrainedTokenizerFast,
    text_encoder: CLIPTextModel,
    latent_channels: int,
) -> FlowPainter:
    """A new transformer with this text encoder, or the painter of ``--init-from``.

    Raises:
        SystemExit: the checkpoint of ``--init-from`` has another vocabulary.
    """
    small = {"width": 32, "layers": 2, "heads": 2, "hidden": 64} if options.smoke else {}

    def untrained() -> FlowPainter:
        width = text_encoder.config.hidden_size
        return FlowPainter(text_encoder, FlowTransformer(latent_channels, width, **small))

    painter = training.starting_model(options, FlowPainter, untrained, tokenizer)
    if not torch.cuda.is_available():
        painter.text_encoder.set_attn_implementation("eager")
    return painter


def assemble(
    painter: FlowPainter, vae: Autoencoder, tokenizer: PreTrainedTokenizerFast
) -> FlowTransformerPipeline:
    """The trained parts as a pipeline."""
    parts = painter.text_encoder, tokenizer, painter.transformer
    pipeline = FlowTransformerPipeline(vae, *parts, build_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tokenize(
    tokenizer: PreTrainedTokenizerFast, captions: list[str], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, ``(B, T)`` each, padded to the longest."""
    encoded = tokenizer(captions, padding=True, truncation=True, return_tensors="pt").to(device)
    return encoded["input_ids"], encoded["attention_mask"]


@torch.no_grad()
def held_out_scores(
    pipeline: FlowTransformerPipeline,
    scenes: LatentScenes,
    world: World,
    pictures: Sequence[Image.Image],
    extractor: Extractor | None,
) -> dict[str, float]:
    """The loss on held-out scenes, with the same noise at every call; and the KID of pictures.

    Args:
        pictures: painted from the captions of the first held-out scenes.
    """
    generator = torch.Generator().manual_seed(11)
    painter = FlowPainter(pipeline.text_encoder, pipeline.transformer)
    device = pipeline.transformer.device
    captions = tokenize(pipeline.tokenizer, [words[0] for words in scenes.captions], device)
    latents = scenes.latents.float().to(device)
    times = spread_times(len(latents), generator).to(device)
    with training.bfloat16(device):
        errors = painter.flow_errors(*captions, latents, times, generator)
    return {"held_out_loss": float(errors.mean())} | held_out_kid(world, pictures, extractor)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "flow_transformer", "emoji-flow", 32, 1e-3)
    add_words_option(parser)
    parsed, options, world = parse_options(parser, arguments)
    tokenizer, text_encoder = text_parts(parsed.words, world)
    vae = load_autoencoder(parsed.vae)
    painter = starting_painter(options, tokenizer, text_encoder, vae.config.latent_channels)
    run = training.Run(options, painter, optimizer=partial(muon_or_adamw, for_adamw=OUTER_LAYERS))
    vae.to(run.device)

    count = 16 if options.smoke else parsed.scenes
    scenes, windows, held_out = encoded_data(options, count, vae, world)
    painted, painted_at_the_end = (4, 8) if options.smoke else (PAINTED, PAINTED_AT_THE_END)
    to_paint = held_out_scenes(world, painted_at_the_end)
    captions = [plain_caption(scene) for scene in to_paint]
    extractor = load_extractor(EDGE)
    sheet = options.run_dir / "samples.png"

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        chosen = pick(scenes, windows, run.progress, rng)
        size = options.batch_size * scenes.edge**2 // chosen.edge**2
        latents, covered, captions = chosen.batch(rng, size)
        times = spread_times(size).to(run.device)
        words = tokenize(tokenizer, captions, run.device)
        errors = painter.flow_errors(*words, latents.to(run.device), times)
        loss = mean_error(errors, covered)
        return loss, {"loss": loss}

    def evaluate() -> dict[str, float]:
        if run.step == 0:
            return {}
        pipeline = assemble(run.average, vae, tokenizer)
        sample_sheet(pipeline, sheet)
        pictures = [] if extractor is None else paint(pipeline, captions[:painted])
        return held_out_scores(pipeline, held_out, world, pictures, extractor)

    run.train(step, evaluate, 1000)

    pipeline = assemble(run.average, vae, tokenizer)
    preview = fit_preview(vae, scenes.latents[:SCENES])
    saved = save(pipeline, world, preview, options.output).to(run.device)
    sample_sheet(saved, sheet, 2 if options.smoke else 20)
    pictures = paint(saved, captions)
    scores = held_out_scores(saved, held_out, world, pictures[:painted], extractor)
    scores["colour_right"] = colour_right(pictures, to_paint)
    run.log(**scores)
    results.keep_log(options)
    count = f"On {len(pictures)} held-out scenes (KID on {painted})"
    write_card(run, "flow_transformer", "diffusers", "text-to-image", ABOUT, count, scores)


if __name__ == "__main__":
    main()
