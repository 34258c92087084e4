"""The panel "Side by side": two models or two settings on one input, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.events import Progress, with_result
from pipelines.files.temporary import new_folder
from pipelines.hub import local_models, local_names, names_here
from pipelines.hub.model_cards import claims
from pipelines.model_comparison import link
from pipelines.model_comparison import side_form as form
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
from pipelines.model_comparison.replay import COMPARISON
from pipelines.model_comparison.report import measures_table, write
from pipelines.model_comparison.side_form import SCENE, TALE, Page
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
from pipelines.sharing.cards import Opening
from pipelines.sharing.settings_form import endpoint, filled_in
from pipelines.tasks import TASKS, Task
from pipelines.text_generation.pipeline import TextDelta
from pipelines.text_to_image.pipeline import Preview

_Pair = tuple[str | None, str | None]
"""What A and B begin with."""
_OF_EXAMPLES = ("temperature", "steps", "guidance_scale", "method")
"""The settings in which the examples differ."""


def build(studio: Studio, compute: dict[str, Any]) -> Opening:
    """Adds Side by side to the current block.

    Returns:
        How cards and links open it.
    """
    settings = studio.settings
    lead = "Two models, or one with two settings: one input, one seed, one run after the other."
    gr.Markdown(lead, elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            given = form.build_given()
        with gr.Column(scale=2, min_width=300):
            compare, stop = ui.run_buttons("Compare", "compare")
            card_button = ui.card_button(elem_id="compare-open")
            given |= form.build_run(settings)
    examples = gr.Row()
    with gr.Row(equal_height=False):
        sides = {side: form.build_settings(settings, side) for side in SIDES}
    with gr.Row(equal_height=False):
        out = {side: form.build_output(side) for side in SIDES}
    page = Page(given, sides, out, form.build_findings())
    with examples, gr.Column():
        shown = _build_examples(settings, page)

    def switch(chosen: Task, prompt: str, *models: str) -> dict[Any, Any]:
        return _switch(settings, page, chosen, prompt, models)

    # Not whenever the task changes: a card or a link sets models beside it, which have to stay.
    switched, task, prompt = list(switch(ui.FIRST, "")), given["task"], given["prompt"]
    task.input(switch, [task, prompt], switched, **ui.FREE)
    chosen = [task, prompt, *(sides[side]["model"] for side in SIDES)]
    ready = shown.load_input_event.then(switch, chosen, switched, **ui.FREE)
    run, fields, outputs = _handler(studio, page), page.inputs, page.outputs
    shared = ui.run_options(compute, *page.statuses)
    started = [compare.click, prompt.submit]
    runs = [
        gr.on(started, run, fields, outputs, **ui.endpoint("compare", run), **shared),
        ready.then(run, fields, outputs, api_visibility="private", **shared),
    ]
    ui.wire_stop(stop, runs, page.statuses)

    def fill(fields: link.Fields) -> dict[Any, Any]:
        return _filled(settings, page, fields)

    filled = list(dict.fromkeys([*switched, *page.inputs]))
    return Opening(COMPARISON, fill, filled, card_button)


def _build_examples(settings: Settings, page: Page) -> Any:
    """Rows that set the task, the input and what differs between A and B."""
    inputs = [page.given[name] for name in ("task", "prompt", "picture", "seed")]
    inputs += [page.settings[side][n] for n in ("model", *_OF_EXAMPLES) for side in SIDES]
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
    alone = {task: (base, base) for task, (base, _) in pairs.items()}
    rows: dict[str, list[Any]] = {}
    if pairs["write"] != alone["write"]:
        rows["Write: base or fine-tune"] = _example("write", TALE, pairs)
    if pairs["paint"] != alone["paint"]:
        rows["Paint: base or fine-tune"] = _example("paint", SCENE, pairs)
    rows |= {
        "Write: careful or bold": _example("write", TALE, alone, temperature=(0.2, 1.2)),
        "Paint: 5 steps or 20": _example("paint", SCENE, alone, steps=(5, 20)),
        "Paint: free or guided": _example("paint", SCENE, alone, guidance_scale=(1, 6)),
    }
    for picture in sorted((ROOT / "assets" / "examples").glob("*.png"))[:1]:
        rows["Describe: beams or sampling"] = _example("describe", SCENE, alone, str(picture))
    return rows


def _example(
    task: Task, prompt: str, models: Mapping[Task, _Pair], picture: str | None = None,
    **sides: tuple[float, float],
) -> list[Any]:  # fmt: skip
    own = [value for name in _OF_EXAMPLES for value in sides.get(name, form.beginning(name))]
    return [task, prompt, picture, 1, *models[task], *own]


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
    def run(*values: Any) -> Iterator[dict[Any, Any]]:
        given = dict(zip(form.PARAMETERS, values, strict=True))
        own = {
            name: {field: given[f"{field}_{name.lower()}"] for field in page.settings[side]}
            for side, name in NAMES.items()
        }
        request = link.request_of({**given, **own}, given["picture"], studio.settings.limits)
        with closing(with_result(generate(studio, request))) as events:
            yield from _updates(page, request, events, studio.settings.temporary_dir)

    does = "Runs A, then B, on one input and one seed; streams both, then measures and receipt."
    return ui.shows_errors(endpoint(run, does, form.PARAMETERS, form.OPTIONAL))


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
            shown[out["status"]] = ui.done("Done")
            shown |= form.shown(out, item.outcome.result, temporary_dir)
            shown[page.results["measures"]] = measures_table(request, done)
            yield dict(shown)
        else:
            yield shown | _ending(page, item, shown, temporary_dir)


def _cleared(page: Page) -> dict[Any, Any]:
    """Clears the results of an earlier comparison."""
    empty: dict[Any, Any] = dict.fromkeys(page.outputs)
    for out, waiting in zip(page.out.values(), ("Getting ready", "Waiting for A"), strict=True):
        empty |= {out["text"]: "", out["table"]: [], out["status"]: ui.done(waiting)}
    return {**empty, **_nothing_found(page), page.results["notes"]: ui.notes_text([])}


def _nothing_found(page: Page) -> dict[Any, Any]:
    hidden = ui.shown(None)
    empty = {"verdict": "", "measures": "", "receipt": None, "link": hidden, "files": hidden}
    return {page.results[name]: value for name, value in empty.items()}


def _event_update(out: form.Widgets, request: Any, event: Any) -> dict[Any, Any]:
    if isinstance(event, TextDelta):
        part = event.new_tokens / request.max_new_tokens
        bar = replace(event.progress, fraction=part)
        return {out["text"]: event.whole(request.prompt), out["status"]: ui.progress_bar(bar)}
    if isinstance(event, Preview):
        shown = event.pictures or gr.skip()
        return {out["painting"]: shown, out["status"]: ui.progress_bar(event.progress)}
    return {out["status"]: ui.progress_bar(event)}


def _ending(
    page: Page, result: ComparisonResult, shown: dict[Any, Any], temporary_dir: Path
) -> dict[Any, Any]:
    notes = [
        f"{NAMES[side]}: {note}"
        for side in SIDES
        for note in getattr(getattr(result, side).result, "notes", [])
    ]
    made = card(result)
    files = write(result, made, new_folder(temporary_dir, "comparison"))
    ending = {
        "verdict": made["verdict"],
        "notes": ui.notes_text(notes),
        "receipt": made,
        "link": ui.shown(made["link"]),
        "files": ui.shown([str(path) for path in files]),
    }
    if TASKS[result.request.task].makes == "pictures":
        ending["wipe"] = tuple(shown[page.out[side]["painting"]][0] for side in SIDES)
    return {page.results[name]: value for name, value in ending.items()}


def _default_models(settings: Settings, task: Task) -> _Pair:
    """The first two local models; the same one twice where there is one."""
    names: list[str | None] = [*local_names(settings, task)]
    return (names[0], names[min(1, len(names) - 1)]) if names else (None, None)


def _switch(
    settings: Settings, page: Page, task: Task, prompt: str, models: tuple[str, ...] = ()
) -> dict[Any, Any]:
    """Shows what the task needs, offers its models, and clears the results of another task.

    ``models`` are what A and B stay at; without them they become the task's first two.
    """
    given, record = page.given, TASKS[task]
    if prompt in (TALE, SCENE):
        prompt = TALE if record.makes == "text" else SCENE
    shown_for: dict[Any, bool] = {
        given["picture"]: record.takes == "picture",
        given["max_new_tokens"]: "max_new_tokens" in record.shared,
        page.results["wipe"]: record.makes == "pictures",
        page.results["notes"]: False,
    }
    has_prompt = "prompt" in record.shared
    changed: dict[Any, Any] = {given["prompt"]: gr.update(value=prompt, visible=has_prompt)}
    defaults = models or _default_models(settings, task)
    for side, default in zip(SIDES, defaults, strict=True):
        own, out = page.settings[side], page.out[side]
        changed[own["model"]] = gr.update(choices=names_here(settings, task), value=default)
        shown_for |= {out[name]: kind == record.makes for kind, name in form.OUTPUTS.items()}
        shown_for |= {own[n]: n in record.compared.values() for n in own if n != "model"}
    findings = _nothing_found(page) | dict.fromkeys(page.statuses, ui.done("Ready"))
    visible = {widget: gr.update(visible=is_shown) for widget, is_shown in shown_for.items()}
    return {**visible, **changed, **findings}


def _filled(settings: Settings, page: Page, fields: link.Fields) -> dict[Any, Any]:
    """The task's page with every field as a card or a link has it; nothing runs by itself."""
    task = fields["task"]
    values = {page.given[name]: fields[name] for name in ("task", *TASKS[task].shared)}
    for side, name in NAMES.items():
        values |= {page.settings[side][own]: value for own, value in fields[name].items()}
    return filled_in(_switch(settings, page, task, fields.get("prompt", "")), values)
