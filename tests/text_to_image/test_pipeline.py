"""Painting: what comes out, what decides it, what is told of it and what is refused."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from pipelines.errors import InvalidValue, ModelUnavailable, WrongTask
from pipelines.events import Progress, with_result
from pipelines.runtime.studio import Studio
from pipelines.text_to_image.pipeline import (
    PaintRequest,
    PaintResult,
    Preview,
    SoFar,
    generate,
)
from pipelines.text_to_image.schedulers import OWN_SCHEDULER, SCHEDULERS
from tests.running import Calls, finished, finished_together, loaded

REQUEST = PaintRequest("tiny-painter", "a cat on a white background", steps=4, seed=0)


@pytest.fixture(autouse=True)
def _numbers_stay_finite() -> Iterator[None]:
    """A picture of NaN would only warn when it is cast to bytes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="invalid value encountered")
        yield


def paint(studio: Studio, **changes: Any) -> PaintResult:
    result: PaintResult = finished(generate, studio, replace(REQUEST, **changes))
    return result


def pixels(result: PaintResult) -> list[bytes]:
    return [picture.tobytes() for picture in result.pictures]


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures' values, in levels of 256."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


# What comes out


def test_a_preview_follows_each_step_and_then_the_picture(studio: Studio) -> None:
    *events, result = with_result(generate(studio, REQUEST))
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.step for preview in previews] == [1, 2, 3, 4]
    assert {preview.steps for preview in previews} == {4}
    assert previews[0].pictures[0].size == (256, 256)
    assert previews[-1].seconds_left == 0
    assert previews[0].seconds_left > 0
    assert all(isinstance(event, Progress | Preview) for event in events)
    (picture,) = result.pictures
    assert (picture.mode, picture.size) == ("RGB", (128, 128))
    assert 0 < result.first_step_seconds <= result.seconds
    assert result.seconds_per_picture == result.seconds


def test_it_paints_what_the_library_paints_by_itself(studio: Studio) -> None:
    result = paint(studio)
    path = studio.settings.models_dir / "tiny-painter"
    pipeline = StableDiffusionPipeline.from_pretrained(path, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        raw = pipeline(
            REQUEST.prompt,
            num_inference_steps=4,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(0),
        ).images[0]
    assert result.pictures[0].tobytes() == raw.tobytes()


def test_the_same_seed_gives_the_same_pixels_and_another_others(studio: Studio) -> None:
    first, again, other = (pixels(paint(studio, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_seed_zero_is_a_seed_and_none_draws_one(studio: Studio) -> None:
    assert paint(studio, seed=0, steps=1).seed == 0
    drawn = paint(studio, seed=None, steps=1)
    assert drawn.seed != paint(studio, seed=None, steps=1).seed
    assert pixels(paint(studio, seed=drawn.seed, steps=1)) == pixels(drawn)


def test_each_picture_of_several_can_be_had_alone(studio: Studio) -> None:
    several = paint(studio, count=3, seed=5)
    assert len(several.pictures) == 3
    for index, picture in enumerate(several.pictures):
        assert pixels(paint(studio, seed=5 + index)) == [picture.tobytes()]
    assert apart(several.pictures[0], several.pictures[1]) > 1


def test_what_is_finished_of_several_is_handed_out_with_a_receipt_that_runs_again(
    studio: Studio,
) -> None:
    events = list(with_result(generate(studio, replace(REQUEST, count=3, steps=2, seed=5))))
    first, second = [event for event in events if isinstance(event, SoFar)]
    assert pixels(first.result) == pixels(paint(studio, steps=2, seed=5))
    assert pixels(second.result) == pixels(paint(studio, **second.result.receipt["request"]))
    assert second.result.receipt["request"]["count"] == 2
    assert pixels(second.result) == pixels(events[-1])[:2]
    shown = [(e.picture, e.step, e.progress.message) for e in events if isinstance(e, Preview)]
    assert shown[2] == (1, 1, "Picture 2 of 3 · step 1 of 2")
    left = [event.seconds_left for event in events if isinstance(event, Preview)]
    assert left[0] > 0 == left[-1]
    fractions = [event.progress.fraction for event in events if isinstance(event, Preview)]
    assert fractions == pytest.approx([(1 + i) / 6 for i in range(6)])


def test_an_ancestral_sampler_gives_each_picture_its_own_noise(studio: Studio) -> None:
    several = paint(studio, count=2, scheduler="Euler ancestral")
    (alone,) = paint(studio, seed=1, scheduler="Euler ancestral").pictures
    assert apart(several.pictures[1], alone) == 0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 5])
def test_every_scheduler_paints_and_previews(studio: Studio, scheduler: str, steps: int) -> None:
    request = replace(REQUEST, scheduler=scheduler, steps=steps)
    *events, result = with_result(generate(studio, request))
    previews = [event for event in events if isinstance(event, Preview)]
    assert [len(preview.pictures) for preview in previews] == [1] * len(previews)
    assert previews[-1].step == steps
    assert len(set(result.pictures[0].get_flattened_data())) > 1


def test_schedulers_differ_and_leave_the_shared_one_alone(studio: Studio) -> None:
    before = pixels(paint(studio))
    painted = {name: pixels(paint(studio, scheduler=name, steps=5))[0] for name in SCHEDULERS}
    same = [(a, b) for a, b in combinations(painted, 2) if painted[a] == painted[b]]
    assert same == [(OWN_SCHEDULER, "DDIM")]
    assert pixels(paint(studio)) == before


def test_prompt_and_negative_prompt_count(studio: Studio) -> None:
    plain = pixels(paint(studio))
    assert pixels(paint(studio, prompt="a dog face")) != plain
    assert pixels(paint(studio, negative_prompt="a dog face")) != plain


def test_guidance_of_one_or_less_is_off(studio: Studio) -> None:
    off = pixels(paint(studio, guidance_scale=0))
    assert pixels(paint(studio, guidance_scale=1.0)) == off
    assert pixels(paint(studio, guidance_scale=0, negative_prompt="a dog face")) == off
    assert pixels(paint(studio, guidance_scale=4.0)) != off


def test_an_empty_prompt_paints(studio: Studio) -> None:
    assert paint(studio, prompt="").pictures[0].size == (128, 128)
    (note,) = paint(studio, prompt="").notes
    assert note.startswith("The prompt names no thing")


def test_a_size_that_was_asked_for_is_the_pictures_and_the_previews(studio: Studio) -> None:
    *events, result = with_result(generate(studio, replace(REQUEST, width=192, height=64, steps=1)))
    assert result.pictures[0].size == (192, 64)
    *_, last, decoding = events
    assert decoding == Progress("Decoding"), "large pictures take longer to decode than a step"
    width, height = last.pictures[0].size
    assert width == 256
    assert height == pytest.approx(256 / 3, abs=1)
    fields = result.receipt["request"]
    assert (fields["width"], fields["height"]) == (192, 64)


def test_the_process_wide_generator_neither_matters_nor_moves(studio: Studio) -> None:
    request = {"scheduler": "Euler ancestral"}
    first = pixels(paint(studio, **request))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert pixels(paint(studio, **request)) == first
    assert torch.equal(torch.get_rng_state(), state)


# What is told of a prompt


def test_unknown_words_are_named_with_the_nearest_known(studio: Studio) -> None:
    (note,) = paint(studio, prompt="a red aple on a white background", steps=1).notes
    assert "“aple” (prompt)" in note
    assert "red apple" in note


def test_unknown_words_of_the_negative_prompt_are_named_as_such(studio: Studio) -> None:
    (note,) = paint(studio, negative_prompt="zebras", steps=1).notes
    assert "“zebras” (negative prompt)" in note


def test_emoji_paint_what_their_names_paint(studio: Studio) -> None:
    named = paint(studio, prompt="a cat face on a white background", steps=1)
    drawn = paint(studio, prompt="🐱 on a white background", steps=1)
    assert pixels(drawn) == pixels(named)
    assert drawn.notes == ["🐱 is read as “cat face”."]
    assert drawn.receipt["request"]["prompt"] == "🐱 on a white background"


def test_unknown_words_of_a_negative_prompt_change_nothing(studio: Studio) -> None:
    known = paint(studio, negative_prompt="a dog", steps=1)
    assert pixels(paint(studio, negative_prompt="a zebra dog", steps=1)) == pixels(known)


def test_a_prompt_of_known_words_needs_no_note(studio: Studio) -> None:
    prompt = "A red apple next to a small dog, on a BLUE background!"
    assert paint(studio, prompt=prompt, steps=1).notes == []


def test_words_that_the_text_encoder_cannot_hold_are_named(studio: Studio) -> None:
    kept = " ".join(["a cat"] * 15)  # 30 words, between the beginning and the end
    assert not any("too long" in note for note in paint(studio, prompt=kept, steps=1).notes)
    longer = paint(studio, prompt=f"{kept} above a dog", steps=1)
    (note,) = (note for note in longer.notes if "too long" in note)
    assert "too long" in note
    assert note.endswith("“above a dog”.")
    assert pixels(longer) == pixels(paint(studio, prompt=kept, steps=1))


# Stopping, and others at the same time


def test_closing_stops_within_one_step(studio: Studio) -> None:
    paint(studio, steps=1)
    with loaded(studio) as painter:
        calls = Calls(painter.pipeline.unet)
    run = generate(studio, replace(REQUEST, steps=100))
    for event in run:
        if isinstance(event, Preview) and event.step == 3:
            break
    before = calls.count
    run.close()
    assert calls.count <= before + 1
    assert calls.count < 50
    assert studio.residency.residents()[0].users == 0
    assert "triptych-run" not in [thread.name for thread in threading.enumerate()]


def test_a_stopped_run_leaves_the_next_as_it_was(studio: Studio) -> None:
    alone = pixels(paint(studio))
    run = generate(studio, replace(REQUEST, seed=3, scheduler="UniPC", steps=20))
    for event in run:
        if isinstance(event, Preview) and event.step == 2:
            break
    run.close()
    assert pixels(paint(studio)) == alone


def test_a_stopped_run_disturbs_no_other(studio: Studio) -> None:
    alone = pixels(paint(studio, steps=12))
    other = generate(studio, replace(REQUEST, steps=12))
    stopped = generate(studio, replace(REQUEST, steps=12, seed=9))
    for run in (other, stopped):
        for event in run:
            if isinstance(event, Preview):
                break
    stopped.close()
    *_, result = with_result(other)
    assert pixels(result) == alone


@pytest.mark.parametrize(
    "schedulers", [("DDIM", "DDIM"), ("Euler ancestral", "DPM++ 2M"), ("UniPC",) * 2]
)
def test_two_runs_at_the_same_time_give_the_pixels_they_give_alone(
    studio: Studio, schedulers: tuple[str, str]
) -> None:
    requests = [
        replace(REQUEST, steps=10, scheduler=schedulers[0], seed=1, guidance_scale=1.0),
        replace(REQUEST, steps=7, scheduler=schedulers[1], seed=2, guidance_scale=7.5, count=2),
    ]
    alone = [pixels(finished(generate, studio, request)) for request in requests]
    together = [pixels(r) for r in finished_together(generate, studio, requests)]
    assert together == alone


@pytest.mark.parametrize("way", ["__call__", "tokenize", "encode"])
def test_threads_take_turns_at_the_tokenizer(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It keeps padding and truncation as state: now and then a run's prompt was not padded.

    Here another run uses it, as pipelines do, between the setting and the encoding.
    """
    paint(studio, steps=1)
    with loaded(studio) as painter:
        tokenizer = painter.pipeline.tokenizer
        set_state = tokenizer.set_truncation_and_padding
        other = threading.Thread(target=getattr(tokenizer, way), args=(REQUEST.prompt,))

        def set_and_be_disturbed(**state: Any) -> None:
            set_state(**state)
            if threading.current_thread() is not other:
                other.start()
                other.join(0.3)

        monkeypatch.setattr(tokenizer, "set_truncation_and_padding", set_and_be_disturbed)
        encoded = tokenizer(REQUEST.prompt, padding="max_length", truncation=True, max_length=32)
        other.join()
    assert len(encoded["input_ids"]) == 32


# What is refused


BAD_FIELDS: list[tuple[str, list[Any]]] = [
    ("prompt", [None, 7, True, ["a cat"], math.nan, "x" * 100_000]),
    ("negative_prompt", [None, 7, False, "x" * 100_000]),
    ("steps", [0, -2, 10_000, True, "20", 5.5, math.nan, math.inf]),
    ("guidance_scale", [-0.5, -2, 31, True, "4", math.nan, math.inf]),
    ("scheduler", ["", "euler", "__class__", None, 0, True, ["DDIM"]]),
    ("seed", [-2, 2**63, True, "7", 0.5, math.nan]),
    ("count", [0, -1, 10_000, True, None, "2", 1.5, math.nan]),
    ("width", [1, 65, 100, 10_000, -64, True, None, "128", 64.5, math.nan]),
    ("height", [1, 65, 100, 10_000, -64, True, None, "128", 64.5, math.nan]),
]


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD_FIELDS for value in values]
)
def test_a_bad_field_is_refused_by_name_before_anything_is_loaded(
    studio: Studio, field: str, value: Any
) -> None:
    with pytest.raises(InvalidValue, match=rf"^{field} (is|has) .* (give|allowed|choose)"):
        paint(studio, **{field: value})
    assert studio.residency.residents() == []


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("tiny-writer", WrongTask),
        ("tiny-captioner", WrongTask),
        ("no-such-model", ModelUnavailable),
        ("/etc", ModelUnavailable),
        (None, ModelUnavailable),
    ],
)
def test_a_bad_model_is_refused(studio: Studio, model: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        paint(studio, model=model)
