"""Fine-tunes the U-Net of a ``StableDiffusionPipeline`` on an imagefolder.

Pictures are encoded once; text encoder and autoencoder stay frozen. The base's scheduler
determines the noise schedule and what the U-Net predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from PIL import Image, ImageOps

from pipelines import small_world
from pipelines.files.imagefolder import DataLimits
from pipelines.metrics.frechet import frechet_distance
from pipelines.metrics.kernel import kernel_distance
from pipelines.metrics.score import Score
from pipelines.recipes import results
from pipelines.recipes.diffusion.checkpoint import BATCH_SIZE, paint
from pipelines.recipes.diffusion.data import CAPTION_DROPOUT
from pipelines.recipes.diffusion.model import denoising_errors, spread_timesteps
from pipelines.recipes.emoji_scenes.data import as_images
from pipelines.recipes.extractor import Extractor, load_extractor
from pipelines.recipes.finetune import lora
from pipelines.recipes.finetune.lesson import GLANCE, PictureLesson
from pipelines.recipes.finetune.plan import Plan, to_device
from pipelines.runtime.loading import OFFLINE

PAINTED, PAINTED_IN_TRAINING = 64, 16
"""Pictures, at most, that are painted for FID and KID: at the end, and during training."""

LEAST_PAINTED = 3
"""Fewer pictures have no FID and KID."""

SHOWN = 4


class Painter(PictureLesson):
    """Learns pictures; scored by the denoising loss, and by FID and KID at 128 x 128."""

    evaluate_every = 200

    def __init__(self, plan: Plan, folder: Path) -> None:
        super().__init__(plan, folder, "StableDiffusionPipeline", "emoji-painter")
        self.pipeline = self.open_base()
        self._schedule = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        self.model = self.pipeline.unet
        self._edge = int(self.model.config.sample_size * self.pipeline.vae_scale_factor)
        self._latents = self._encode()
        self._real = [self._fitted(index) for index in self._held_out[:PAINTED]]
        if plan.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        if plan.rank is not None:
            lora.add_unet_adapter(self.model, plan.rank, plan.options.seed)
        to_device(self.model)

    @property
    def work(self) -> tuple[int, int]:
        """In passes of the U-Net."""
        held_out = len(self._held_out)
        painted = len(self._real) if self._has_distances else 0
        return (
            held_out + self._sampling_steps * (painted + min(held_out, SHOWN)),
            self.glanced + self._sampling_steps * min(painted, self._painted_at_a_glance),
        )

    @property
    def _painted_at_a_glance(self) -> int:
        """Painting takes longer than the losses, so it is left out first."""
        return PAINTED_IN_TRAINING if self.glanced == min(GLANCE, len(self._held_out)) else 0

    @property
    def _sampling_steps(self) -> int:
        return 2 if self._plan.options.smoke else small_world.STEPS

    @property
    def whole(self) -> Any:
        return self.pipeline

    def open_base(self) -> Any:
        return self._open(self._plan.base.path)

    def open_tuned(self, base: Any, folder: Path) -> Any:
        if self._plan.rank is None:
            return self._open(folder)
        base.load_lora_weights(folder, use_safetensors=True, local_files_only=True)
        return base

    def save(self, folder: Path) -> None:
        if self._plan.rank is not None:
            lora.save_unet_adapter(self.model, folder)
        else:
            results.write_checkpoint(self.pipeline, folder)

    def _open(self, path: Path) -> Any:
        """In float32, all parts frozen but the U-Net."""
        pipeline = StableDiffusionPipeline.from_pretrained(
            path,
            dtype=torch.float32,
            use_safetensors=True,
            safety_checker=None,
            requires_safety_checker=False,
            **OFFLINE,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.vae.requires_grad_(False)
        pipeline.text_encoder.requires_grad_(False)
        return to_device(pipeline)

    def _fitted(self, index: int) -> Image.Image:
        """The middle of a picture in the base's size."""
        picture = self._pairs[index].picture(DataLimits())
        return ImageOps.fit(picture, (self._edge, self._edge), Image.Resampling.LANCZOS)

    @torch.no_grad()
    def _encode(self) -> torch.Tensor:
        """Latents of all pictures ``(N, C, edge, edge)``, scaled for the U-Net."""
        vae, parts = self.pipeline.vae, []
        for start in range(0, len(self._pairs), BATCH_SIZE):
            indices = range(start, min(start + BATCH_SIZE, len(self._pairs)))
            images = as_images([np.asarray(self._fitted(index)) for index in indices])
            parts.append(vae.encode(to_device(images)).latent_dist.mode().cpu())
        latents: torch.Tensor = torch.cat(parts) * vae.config.scaling_factor
        return latents

    def _errors(
        self,
        pipeline: Any,
        chosen: Sequence[int],
        texts: Sequence[str],
        timesteps: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Mean squared error of the U-Net's prediction for each picture: ``(B,)``."""
        tokenizer = pipeline.tokenizer
        length = tokenizer.model_max_length
        options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        ids = tokenizer(list(texts), max_length=length, **options)["input_ids"]
        with torch.no_grad():
            hidden = pipeline.text_encoder(to_device(ids)).last_hidden_state
        latents, timesteps = to_device(self._latents[list(chosen)]), to_device(timesteps)
        return denoising_errors(
            lambda noisy, steps: pipeline.unet(noisy, steps, hidden).sample,
            self._schedule,
            latents,
            timesteps,
            generator,
        ).mean(dim=(1, 2, 3))

    @property
    def _steps(self) -> int:
        return int(self._schedule.config.num_train_timesteps)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        size = self._plan.options.batch_size
        chosen = [self._seen[i] for i in rng.integers(len(self._seen), size=size)]
        drops = rng.random(size) < CAPTION_DROPOUT
        shown = zip(self._drawn(chosen, rng), drops, strict=True)
        texts = ["" if drop else pair.text for pair, drop in shown]
        timesteps = spread_timesteps(size, count=self._steps)
        return self._errors(self.pipeline, chosen, texts, timesteps).mean()

    def glance(self, pipeline: Any) -> dict[str, float]:
        loss = float(np.mean(self._held_out_errors(pipeline, self.glanced)))
        distances = self._distances(pipeline, self._painted_at_a_glance)
        return {
            "held_out_loss": loss,
            **{f"held_out_{name}": score.value for name, score in distances.items()},
        }

    def measure(self, pipeline: Any) -> dict[str, Score]:
        errors = self._held_out_errors(pipeline, len(self._held_out))
        kind = self._schedule.config.prediction_type
        loss = self._mean(errors, f"denoising_loss|{kind}|noise:fixed")
        return {"denoising_loss": loss, **self._distances(pipeline, PAINTED)}

    @torch.no_grad()
    def _held_out_errors(self, pipeline: Any, most: int) -> list[float]:
        """One for each held-out picture, with the same noise and timesteps at every call."""
        generator = torch.Generator().manual_seed(11)
        chosen = self._held_out[:most]
        timesteps = ((torch.arange(len(chosen)) + 0.5) / len(chosen) * self._steps).long()
        errors: list[float] = []
        for start in range(0, len(chosen), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            texts = self._texts(chosen[part])
            self.on_work(len(texts))
            errors += self._errors(
                pipeline, chosen[part], texts, timesteps[part], generator
            ).tolist()
        return errors

    @cached_property
    def _extractor(self) -> Extractor | None:
        return load_extractor(self._edge)

    @property
    def _has_distances(self) -> bool:
        return self._extractor is not None and len(self._real) >= LEAST_PAINTED

    def _distances(self, pipeline: Any, most: int) -> dict[str, Score]:
        """FID and KID of pictures painted from the first held-out captions to the real ones.

        None where ``most`` is 0, with too few pictures, or without an extractor for their size.
        """
        extractor, pictures = self._extractor, self._real[:most]
        if extractor is None or not self._has_distances or not pictures:
            return {}
        ours = extractor.features(self._paint(pipeline, len(pictures)))
        real = extractor.features(pictures)
        return {
            "fid": frechet_distance(ours, real, extractor.name),
            "kid": kernel_distance(ours, real, extractor.name),
        }

    def _paint(self, pipeline: Any, count: int) -> list[Image.Image]:
        texts, steps = self._texts(self._held_out[:count]), self._sampling_steps
        return paint(pipeline, texts, steps, lambda painted: self.on_work(steps * painted))

    def show(self, pipeline: Any) -> list[Image.Image]:
        """Pictures of the first held-out captions."""
        return self._paint(pipeline, SHOWN)

    def write_samples(
        self, before: Sequence[Image.Image], after: Sequence[Image.Image], folder: Path
    ) -> str:
        """``samples.png``: the base above, the fine-tune below, from the same seeds."""
        results.sheet([*before, *after], len(before)).save(folder / "samples.png")
        return "The base above, the fine-tune below.\n\n![samples](samples.png)"
