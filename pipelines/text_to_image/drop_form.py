"""Where somebody drops a picture on Paint, and the fields take the settings in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from pipelines.hub import names_here
from pipelines.page import ui
from pipelines.settings import Settings
from pipelines.text_to_image.dropped import settings_in


class Drop(NamedTuple):
    """Where a picture is dropped, and what is said of its settings."""

    picture: gr.File
    said: gr.Textbox


def build() -> Drop:
    """Adds the place to the current block."""
    with gr.Accordion("Settings from a picture", open=False, elem_id="paint-drop-panel"):
        picture = gr.File(
            label="Painted by this page, AUTOMATIC1111, InvokeAI, ComfyUI or Fooocus",
            file_types=[".png", ".jpg", ".jpeg", ".webp"], height=120, elem_id="paint-drop",
        )  # fmt: skip
        said = gr.Textbox(
            label="What was taken, and what was not", visible=False, interactive=False, lines=1,
            max_lines=12, elem_id="paint-drop-said",
        )  # fmt: skip
    return Drop(picture, said)


def wire(settings: Settings, drop: Drop, model: Any, fields: Mapping[str, Any]) -> None:
    """Lets a dropped picture fill the fields.

    Args:
        model: the picker, which stays as it is.
        fields: the widgets by the names of a request's fields.
    """
    drop.picture.upload(
        _taker(settings, list(fields)), [drop.picture, model], [*fields.values(), drop.said],
        **ui.PRIVATE,
    )  # fmt: skip


def _taker(settings: Settings, names: list[str]) -> Callable[[str, str], list[Any]]:
    @ui.shows_errors
    def take(path: str, model: str) -> list[Any]:
        here = names_here(settings, "paint")
        taken = settings_in(Path(path), settings.limits, model, here)  # Gradio checked the path
        updates = [taken.fields.get(name, gr.skip()) for name in names]
        return [*updates, gr.update(value="\n".join(taken.notes()), visible=True)]

    return take
