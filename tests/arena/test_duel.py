"""A duel runs all models on one input and seed, and tells nothing on its way."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from pipelines.arena.duel import AT_WORK, Duel, DuelRequest, generate
from pipelines.errors import InvalidValue, ModelUnavailable, StudioError, WrongTask
from pipelines.events import Progress, with_result
from pipelines.runtime.receipts import hash_pictures, hash_text
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.tasks import Task
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_generation.pipeline import generate as write
from pipelines.text_to_image import pipeline as painting
from pipelines.text_to_image.pipeline import generate as paint
from tests.arena.conftest import NAMES

PICTURE = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
WRITE = DuelRequest("write", NAMES["write"][:2], "Once upon", seed=3)
REQUESTS: dict[Task, DuelRequest] = {
    "write": WRITE,
    "paint": DuelRequest("paint", NAMES["paint"], "a cat", seed=3),
    "describe": DuelRequest("describe", NAMES["describe"], picture=PICTURE, seed=3),
}


def dueled(studio: Studio, request: DuelRequest) -> tuple[list[Progress], Duel]:
    *events, duel = with_result(generate(studio, request))
    return events, duel


@pytest.mark.parametrize("task", REQUESTS)
def test_all_models_get_one_input_and_one_seed(studio: Studio, task: Task) -> None:
    request = REQUESTS[task]
    _, duel = dueled(studio, request)

    assert tuple(each.contender.reference for each in duel.played) == request.models
    assert all(len(each.contender.commit) == 40 for each in duel.played)
    assert {each.receipt["request"]["seed"] for each in duel.played} == {duel.seed} == {3}
    expected = hash_pictures([PICTURE]) if task == "describe" else hash_text(request.prompt)
    assert duel.input_sha256 == expected
    texts = [each.output.text for each in duel.played]
    pictures = [each.output.picture for each in duel.played]
    if task == "paint":
        assert texts == [None, None]
        assert all(picture is not None and picture.info == {} for picture in pictures)
        hashes = [hash_pictures([picture]) for picture in pictures if picture is not None]
        assert hashes == [each.receipt["output_sha256"] for each in duel.played]
    else:
        assert pictures == [None, None]
        assert len(set(texts)) == 2, "two models, two outputs"


def test_an_output_is_what_the_model_makes_alone(studio: Studio) -> None:
    _, duel = dueled(studio, WRITE)
    *_, alone = with_result(write(studio, TextRequest(WRITE.models[1], WRITE.prompt, seed=3)))
    assert duel.played[1].output.text == WRITE.prompt + alone.text


def test_nothing_on_the_way_tells_of_a_model(studio: Studio) -> None:
    events, _ = dueled(studio, WRITE)
    assert len(events) > 3
    assert set(events) == {AT_WORK}


def test_a_picture_is_stripped_of_what_a_file_would_carry(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def marked(studio: Studio, request: Any) -> Generator[Any, None, Any]:
        result = yield from paint(studio, request)
        result.pictures[0].info["triptych"] = request.model
        return result

    monkeypatch.setattr(painting, "generate", marked)
    _, duel = dueled(studio, REQUESTS["paint"])
    assert [each.output.picture.info for each in duel.played if each.output.picture] == [{}, {}]


def test_a_random_seed_is_drawn_once_for_all(studio: Studio) -> None:
    _, duel = dueled(studio, replace(WRITE, seed=None))
    assert {each.receipt["request"]["seed"] for each in duel.played} == {duel.seed}


def test_closing_stops_the_model_that_runs(studio: Studio) -> None:
    run = generate(studio, WRITE)
    while [resident.users for resident in studio.residency.residents()] != [1, 0]:
        next(run)  # until the first model is done and the second at work
    run.close()
    assert not any(thread.name == "triptych-run" for thread in threading.enumerate())
    assert all(resident.users == 0 for resident in studio.residency.residents())


A, B = NAMES["write"][:2]
BAD: list[tuple[str, Any, str]] = [
    ("task", "sing", "task is 'sing'"),
    ("task", None, "task is None"),
    ("models", (A,), "There are 1 models; choose 2 to 8"),
    ("models", (), "There are 0 models; choose 2 to 8"),
    ("models", tuple("abcdefghi"), "There are 9 models; choose 2 to 8"),
    ("models", None, "models are None; give a list"),
    ("models", f"{A},{B}", "models are"),
    ("models", (A, None), "One of the models is None"),
    ("models", (A, True), "One of the models is True"),
    ("models", (A, "x" * 10_000), "One of the models is 'xxx"),
    ("models", (A, " "), "One of the models is ' '"),
    ("models", (A, f" {A} "), "given twice"),
    ("prompt", None, "prompt is None"),
    ("prompt", math.nan, "prompt is nan"),
    ("prompt", "x" * 30_000, "30,000 characters"),
    ("seed", True, "seed is True"),
    ("seed", 1.5, "seed is 1.5"),
    ("seed", math.nan, "seed is nan"),
]


@pytest.mark.parametrize(("field", "value", "words"), BAD)
def test_bad_input_is_refused_before_anything_runs(
    studio: Studio, field: str, value: Any, words: str
) -> None:
    with pytest.raises(InvalidValue, match=words):
        next(generate(studio, replace(WRITE, **{field: value})))


@pytest.mark.parametrize("picture", [None, "/etc/passwd", 7])
def test_to_describe_takes_a_picture(studio: Studio, picture: Any) -> None:
    with pytest.raises(InvalidValue, match="picture"):
        next(generate(studio, replace(REQUESTS["describe"], picture=picture)))


@pytest.mark.parametrize(
    ("model", "error"),
    [("nobody", ModelUnavailable), ("ochre-painter", WrongTask), ("x" * 2_000, ModelUnavailable)],
)
def test_a_model_that_cannot_be_had_is_named_before_any_runs(
    studio: Studio, model: str, error: type[StudioError]
) -> None:
    with pytest.raises(error, match=f"^{model[:80]}: ") as caught:
        dueled(studio, replace(WRITE, models=(A, model)))
    assert len(str(caught.value)) < 500
    assert studio.residency.residents() == []


def test_a_fault_of_a_run_names_its_model(studio: Studio) -> None:
    with pytest.raises(InvalidValue, match=f"^{A}: The prompt has .* tokens"):
        dueled(studio, replace(WRITE, prompt="word " * 200))


def test_one_checkpoint_under_two_references_is_refused(studio: Studio, settings: Settings) -> None:
    from tests.hub.lora_files import WRITER_LAYER, peft_lora

    models = settings.data_dir / "models"
    shutil.copytree(settings.models_dir / A, models / A)
    peft_lora(models / "tales", {WRITER_LAYER: (32, 32)}, base=A)
    own = Studio(replace(settings, extra_models_dir=models))
    with pytest.raises(InvalidValue, match=f"'tales' and '{A} \\+ tales' are the same model"):
        dueled(own, replace(WRITE, models=("tales", f"{A} + tales")))
