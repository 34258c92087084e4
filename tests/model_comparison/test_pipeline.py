"""Comparisons: in turn, on one input and one seed, measured, and stopped at once."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import InvalidValue, ModelUnavailable, WrongTask
from pipelines.events import Progress, with_result
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.model_comparison.pipeline import (
    CompareRequest,
    ComparisonResult,
    SideDone,
    SideEvent,
    generate,
)
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation import pipeline as writing
from pipelines.text_generation.pipeline import TextDelta, TextRequest
from pipelines.text_generation.pipeline import generate as write
from pipelines.text_to_image.pipeline import PaintRequest, Preview
from tests import tiny_models

TEXT = TextRequest("tiny-writer", "Once upon", max_new_tokens=12, seed=3)
PAINTING = PaintRequest("tiny-painter", "a cat", steps=3, seed=3)
CAPTION = CaptionRequest("tiny-captioner", Image.new("RGB", (128, 128), "white"), seed=3)
REQUESTS: dict[str, Any] = {"write": TEXT, "paint": PAINTING, "describe": CAPTION}


def compared(
    studio: Studio, task: Any, left: Any, right: Any
) -> tuple[list[Any], ComparisonResult]:
    *events, result = with_result(generate(studio, CompareRequest(task, left, right)))
    return events, result


def outputs_of(events: list[Any], kind: type) -> list[str]:
    return [e.side for e in events if isinstance(e, SideEvent) and isinstance(e.event, kind)]


@pytest.mark.parametrize("task", ["write", "paint", "describe"])
def test_the_same_request_twice_gives_identical_outputs(studio: Studio, task: str) -> None:
    _, result = compared(studio, task, REQUESTS[task], REQUESTS[task])

    assert result.is_identical
    assert result.receipt["schema"] == 1
    assert result.receipt["task"] == "compare"
    left, right = result.receipt["left"], result.receipt["right"]
    assert left["output_sha256"] == right["output_sha256"]
    assert left["task"] == right["task"] == task


@pytest.mark.parametrize(
    ("task", "other", "unit"),
    [
        ("write", replace(TEXT, temperature=2.0), "tokens/s"),
        ("paint", replace(PAINTING, steps=5), "steps/s"),
        ("describe", replace(CAPTION, method="sampling", temperature=2.0), "captions/s"),
    ],
)
def test_both_sides_are_measured(studio: Studio, task: str, other: Any, unit: str) -> None:
    events, result = compared(studio, task, REQUESTS[task], other)

    assert not result.is_identical
    assert [e.side for e in events if isinstance(e, SideDone)] == ["left", "right"]
    for measures in (result.left.measures, result.right.measures):
        assert 0 < measures.first_output_seconds < measures.seconds
        assert measures.load_seconds > 0
        assert measures.rate > 0
        assert measures.rate_unit == unit
        assert measures.peak_bytes > measures.increase_bytes >= 0
        assert measures.model_bytes > 0
        assert measures.seed == 3
    events, again = compared(studio, task, REQUESTS[task], other)
    assert not result.left.measures.was_in_memory
    assert again.left.measures.was_in_memory
    assert again.left.measures.load_seconds == result.left.measures.load_seconds


def test_b_begins_when_a_has_ended(studio: Studio) -> None:
    events, _ = compared(studio, "paint", PAINTING, replace(PAINTING, steps=4))

    assert outputs_of(events, Preview) == ["left"] * 3 + ["right"] * 4
    first_done = next(i for i, e in enumerate(events) if isinstance(e, SideDone))
    assert "right" not in outputs_of(events[:first_done], Preview)


def test_each_model_makes_a_tiny_run_before_any_is_timed(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[float, int]] = []

    def spied(studio: Studio, request: TextRequest) -> Generator[Any, None, Any]:
        runs.append((request.temperature, request.max_new_tokens))
        return write(studio, request)

    monkeypatch.setattr(writing, "generate", spied)
    events, _ = compared(studio, "write", TEXT, replace(TEXT, temperature=0.0))

    assert runs == [(0.8, 2), (0.0, 2), (0.8, 12), (0.0, 12)]
    assert len(outputs_of(events, TextDelta)) == 24, "the tiny run shows no output"
    assert outputs_of(events, Progress), "the loading does"


def test_one_random_seed_serves_both(studio: Studio) -> None:
    request = replace(TEXT, seed=None)
    _, result = compared(studio, "write", request, request)

    assert result.is_identical
    assert result.left.measures.seed == result.right.measures.seed
    assert result.receipt["left"]["request"]["seed"] == result.left.measures.seed


def test_seed_zero_is_a_seed(studio: Studio) -> None:
    request = replace(TEXT, seed=0)
    _, result = compared(studio, "write", request, request)

    assert result.left.measures.seed == 0


def test_a_side_comes_out_as_it_would_alone(studio: Studio) -> None:
    _, result = compared(studio, "write", replace(TEXT, temperature=2.0), TEXT)
    *_, alone = with_result(write(studio, TEXT))

    assert result.receipt["right"]["output_sha256"] == alone.receipt["output_sha256"]


def test_two_models_that_do_not_fit_together_take_turns(tmp_path: Path) -> None:
    tiny_models.make_writer(tmp_path / "models" / "one")
    tiny_models.make_writer(tmp_path / "models" / "two", seed=1)
    settings = Settings(models_dir=tmp_path / "models", hub_enabled=False)
    both = Studio(settings)
    _, roomy = compared(both, "write", replace(TEXT, model="one"), replace(TEXT, model="two"))
    size = both.residency.residents()[0].size_bytes
    assert len(both.residency.residents()) == 2

    tight = Studio(replace(settings, memory_budget_bytes=int(1.5 * size)))
    _, result = compared(tight, "write", replace(TEXT, model="one"), replace(TEXT, model="two"))

    assert len(tight.residency.residents()) == 1
    for side in ("left", "right"):
        assert result.receipt[side]["output_sha256"] == roomy.receipt[side]["output_sha256"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_closing_stops_the_side_that_runs_and_frees_its_model(studio: Studio, side: str) -> None:
    long = replace(PAINTING, steps=150)
    sides = (long, PAINTING) if side == "left" else (PAINTING, long)
    run = generate(studio, CompareRequest("paint", *sides))
    steps = 0
    for item in run:
        if isinstance(item, SideEvent) and isinstance(item.event, Preview) and item.side == side:
            steps += 1
            if steps == 2:
                break
    run.close()

    assert not any(t.name == "triptych-run" for t in threading.enumerate())
    assert all(resident.users == 0 for resident in studio.residency.residents())
    _, after = compared(studio, "paint", PAINTING, PAINTING)
    assert after.is_identical


@pytest.mark.parametrize(
    ("left", "right", "error", "words"),
    [
        (TEXT, replace(TEXT, model="nobody"), ModelUnavailable, r"^B \(nobody\): "),
        (replace(TEXT, model="tiny-painter"), TEXT, WrongTask, r"^A \(tiny-painter\): "),
        (TEXT, replace(TEXT, temperature=9), InvalidValue, r"^B \(tiny-writer\): temperature is 9"),
        (TEXT, PAINTING, InvalidValue, r"^B \(tiny-painter\): .*PaintRequest"),
        (TEXT, None, InvalidValue, r"^B: .*NoneType"),
        (TEXT, replace(TEXT, prompt="Once"), InvalidValue, "prompt"),
        (TEXT, replace(TEXT, seed=4), InvalidValue, "seed"),
        (replace(TEXT, prompt="word " * 200), replace(TEXT, prompt="word " * 200),
         InvalidValue, r"^A \(tiny-writer\): The prompt has .* tokens"),
    ],
)  # fmt: skip
def test_a_fault_names_its_side_and_keeps_its_class(
    studio: Studio, left: Any, right: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        compared(studio, "write", left, right)
    assert type(caught.value) is error


@pytest.mark.parametrize("task", ["sing", None, 1, True])
def test_an_unknown_task_is_refused_with_the_known_ones(studio: Studio, task: Any) -> None:
    with pytest.raises(InvalidValue, match="write, paint, describe"):
        compared(studio, task, TEXT, TEXT)


def test_pictures_must_be_the_same(studio: Studio) -> None:
    other = replace(CAPTION, picture=Image.new("RGB", (128, 128), "red"))

    with pytest.raises(InvalidValue, match="picture"):
        compared(studio, "describe", CAPTION, other)
