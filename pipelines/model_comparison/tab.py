"""The Compare tab: widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from pipelines import ui
from pipelines.events import Progress, with_result
from pipelines.hub import Task, local_names
from pipelines.image_captioning.pipeline import METHODS, CaptionRequest
from pipelines.model_comparison.evaluation import tab as evaluation_tab
from pipelines.model_comparison.fields import SharedFields, SideFields, compare_request
from pipelines.model_comparison.pipeline import (
    NAMES,
    SIDES,
    CompareRequest,
    ComparisonResult,
    Measures,
    Side,
    SideDone,
    SideEvent,
    generate,
)
from pipelines.model_comparison.report import measures_table, verdict
from pipelines.model_comparison.votes import tab as votes_tab
from pipelines.settings import ROOT, Settings
from pipelines.studio import Studio
from pipelines.text_generation.pipeline import TextDelta, TextResult
from pipelines.text_to_image.families import OWN_SCHEDULER, SCHEDULERS, SMALL_WORLD
from pipelines.text_to_image.files import save_png
from pipelines.text_to_image.pipeline import PaintResult, Preview

_CAPTION = CaptionRequest(model="")
_TALE = "Once upon a time there was a poor fisherman who"
_SCENE = "a cat face to the left of a rose on a yellow background"
_TEMPERATURES, _STEPS = (0.2, 1.2), (5, 20)
"""What A and B begin with, so that the first comparison has something to compare."""
_HIDDEN: dict[str, Any] = {"visible": False}
_FREE: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""Options of handlers that compute nothing."""


@dataclass(frozen=True)
class _Input:
    """What both sides share."""

    task: gr.Radio
    prompt: gr.Textbox
    picture: gr.Image
    seed: gr.Number
    max_new_tokens: gr.Slider


class _Settings(NamedTuple):
    """One side's settings, in the order of the handler's parameters."""

    model: gr.Dropdown
    temperature: gr.Slider
    steps: gr.Slider
    guidance_scale: gr.Slider
    scheduler: gr.Dropdown
    method: gr.Radio
    captions: gr.Slider


@dataclass(frozen=True)
class _Output:
    """Where one side's output goes; one of the last three is shown, as the task is."""

    status: gr.HTML
    text: gr.Textbox
    painting: gr.Gallery
    table: gr.Dataframe

    def show(self, result: Any, data_dir: Path) -> dict[Any, Any]:
        if isinstance(result, TextResult):
            return {self.text: result.prompt + result.text}
        if isinstance(result, PaintResult):
            return {self.painting: save_png(result, data_dir)}
        return {self.table: [[c.text, f"{100 * c.probability:.1f} %"] for c in result.captions]}


@dataclass(frozen=True)
class _Page:
    """All widgets that a run reads or writes."""

    given: _Input
    settings: dict[Side, _Settings]
    out: dict[Side, _Output]
    verdict: gr.Markdown
    measures: gr.Markdown
    wipe: gr.ImageSlider
    notes: gr.Textbox
    receipt: gr.JSON

    @property
    def inputs(self) -> list[Any]:
        given = self.given
        shared = [given.task, given.prompt, given.seed, given.max_new_tokens]
        return [*shared, *self.settings["left"], *self.settings["right"], given.picture]

    @property
    def outputs(self) -> list[Any]:
        """The endpoint's outputs: those of A and B in turn, then what compares them."""
        a, b = self.out["left"], self.out["right"]
        return [
            a.text, b.text, a.painting, b.painting, a.table, b.table, self.verdict,
            self.measures, self.wipe, self.receipt, self.notes, *self.statuses,
        ]  # fmt: skip

    @property
    def statuses(self) -> list[gr.HTML]:
        return [self.out[side].status for side in SIDES]


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the tab's content to the current block: three ways to compare.

    Args:
        compute: queue options that all computing handlers share.
    """
    with gr.Tabs():
        with gr.Tab("Side by side", id="sides", elem_id="tab-sides"):
            _build_sides(studio, compute)
        with gr.Tab("On a data set", id="evaluate", elem_id="tab-evaluate"):
            evaluation_tab.build(studio, compute)
        with gr.Tab("Blind votes", id="votes", elem_id="tab-votes"):
            votes_tab.build(studio, compute)


def _build_sides(studio: Studio, compute: dict[str, Any]) -> None:
    lead = "Two models, or one with two settings: one input, one seed, one run after the other."
    gr.Markdown(lead, elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            task, prompt, picture = _build_given()
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                compare = gr.Button("Compare", variant="primary", elem_id="compare-run", scale=2)
                stop = gr.Button("Stop", variant="stop", elem_id="compare-stop", scale=1)
            seed = ui.seed_box(elem_id="compare-seed")
            tokens = ui.slider(
                1, studio.settings.limits.new_tokens, 100, step=1, label="New tokens",
                info="At most so many", elem_id="compare-tokens",
            )  # fmt: skip
    examples = gr.Row()
    with gr.Row(equal_height=False):
        settings = {side: _build_settings(studio.settings, side) for side in SIDES}
    with gr.Row(equal_height=False):
        out = {side: _build_output(side) for side in SIDES}
    page = _Page(_Input(task, prompt, picture, seed, tokens), settings, out, *_build_findings())
    with examples:
        _build_examples(page)
    runs = gr.on(
        [compare.click, prompt.submit], _handler(studio, page), page.inputs, page.outputs,
        api_name="compare", show_progress="minimal", show_progress_on=page.statuses, **compute,
    )  # fmt: skip
    ui.wire_stop(stop, [runs], page.statuses)

    def switch(chosen: Task, prompt: str) -> dict[Any, Any]:
        return _switch(studio.settings, page, chosen, prompt)

    task.change(switch, [task, prompt], list(switch("write", "")), **_FREE)


def _build_given() -> tuple[gr.Radio, gr.Textbox, gr.Image]:
    tasks = [("Write", "write"), ("Paint", "paint"), ("Describe", "describe")]
    return (
        gr.Radio(tasks, value="write", label="Task", elem_id="compare-task"),
        ui.textbox(_TALE, label="Prompt", lines=3, elem_id="compare-prompt"),
        ui.picture(
            label="Picture", type="filepath", sources=["upload", "clipboard", "webcam"],
            height=280, image_mode=None, elem_id="compare-picture", **_HIDDEN,
        ),
    )  # fmt: skip


def _build_settings(settings: Settings, side: Side) -> _Settings:
    name, index, limits = NAMES[side], SIDES.index(side), settings.limits
    slug = f"compare-{name.lower()}"
    with gr.Column(min_width=300):
        model = ui.model_picker(settings, "write", f"Model {name}", index, elem_id=f"{slug}-model")
        return _Settings(
            model,
            ui.slider(
                0, 2, _TEMPERATURES[index], step=0.05, label=f"Temperature {name}",
                info="0: always the likeliest", elem_id=f"{slug}-temperature",
            ),
            ui.slider(
                0, limits.steps, _STEPS[index], step=1, label=f"Steps {name}",
                info="0: the model's own",
                elem_id=f"{slug}-steps", **_HIDDEN,
            ),
            ui.slider(
                -1, limits.guidance_scale, SMALL_WORLD.guidance_scale, step=0.5,
                label=f"Guidance scale {name}", info="1 or less: not guided; -1: the model's own",
                elem_id=f"{slug}-guidance", **_HIDDEN,
            ),
            gr.Dropdown(
                list(SCHEDULERS), value=OWN_SCHEDULER, label=f"Scheduler {name}",
                interactive=True, elem_id=f"{slug}-scheduler", **_HIDDEN,
            ),
            gr.Radio(
                list(METHODS), value=METHODS[index], label=f"Method {name}",
                elem_id=f"{slug}-method", **_HIDDEN,
            ),
            ui.slider(
                1, limits.captions, _CAPTION.count, step=1, label=f"Captions {name}",
                elem_id=f"{slug}-captions", **_HIDDEN,
            ),
        )  # fmt: skip


def _build_output(side: Side) -> _Output:
    name = NAMES[side]
    slug = f"compare-{name.lower()}"
    with gr.Column(min_width=300):
        return _Output(
            ui.status_line(),
            gr.Textbox(
                label=f"Text {name}", lines=8, max_lines=20, interactive=False, buttons=["copy"],
                elem_id=f"{slug}-text",
            ),
            gr.Gallery(
                label=f"Picture {name}", columns=1, height=None, object_fit="contain",
                format="png", interactive=False, elem_id=f"{slug}-painting", **_HIDDEN,
            ),
            gr.Dataframe(
                headers=["caption", "probability"], datatype="str", interactive=False, wrap=True,
                label=f"Captions of {name}", column_widths=["75%", "25%"],
                elem_id=f"{slug}-table", **_HIDDEN,
            ),
        )  # fmt: skip


def _build_findings() -> tuple[gr.Markdown, gr.Markdown, gr.ImageSlider, gr.Textbox, gr.JSON]:
    verdict_line = gr.Markdown(label="Verdict", elem_id="compare-verdict")
    measures = gr.Markdown(label="Measures", elem_id="compare-measures", elem_classes="facts")
    wipe = gr.ImageSlider(
        label="Wipe: A left, B right", interactive=False, format="png", max_height=480,
        elem_id="compare-wipe", **_HIDDEN,
    )  # fmt: skip
    notes = ui.notes_box()
    receipt = ui.receipt_box("Receipt of A and B", elem_id="compare-receipt")
    return verdict_line, measures, wipe, notes, receipt


def _build_examples(page: _Page) -> None:
    """Rows that set the task, the input and what differs between A and B."""
    a, b, given = page.settings["left"], page.settings["right"], page.given
    inputs = [
        given.task, given.prompt, given.picture, given.seed, a.temperature, b.temperature,
        a.steps, b.steps, a.guidance_scale, b.guidance_scale, a.method, b.method,
    ]  # fmt: skip
    rows = {
        "Write: careful or bold": _example("write", _TALE),
        "Paint: 5 steps or 20": _example("paint", _SCENE),
        "Paint: free or guided": _example("paint", _SCENE, steps=(20, 20), guidance=(1, 6)),
    }
    for picture in sorted((ROOT / "assets" / "examples").glob("*.png"))[:1]:
        rows["Describe: beams or sampling"] = _example("describe", _SCENE, str(picture))
    options: dict[str, Any] = {"example_labels": list(rows), "api_visibility": "private"}
    gr.Examples(list(rows.values()), inputs, label="Comparisons", **options)


def _example(
    task: Task, prompt: str, picture: str | None = None, steps: tuple[int, int] = _STEPS,
    guidance: tuple[float, float] = (SMALL_WORLD.guidance_scale, SMALL_WORLD.guidance_scale),
) -> list[Any]:  # fmt: skip
    return [task, prompt, picture, 1, *_TEMPERATURES, *steps, *guidance, *METHODS]


def _handler(studio: Studio, page: _Page) -> Callable[..., Iterator[dict[Any, Any]]]:
    @ui.shows_errors
    def run(
        task: str, prompt: str, seed: int, max_new_tokens: int,
        model_a: str, temperature_a: float, steps_a: int, guidance_scale_a: float,
        scheduler_a: str, method_a: str, captions_a: int,
        model_b: str, temperature_b: float, steps_b: int, guidance_scale_b: float,
        scheduler_b: str, method_b: str, captions_b: int,
        picture: str | None = None,
    ) -> Iterator[dict[Any, Any]]:  # fmt: skip
        """Runs A, then B, on one input and one seed; streams both, then measures and receipt.

        Args:
            task: "write", "paint" or "describe"; settings of the other tasks are not read.
            prompt: for write and paint.
            seed: for both sides; -1 for a random one.
            max_new_tokens: for write: how many tokens to add at most, on both sides.
            model_a: a model of this page or a Hub reference, for the task.
            temperature_a: for write: from 0 (always the likeliest token) to 5.
            steps_a: for paint: denoising steps; 0 for the model's own.
            guidance_scale_a: for paint: how closely to follow the prompt; 1 or less for not at
                all, -1 for the model's own.
            scheduler_a: for paint: the name of a sampler.
            method_a: for describe: "beams" or "sampling".
            captions_a: for describe: how many captions.
            model_b: as model_a.
            temperature_b: as temperature_a.
            steps_b: as steps_a.
            guidance_scale_b: as guidance_scale_a.
            scheduler_b: as scheduler_a.
            method_b: as method_a.
            captions_b: as captions_a.
            picture: for describe: an image file.
        """
        a = model_a, temperature_a, steps_a, guidance_scale_a, scheduler_a, method_a, captions_a
        b = model_b, temperature_b, steps_b, guidance_scale_b, scheduler_b, method_b, captions_b
        shared = SharedFields(task, prompt, seed, max_new_tokens, picture)
        sides = SideFields(*a), SideFields(*b)
        request = compare_request(shared, *sides, studio.settings.limits)
        with closing(with_result(generate(studio, request))) as events:
            yield from _updates(page, request, events, studio.settings.data_dir)

    return run


def _updates(
    page: _Page, request: CompareRequest, events: Iterator[Any], data_dir: Path
) -> Iterator[dict[Any, Any]]:
    """What each event changes on the page, and at the end the whole of it."""
    done: dict[Side, Measures] = {}
    shown = _cleared(page)
    pace = ui.Pace()
    yield dict(shown)
    for item in events:
        if isinstance(item, SideEvent):
            is_new_stage = isinstance(item.event, Progress) and item.event.fraction is None
            if is_new_stage or pace.is_due():
                yield _event_update(page.out[item.side], getattr(request, item.side), item.event)
        elif isinstance(item, SideDone):
            out = page.out[item.side]
            done[item.side] = item.outcome.measures
            shown |= {out.status: ui.done("Done"), **out.show(item.outcome.result, data_dir)}
            shown[page.measures] = measures_table(request, done)
            yield dict(shown)
        else:
            yield shown | _ending(page, item, shown)


def _cleared(page: _Page) -> dict[Any, Any]:
    """Nothing of an earlier comparison stays beside the new one."""
    empty: dict[Any, Any] = dict.fromkeys(page.outputs)
    for out, waiting in zip(page.out.values(), ("Getting ready", "Waiting for A"), strict=True):
        empty |= {out.text: "", out.table: [], out.status: ui.done(waiting)}
    told = {page.verdict: "", page.measures: "", page.receipt: None}
    return {**empty, **told, page.notes: ui.notes_text([])}


def _event_update(out: _Output, request: Any, event: Any) -> dict[Any, Any]:
    if isinstance(event, TextDelta):
        part = event.new_tokens / request.max_new_tokens
        bar = Progress(f"Writing · {event.new_tokens} tokens", part)
        return {out.text: request.prompt + event.text, out.status: ui.progress_bar(bar)}
    if isinstance(event, Preview):
        part = event.step / event.steps
        bar = Progress(f"Step {event.step} of {event.steps}", part, event.seconds_left)
        return {out.painting: event.pictures or gr.skip(), out.status: ui.progress_bar(bar)}
    return {out.status: ui.progress_bar(event)}


def _ending(page: _Page, result: ComparisonResult, shown: dict[Any, Any]) -> dict[Any, Any]:
    notes = [
        f"{name}: {note}"
        for name, side in (("A", result.left), ("B", result.right))
        for note in getattr(side.result, "notes", [])
    ]
    ending = {page.verdict: verdict(result), page.notes: ui.notes_text(notes)}
    ending[page.receipt] = result.receipt
    if result.request.task == "paint":
        ending[page.wipe] = tuple(shown[page.out[side].painting][0] for side in SIDES)
    return ending


def _default_models(settings: Settings, task: Task) -> tuple[str | None, str | None]:
    """The first two local models; the same one twice where there is one."""
    names: list[str | None] = [*local_names(settings, task)]
    return (names[0], names[min(1, len(names) - 1)]) if names else (None, None)


def _switch(settings: Settings, page: _Page, task: Task, prompt: str) -> dict[Any, Any]:
    """Shows what the task needs, offers its models, and drops the findings of another task."""
    given = page.given
    own_words = prompt not in (_TALE, _SCENE)
    prompt = prompt if own_words else (_TALE if task == "write" else _SCENE)
    shown_for: dict[Any, bool] = {
        given.picture: task == "describe",
        given.max_new_tokens: task == "write",
        page.wipe: task == "paint",
        page.notes: False,
    }
    changed: dict[Any, Any] = {given.prompt: gr.update(value=prompt, visible=task != "describe")}
    defaults = _default_models(settings, task)
    for side, default in zip(SIDES, defaults, strict=True):
        own, out = page.settings[side], page.out[side]
        changed[own.model] = gr.update(choices=local_names(settings, task), value=default)
        shown_for |= dict.fromkeys([own.temperature, out.text], task == "write")
        painter = [own.steps, own.guidance_scale, own.scheduler, out.painting]
        shown_for |= dict.fromkeys(painter, task == "paint")
        shown_for |= dict.fromkeys([own.method, own.captions, out.table], task == "describe")
    found: dict[Any, Any] = {page.verdict: "", page.measures: "", page.receipt: None}
    found |= dict.fromkeys(page.statuses, ui.done("Ready"))
    visible = {widget: gr.update(visible=is_shown) for widget, is_shown in shown_for.items()}
    return {**visible, **changed, **found}
