"""The Write tab: widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.errors import InvalidValue
from pipelines.events import Progress, with_result
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.text_generation import chat_form
from pipelines.text_generation.pipeline import TextRequest, TextResult, generate
from pipelines.text_generation.writing_form import (
    Settings,
    build_settings,
    ending,
    facts_of,
    spent,
)

EXAMPLES = [
    ["Once upon a time there was a poor fisherman who"],
    ["The princess opened the little golden door, and"],
    ["“Who are you?” said the wolf. “I am"],
]
_GOES_ON = '(text) => ({ __type__: "update", interactive: Boolean(text) })'
"""Continue is for a text that there is."""
Updates = Iterator[tuple[Any, ...]]


@dataclass(frozen=True)
class _Given:
    """What a visitor sets, and the buttons beside it with the line under them, where it is seen
    on any screen."""

    model: gr.Dropdown
    prompt: gr.Textbox
    settings: Settings
    form: gr.Radio
    write: gr.Button
    stop: gr.Button
    status: gr.HTML


@dataclass(frozen=True)
class _Shown:
    """What a run writes, and the buttons that go on from it."""

    story: gr.Textbox
    status: gr.HTML
    notes: gr.Textbox
    candidates: gr.Dataframe
    summary: gr.Markdown
    receipt: gr.JSON
    more: gr.Button
    again: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [
            self.story, self.status, self.notes, self.candidates, self.summary, self.receipt
        ]  # fmt: skip


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the tab's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    with gr.Tabs():
        with gr.Tab("Complete", elem_id="write-complete"):
            _build_complete(studio, compute)
        with gr.Tab("Chat", elem_id="write-chat"):
            chat_form.build(studio, compute)


def _build_complete(studio: Studio, compute: dict[str, Any]) -> None:
    gr.Markdown("Begin a tale, and the model goes on with it.", elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            given = _build_given(studio)
        with gr.Column(scale=3, min_width=300):
            shown = _build_shown(given.status)
    examples = gr.Examples(EXAMPLES, [given.prompt], label="Beginnings", api_visibility="private")
    _wire(studio, given, shown, examples, compute)


def _build_given(studio: Studio) -> _Given:
    prompt = ui.textbox(
        value=EXAMPLES[0][0], label="Prompt", lines=4, elem_id="write-prompt", autofocus=True
    )
    write, stop = ui.run_buttons("Write", "write")
    status = ui.status_line()
    model = ui.model_picker(studio.settings, "write", elem_id="write-model")
    with gr.Accordion("Settings", open=False):
        settings = build_settings(studio.settings.limits)
        form = gr.Radio(
            [("A chat model answers it", "own"), ("It is completed as it stands", "text")],
            value="own", label="Prompt", elem_id="write-form",
        )  # fmt: skip
    return _Given(model, prompt, settings, form, write, stop, status)


def _build_shown(status: gr.HTML) -> _Shown:
    story = gr.Textbox(
        label="Text", lines=13, max_lines=26, interactive=False, buttons=["copy"],
        elem_id="story", placeholder="The tale appears here, word by word.",
    )  # fmt: skip
    candidates = gr.Dataframe(
        headers=["gap", "candidate", "probability"], datatype="str", interactive=False,
        label="Candidates for each gap", visible=False, elem_id="write-candidates",
    )  # fmt: skip
    with gr.Row():
        more = gr.Button("Continue", elem_id="write-continue", interactive=False)
        again = gr.Button("Regenerate", elem_id="write-again")
    notes = ui.notes_box()
    summary = gr.Markdown(label="Facts", elem_classes="facts", elem_id="write-facts")
    receipt = ui.receipt_box(elem_id="write-receipt")
    return _Shown(story, status, notes, candidates, summary, receipt, more, again)


def _handler(studio: Studio) -> Callable[..., Updates]:
    @ui.shows_errors
    def run(
        model: str, prompt: str, max_new_tokens: int, temperature: float, top_p: float,
        top_k: int, seed: int, form: str = "own",
    ) -> Updates:  # fmt: skip
        """Continues a prompt; the text so far is streamed, then comes the receipt.

        Args:
            model: a model of this page or a Hub reference.
            prompt: the beginning of the text; [MASK] marks a gap for a model that fills gaps.
            max_new_tokens: how many tokens to add at most.
            temperature: from 0 (always the likeliest token) to 5.
            top_p: keep the likeliest tokens that make up this probability.
            top_k: keep this many tokens; 0 for all.
            seed: -1 for a random one.
            form: own (a chat model answers), or text (it is completed as it stands).
        """
        request = TextRequest(model, prompt, max_new_tokens, temperature, top_p, top_k, seed, form)
        yield from _run(studio, request)

    return run


def _run(studio: Studio, request: TextRequest, must_go_on: bool = False) -> Updates:
    with closing(with_result(generate(studio, request, must_go_on))) as events:
        yield from _updates(request, events)


def _updates(request: TextRequest, events: Iterator[Any]) -> Updates:
    """What each event changes on the page, in the order of the outputs."""
    pace = ui.Pace()
    for number, item in enumerate(events):
        if number == 0:  # the request is valid: the notes on the last text go
            yield (
                gr.skip(), gr.skip(), ui.notes_text([]), gr.update(visible=False), "", None
            )  # fmt: skip
        if isinstance(item, Progress):
            yield gr.skip(), ui.progress_bar(item), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        elif not isinstance(item, TextResult):
            if not pace.is_due():
                continue
            bar = item.progress_of(request.max_new_tokens)
            so_far = ui.facts(*spent(item), ("seed", str(item.seed)))
            line = ui.progress_bar(bar)
            yield item.whole(request.prompt), line, gr.skip(), gr.skip(), so_far, item.receipt
        else:
            about = ui.notes_text(item.notes), _candidates(item), facts_of(item)
            yield item.whole(item.prompt), ui.done(ending(item)), *about, item.receipt


def _wire(
    studio: Studio, given: _Given, shown: _Shown, examples: Any, compute: dict[str, Any]
) -> None:
    run = _handler(studio)

    @ui.shows_errors
    def go_on(model: str, text: str, *settings: Any) -> Updates:
        if not text:
            raise InvalidValue("There is no text yet to go on with. Write one first.")
        yield from _run(studio, TextRequest(model, text, *settings), must_go_on=True)

    @ui.shows_errors
    def rewrite(model: str, prompt: str, *settings: Any) -> Updates:
        *others, _, form = settings
        yield from run(model, prompt, *others, -1, form)

    prompted = [given.model, given.prompt, *given.settings, given.form]
    written = [given.model, shown.story, *given.settings, given.form]
    outputs = shown.outputs
    shared = ui.run_options(compute, shown.status)
    private = {"api_visibility": "private", **shared}
    started = [given.write.click, given.prompt.submit]
    runs = [
        gr.on(started, run, prompted, outputs, **ui.endpoint("write", run), **shared),
        shown.more.click(go_on, written, outputs, **private),
        shown.again.click(rewrite, prompted, outputs, **private),
        examples.load_input_event.then(run, prompted, outputs, **private),
    ]
    ui.wire_stop(given.stop, runs, [shown.status])
    shown.story.change(None, [shown.story], [shown.more], js=_GOES_ON, **ui.FREE)


def _candidates(result: TextResult) -> dict[str, Any]:
    """An update of the table: what could stand in each gap; hidden for models that go on."""
    rows = [
        [str(gap), each.text, f"{100 * each.probability:.1f} %"]
        for gap, row in enumerate(result.candidates, start=1)
        for each in row
    ]
    update: dict[str, Any] = gr.update(value=rows, visible=bool(rows))
    return update
