"""Kinds of painters: each paints by its own settings, and says what it does not read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, LCMScheduler

from pipelines.device import Device
from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.families import FAMILIES, setting_notes
from pipelines.text_to_image.painter import (
    MemoryPlan,
    fitting_device,
    memory_plan,
)
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, Preview, generate
from pipelines.text_to_image.schedulers import OWN_SCHEDULER
from tests import tiny_models
from tests.running import finished, finished_together, loaded
from tests.text_to_image.tiny_families import make

REQUEST = PaintRequest(
    "",
    "a cat",
    steps=None,
    guidance_scale=None,
    scheduler=OWN_SCHEDULER,
    seed=0,
    width=64,
    height=64,
)
KINDS = {  # name of the folder: kind, options, and what it takes for its own
    "sd15": ("stable-diffusion", {}, 30, 7.5),
    "xl": ("xl", {}, 30, 5.0),
    "xl-turbo": ("xl", {}, 4, 0.0),
    "xl-lightning": ("xl", {}, 4, 0.0),
    "dreamer-lcm": ("stable-diffusion", {"scheduler": LCMScheduler()}, 4, 1.0),
    "consistency": ("lcm", {}, 4, 8.5),
    "sd3": ("sd3", {}, 28, 7.0),
    "pixart": ("pixart", {}, 20, 4.5),
    "sana": ("sana", {}, 20, 4.5),
    "flux-dev": ("flux", {}, 28, 3.5),
    "flux-quick": ("flux", {"guidance_embeds": False}, 4, 0.0),
}
GIB = 1024**3
NOT_PREVIEWED = ("sana",)
"""Its autoencoder is of a kind whose map to colours nobody measured."""
TAKE_OTHER_SCHEDULERS = ("sd15", "xl", "pixart")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("painters")
    for name, (kind, options, *_) in KINDS.items():
        make(kind, folder / name, **options)
    return folder


@pytest.fixture
def studio(tmp_path: Path, folder: Path) -> Studio:
    return Studio(Settings(models_dir=folder, data_dir=tmp_path, hub_enabled=False))


def paint(studio: Studio, model: str, **changes: Any) -> PaintResult:
    result: PaintResult = finished(generate, studio, replace(REQUEST, model=model, **changes))
    return result


def pixels(result: PaintResult) -> list[bytes]:
    return [picture.tobytes() for picture in result.pictures]


@pytest.mark.parametrize(("variant", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_a_checkpoint_of_half_precision_weights_alone_paints(
    tmp_path: Path, variant: str, dtype: torch.dtype
) -> None:
    """A repository with bf16 weights alone did not paint: two places chose the variant."""
    make("stable-diffusion", tmp_path / "plain")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "plain")
    pipeline.to(dtype).save_pretrained(tmp_path / "models" / "half", variant=variant)
    settings = Settings(models_dir=tmp_path / "models", data_dir=tmp_path, hub_enabled=False)
    assert paint(Studio(settings), "half", steps=1).pictures[0].size == (64, 64)


@pytest.mark.parametrize(
    ("weights", "free", "plan"),
    [
        (2 * GIB, 12 * GIB, MemoryPlan(offloads=False, tiles=False)),
        (10 * GIB, 12 * GIB, MemoryPlan(offloads=False, tiles=True)),
        (12 * GIB, 13 * GIB, MemoryPlan(offloads=True, tiles=True)),
        (20 * GIB, 12 * GIB, MemoryPlan(offloads=True, tiles=True)),
    ],
)
def test_memory_decides_on_offload_and_tiles(weights: int, free: int, plan: MemoryPlan) -> None:
    assert memory_plan(weights, free) == plan


def test_on_a_gpu_what_does_not_fit_float16_is_computed_wider() -> None:
    gpu = Device("cuda", "float16", "a GPU")
    assert fitting_device(gpu, FAMILIES["FluxPipeline"]).dtype_name == "bfloat16"
    assert fitting_device(gpu, FAMILIES["StableDiffusionXLPipeline"]) == gpu
    cpu = Device("cpu", "float32", "no GPU")
    assert fitting_device(cpu, FAMILIES["FluxPipeline"]) == cpu


def test_an_adapter_changes_the_picture_and_the_base_paints_as_before(
    tmp_path: Path, models_dir: Path
) -> None:
    base = models_dir / "tiny-painter"
    tiny_models.make_picture_lora(tmp_path / "extra" / "night", base)
    settings = Settings(models_dir=models_dir, extra_models_dir=tmp_path / "extra")
    studio = Studio(replace(settings, data_dir=tmp_path / "data", hub_enabled=False))
    before = paint(studio, "tiny-painter", steps=2)
    changed = paint(studio, "tiny-painter + night", steps=2)
    assert pixels(changed) != pixels(before)
    assert pixels(paint(studio, "tiny-painter + night:0", steps=2)) == pixels(before)
    assert pixels(paint(studio, "tiny-painter", steps=2)) == pixels(before)
    assert [a["reference"] for a in changed.receipt["model"]["adapters"]] == ["night"]
    requests = [
        replace(REQUEST, model=model, steps=5) for model in ("tiny-painter", "tiny-painter + night")
    ]
    alone = [pixels(finished(generate, studio, request)) for request in requests]
    assert [pixels(r) for r in finished_together(generate, studio, requests)] == alone


def test_a_lora_whose_name_says_so_paints_in_few_steps(tmp_path: Path, folder: Path) -> None:
    """``lcm-lora`` on a base was painted in the base's 30 steps with its guidance of 7.5."""
    tiny_models.make_picture_lora(tmp_path / "extra" / "my-lcm-lora", folder / "sd15")
    settings = Settings(models_dir=folder, extra_models_dir=tmp_path / "extra", hub_enabled=False)
    studio = Studio(replace(settings, data_dir=tmp_path / "data"))
    result = paint(studio, "sd15 + my-lcm-lora")
    asked = result.receipt["request"]
    assert (asked["steps"], asked["guidance_scale"]) == (4, 1.0)
    assert result.own_values == "4 steps, guidance 1: the name says lcm (my-lcm-lora)"
    assert paint(studio, "sd15 + my-lcm-lora:0").receipt["request"]["steps"] == 30


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_paints_by_its_own_settings_and_its_receipt_repeats_it(
    studio: Studio, name: str
) -> None:
    *_, steps, guidance_scale = KINDS[name]
    *events, result = with_result(generate(studio, replace(REQUEST, model=name)))
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews[-1].step == previews[-1].steps == steps
    shown = 0 if name in NOT_PREVIEWED else 1
    assert [len(preview.pictures) for preview in previews] == [shown] * len(previews)
    assert result.first_step_seconds > 0
    assert result.notes == []
    fields = result.receipt["request"]
    assert (fields["steps"], fields["guidance_scale"]) == (steps, guidance_scale)
    assert f"guidance {guidance_scale:g}" in result.own_values
    assert fields["scheduler"] == OWN_SCHEDULER
    again = finished(generate, studio, PaintRequest(**fields))
    assert again.own_values == ""
    assert pixels(again) == pixels(result)


@pytest.mark.parametrize("name", ["xl", "sana", "pixart"])
def test_the_size_is_the_models_own_where_none_is_asked_for(studio: Studio, name: str) -> None:
    result = paint(studio, name, steps=1, width=0, height=0)
    fields = result.receipt["request"]
    assert (fields["width"], fields["height"]) == result.pictures[0].size == (64, 64)


@pytest.mark.parametrize("name", ["sd15", "xl", "sd3", "pixart", "sana", "flux-dev"])
def test_it_paints_what_the_library_paints_by_itself(studio: Studio, name: str) -> None:
    result = paint(studio, name, steps=2)
    absent = {"text_encoder_3": None, "tokenizer_3": None} if name == "sd3" else {}
    pipeline = DiffusionPipeline.from_pretrained(studio.settings.models_dir / name, **absent)
    pipeline.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {"guidance_scale": KINDS[name][3]}
    if name in ("pixart", "sana"):
        options |= {"use_resolution_binning": False, "clean_caption": False}
    with torch.inference_mode():
        raw = pipeline(
            "a cat",
            num_inference_steps=2,
            width=64,
            height=64,
            generator=torch.Generator().manual_seed(0),
            **options,
        ).images[0]
    assert result.pictures[0].tobytes() == raw.tobytes()


@pytest.mark.parametrize("name", ["xl", "sd3", "flux-dev", "pixart"])
def test_prompt_seed_and_guidance_count_for_each(studio: Studio, name: str) -> None:
    plain = pixels(paint(studio, name, steps=2))
    assert pixels(paint(studio, name, steps=2, prompt="a dog face")) != plain
    assert pixels(paint(studio, name, steps=2, seed=1)) != plain
    assert pixels(paint(studio, name, steps=2, guidance_scale=2.0)) != plain


@pytest.mark.parametrize("name", KINDS)
def test_another_scheduler_paints_or_is_refused(studio: Studio, name: str) -> None:
    if name in TAKE_OTHER_SCHEDULERS or name in ("xl-turbo", "xl-lightning"):
        own = paint(studio, name, steps=3)
        assert pixels(paint(studio, name, steps=3, scheduler="UniPC")) != pixels(own)
        assert pixels(paint(studio, name, steps=3)) == pixels(own)
    else:
        with pytest.raises(InvalidValue, match=r"^scheduler is 'DDIM'; .* \"Model's own\""):
            paint(studio, name, scheduler="DDIM")


def test_settings_that_are_no_scheduler_survive_the_copy_for_a_request(
    tmp_path: Path,
) -> None:
    """Stable Diffusion XL knows from its configuration what an empty negative prompt means."""
    make("xl", tmp_path / "zeros", force_zeros_for_empty_prompt=False)
    studio = Studio(Settings(models_dir=tmp_path, data_dir=tmp_path / "data", hub_enabled=False))
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "zeros")
    assert pipeline.config.force_zeros_for_empty_prompt is False
    with torch.inference_mode():
        raw = pipeline(
            "a cat",
            num_inference_steps=1,
            width=64,
            height=64,
            generator=torch.Generator().manual_seed(0),
        ).images[0]
    assert paint(studio, "zeros", steps=1).pictures[0].tobytes() == raw.tobytes()


def test_runs_at_the_same_time_do_not_mix(studio: Studio) -> None:
    requests = [
        replace(REQUEST, model="flux-dev", steps=4, seed=1),
        replace(REQUEST, model="flux-dev", steps=7, seed=2, guidance_scale=1.0),
    ]
    alone = [pixels(finished(generate, studio, request)) for request in requests]
    assert [pixels(r) for r in finished_together(generate, studio, requests)] == alone


def test_a_run_of_a_pipeline_with_the_old_callback_can_be_stopped(studio: Studio) -> None:
    run = generate(studio, replace(REQUEST, model="pixart", steps=100))
    for event in run:
        if isinstance(event, Preview) and event.step == 2:
            break
    run.close()
    assert studio.residency.residents()[0].users == 0
    assert paint(studio, "pixart", steps=1).pictures


@pytest.mark.parametrize(("name", "multiple"), [("flux-dev", 16), ("sd3", 16), ("sana", 32)])
def test_a_size_that_would_be_changed_is_refused(studio: Studio, name: str, multiple: int) -> None:
    with pytest.raises(InvalidValue, match=rf"^height is 72; .* multiples of {multiple}. Give 64"):
        paint(studio, name, width=64, height=72)
    assert paint(studio, name, steps=1, width=64, height=64).pictures[0].size == (64, 64)


def test_a_picture_of_another_size_than_asked_for_is_said(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paint(studio, "sd15", steps=1).notes == []
    with loaded(studio) as painter:
        decode = painter.pipeline.vae.decode
        half = lambda latents, **options: decode(latents[..., :16], **options)  # noqa: E731
        monkeypatch.setattr(painter.pipeline.vae, "decode", half)
        (note,) = paint(studio, "sd15", steps=1).notes
    assert note == "64 × 64 pixels were asked for; this model painted 32 × 64."


def test_what_is_not_read_is_said(studio: Studio) -> None:
    (note,) = paint(studio, "flux-dev", steps=1, negative_prompt="a dog").notes
    assert "takes no negative prompt" in note
    (note,) = paint(studio, "flux-quick", steps=1, guidance_scale=7.0).notes
    assert "no guidance" in note
    (note,) = paint(studio, "xl-turbo", steps=1, negative_prompt="a dog").notes
    assert "Without guidance" in note
    assert paint(studio, "xl", steps=1, negative_prompt="a dog").notes == []
    quick = FAMILIES["FluxPipeline"]
    assert setting_notes(quick, None, None, "") == []


def test_words_that_no_encoder_reads_are_named(studio: Studio) -> None:
    (note,) = paint(studio, "xl", steps=1, prompt="a cat " * 16).notes
    assert "too long" in note


def test_a_scheduler_of_few_steps_is_told_from_the_configuration(studio: Studio) -> None:
    paint(studio, "dreamer-lcm", steps=1)
    with loaded(studio) as painter:
        assert type(painter.pipeline.scheduler) is LCMScheduler
        assert painter.family.steps == 4
