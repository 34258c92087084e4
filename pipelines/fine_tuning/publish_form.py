"""The panel that hands a fine-tune to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import InvalidValue
from pipelines.fine_tuning import jobs
from pipelines.hub.publish import publish
from pipelines.page import ui
from pipelines.settings import Settings


def build(settings: Settings) -> None:
    """Hands a fine-tune to the Hub, with the visitor's own token, which is not kept."""
    with gr.Accordion("Publish on the Hub", open=False):
        gr.Markdown(
            "The folder of a fine-tune, with its card and scores, becomes a repository of yours: "
            "private, unless you say otherwise.",
            elem_classes="lead",
        )
        with gr.Row():
            name = gr.Dropdown([], label="Fine-tune", interactive=True, elem_id="publish-name")
            repo = ui.textbox(label="Repository", placeholder="owner/name", max_lines=1)
            token = ui.textbox(
                label="Your token", type="password", max_lines=1, info="With write access; not kept"
            )
        with gr.Row():
            is_public = gr.Checkbox(label="Public: anybody may see it", value=False)
            button = gr.Button("Publish", elem_id="publish-run")
        reference = gr.Textbox(label="Open it again as", interactive=False, buttons=["copy"])

    def offer() -> Any:
        return gr.update(choices=[folder.name for folder in _own(settings)])

    @ui.shows_errors
    def send(name: str, repo: str, token: str, is_public: bool) -> str:
        chosen = {folder.name: folder for folder in _own(settings)}.get(name)
        if chosen is None:
            raise InvalidValue("There is no such fine-tune. Choose one that was made here.")
        return publish(chosen, repo, token, private=is_public is not True)

    name.focus(offer, None, [name], **ui.FREE)
    button.click(
        send, [name, repo, token, is_public], [reference], api_visibility="private"
    ).then(lambda: "", None, [token], **ui.FREE)  # fmt: skip


def _own(settings: Settings) -> list[Path]:
    folder = jobs.own_models_dir(settings)
    return sorted(folder.iterdir()) if folder.is_dir() else []
