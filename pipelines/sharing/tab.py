"""The panel that runs a receipt or a card again: paste it, or give a file that has one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.events import with_result
from pipelines.files.images import open_picture
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.sharing.cards import CardKind, Opening, Sources, read_card, run_again
from pipelines.sharing.reading import object_in, read_object
from pipelines.sharing.replay import Replayed

_LEAD = (
    "Every result has a receipt; comparisons, evaluations and votes have a card. On the same "
    "machine and versions they give the same result; elsewhere this says what differs."
)


def wire_openings(
    settings: Settings, openings: Sequence[Opening]
) -> list[Callable[..., dict[Any, Any]]]:
    """Lets each panel open cards of its kind.

    Returns:
        For each, what opens it from the text of a link, followed by its ``inputs``.
    """
    kinds = [opening.kind for opening in openings]
    return [_wire_opening(settings, opening, kinds) for opening in openings]


def _wire_opening(
    settings: Settings, opening: Opening, kinds: Sequence[CardKind]
) -> Callable[..., dict[Any, Any]]:
    kind = opening.kind

    def from_card(path: str, *given: Any) -> dict[Any, Any]:
        card = read_card(Path(path), kind, kinds)
        return opening.fill(kind.setup_of(card, settings.limits), *given)

    def from_link(text: str, *given: Any) -> dict[Any, Any]:
        return opening.fill(kind.decode(text, settings.limits), *given)

    opening.button.upload(
        ui.shows_errors(from_card), [opening.button, *opening.inputs], opening.fields,
        **ui.PRIVATE,
    )  # fmt: skip
    return ui.shows_errors(from_link)


def build(studio: Studio, compute: dict[str, Any], kinds: Sequence[CardKind]) -> None:
    """Adds the panel to the current block.

    Args:
        compute: queue options that all computing handlers share.
        kinds: those of the cards that can be run again.
    """
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
    load.upload(read, [load], given[:1], api_visibility="private")
    started = again.click(
        _handler(studio, kinds), given, [status, verdict], api_visibility="private",
        **ui.run_options(compute, status),
    )  # fmt: skip
    ui.wire_stop(stop, [started], [status])


def _build_given() -> list[Any]:
    """A text, and what a receipt or a card names and does not hold: a picture and a data set."""
    with gr.Row(equal_height=False):
        return [
            ui.textbox(
                label="Receipt or card", lines=6, max_lines=12, elem_id="replay-receipt", scale=2,
                placeholder="Paste a receipt or a card, or load a file that has one",
            ),
            ui.picture(
                label="The picture, where one was described", sources=["upload", "clipboard"],
                height=200, scale=1,
            ),
            gr.File(
                label="The data set, where an evaluation was of a file", height=200, scale=1,
                file_types=[".txt", ".jsonl", ".zip"], elem_id="replay-data",
            ),
        ]  # fmt: skip


def _reader(limits: Limits) -> Callable[[str], str]:
    @ui.shows_errors
    def read_file(path: str) -> str:
        file = Path(path)  # Gradio has checked that it is of an upload
        return json.dumps(object_in(file, limits), indent=1, ensure_ascii=False)

    return read_file


def _handler(studio: Studio, kinds: Sequence[CardKind]) -> Callable[..., Iterator[tuple[Any, ...]]]:
    @ui.shows_errors
    def run(text: str, picture: str | None, data: str | None) -> Iterator[tuple[Any, ...]]:
        opened = open_picture(Path(picture), studio.settings.limits) if picture else None
        sources = Sources(opened, data)  # Gradio has checked that data is of an upload
        with closing(with_result(run_again(studio, read_object(text), kinds, sources))) as events:
            for item in events:
                if isinstance(item, Replayed):
                    yield ui.done("Done"), gr.update(value=_verdict(item), visible=True)
                else:
                    yield ui.progress_bar(item), gr.update(visible=False)

    return run


def _verdict(result: Replayed) -> str:
    changed = [line.text for line in result.lines if not line.is_equal]
    if "kind" in result.made:
        lines = [
            f"{'equal' if line.is_equal else 'DIFFERS'} · {line.text}" for line in result.lines
        ]
        head = "Not all is equal." if changed else "All is equal."
        return "\n".join([f"{head} {result.not_compared}".rstrip(), *lines])
    if not changed:
        return "The same result, from the same model, versions and kind of device."
    head = "The same result" if result.lines[-1].is_equal else "Another result"
    return "\n".join([f"{head}. What is not as it was:", *changed])
