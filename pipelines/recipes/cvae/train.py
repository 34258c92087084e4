"""Trains the conditional variational autoencoder on emoji scenes that are drawn for every step.

python -m pipelines.recipes.cvae.train --steps 10000
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from pipelines.recipes import command_line, results, training
from pipelines.recipes.cvae.model import ConditionalVAE, ConditionalVAEPipeline, Normal
from pipelines.recipes.diffusion.checkpoint import save
from pipelines.recipes.diffusion.model import build_text_encoder, build_tokenizer
from pipelines.recipes.diffusion.train import colour_right
from pipelines.recipes.diffusion.words import teach_words
from pipelines.recipes.emoji_scenes.card import write_card
from pipelines.recipes.emoji_scenes.data import (
    Pixels,
    Scene,
    World,
    arrange,
    as_images,
    caption,
    drawn_at_random,
    parse,
    plain_caption,
    scene_words,
)
from pipelines.recipes.emoji_scenes.oracle import Oracle
from pipelines.recipes.muon import muon_or_adamw
from pipelines.recipes.patches.model import PatchAutoencoder
from pipelines.recipes.vae.train import reconstruction_loss, scenes_of

DIVERGENCE_WEIGHT = 0.003
"""Of a nat, against the reconstruction's loss: a fact about a picture is kept if it lowers that
loss by more."""
FREE_NATS = 8.0
"""A picture that cost nothing, about those of two places (free bits: Kingma et al., 2016,
arXiv:1606.04934). Else the prior silences the numbers before the generator has learned to use
them, and every thing ends in the mean of its places."""
OUTER_LAYERS = ("cvae.to_cells", "cvae.generate.to_cells", "cvae.recognise.out", "cvae.expect.2")
"""Left to AdamW: they read pictures, or write cells and distributions."""
HELD_OUT, SHOWN = 64, 8
ABOUT = """\
Paints emoji scenes of 128 x 128 pixels from captions, in one step: a conditional variational \
autoencoder. Its class is `ConditionalVAEPipeline` of `pipelines/recipes/cvae/model.py`, which \
also walks between pictures and between captions (`walk`)."""
LABELS = {
    "held_out_error": "mean absolute error of reconstructions, of 2",
    "held_out_divergence": "nats a picture beyond its caption",
    "recognised": "an oracle recognises scenes in pictures of their captions",
    "colour_right": "the background's colour is the caption's",
}


class Learner(nn.Module):
    """Text encoder and autoencoder as one module, for one optimiser and one moving average."""

    def __init__(self, text_encoder: CLIPTextModel, cvae: ConditionalVAE) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.cvae = cvae

    @classmethod
    def from_pretrained(cls, path: Path, dtype: torch.dtype) -> Learner:
        """These two parts of a saved pipeline."""
        pipeline = ConditionalVAEPipeline.from_pretrained(path, dtype=dtype)
        return cls(pipeline.text_encoder, pipeline.cvae)

    def forward(
        self, ids: torch.Tensor, pictures: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures ``(B, 3, H, W)`` as they are reconstructed with captions ``(B, T)``, and how
        many nats the latent numbers hold of each beyond its caption, ``(B,)``."""
        words = self.text_encoder(ids).last_hidden_state
        posterior: Normal = self.cvae.posterior(pictures, words)
        latents = posterior.at(torch.randn_like(posterior.mean))
        pixels = self.cvae.decode(latents, words).float()
        return pixels, posterior.divergence(self.cvae.prior(words))


@dataclass(frozen=True)
class HeldOut:
    """Scenes of the held-out set, with a picture ``(N, 3, 128, 128)`` and a caption each."""

    scenes: list[Scene]
    images: torch.Tensor
    captions: list[str]


def held_out_scenes(world: World, count: int) -> HeldOut:
    """The same ones at every call."""
    drawn = drawn_at_random(world, count, np.random.default_rng(1234), held_out=True)
    scenes = [scene for scene, _ in drawn]
    return HeldOut(
        scenes, as_images([pixels for _, pixels in drawn]), list(map(plain_caption, scenes))
    )


def draw_batch(world: World, size: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
    """Random scenes ``(size, 3, 128, 128)`` in [-1, 1], and a caption each."""
    pictures: list[Pixels] = []
    captions: list[str] = []
    for _ in range(size):
        scene = world.sample(rng)
        pictures.append(world.draw(scene, arrange(scene, rng)))
        captions.append(caption(scene, rng))
    return as_images(pictures), captions


def tokenize(tokenizer: PreTrainedTokenizerFast, captions: Sequence[str]) -> torch.Tensor:
    """Token ids ``(B, 32)``."""
    encoded = tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
    ids: torch.Tensor = encoded["input_ids"]
    return ids


def components_of(world: World, count: int) -> PatchAutoencoder:
    """A linear autoencoder: the principal components of the patches of ``count`` scenes."""
    components: PatchAutoencoder = PatchAutoencoder((8, 8, 8, 8), (1, 1, 1))
    components.begin_at_components(scenes_of(world, count, seed=7))
    return components


def build(vocabulary_size: int, components: PatchAutoencoder, **sizes: Any) -> Learner:
    """An untrained learner of these words.

    The recogniser's first map and the generator's last one are the components; the first stays.
    """
    cvae = ConditionalVAE(**sizes)
    cvae.to_cells.load_state_dict(components.to_cells.state_dict())
    cvae.generate.to_pixels.load_state_dict(components.to_pixels.state_dict())
    return Learner(build_text_encoder(vocabulary_size, cvae.config.text_width, 2), cvae)


def objective(error: torch.Tensor, nats: torch.Tensor) -> torch.Tensor:
    """A batch's loss: of its reconstruction, and of the mean divergence beyond what is free."""
    return error + DIVERGENCE_WEIGHT * functional.relu(nats - FREE_NATS)


def assemble(learner: Learner, tokenizer: PreTrainedTokenizerFast) -> ConditionalVAEPipeline:
    """The trained parts as a pipeline."""
    return ConditionalVAEPipeline(learner.cvae, learner.text_encoder, tokenizer)


def painted(pipeline: ConditionalVAEPipeline, captions: Sequence[str]) -> list[Image.Image]:
    """A picture of each caption, picture i from seed i."""
    seeds = [torch.Generator().manual_seed(seed) for seed in range(len(captions))]
    pictures: list[Image.Image] = pipeline(captions, generator=seeds).images
    return pictures


@torch.no_grad()
def held_out_scores(
    pipeline: ConditionalVAEPipeline, held_out: HeldOut, oracle: Oracle
) -> dict[str, float]:
    """Of reconstructions: error and divergence; of pictures that were painted from captions
    alone: how many show their scene to the oracle, and how many its colour."""
    words = pipeline.read(held_out.captions)
    posterior = pipeline.cvae.posterior(held_out.images.to(words), words)
    pixels = pipeline.cvae.decode(posterior.mean, words).cpu()
    pictures = painted(pipeline, held_out.captions)
    findings = [oracle.recognise(np.asarray(picture)) for picture in pictures]
    is_shown = [f.shows(scene) for f, scene in zip(findings, held_out.scenes, strict=True)]
    return {
        "held_out_error": float((pixels - held_out.images).abs().mean()),
        "held_out_divergence": float(posterior.divergence(pipeline.cvae.prior(words)).mean()),
        "recognised": float(np.mean(is_shown)),
        "colour_right": colour_right(pictures, held_out.scenes),
    }


def sample_sheet(pipeline: ConditionalVAEPipeline, held_out: HeldOut) -> Image.Image:
    """Five rows of eight: held-out scenes; their reconstructions; pictures of their captions; a
    walk from the first scene to another arrangement of it; one from its caption to the second."""
    captions, images = held_out.captions[:SHOWN], held_out.images[:SHOWN]
    here = [pipeline.at_picture(*each) for each in zip(images, captions, strict=True)]
    reconstructed = [pipeline.walk(point, point, 1)[0] for point in here]
    size = pipeline.cvae.config.latent_size
    noise = torch.randn(2, 1, size, generator=torch.Generator().manual_seed(0))
    first, elsewhere = (pipeline.at_caption(captions[0], each) for each in noise)
    second = pipeline.at_caption(captions[1], noise[0])
    pictures = [
        *results.pictures_of(images),
        *reconstructed,
        *painted(pipeline, captions),
        *pipeline.walk(first, elsewhere, SHOWN),
        *pipeline.walk(first, second, SHOWN),
    ]
    return results.sheet(pictures, SHOWN)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser(__doc__ or "", "cvae", "emoji-cvae", 16, 1e-3)
    parser.add_argument(
        "--word-steps", type=int, default=1500, help="steps that first train the text encoder alone"
    )
    parsed, options, world = parse(parser, arguments)
    tokenizer = build_tokenizer(scene_words(world))
    components = components_of(world, 32 if options.smoke else 512)
    small: dict[str, Any] = {"text_width": 32, "channels": 32, "recogniser_channels": (8, 8, 8)}
    sizes = small if options.smoke else {}
    learner = training.starting_model(
        options, Learner, lambda: build(len(tokenizer), components, **sizes), tokenizer
    )
    run = training.Run(options, learner, optimizer=partial(muon_or_adamw, for_adamw=OUTER_LAYERS))
    if run.step == 0 and options.init_from is None:
        steps = 2 if options.smoke else parsed.word_steps
        components.to(run.device)
        learned = teach_words(
            learner.text_encoder, tokenizer, components, world, steps, options.seed
        )
        run.averaged.module.load_state_dict(learner.state_dict())
        run.log(words_right=learned)
    held_out = held_out_scenes(world, SHOWN if options.smoke else HELD_OUT)
    oracle, samples = Oracle(world), options.run_dir / "samples.png"

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        pictures, captions = draw_batch(world, options.batch_size, rng)
        pictures = pictures.to(run.device, memory_format=torch.channels_last)
        output, divergence = learner(tokenize(tokenizer, captions).to(run.device), pictures)
        error, nats = reconstruction_loss(output, pictures), divergence.mean()
        loss = objective(error, nats)
        return loss, {"loss": loss, "error": (output - pictures).abs().mean(), "divergence": nats}

    def evaluate() -> dict[str, float]:
        pipeline = assemble(run.average, tokenizer)
        sample_sheet(pipeline, held_out).save(samples)
        return held_out_scores(pipeline, held_out, oracle)

    run.train(step, evaluate, 1000)

    saved = save(assemble(run.average, tokenizer), world, None, options.output).to(run.device)
    sample_sheet(saved, held_out).save(samples)
    scores = held_out_scores(saved, held_out, oracle)
    run.log(**scores)
    results.keep_log(options)
    evaluated = f"On {len(held_out.scenes)} held-out scenes"
    rows = {label: scores[name] for name, label in LABELS.items()}
    write_card(run, "cvae", "diffusers", "text-to-image", ABOUT, evaluated, rows)


if __name__ == "__main__":
    main()
