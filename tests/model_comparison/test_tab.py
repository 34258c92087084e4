"""The panel "Side by side" is filled in by its cards and links."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.model_comparison import tab
from pipelines.runtime.studio import Studio


def test_the_fields_of_a_task_are_filled_in_beside_its_widgets(studio: Studio) -> None:
    with gr.Blocks():
        opening = tab.build(studio, {})
    side = {"model": "ada/x@c1", "steps": 7, "guidance_scale": -1, "scheduler": "Euler"}
    fields = {"task": "paint", "prompt": "mine", "seed": 3, "A": side, "B": side | {"steps": 9}}
    changed: dict[str, Any] = {w.elem_id: update for w, update in opening.fill(fields).items()}
    values = {name.removeprefix("compare-"): update.get("value")
              for name, update in changed.items() if isinstance(update, dict)}  # fmt: skip
    expected = {
        "task": "paint", "prompt": "mine", "seed": 3, "a-model": "ada/x@c1", "a-steps": 7,
        "b-steps": 9, "a-guidance": -1, "b-scheduler": "Euler",
    }  # fmt: skip
    assert {name: values[name] for name in expected} == expected
    assert changed["compare-a-steps"]["visible"] and not changed["compare-a-temperature"]["visible"]
    assert {w.elem_id for w in opening.fields} >= set(changed)
