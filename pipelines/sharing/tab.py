"""The panel that runs a receipt or a card again: paste it, or give a file that has one."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from pipelines.evaluation.replay import Replayed
from pipelines.evaluation.result import PartialScores
from pipelines.files.images import open_picture
from pipelines.page import ui
from pipelines.runtime.events import Progress, with_result
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits
from pipelines.sharing import cards
from pipelines.sharing.replay import Replay, read_object, replay, text_of
from pipelines.text_generation.pipeline import TextDelta
from pipelines.text_to_image.files import receipt_in_file

_LEAD = (
    "Every result has a receipt; comparisons, evaluations and votes have a card. On the same "
    "machine and versions they give the same result; elsewhere this says what differs."
)


class _Given(NamedTuple):
    """What is run again, and what a receipt or a card names and does not hold."""

    text: gr.Textbox
    picture: gr.Image
    data: gr.File


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the panel to the current block."""
    with gr.Accordion("Run a receipt or a card again", open=False, elem_id="replay-panel"):
        gr.Markdown(_LEAD, elem_classes="lead")
        given = _build_given()
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
    read = _reader(studio.settings.limits)
    load.upload(read, [load], [given.text], api_visibility="private")
    started = again.click(
        _handler(studio), list(given), [status, verdict], api_visibility="private",
        show_progress="minimal", show_progress_on=[status], **compute,
    )  # fmt: skip
    ui.wire_stop(stop, [started], [status])


def _build_given() -> _Given:
    with gr.Row(equal_height=False):
        text = ui.textbox(
            label="Receipt or card", lines=6, max_lines=12, elem_id="replay-receipt", scale=2,
            placeholder="Paste a receipt or a card, or load a file that has one",
        )  # fmt: skip
        picture = ui.picture(
            label="The picture, where one was described", type="filepath",
            sources=["upload", "clipboard"], height=200, image_mode=None, scale=1,
        )  # fmt: skip
        data = gr.File(
            label="The data set, where an evaluation was of a file", height=200, scale=1,
            file_types=[".txt", ".jsonl", ".zip"], elem_id="replay-data",
        )  # fmt: skip
    return _Given(text, picture, data)


def _reader(limits: Limits) -> Callable[[str], str]:
    @ui.shows_errors
    def read_file(path: str) -> str:
        file = Path(path)  # Gradio has checked that it is of an upload
        if file.suffix.lower() == ".json":
            return json.dumps(read_object(text_of(file)), indent=1, ensure_ascii=False)
        return json.dumps(receipt_in_file(file, limits), indent=2)

    return read_file


def _handler(studio: Studio) -> Callable[..., Iterator[tuple[Any, ...]]]:
    @ui.shows_errors
    def run(text: str, picture: str | None, data: str | None) -> Iterator[tuple[Any, ...]]:
        opened = open_picture(Path(picture), studio.settings.limits) if picture else None
        file = Path(data) if data else None  # Gradio has checked that it is of an upload
        with closing(with_result(_again(studio, read_object(text), opened, file))) as events:
            for item in events:
                if isinstance(item, Replay | Replayed):
                    yield ui.done("Done"), gr.update(value=_verdict(item), visible=True)
                else:
                    yield ui.progress_bar(_progress(item)), gr.update(visible=False)

    return run


def _again(
    studio: Studio, found: dict[str, Any], picture: Image.Image | None, file: Path | None
) -> Generator[Any, None, Replay | Replayed]:
    """Runs a card, which has a kind, or a receipt, which has none."""
    if "kind" not in found:
        return (yield from replay(studio, found, picture))
    old, sources = cards.checked(found), cards.Sources(picture=picture)
    if old["kind"] == cards.EVALUATION:
        data = yield from stream(
            lambda emit: cards.data_of(old, file, studio.settings, emit), may_go_on=True
        )
        sources = cards.Sources(lambda name: data)
    return (yield from cards.replay(studio, old, sources))


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
        return "\n".join([f"{head} {result.not_compared}".rstrip(), *lines])
    if result.is_same_output and not result.differences:
        return "The same result, from the same model, versions and kind of device."
    head = "The same result" if result.is_same_output else "Another result"
    return "\n".join([f"{head}. What is not as it was:", *result.differences])
