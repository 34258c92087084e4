"""The panel that runs a receipt or a card again: paste it, or give a file that has one."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pipelines import ui
from pipelines.events import Progress, with_result
from pipelines.images import open_picture
from pipelines.model_comparison.evaluation.data import read_bounded
from pipelines.model_comparison.evaluation.replay import Replayed
from pipelines.model_comparison.evaluation.result import PartialScores
from pipelines.model_comparison.evaluation.sources import named
from pipelines.model_comparison.replay import cards
from pipelines.model_comparison.replay.pipeline import Replay, read_object, replay
from pipelines.studio import Studio
from pipelines.text_generation.pipeline import TextDelta
from pipelines.text_to_image.files import receipt_in_file


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the panel to the current block."""
    limits = studio.settings.limits
    with gr.Accordion("Run a receipt or a card again", open=False, elem_id="replay-panel"):
        gr.Markdown(
            "Every result has a receipt; comparisons, evaluations and votes have a card. On the "
            "same machine and versions they give the same result; elsewhere this says what "
            "differs.",
            elem_classes="lead",
        )
        with gr.Row(equal_height=False):
            text = ui.textbox(
                label="Receipt or card", lines=6, max_lines=12, elem_id="replay-receipt", scale=2,
                placeholder="Paste a receipt or a card, or load a file that has one",
            )  # fmt: skip
            picture = ui.picture(
                label="The picture, where one was described", type="filepath",
                sources=["upload", "clipboard"], height=200, image_mode=None, scale=1,
            )  # fmt: skip
        with gr.Row():
            again = gr.Button("Run again", variant="primary", elem_id="replay-run")
            stop = gr.Button("Stop", variant="stop", elem_id="replay-stop")
            load = gr.UploadButton(
                "Load a painted PNG or a card", file_types=[".png", ".json"], elem_id="replay-load"
            )
        status = ui.status_line()
        verdict = gr.Textbox(
            label="What is equal and what differs", interactive=False, visible=False, lines=1,
            max_lines=12, elem_id="replay-verdict",
        )  # fmt: skip

    @ui.shows_errors
    def read_file(path: str) -> str:
        file = Path(path)  # Gradio has checked that it is of an upload
        if file.suffix.lower() == ".json":
            return json.dumps(read_object(_text(file)), indent=1, ensure_ascii=False)
        return json.dumps(receipt_in_file(file, limits), indent=2)

    @ui.shows_errors
    def run(receipt: str, picture: str | None) -> Iterator[tuple[Any, ...]]:
        opened = open_picture(Path(picture), limits) if picture else None
        with closing(with_result(_again(studio, read_object(receipt), opened))) as events:
            for item in events:
                if isinstance(item, Replay | Replayed):
                    yield ui.done("Done"), gr.update(value=_verdict(item), visible=True)
                else:
                    yield ui.progress_bar(_progress(item)), gr.update(visible=False)

    load.upload(read_file, [load], [text], api_visibility="private")
    started = again.click(
        run, [text, picture], [status, verdict], api_visibility="private",
        show_progress="minimal", show_progress_on=[status], **compute,
    )  # fmt: skip
    ui.wire_stop(stop, [started], [status])


def _text(file: Path) -> str:
    """The text of an uploaded file; what is no UTF-8 is replaced, and then is no JSON of ours."""
    return read_bounded(file).decode(errors="replace")


def _again(
    studio: Studio, found: dict[str, Any], picture: Image.Image | None
) -> Generator[Any, None, Replay | Replayed]:
    """Runs a card, which has a kind, or a receipt, which has none."""
    if "kind" not in found:
        return (yield from replay(studio, found, picture))
    sources = cards.Sources(lambda name: named(name, studio.settings), picture)
    return (yield from cards.replay(studio, cards.checked(found), sources))


def _progress(event: Any) -> Progress:
    if isinstance(event, Progress):
        return event
    if isinstance(event, PartialScores):
        return Progress(f"{event.model}: {event.done} of {event.total} samples")
    if isinstance(event, TextDelta):
        return Progress(f"Writing · {event.new_tokens} tokens")
    return Progress(
        f"Step {event.step} of {event.steps}", event.step / event.steps, event.seconds_left
    )


def _verdict(result: Replay | Replayed) -> str:
    if isinstance(result, Replayed):
        lines = [
            f"{'equal' if line.is_equal else 'DIFFERS'} · {line.text}" for line in result.lines
        ]
        head = "All is equal." if result.is_equal else "Not all is equal."
        return "\n".join([head, *lines])
    if result.is_same_output and not result.differences:
        return "The same result, from the same model, versions and kind of device."
    head = "The same result" if result.is_same_output else "Another result"
    return "\n".join([f"{head}. What is not as it was:", *result.differences])
