"""The Fine-tune tab: data in, a curve while it learns, a model of the page at the end."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import InvalidValue
from pipelines.events import Progress, with_result
from pipelines.files.texts import TextReport
from pipelines.fine_tuning import data_words, jobs, publish_form
from pipelines.fine_tuning.pipeline import (
    LEAST_MINUTES,
    LEAST_WINDOW,
    MOST_SAMPLES,
    RANKS,
    FineTuned,
    FineTuneRequest,
    Learning,
    check_data,
    follow,
    generate,
    windows_of,
)
from pipelines.hub import names_here
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.runtime.windows import LONGEST
from pipelines.settings import Settings
from pipelines.tasks import TASKS, Task

_SHOWN_CURVES = {"loss": "training data", "held_out_loss": "held-out data"}
_COLOURS = {"training data": "#1f6f6b", "held-out data": "#d97706"}
_WINDOW_INFO = (
    f"Tokens that are read in one piece, at least {LEAST_WINDOW}; 0: as many as the base reads, at "
    f"most {LONGEST:,}"
)
_NAME_HINT = "What the model will be called, in every picker"
_DATA_HINTS = {
    "texts": "Text files (.txt, UTF-8), as many as you like.",
    "captioned pictures": "One ZIP of pictures with a .txt beside each, or with a metadata.jsonl: "
    '{"file_name": "0001.png", "text": "a red apple"}.',
}


@dataclass(frozen=True)
class _Form:
    """What a fine-tune is made of."""

    task: gr.Radio
    base: gr.Dropdown
    name: gr.Textbox
    data: gr.File
    minutes: gr.Slider
    rank: gr.Dropdown
    learning_rate: gr.Textbox
    seed: gr.Number
    batch_size: gr.Number
    window: gr.Number

    @property
    def inputs(self) -> list[Any]:
        return [self.task, self.base, self.name, self.data, self.minutes, self.rank,
                self.learning_rate, self.seed, self.batch_size, self.window]  # fmt: skip


@dataclass(frozen=True)
class _View:
    """Where a fine-tune is watched."""

    status: gr.HTML
    curve: gr.LinePlot
    text: gr.Textbox
    picture: gr.Image
    card: gr.Markdown
    notes: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        return [self.status, self.curve, self.text, self.picture, self.card, self.notes]


def build(studio: Studio, compute: dict[str, Any]) -> list[Any]:
    """Adds the tab's content to the current block; returns the runs that make a model.

    Args:
        compute: queue options that all computing handlers share. Training has a queue of its
            own, for it may take hours, and the page goes on meanwhile.
    """
    gr.Markdown(
        "Teach a model your own texts or pictures, and see it beside the one it came from.",
        elem_classes="lead",
    )
    if not studio.settings.may_fine_tune:
        gr.Markdown("The owner of this page has not opened training to visitors.")
        return []
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            form, report, train, stop = _build_form(studio.settings)
        with gr.Column(scale=3, min_width=300):
            view, watch = _build_view()
    publish_form.build(studio.settings)
    queue = compute | {"concurrency_id": "training", "concurrency_limit": 8}
    shown = ui.run_options(queue, view.status)
    trainer = _trainer(studio, view)
    public = ui.endpoint("fine_tune", trainer)
    runs = [
        train.click(trainer, form.inputs, view.outputs, **public, **shown),
        watch.click(_watcher(studio, view), None, view.outputs, api_visibility="private", **shown),
    ]  # fmt: skip
    _wire(studio, form, report, view)
    stopped = stop.click(
        ui.shows_errors(lambda: _stop_all(studio.settings)), None, None, **ui.PRIVATE
    )
    stopped.then(lambda: ui.done("Stopped"), None, [view.status], cancels=runs, **ui.FREE)
    ui.wire_failure(runs, [view.status])
    return runs


def _build_form(settings: Settings) -> tuple[_Form, gr.Textbox, gr.Button, gr.Button]:
    task = ui.task_picker(elem_id="tune-task")
    base = ui.model_picker(settings, ui.FIRST, label="Base", elem_id="tune-base")
    data = gr.File(
        label="Data", file_count="multiple", type="filepath", file_types=[".txt", ".zip"],
        height=120, elem_id="tune-data",
    )  # fmt: skip
    report = gr.Textbox(
        _data_hint(ui.FIRST), label="Data report", interactive=False, lines=2, max_lines=10,
        elem_id="tune-report",
    )  # fmt: skip
    name = ui.textbox(
        label="Name", placeholder="my-first-tune", max_lines=1, elem_id="tune-name",
        info=_NAME_HINT,
    )  # fmt: skip
    train, stop = ui.run_buttons("Train", "tune")
    with gr.Accordion("Settings", open=False):
        minutes = ui.slider(
            LEAST_MINUTES, 60, 5, step=0.1, label="Minutes",
            info="Training, with about 15% at most for the held-out loss; loading before it, "
            "measuring and saving after it come on top",
        )  # fmt: skip
        rank = ui.dropdown(
            [("every weight", 0), *((f"LoRA of rank {rank}", rank) for rank in RANKS)],
            value=8, label="What is trained", interactive=True,
        )  # fmt: skip
        rate = ui.textbox(label="Learning rate", placeholder="the recipe's own", max_lines=1)
        seed = ui.number(value=0, precision=0, label="Seed")
        batch_size = ui.number(
            value=0, precision=0, label="Batch size",
            info=f"Samples a step, at most {MOST_SAMPLES}; 0 leaves it to the recipe",
        )  # fmt: skip
        window = ui.number(
            value=0, precision=0, label="Window", elem_id="tune-window", info=_WINDOW_INFO
        )
    form = _Form(task, base, name, data, minutes, rank, rate, seed, batch_size, window)
    return form, report, train, stop


def _build_view() -> tuple[_View, gr.Button]:
    status = ui.status_line()
    curve = gr.LinePlot(
        x="step", y="loss", color="measured on", label="Loss", show_label=False, height=260,
        color_map=_COLOURS, elem_id="tune-curve",
    )  # fmt: skip
    text = gr.Textbox(
        label="The base, then the fine-tune", lines=10, max_lines=24, interactive=False,
        visible=False, elem_id="tune-text",
    )  # fmt: skip
    picture = gr.Image(
        label="The base above, the fine-tune below", visible=False, elem_id="tune-picture",
        **ui.PICTURES,
    )  # fmt: skip
    card = gr.Markdown(label="Card", elem_id="tune-card")
    notes = ui.notes_box()
    watch = gr.Button("Watch the latest fine-tune", elem_id="tune-watch", size="sm")
    return _View(status, curve, text, picture, card, notes), watch


def _data_hint(task: Task) -> str:
    return _DATA_HINTS[TASKS[task].trains_on]


def _wire(studio: Studio, form: _Form, report: gr.Textbox, view: _View) -> None:
    settings = studio.settings

    def switch(task: Task) -> tuple[Any, Any, Any, Any]:
        names = names_here(settings, task)
        picker = gr.update(choices=names, value=names[0] if names else None)
        window = gr.update(visible=TASKS[task].trains_on == "texts", value=0)
        return picker, None, gr.update(value=_data_hint(task)), window

    @ui.shows_errors
    def look(task: Task, files: list[str] | None, base: str, window: int | None) -> Any:
        if not files:
            return _data_hint(task)
        data = tuple(Path(file) for file in files)
        found, windows = check_data(task, data, settings.limits), None
        if isinstance(found, TextReport) and not found.problems:
            windows = windows_of(data, found, base, window, settings)
        return data_words.in_words(found, windows)

    def say_name(name: str) -> Any:
        try:
            called = jobs.checked_name(name, settings)
        except InvalidValue as error:
            return gr.update(info=html.escape(str(error)) if name else _NAME_HINT)
        return gr.update(info=f"The model will be called {called}, in every picker")

    form.name.blur(say_name, [form.name], [form.name], **ui.FREE)
    shown = [form.base, form.data, report, form.window]
    form.task.change(switch, [form.task], shown, **ui.FREE)
    data = [form.task, form.data, form.base, form.window]
    gr.on(
        [form.data.change, form.base.change, form.window.blur], look, data, [report],
        trigger_mode="always_last", **ui.PRIVATE,
    )  # fmt: skip


def _trainer(studio: Studio, view: _View) -> Callable[..., Iterator[dict[Any, Any]]]:
    @ui.shows_errors
    def run(
        task: Task,
        base: str,
        name: str,
        data: list[str] | None,
        minutes: float,
        rank: int,
        learning_rate: str,
        seed: int,
        batch_size: int | None = 0,
        window: int | None = 0,
    ) -> Iterator[dict[Any, Any]]:
        """Fine-tunes a model on uploaded data, and makes it a model of the page.

        Args:
            task: "write", "paint" or "describe".
            base: a model of this page or a Hub reference, for the task.
            name: what the fine-tune is to be called; "Ship Log" becomes ship-log.
            data: text files for write, else one ZIP in imagefolder form.
            minutes: how long to train.
            rank: of the LoRA; 0 for every weight.
            learning_rate: empty for the recipe's own.
            seed: of the training and of what is held out.
            batch_size: samples a step; 0 for the recipe's own.
            window: tokens that a writer is trained on in one piece; 0 for the recipe's own,
                and for pictures.
        """
        files = tuple(Path(file) for file in data or ())
        request = FineTuneRequest(
            task, base, name, files, minutes, rank, _rate(learning_rate), seed, batch_size, window
        )
        yield {view.notes: ui.notes_text(jobs.notes(studio.settings))}
        with closing(with_result(generate(studio, request))) as events:
            yield from _updates(view, events)

    return run


def _rate(text: object) -> float | None:
    if text is None or text == "":
        return None
    try:
        return float(str(text))
    except ValueError:
        raise InvalidValue(
            f"learning_rate is {text!r}; give a number such as 0.001, or nothing."
        ) from None


def _watcher(studio: Studio, view: _View) -> Callable[..., Iterator[dict[Any, Any]]]:
    @ui.shows_errors
    def run() -> Iterator[dict[Any, Any]]:
        """Follows the fine-tune that was started last, on this page or by another visitor."""
        known = jobs.jobs(studio.settings)
        yield {view.notes: ui.notes_text(jobs.notes(studio.settings))}
        if not known:
            raise InvalidValue("No fine-tune was started yet. Give data and a name, then Train.")
        with closing(with_result(follow(studio.settings, known[0]))) as events:
            yield from _updates(view, events)

    return run


def _updates(view: _View, events: Iterator[Any]) -> Iterator[dict[Any, Any]]:
    """What was shown of another fine-tune stays until this one has a curve."""
    drawn = 0
    for event in events:
        if isinstance(event, Progress):
            yield {view.status: ui.progress_bar(event)}
        elif isinstance(event, Learning):
            points = sum(map(len, event.curves.values()))
            update = {view.status: ui.progress_bar(event.progress)}
            if points > drawn:
                update |= {view.curve: _frame(event.curves)} | ({} if drawn else _cleared(view))
                drawn = points
            yield update
        else:
            yield _ending(view, event)


def _cleared(view: _View) -> dict[Any, Any]:
    hidden = gr.update(value=None, visible=False)
    return {view.text: hidden, view.picture: hidden, view.card: ""}


def _ending(view: _View, tuned: FineTuned) -> dict[Any, Any]:
    update = _cleared(view) | {
        view.status: ui.done(f"Done: {tuned.reference} is a model of this page now"),
        view.curve: _frame(tuned.curves),
        view.card: tuned.card,
    }
    samples = tuned.samples
    if samples is not None and samples.suffix == ".txt":
        words = samples.read_text(encoding="utf-8")
        update[view.text] = gr.update(value=words, visible=True)
    elif samples is not None:
        from PIL import Image

        with Image.open(samples) as picture:
            update[view.picture] = gr.update(value=picture.convert("RGB"), visible=True)
    return update


def _frame(curves: dict[str, list[tuple[int, float]]]) -> Any:
    """A table for the plot, or None: an empty one would turn its axes into categories for good.

    A curve without a point yet has a row without a value: the plot gives colours to the
    curves of its first table alone.
    """
    import pandas  # type: ignore[import-untyped]

    points = {label: curves.get(name, []) for name, label in _SHOWN_CURVES.items()}
    if not any(points.values()):
        return None
    rows = [
        (step, value, label)
        for label, known in points.items()
        for step, value in known or [(0, float("nan"))]
    ]
    return pandas.DataFrame(rows, columns=["step", "loss", "measured on"])


def _stop_all(settings: Settings) -> None:
    running = [job for job in jobs.jobs(settings) if jobs.state(job) == "running"]
    if not running:
        raise InvalidValue("No fine-tune is going on.")
    for job in running:
        jobs.stop(job)
