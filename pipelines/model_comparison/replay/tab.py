"""The panel that runs a receipt again: paste it, or give a picture that carries one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines import ui
from pipelines.events import Progress, with_result
from pipelines.images import open_picture
from pipelines.model_comparison.replay.pipeline import Replay, read_receipt, replay
from pipelines.studio import Studio
from pipelines.text_generation.pipeline import TextDelta
from pipelines.text_to_image.files import receipt_in_file


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the panel to the current block."""
    limits = studio.settings.limits
    with gr.Accordion("Run a receipt again", open=False, elem_id="replay-panel"):
        gr.Markdown(
            "Every result has a receipt. On the same machine and versions it gives the same "
            "result; elsewhere this says what differs.",
            elem_classes="lead",
        )
        with gr.Row(equal_height=False):
            text = ui.textbox(
                label="Receipt", lines=6, max_lines=12, elem_id="replay-receipt", scale=2,
                placeholder="Paste a receipt, or load a picture painted here",
            )  # fmt: skip
            picture = ui.picture(
                label="The picture, for a receipt of Describe", type="filepath",
                sources=["upload", "clipboard"], height=200, image_mode=None, scale=1,
            )  # fmt: skip
        with gr.Row():
            again = gr.Button("Run again", variant="primary", elem_id="replay-run")
            stop = gr.Button("Stop", variant="stop", elem_id="replay-stop")
            load = gr.UploadButton(
                "Load from a painted PNG", file_types=[".png"], elem_id="replay-load"
            )
        status = ui.status_line()
        verdict = gr.Textbox(
            label="What is equal and what differs", interactive=False, visible=False, lines=1,
            max_lines=12, elem_id="replay-verdict",
        )  # fmt: skip

    @ui.shows_errors
    def read_file(path: str) -> str:
        return json.dumps(receipt_in_file(Path(path), limits), indent=2)

    @ui.shows_errors
    def run(receipt: str, picture: str | None) -> Iterator[tuple[Any, ...]]:
        opened = open_picture(Path(picture), limits) if picture else None
        with closing(with_result(replay(studio, read_receipt(receipt), opened))) as events:
            for item in events:
                if isinstance(item, Replay):
                    yield ui.done("Done"), gr.update(value=_verdict(item), visible=True)
                else:
                    yield ui.progress_bar(_progress(item)), gr.update(visible=False)

    load.upload(read_file, [load], [text], api_visibility="private")
    started = again.click(
        run, [text, picture], [status, verdict], api_visibility="private",
        show_progress="minimal", show_progress_on=[status], **compute,
    )  # fmt: skip
    ui.wire_stop(stop, [started], [status])


def _progress(event: Any) -> Progress:
    if isinstance(event, Progress):
        return event
    if isinstance(event, TextDelta):
        return Progress(f"Writing · {event.new_tokens} tokens")
    return Progress(
        f"Step {event.step} of {event.steps}", event.step / event.steps, event.seconds_left
    )


def _verdict(result: Replay) -> str:
    if result.is_same_output and not result.differences:
        return "The same result, from the same model, versions and kind of device."
    head = "The same result" if result.is_same_output else "Another result"
    return "\n".join([f"{head}. What is not as it was:", *result.differences])
