"""Every offered scheduler runs with every noise schedule, or another does and says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from pipelines.errors import LoadFailed
from pipelines.hub import read_json
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, generate
from pipelines.text_to_image.schedulers import SCHEDULERS, own_scheduler
from tests.running import finished

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction", "flow_prediction")
SHARED = {
    "epsilon": diffusers.DDIMScheduler,
    "sample": diffusers.DDIMScheduler,
    "v_prediction": diffusers.DDIMScheduler,
    "flow_prediction": diffusers.DPMSolverMultistepScheduler,
}
"""A class that can do it, as a sound checkpoint's own does."""


def denoised(scheduler: Any, steps: int) -> torch.Tensor:
    """What comes out where the model always answers with the same noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    takes_generator = "generator" in scheduler.step.__code__.co_varnames
    options = {"generator": generator} if takes_generator else {}
    scheduler.set_timesteps(steps)
    sample: torch.Tensor = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(noise / 2, timestep, sample, return_dict=False, **options)[0]
    return sample


@pytest.mark.parametrize("wanted", SCHEDULERS)
@pytest.mark.parametrize("beta_schedule", BETA_SCHEDULES)
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_each_comes_to_its_end_or_another_does_and_a_note_says_so(
    wanted: str, beta_schedule: str, prediction_type: str
) -> None:
    """DPM++ 2M Karras on a cosine schedule ended in "our side", from the fourth step on."""
    for zero_snr in (False, True):
        shared = SHARED[prediction_type](
            beta_schedule=beta_schedule,
            prediction_type=prediction_type,
            rescale_betas_zero_snr=zero_snr,
        )
        for steps in (1, 20):
            scheduler, note = own_scheduler(shared, wanted, steps)
            assert torch.isfinite(denoised(scheduler, steps)).all()
            kind = SCHEDULERS[wanted][0] or type(shared).__name__
            if note is None:
                assert type(scheduler).__name__ == kind
                assert scheduler.config.get("use_karras_sigmas", False) is ("Karras" in wanted)
            else:
                assert note.startswith(f"The scheduler {wanted} does not run for {steps} steps")
                assert beta_schedule in note
                assert prediction_type in note


def test_a_scheduler_that_runs_is_never_replaced() -> None:
    shared = diffusers.DDIMScheduler(beta_schedule="scaled_linear")
    assert [own_scheduler(shared, name, 20)[1] for name in SCHEDULERS] == [None] * len(SCHEDULERS)


def test_karras_sigmas_of_the_models_own_are_left_out_where_they_do_not_run() -> None:
    shared = diffusers.DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True
    )
    scheduler, note = own_scheduler(shared, "Model's own", 20)
    assert scheduler.config.use_karras_sigmas is False
    assert note is not None
    assert note.endswith("Model's own without Karras sigmas.")


def test_what_fails_at_many_steps_alone_is_found_for_so_many() -> None:
    """The embedded painter's own schedule, which ends in pure noise."""
    shared = diffusers.DDIMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    assert own_scheduler(shared, "DPM++ 2M Karras", 20)[1] is None
    scheduler, note = own_scheduler(shared, "DPM++ 2M Karras", 100)
    assert note is not None
    assert torch.isfinite(denoised(scheduler, 100)).all()


def test_a_checkpoint_whose_own_scheduler_does_not_run_is_refused() -> None:
    shared = diffusers.DDIMScheduler(prediction_type="flow_prediction")
    with pytest.raises(LoadFailed, match=r"DDIMScheduler .*flow_prediction.*scheduler_config"):
        own_scheduler(shared, "Euler", 20)


def test_trying_out_does_not_move_the_process_wide_generator() -> None:
    state = torch.get_rng_state()
    own_scheduler(diffusers.DDIMScheduler(beta_start=0.0002), "Euler ancestral", 7)
    assert torch.equal(torch.get_rng_state(), state)


def test_page_and_receipt_say_that_karras_sigmas_were_left_out(
    tmp_path: Path, models_dir: Path
) -> None:
    shutil.copytree(models_dir / "tiny-painter", tmp_path / "models/cosine")
    config = tmp_path / "models/cosine/scheduler/scheduler_config.json"
    config.write_text(json.dumps(read_json(config) | {"beta_schedule": "squaredcos_cap_v2"}))
    studio = Studio(Settings(models_dir=tmp_path / "models", data_dir=tmp_path, hub_enabled=False))
    request = PaintRequest("cosine", "a cat", steps=6, scheduler="DPM++ 2M Karras", seed=0)
    result: PaintResult = finished(generate, studio, request)
    (note,) = result.notes
    assert note.endswith("used in its place: DPM++ 2M without Karras sigmas.")
    assert result.receipt["notes"] == result.notes
    plain = finished(generate, studio, replace(request, scheduler="DPM++ 2M"))
    assert result.pictures[0].tobytes() == plain.pictures[0].tobytes()
