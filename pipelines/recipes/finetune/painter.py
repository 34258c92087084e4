"""A Stable-Diffusion-style painter learns from an imagefolder.

Pictures are encoded once; text encoder and autoencoder stay as they are. What the U-Net
is to tell (noise, velocity or the picture), and with which schedule, the base says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from PIL import Image, ImageOps

from pipelines import small_world
from pipelines.errors import InvalidValue
from pipelines.files.imagefolder import DataLimits, Pair, usable_pairs
from pipelines.metrics import interval
from pipelines.metrics.frechet import frechet_distance
from pipelines.metrics.kernel import kernel_distance
from pipelines.metrics.score import Score
from pipelines.recipes import training
from pipelines.recipes.emoji_scenes.data import to_signed
from pipelines.recipes.extractor import Extractor, extractor_at_hand
from pipelines.recipes.finetune import lora
from pipelines.recipes.finetune.plan import Plan, split, to_device
from pipelines.runtime.loading import OFFLINE

CAPTION_DROPOUT = 0.1
"""How many captions are left out, for guidance."""

GLANCE = 64
"""Held-out pictures that the scores during training read."""

PAINTED = 64
"""Pictures, at most, that are painted for FID and KID; few at once."""

PAINTED_AT_A_GLANCE = 16
"""... while it trains: enough to see where it goes, and little time."""

PAINTED_AT_ONCE = 8
LEAST_PAINTED = 3
"""Held-out pictures, below which there are no distances."""

SHOWN = 4
_STEPS, _GUIDANCE = small_world.STEPS, small_world.GUIDANCE_SCALE


class Painter:
    """The base with what is trained of its U-Net, and the latents of the pictures."""

    evaluate_every = 200

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self.on_work: Callable[[float], None] = lambda amount: None
        pairs, self.report = usable_pairs(folder, DataLimits())
        seen, held_out = split(len(pairs), plan.validation, plan.options.seed)
        self.pipeline = self.open_base()
        self._schedule = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        self.model: Any = self.pipeline.unet
        self._latents = self._encode(pairs)
        self._seen, self._held_out = torch.tensor(seen), torch.tensor(held_out)
        self._texts = [pair.text for pair in pairs]
        self._real = [self._fit(pairs[index].picture(DataLimits())) for index in held_out[:PAINTED]]
        if plan.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        if plan.rank is not None:
            lora.add_unet_adapter(self.model, plan.rank, plan.options.seed)
        to_device(self.model)

    @property
    def data_sha256(self) -> str:
        return self.report.sha256

    @property
    def data_size(self) -> str:
        return f"{len(self._texts):,} pictures"

    @property
    def work(self) -> tuple[int, int]:
        """Steps of the U-Net that ``measure`` and ``show`` take, and those of ``glance``."""
        held_out = len(self._held_out)
        painted = len(self._real) if self._can_paint_for_distances else 0
        return (
            held_out + self._steps * (painted + min(held_out, SHOWN)),
            min(held_out, GLANCE) + self._steps * min(painted, PAINTED_AT_A_GLANCE),
        )

    @property
    def _steps(self) -> int:
        return 2 if self._plan.options.smoke else _STEPS

    def open_base(self) -> Any:
        """The base as it is, in float32, all parts frozen but the U-Net.

        Raises:
            InvalidValue: another kind of pipeline.
        """
        if self._plan.base.family != "StableDiffusionPipeline":
            raise InvalidValue(
                f"{self._plan.base.reference} is a {self._plan.base.family}; give a base that is a "
                "StableDiffusionPipeline, such as emoji-painter."
            )
        return self._open(self._plan.base.path)

    def open_tuned(self, base: Any, folder: Path) -> Any:
        """The saved fine-tune: the base under the adapter, or a whole pipeline."""
        if self._plan.rank is None:
            return self._open(folder)
        base.load_lora_weights(folder, use_safetensors=True, local_files_only=True)
        return base

    def _open(self, path: Path) -> Any:
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

    @property
    def _edge(self) -> int:
        """Of the base's pictures, in pixels."""
        return int(self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor)

    def _fit(self, picture: Image.Image) -> Image.Image:
        """The middle of a picture in the base's size."""
        return ImageOps.fit(picture, (self._edge, self._edge), Image.Resampling.LANCZOS)

    @torch.no_grad()
    def _encode(self, pairs: Sequence[Pair]) -> torch.Tensor:
        """Latents ``(N, C, edge, edge)`` of the pictures, scaled as the U-Net wants them."""
        vae, parts = self.pipeline.vae, []
        for start in range(0, len(pairs), PAINTED_AT_ONCE):
            few = pairs[start : start + PAINTED_AT_ONCE]
            pixels = np.stack([np.asarray(self._fit(p.picture(DataLimits()))) for p in few])
            images = to_device(torch.from_numpy(to_signed(pixels)))
            parts.append(vae.encode(images).latent_dist.mode().cpu())
        latents: torch.Tensor = torch.cat(parts) * vae.config.scaling_factor
        return latents

    def _hidden(self, pipeline: Any, texts: Sequence[str]) -> torch.Tensor:
        """What a pipeline's text encoder makes of captions, ``(B, L, C)``."""
        tokenizer = pipeline.tokenizer
        ids = tokenizer(
            list(texts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )["input_ids"]
        with torch.no_grad():
            hidden: torch.Tensor = pipeline.text_encoder(to_device(ids)).last_hidden_state
        return hidden

    def _errors(
        self,
        unet: Any,
        chosen: torch.Tensor,
        hidden: torch.Tensor,
        timesteps: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Squared error of what the U-Net tells, a mean for each picture: ``(B,)``."""
        latents = self._latents[chosen]
        noise = torch.randn(latents.shape, generator=generator)
        latents, noise, timesteps = map(to_device, (latents, noise, timesteps))
        noisy = self._schedule.add_noise(latents, noise, timesteps)
        told = unet(noisy, timesteps, hidden).sample.float()
        match self._schedule.config.prediction_type:
            case "v_prediction":
                target = self._schedule.get_velocity(latents, noise, timesteps)
            case "sample":
                target = latents
            case _:
                target = noise
        errors: torch.Tensor = (told - target).square().mean(dim=(1, 2, 3))
        return errors

    @property
    def _timesteps(self) -> int:
        return int(self._schedule.config.num_train_timesteps)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        size = self._plan.options.batch_size
        chosen = self._seen[torch.from_numpy(rng.integers(len(self._seen), size=size))]
        dropped = rng.random(size) < CAPTION_DROPOUT
        texts = [
            "" if drop else self._texts[index]
            for index, drop in zip(chosen.tolist(), dropped, strict=True)
        ]
        # Spread over the batch, each jittered: one batch has seen the whole schedule.
        spread = (np.arange(size) + rng.random(size)) / size * self._timesteps
        timesteps = torch.from_numpy(spread.astype(int))
        hidden = self._hidden(self.pipeline, texts)
        return self._errors(self.model, chosen, hidden, timesteps).mean()

    def held_out(self) -> dict[str, float]:
        return self.glance(self.pipeline)

    def glance(self, pipeline: Any) -> dict[str, float]:
        """The loss; FID and KID of a few pictures, where an extractor is at hand."""
        loss = float(np.mean(self._held_out_errors(pipeline, GLANCE)))
        distances = self._distances(pipeline, PAINTED_AT_A_GLANCE)
        told = {f"held_out_{name}": score.value for name, score in distances.items()}
        return {"held_out_loss": loss, **told}

    @torch.no_grad()
    def _held_out_errors(self, pipeline: Any, most: int) -> list[float]:
        """Of each held-out picture, with the same noise and timesteps at every call."""
        generator = torch.Generator().manual_seed(11)
        chosen = self._held_out[:most]
        spread = (torch.arange(len(chosen)) + 0.5) / len(chosen) * self._timesteps
        errors: list[float] = []
        for few, steps in zip(
            chosen.split(PAINTED_AT_ONCE), spread.long().split(PAINTED_AT_ONCE), strict=True
        ):
            texts = [self._texts[index] for index in few.tolist()]
            hidden = self._hidden(pipeline, texts)
            errors += self._errors(pipeline.unet, few, hidden, steps, generator).tolist()
            self.on_work(len(few))
        return errors

    def measure(self, pipeline: Any) -> dict[str, Score]:
        """The held-out loss; FID and KID of pictures painted from held-out captions, where an
        extractor is at hand that knows pictures of this size."""
        errors = np.array(self._held_out_errors(pipeline, len(self._held_out)))
        mean, variance = float(errors.mean()), float(errors.var(ddof=1) / len(errors))
        kind = self._schedule.config.prediction_type
        scores = {
            "denoising_loss": Score(
                mean,
                *interval.normal(mean, variance),
                samples=len(errors),
                signature=f"denoising_loss|{kind}|noise:fixed|data:{self.report.sha256[:16]}"
                f"|samples:{len(errors)}|ci:normal",
                higher_is_better=False,
            )
        }
        return scores | self._distances(pipeline, PAINTED)

    @cached_property
    def _extractor(self) -> Extractor | None:
        return extractor_at_hand(self._edge)

    @property
    def _can_paint_for_distances(self) -> bool:
        return self._extractor is not None and len(self._real) >= LEAST_PAINTED

    def _distances(self, pipeline: Any, most: int) -> dict[str, Score]:
        """FID and KID of pictures of the first held-out captions, against their own."""
        extractor, pictures = self._extractor, self._real[:most]
        if extractor is None or len(pictures) < LEAST_PAINTED:
            return {}
        texts = [self._texts[index] for index in self._held_out[: len(pictures)].tolist()]
        ours = extractor.features(self.paint(pipeline, texts))
        real = extractor.features(pictures)
        return {
            "fid": frechet_distance(ours, real, extractor.name),
            "kid": kernel_distance(ours, real, extractor.name),
        }

    def paint(self, pipeline: Any, texts: Sequence[str]) -> list[Image.Image]:
        """A picture of each text: the base's scheduler, guidance 4, picture i from seed i."""
        pictures: list[Image.Image] = []
        for start in range(0, len(texts), PAINTED_AT_ONCE):
            few = list(texts[start : start + PAINTED_AT_ONCE])
            pictures += pipeline(
                few,
                num_inference_steps=self._steps,
                guidance_scale=_GUIDANCE,
                generator=[torch.Generator().manual_seed(start + i) for i in range(len(few))],
            ).images
            self.on_work(self._steps * len(few))
        return pictures

    def save(self, folder: Path) -> None:
        """The adapter, or the whole pipeline; in half precision."""
        if self._plan.rank is not None:
            lora.save_unet_adapter(self.model, folder)
            return
        self.pipeline.to(dtype=torch.float16).save_pretrained(
            folder, safe_serialization=True, max_shard_size="8MB"
        )
        training.forget_paths(folder)

    def show(self, pipeline: Any) -> list[Image.Image]:
        """Pictures of the first held-out captions."""
        texts = [self._texts[index] for index in self._held_out[:SHOWN].tolist()]
        return self.paint(pipeline, texts)

    def write_samples(
        self, before: Sequence[Image.Image], after: Sequence[Image.Image], folder: Path
    ) -> str:
        """``samples.png``: the base above, the fine-tune below, from the same seeds."""
        sheet = Image.new("RGB", (self._edge * len(before), self._edge * 2))
        for row, pictures in enumerate((before, after)):
            for column, picture in enumerate(pictures):
                sheet.paste(picture, (column * self._edge, row * self._edge))
        sheet.save(folder / "samples.png")
        return "The base above, the fine-tune below.\n\n![samples](samples.png)"
