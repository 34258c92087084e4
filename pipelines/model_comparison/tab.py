"""Compare, side by side: two models or two settings, one input, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from pipelines.events import Progress, with_result
from pipelines.files.temporary import new_folder
from pipelines.hub import local_models, local_names, names_here
from pipelines.hub.model_cards import claims
from pipelines.image_captioning.pipeline import METHODS
from pipelines.model_comparison import link
from pipelines.model_comparison.card import card
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
from pipelines.model_comparison.published import write
from pipelines.model_comparison.replay import COMPARISON
from pipelines.model_comparison.report import measures_table, verdict
from pipelines.model_comparison.side_form import (
    SCENE,
    STEPS,
    TALE,
    TEMPERATURE,
    Given,
    Output,
    Page,
    SideSettings,
    build_findings,
    build_given,
    build_output,
    build_settings,
)
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from pipelines.sharing.cards import Opening
from pipelines.tasks import TASKS, Task
from pipelines.text_generation.pipeline import TextDelta
from pipelines.text_to_image.families import SMALL_WORLD
from pipelines.text_to_image.pipeline import Preview

_Pair = tuple[str | None, str | None]
"""What A and B begin with."""


class _Buttons(NamedTuple):
    compare: gr.Button
    stop: gr.Button
    card: gr.UploadButton


def build(studio: Studio, compute: dict[str, Any]) -> Opening:
    """Adds Side by side to the current block.

    Returns:
        How cards and links open it.
    """
    lead = "Two models, or one with two settings: one input, one seed, one run after the other."
    gr.Markdown(lead, elem_classes="lead")
    given, buttons = _build_given(studio.settings)
    examples = gr.Row()
    with gr.Row(equal_height=False):
        settings = {side: build_settings(studio.settings, side) for side in SIDES}
    with gr.Row(equal_height=False):
        out = {side: build_output(side) for side in SIDES}
    page = Page(given, settings, out, *build_findings())
    with examples, gr.Column():
        shown = _build_examples(studio.settings, page)

    def switch(chosen: Task, prompt: str, *models: str) -> dict[Any, Any]:
        return _switch(studio.settings, page, chosen, prompt, models)

    # Not whenever the task changes: a card or a link sets models beside it, which have to stay.
    switched = list(switch(ui.FIRST, ""))
    given.task.input(switch, [given.task, given.prompt], switched, **ui.FREE)
    chosen = [given.task, given.prompt, *(settings[side].model for side in SIDES)]
    ready = shown.load_input_event.then(switch, chosen, switched, **ui.FREE)
    run, fields, outputs = _handler(studio, page), page.inputs, page.outputs
    shared = ui.run_options(compute, *page.statuses)
    started = [buttons.compare.click, given.prompt.submit]
    runs = [
        gr.on(started, run, fields, outputs, **ui.endpoint("compare", run), **shared),
        ready.then(run, fields, outputs, api_visibility="private", **shared),
    ]
    ui.wire_stop(buttons.stop, runs, page.statuses)

    def fill(fields: link.Fields) -> dict[Any, Any]:
        return _filled(studio.settings, page, fields)

    filled = list(dict.fromkeys([*switched, *page.inputs]))
    return Opening(COMPARISON, fill, filled, buttons.card)


def _build_given(settings: Settings) -> tuple[Given, _Buttons]:
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            task, prompt, picture = build_given()
        with gr.Column(scale=2, min_width=300):
            compare, stop = ui.run_buttons("Compare", "compare")
            card_button = ui.card_button(elem_id="compare-open")
            seed = ui.seed_box(elem_id="compare-seed")
            tokens = ui.slider(
                1, settings.limits.new_tokens, 100, step=1, label="New tokens",
                info="At most so many", elem_id="compare-tokens",
            )  # fmt: skip
    given = Given(task, prompt, picture, seed, tokens)
    return given, _Buttons(compare, stop, card_button)


def _build_examples(settings: Settings, page: Page) -> Any:
    """Rows that set the task, the input and what differs between A and B."""
    a, b, given = page.settings["left"], page.settings["right"], page.given
    inputs = [
        given.task, given.prompt, given.picture, given.seed, a.model, b.model,
        a.temperature, b.temperature, a.steps, b.steps, a.guidance_scale, b.guidance_scale,
        a.method, b.method,
    ]  # fmt: skip
    pairs = {task: _default_models(settings, task) for task in TASKS}
    rows = _examples(pairs)
    options: dict[str, Any] = {"example_labels": list(rows), "api_visibility": "private"}
    shown = gr.Examples(list(rows.values()), inputs, label="Comparisons", **options)
    claimed = _claims_of_cards(settings, pairs)
    if claimed:
        gr.Markdown(claimed, elem_id="compare-claims", elem_classes="facts")
    return shown


def _examples(pairs: Mapping[Task, _Pair]) -> dict[str, list[Any]]:
    """Rows by their labels; a fine-tune beside its base comes first, where one is here."""
    tales, tuned_tales = pairs["write"]
    scenes, tuned_scenes = pairs["paint"]
    reader, _ = pairs["describe"]
    rows: dict[str, list[Any]] = {}
    if tales != tuned_tales:
        rows["Write: base or fine-tune"] = _example("write", TALE, tales, tuned_tales)
    if scenes != tuned_scenes:
        rows["Paint: base or fine-tune"] = _example("paint", SCENE, scenes, tuned_scenes)
    rows |= {
        "Write: careful or bold": _example("write", TALE, tales, tales, temperatures=(0.2, 1.2)),
        "Paint: 5 steps or 20": _example("paint", SCENE, scenes, scenes, steps=(5, 20)),
        "Paint: free or guided": _example("paint", SCENE, scenes, scenes, guidance=(1, 6)),
    }
    for picture in sorted((ROOT / "assets" / "examples").glob("*.png"))[:1]:
        rows["Describe: beams or sampling"] = _example(
            "describe", SCENE, reader, reader, str(picture)
        )
    return rows


def _example(
    task: Task, prompt: str, a: str | None, b: str | None, picture: str | None = None,
    temperatures: tuple[float, float] = (TEMPERATURE, TEMPERATURE),
    steps: tuple[int, int] = (STEPS, STEPS),
    guidance: tuple[float, float] = (SMALL_WORLD.guidance_scale, SMALL_WORLD.guidance_scale),
) -> list[Any]:  # fmt: skip
    return [task, prompt, picture, 1, a, b, *temperatures, *steps, *guidance, *METHODS]


def _claims_of_cards(settings: Settings, pairs: Mapping[Task, _Pair]) -> str:
    """What the cards of the fine-tunes in the examples say of them, beside their bases."""
    models = local_models(settings)
    lines = []
    for base, tuned in (pairs["write"], pairs["paint"]):
        found = claims(models[tuned]) if tuned is not None and tuned != base else []
        if found:
            lines.append(ui.facts((f"{tuned}, by its card:", " · ".join(map(str, found)))))
    return "  \n".join(lines)


def _handler(studio: Studio, page: Page) -> Callable[..., Iterator[dict[Any, Any]]]:
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
            steps_a: for paint: denoising steps; -1 for the model's own.
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
        names = SideSettings._fields
        sides = {"A": dict(zip(names, a, strict=True)), "B": dict(zip(names, b, strict=True))}
        shared = {"task": task, "prompt": prompt, "seed": seed, "max_new_tokens": max_new_tokens}
        request = link.request_of({**shared, **sides}, picture, studio.settings.limits)
        with closing(with_result(generate(studio, request))) as events:
            yield from _updates(page, request, events, studio.settings.temporary_dir)

    return run


def _updates(
    page: Page, request: CompareRequest, events: Iterator[Any], temporary_dir: Path
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
            shown |= {out.status: ui.done("Done"), **out.show(item.outcome.result, temporary_dir)}
            shown[page.measures] = measures_table(request, done)
            yield dict(shown)
        else:
            yield shown | _ending(page, item, shown, temporary_dir)


def _cleared(page: Page) -> dict[Any, Any]:
    """Nothing of an earlier comparison stays beside the new one."""
    empty: dict[Any, Any] = dict.fromkeys(page.outputs)
    for out, waiting in zip(page.out.values(), ("Getting ready", "Waiting for A"), strict=True):
        empty |= {out.text: "", out.table: [], out.status: ui.done(waiting)}
    told = {page.verdict: "", page.measures: "", page.receipt: None, **_nothing_to_keep(page)}
    return {**empty, **told, page.notes: ui.notes_text([])}


def _nothing_to_keep(page: Page) -> dict[Any, Any]:
    return dict.fromkeys([page.link, page.files], ui.shown(None))


def _event_update(out: Output, request: Any, event: Any) -> dict[Any, Any]:
    if isinstance(event, TextDelta):
        part = event.new_tokens / request.max_new_tokens
        bar = replace(event.progress, fraction=part)
        return {out.text: event.whole(request.prompt), out.status: ui.progress_bar(bar)}
    if isinstance(event, Preview):
        shown = event.pictures or gr.skip()
        return {out.painting: shown, out.status: ui.progress_bar(event.progress)}
    return {out.status: ui.progress_bar(event)}


def _ending(
    page: Page, result: ComparisonResult, shown: dict[Any, Any], temporary_dir: Path
) -> dict[Any, Any]:
    notes = [
        f"{name}: {note}"
        for name, side in (("A", result.left), ("B", result.right))
        for note in getattr(side.result, "notes", [])
    ]
    ending = {page.verdict: verdict(result), page.notes: ui.notes_text(notes)}
    made = card(result)
    ending[page.receipt] = made
    ending[page.link] = ui.shown(made["link"])
    folder = new_folder(temporary_dir, "comparison")
    ending[page.files] = ui.shown([str(p) for p in write(result, folder)])
    if TASKS[result.request.task].makes == "pictures":
        ending[page.wipe] = tuple(shown[page.out[side].painting][0] for side in SIDES)
    return ending


def _default_models(settings: Settings, task: Task) -> _Pair:
    """The first two local models; the same one twice where there is one."""
    names: list[str | None] = [*local_names(settings, task)]
    return (names[0], names[min(1, len(names) - 1)]) if names else (None, None)


def _switch(
    settings: Settings, page: Page, task: Task, prompt: str, models: Sequence[str] = ()
) -> dict[Any, Any]:
    """Shows what the task needs, offers its models, and drops the findings of another task.

    ``models`` are what A and B stay at; without them they become the task's first two.
    """
    given, record = page.given, TASKS[task]
    own_words = prompt not in (TALE, SCENE)
    prompt = prompt if own_words else (TALE if record.makes == "text" else SCENE)
    shown_for: dict[Any, bool] = {
        given.picture: record.takes == "picture",
        given.max_new_tokens: "max_new_tokens" in record.shared,
        page.wipe: record.makes == "pictures",
        page.notes: False,
    }
    has_prompt = "prompt" in record.shared
    changed: dict[Any, Any] = {given.prompt: gr.update(value=prompt, visible=has_prompt)}
    defaults = models or _default_models(settings, task)
    for side, default in zip(SIDES, defaults, strict=True):
        own, out = page.settings[side], page.out[side]
        changed[own.model] = gr.update(choices=names_here(settings, task), value=default)
        outputs = {"text": out.text, "pictures": out.painting, "captions": out.table}
        shown_for |= {widget: kind == record.makes for kind, widget in outputs.items()}
        settings_of = {name: widget for name, widget in own._asdict().items() if name != "model"}
        shown_for |= {w: name in record.compared.values() for name, w in settings_of.items()}
    found: dict[Any, Any] = {page.verdict: "", page.measures: "", page.receipt: None}
    found |= _nothing_to_keep(page)
    found |= dict.fromkeys(page.statuses, ui.done("Ready"))
    visible = {widget: gr.update(visible=is_shown) for widget, is_shown in shown_for.items()}
    return {**visible, **changed, **found}


def _filled(settings: Settings, page: Page, fields: link.Fields) -> dict[Any, Any]:
    """The task's page with every field as a card or a link has it; nothing runs by itself."""
    task = fields["task"]
    changed = _switch(settings, page, task, fields.get("prompt", ""))
    values: dict[Any, Any] = {}
    for name in ("task", *TASKS[task].shared):
        values[getattr(page.given, name)] = fields[name]
    for side in SIDES:
        for name, value in fields[NAMES[side]].items():
            values[getattr(page.settings[side], name)] = value
    return changed | {
        widget: {**changed.get(widget, gr.update()), "value": value}
        for widget, value in values.items()
    }
