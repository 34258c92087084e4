"""The Models tab: find a model, see what it is and whether it fits, and use it; the downloads on
disk; and, below all tabs, the models in memory.

Words that come from the Hub (names, licences) are shown in tables and text boxes alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.device import mebibytes
from pipelines.errors import InvalidValue
from pipelines.hub import names_here
from pipelines.hub.adapters import is_adapter
from pipelines.hub.disk import Stored, delete, stored
from pipelines.hub.offline import models_here
from pipelines.hub.preflight import Preflight, preflight
from pipelines.hub.search import ModelRow, search
from pipelines.hub.sources import Folder
from pipelines.models.presets import presets_for
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.tasks import TASKS, Task

_COLUMNS = ["model", "size", "downloads", "likes", "licence"]


@dataclass(frozen=True)
class _Finder:
    """The search for a model: its task, words, and the table of results."""

    task: gr.Radio
    query: gr.Textbox
    look: gr.Button
    results: gr.Dataframe
    note: gr.Textbox


@dataclass(frozen=True)
class _Chosen:
    """The reference, the adapter to put on it, and the result of the check."""

    reference: gr.Textbox
    adapter: gr.Dropdown
    weight: gr.Slider
    add: gr.Button
    check: gr.Button
    use: gr.Button
    verdict: gr.Textbox
    facts: gr.Dataframe


def build(
    studio: Studio, compute: dict[str, Any], pickers: Mapping[Task, gr.Dropdown], opened: Any
) -> None:
    """Adds the tab's content to the current block.

    Args:
        compute: queue options; a search waits for the Hub, not for those who compute.
        pickers: for each task the picker that a chosen model is put into.
        opened: the event of the tab's opening, upon which it is filled.
    """
    gr.Markdown(
        "Any checkpoint of the Hub, with or without a LoRA: what it is, and whether it fits here.",
        elem_classes="lead",
    )
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            finder = _build_finder()
        with gr.Column(scale=2, min_width=300):
            chosen = _build_chosen(studio)
    _build_disk(studio)
    waiting = compute | {"concurrency_id": "hub", "concurrency_limit": 4}
    _wire_finder(studio, finder, chosen, opened, waiting)
    _wire_chosen(studio, finder, chosen, pickers, waiting)


def _build_finder() -> _Finder:
    task = ui.task_picker(elem_id="models-task")
    with gr.Row():
        query = ui.textbox(
            label="Search", placeholder="fairy tales, llama, anime …", max_lines=1, scale=4,
            elem_id="models-query",
        )  # fmt: skip
        look = gr.Button(
            "Search", scale=1, min_width=96, variant="primary", elem_id="models-search"
        )
    results = gr.Dataframe(
        headers=_COLUMNS, datatype="str", interactive=False, label="Models; click one",
        column_widths=["34%", "15%", "20%", "12%", "19%"], max_height=420, wrap=True,
        elem_id="models-results",
    )  # fmt: skip
    note = ui.notes_box()
    return _Finder(task, query, look, results, note)


def _build_chosen(studio: Studio) -> _Chosen:
    reference = ui.textbox(
        label="Model", placeholder="owner/repo, a URL of the Hub, base + lora:0.8",
        max_lines=2, elem_id="models-reference",
    )  # fmt: skip
    with gr.Row():
        check = gr.Button("Check", variant="primary", scale=2, elem_id="models-check")
        use = gr.Button("Use it", scale=1, elem_id="models-use")
    with gr.Accordion("Put a LoRA on it", open=False):
        adapter = gr.Dropdown(
            [], label="LoRA", allow_custom_value=True, interactive=True, elem_id="models-lora",
            info="One that is here, or owner/repo",
        )  # fmt: skip
        weight = ui.slider(-2, 2, 1, step=0.05, label="Weight", info="0: as without it")
        add = gr.Button("Add", elem_id="models-add")
    verdict = gr.Textbox(
        label="Verdict", lines=2, max_lines=8, interactive=False, elem_id="models-verdict"
    )
    facts = gr.Dataframe(
        headers=["", "value"], datatype="str", interactive=False, label="What it is",
        column_widths=["38%", "62%"], wrap=True, elem_id="models-facts",
    )  # fmt: skip
    return _Chosen(reference, adapter, weight, add, check, use, verdict, facts)


def _wire_finder(
    studio: Studio, finder: _Finder, chosen: _Chosen, opened: Any, waiting: dict[str, Any]
) -> None:
    @ui.shows_errors
    def look(task: Task, query: str) -> tuple[list[list[str]], dict[str, Any]]:
        """Models of a task by words: those on this machine, then the Hub's.

        Args:
            task: "write", "paint" or "describe".
            query: words of a name or a subject; none for what is here and what is suggested.
        """
        answer = search(task, query, studio.settings)
        return [_row(found) for found in answer.models], ui.notes_text(
            [answer.note] if answer.note else []
        )

    @ui.shows_errors
    def suggest(task: Task) -> tuple[list[list[str]], dict[str, Any], Any]:
        """What is here, and what fits this machine."""
        here = [[name, "", "", "", ""] for name in names_here(studio.settings, task)]
        fitting = [
            [preset.reference, f"{preset.gigabytes:g} GB", "", "", preset.licence]
            for preset in _presets(studio, task)
        ]
        return here + fitting, ui.notes_text([]), _adapters(studio, task)

    @ui.shows_errors
    def pick(rows: Any, event: gr.SelectData) -> str:
        """The model of the row that was clicked, as the table has it."""
        return str(rows.iloc[event.index[0], 0])

    found = [finder.results, finder.note]
    options = {"show_progress": "minimal", **waiting}
    gr.on(
        [finder.look.click, finder.query.submit], look, [finder.task, finder.query], found,
        **ui.endpoint("search_models", look), **options,
    )  # fmt: skip
    gr.on(
        [finder.task.change, opened],
        suggest, [finder.task], [*found, chosen.adapter], **ui.PRIVATE,
    )  # fmt: skip
    finder.task.change(lambda: "", None, [chosen.reference], **ui.FREE)
    finder.results.select(pick, [finder.results], [chosen.reference], **ui.PRIVATE)


def _wire_chosen(
    studio: Studio,
    finder: _Finder,
    chosen: _Chosen,
    pickers: Mapping[Task, gr.Dropdown],
    waiting: dict[str, Any],
) -> None:
    @ui.shows_errors
    def check(task: Task, reference: str) -> tuple[str, list[list[str]]]:
        """What a model is and whether it fits, before a byte of its weights is fetched.

        Args:
            task: "write", "paint" or "describe".
            reference: a model of this page, owner/repo[@revision], or a base + adapter:0.8.
        """
        found = preflight(reference, task, studio.settings, studio.device)
        return "\n".join([found.verdict, *found.helps, *found.notes]), _facts(found)

    @ui.shows_errors
    def add(reference: str, adapter: str, weight: float) -> str:
        if not reference.strip() or not adapter:
            raise InvalidValue("Choose a model first, then the LoRA to put on it.")
        return f"{reference.strip()} + {adapter}" + ("" if weight == 1 else f":{weight:g}")

    @ui.shows_errors
    def use(task: Task, reference: str) -> dict[Any, Any]:
        if not reference.strip():
            raise InvalidValue("No model is chosen. Click one in the table, or type its name.")
        gr.Info(f"It is chosen in the {TASKS[task].label} tab; it loads when it is first run.")
        return {pickers[task]: reference.strip()}

    checked = [chosen.verdict, chosen.facts]
    gr.on(
        [chosen.check.click, chosen.reference.submit], check, [finder.task, chosen.reference],
        checked, **ui.endpoint("check_model", check), show_progress="minimal", **waiting,
    )  # fmt: skip
    chosen.add.click(
        add, [chosen.reference, chosen.adapter, chosen.weight], [chosen.reference], **ui.PRIVATE
    )
    chosen.use.click(use, [finder.task, chosen.reference], list(pickers.values()), **ui.PRIVATE)


def _presets(studio: Studio, task: Task) -> list[Any]:
    device = studio.device
    return list(presets_for(task, studio.settings.memory_budget_bytes, device.kind != "cpu"))


def _adapters(studio: Studio, task: Task) -> Any:
    models = models_here(studio.settings)
    names = names_here(studio.settings, task)
    choices = [name for name in names if is_adapter(Folder(name, models[name]))]
    return gr.update(choices=choices, value=None)


def _row(found: ModelRow) -> list[str]:
    numbers = ["" if n is None else f"{n:,}" for n in (found.downloads, found.likes)]
    size = "" if found.size_bytes is None else mebibytes(found.size_bytes)
    gated = " (gated)" if found.is_gated else ""
    return [found.reference + gated, size, *numbers, found.licence or ""]


def _facts(found: Preflight) -> list[list[str]]:
    """Name and value of what is known; what is not is left out."""
    where = "on this machine" if found.is_local else "on the Hub"
    access = [word for word, holds in (("gated", found.is_gated), ("private", found.is_private))
              if holds]  # fmt: skip
    rows = [
        ("where", ", ".join([where, *access])),
        ("commit", found.commit[:12]),
        ("kind", found.family or ""),
        ("licence", found.licence or "not said"),
        ("parameters", f"{found.parameters:,}" if found.parameters else ""),
        ("stored as", found.stored_as),
        ("computed in", found.computed_in),
        ("to fetch", f"{mebibytes(found.bytes_to_fetch)} of {mebibytes(found.bytes_total)}"),
        ("free disk", mebibytes(found.free_disk_bytes)),
        ("memory", mebibytes(found.expected_memory_bytes) if found.expected_memory_bytes else ""),
        ("memory budget", mebibytes(found.memory_budget_bytes)),
    ]
    return [[name, value] for name, value in rows if value]


def _inventory(
    headers: list[str], label: str, choice: str, table_id: str, refresh_id: str,
    show: Callable[[], Any], act: Callable[..., Any], **button: Any,
) -> list[Any]:  # fmt: skip
    """A table, a choice among its rows with a button that acts on it, and a line of totals."""
    table = gr.Dataframe(
        headers=headers, datatype="str", interactive=False, label=label, elem_id=table_id
    )
    with gr.Row():
        chosen = gr.Dropdown([], label=choice, interactive=True, scale=3)
        acts = gr.Button(scale=1, **button)
        refresh = gr.Button("Refresh", scale=1, elem_id=refresh_id)
    outputs = [table, chosen, gr.Markdown(elem_classes="facts")]
    refresh.click(show, None, outputs, **ui.PRIVATE)
    acts.click(act, [chosen], outputs, **ui.PRIVATE)
    return outputs


def _build_disk(studio: Studio) -> None:
    """The models and data sets of the Hub on this disk, with their sizes, and a way to delete
    them."""
    settings = studio.settings

    def name(one: Stored) -> str:
        return f"{one.reference}@{one.commit[:12]}"

    def show() -> tuple[list[list[str]], dict[str, Any], str]:
        there = stored(settings)
        rows = [
            [o.reference, o.kind, o.commit[:12], mebibytes(o.size_bytes), _ago(o.last_used)]
            for o in there
        ]
        held = mebibytes(sum(one.size_bytes for one in there))
        text = f"{held} of {mebibytes(settings.disk_budget_bytes)}"
        return rows, gr.update(choices=[name(one) for one in there], value=None), text

    @ui.shows_errors
    def remove(chosen: str | None) -> tuple[list[list[str]], dict[str, Any], str]:
        one = {name(one): one for one in stored(settings)}.get(chosen or "")
        if one is None:
            raise InvalidValue("Choose one of the downloads, then Delete.")
        delete(one.reference, one.commit, settings, studio.residency.commits())
        return show()

    with gr.Accordion("Downloads on this disk", open=False, elem_id="models-disk"):
        _inventory(
            ["name", "kind", "commit", "size", "last used"], "Downloaded", "Download to delete",
            "disk-table", "disk-refresh", show, remove,
            value="Delete", variant="stop", elem_id="disk-delete",
        )  # fmt: skip


def _ago(moment: float) -> str:
    hours = (time.time() - moment) / 3600
    return f"{hours:.0f} hours ago" if hours < 48 else f"{hours / 24:.0f} days ago"


def models_panel(studio: Studio, tabs: Iterable[gr.Tab]) -> None:
    """The models in memory, their sizes, and a button to unload them.

    It is filled when it is opened, which costs the start of a page nothing, and while it is
    open again whenever another tab is opened.
    """

    def show() -> tuple[list[list[str]], dict[str, Any], str]:
        residents = studio.residency.residents()
        rows = [
            [r.key, mebibytes(r.size_bytes), f"{r.load_seconds:.2f} s", "yes" if r.users else "no"]
            for r in residents
        ]
        keys = [r.key for r in residents]
        held = mebibytes(sum(r.size_bytes for r in residents))
        text = f"{held} of {mebibytes(studio.residency.budget_bytes)} in use by models"
        return rows, gr.update(choices=keys, value=keys[0] if keys else None), text

    @ui.shows_errors
    def drop(chosen: str | None) -> tuple[list[list[str]], dict[str, Any], str]:
        if isinstance(chosen, str) and chosen and not studio.residency.unload(chosen):
            raise InvalidValue(f"{chosen} is in use or gone already. Wait until its run has ended.")
        return show()

    is_open = gr.State(False)
    with gr.Accordion("Models in memory", open=False, elem_id="models-panel") as panel:
        outputs = _inventory(
            ["model", "memory", "load time", "in use"], "Loaded models", "Model to unload",
            "loaded-models", "refresh-models", show, drop, value="Unload", elem_id="unload",
        )  # fmt: skip
    panel.expand(lambda: True, None, [is_open], **ui.FREE)
    panel.collapse(lambda: False, None, [is_open], **ui.FREE)
    panel.expand(show, None, outputs, **ui.PRIVATE)

    def show_again(is_open: bool) -> Any:
        return show() if is_open else [gr.skip()] * len(outputs)

    gr.on([tab.select for tab in tabs], show_again, [is_open], outputs, **ui.FREE)
