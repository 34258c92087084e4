"""Fields and endpoints that follow from the settings in the tasks' records."""

from __future__ import annotations

import inspect
from typing import Any

import gradio as gr
import pytest

from pipelines.settings import Limits
from pipelines.sharing.settings_form import about, endpoint, filled_in, offered, widget
from pipelines.tasks import TASKS

LIMITS = Limits(steps=30)


def built(task: Any, name: str, **options: Any) -> Any:
    record = TASKS[task]
    (setting,) = (each for each in record.settings if each.name == name)
    with gr.Blocks():
        return widget(record, setting, LIMITS, "here", **options)


@pytest.mark.parametrize(
    ("task", "name", "kind", "elem_id"),
    [
        ("paint", "steps", gr.Slider, "here-steps"),
        ("paint", "guidance_scale", gr.Slider, "here-guidance"),
        ("paint", "scheduler", gr.Dropdown, "here-scheduler"),
        ("describe", "method", gr.Radio, "here-method"),
        ("describe", "count", gr.Slider, "here-captions"),
        ("describe", "no_repeat_ngram_size", gr.Slider, "here-no_repeat_ngram_size"),
        ("describe", "repetition_penalty", gr.Number, "here-repetition_penalty"),
    ],
)
def test_a_rule_decides_what_a_setting_looks_like(
    task: Any, name: str, kind: type[Any], elem_id: str
) -> None:
    field = built(task, name, label="Mine")
    assert isinstance(field, kind)
    assert (field.label, field.elem_id) == ("Mine", elem_id)


def test_a_slider_has_the_range_of_the_request_and_its_own_end() -> None:
    steps, temperature = built("paint", "steps"), built("write", "temperature")
    assert (steps.minimum, steps.maximum, steps.value) == (-1, 30, 20)
    assert (temperature.minimum, temperature.maximum, temperature.step) == (0, 2, 0.05)


def test_what_is_left_to_the_model_is_minus_one() -> None:
    """From -1 to 0.1 a slider would offer values that are refused."""
    size, penalty = (built("describe", n) for n in ("no_repeat_ngram_size", "repetition_penalty"))
    assert (size.value, penalty.value) == (-1, -1)


def test_a_setting_of_several_tasks_is_one_field_that_names_them() -> None:
    rows = offered(TASKS.values(), lambda setting: setting.evaluated == "panel")
    assert [record.name for record, _ in rows["temperature"]] == ["write", "describe"]
    assert about(rows["temperature"]).startswith("for write and describe: from 0 ")
    assert about(rows["steps"]).startswith("for paint: denoising steps")


def test_an_endpoint_names_and_documents_the_values_that_it_takes() -> None:
    taken = endpoint(lambda *values: values, "Adds.", {"a": "one.", "b": "two."}, ["b"])
    assert str(inspect.signature(taken)) == "(a, b=None)"
    assert inspect.getdoc(taken) == "Adds.\n\nArgs:\n    a: one.\n    b: two."
    assert taken(1, 2) == (1, 2)


def test_a_slider_reaches_as_far_as_the_value_that_fills_it_in() -> None:
    steps = built("paint", "steps")
    changed = {steps: gr.update(visible=True)}
    far = filled_in(changed, {steps: 70})[steps]
    assert (far["value"], far["maximum"], far["visible"]) == (70, 70, True)
    assert filled_in(changed, {steps: 7})[steps]["maximum"] == 30
