"""The Paint tab: widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from pipelines import small_world
from pipelines.events import Progress, with_result
from pipelines.hub.families import family_of
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits, Settings
from pipelines.text_to_image import drop_form, palette_form
from pipelines.text_to_image.families import FAMILIES, SMALL_WORLD
from pipelines.text_to_image.files import save_png
from pipelines.text_to_image.own_settings import on_disk, own_family, with_loras
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, Preview, SoFar, generate
from pipelines.text_to_image.schedulers import OWN_SCHEDULER, SCHEDULERS
from pipelines.validation import OWN

EXAMPLES = [
    ["a fox face to the left of a mushroom on a green background"],
    ["a rainbow above a tree on a white background"],
    ["a small rocket above a big moon on a black background"],
    ["a panda on a cyan background"],
]
_SMALL_WORLD = small_world.STEPS, small_world.GUIDANCE_SCALE, small_world.SCHEDULER
_OWN = OWN, OWN, OWN_SCHEDULER
_HIDDEN: dict[str, Any] = gr.update(value="", visible=False)
_DEFAULT = PaintRequest("", "", "", *_SMALL_WORLD, count=4)
"""What the tab begins with."""
_UNFINISHED = "not finished"
Updates = Iterator[tuple[Any, ...]]


class _Given(NamedTuple):
    """What a run reads, in the order of the handler's parameters."""

    model: gr.Dropdown
    prompt: gr.Textbox
    negative_prompt: gr.Textbox
    steps: gr.Slider
    guidance_scale: gr.Slider
    scheduler: gr.Dropdown
    seed: gr.Number
    pictures: gr.Slider
    width: gr.Number
    height: gr.Number


class _Shown(NamedTuple):
    """What a run writes, in the order of the endpoint's outputs."""

    gallery: gr.Gallery
    status: gr.HTML
    notes: gr.Textbox
    summary: gr.Markdown
    receipt: gr.JSON


@dataclass(frozen=True)
class _Buttons:
    """With the line under them, where it is seen on any screen, and the one on a model's own
    settings."""

    paint: gr.Button
    stop: gr.Button
    status: gr.HTML
    own: gr.Markdown


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the tab's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    gr.Markdown(
        "Name one or two things, where they stand, and a background colour.", elem_classes="lead"
    )
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            given, buttons, hint = _build_given(studio)
            palette = palette_form.build(
                hint, palette_form.world_of(studio.settings, given.model.value)
            )
            drop = drop_form.build()
        with gr.Column(scale=3, min_width=300):
            shown = _build_shown(buttons.status)
    examples = gr.Examples(EXAMPLES, [given.prompt], label="Scenes", api_visibility="private")
    wires: list[Any] = [_handler(studio), [*given], [*shown]]
    shared = ui.run_options(compute, shown.status)
    started = [buttons.paint.click, given.prompt.submit]
    runs = [
        gr.on(started, *wires, **ui.endpoint("paint", wires[0]), **shared),
        examples.load_input_event.then(*wires, api_visibility="private", **shared),
    ]
    ui.wire_stop(buttons.stop, runs, [shown.status])
    fields = {n: w for n, w in given._asdict().items() if n not in ("model", "pictures")}
    drop_form.wire(studio.settings, drop, given.model, fields)
    palette_form.wire(studio.settings, palette, given.model, given.prompt)
    settings = [given.steps, given.guidance_scale, given.scheduler, buttons.own]

    @ui.shows_errors
    def own_settings(model: object) -> tuple[int, float, str, Any]:
        return _own_settings(studio.settings, model)

    given.model.change(own_settings, [given.model], settings, **ui.PRIVATE)


def _own_settings(settings: Settings, model: object) -> tuple[int, float, str, Any]:
    """What a chosen model begins with, and a line on where its own steps and guidance are from.

    Painters of the small world show their numbers; of others the sliders stay at the model's own,
    and one that is not on this disk says its own when it is loaded.
    """
    chosen = on_disk(settings, model)
    kind = None if chosen.folder is None else family_of(chosen.folder)
    if chosen.folder is None or kind is None or kind not in FAMILIES:
        return *_OWN, _HIDDEN
    own = own_family(chosen.folder, kind, chosen.base)
    if own == SMALL_WORLD:
        return *_SMALL_WORLD, _HIDDEN
    own = with_loras(own, kind, chosen.loras)
    return *_OWN, gr.update(value=f"Its own settings: {own.own_values}.", visible=True)


def _build_given(studio: Studio) -> tuple[_Given, _Buttons, gr.Markdown]:
    limits = studio.settings.limits
    prompt = ui.textbox(value=EXAMPLES[0][0], label="Prompt", lines=3, elem_id="paint-prompt")
    hint = palette_form.build_hint()
    paint, stop = ui.run_buttons("Paint", "paint")
    status = ui.status_line()
    model = ui.model_picker(studio.settings, "paint", elem_id="paint-model")
    own = gr.Markdown(visible=False, elem_classes="facts", elem_id="paint-own")
    count = ui.setting(_DEFAULT, "count", limits, step=1, label="Pictures", elem_id="paint-count")
    with gr.Accordion("Settings", open=False):
        settings = _build_settings(limits)
        with gr.Row():
            width = ui.number(0, label="Width", info="Pixels; 0: the model's own", precision=0)
            height = ui.number(0, label="Height", info="Pixels; 0: the model's own", precision=0)
    given = _Given(model, prompt, *settings, count, width, height)
    return given, _Buttons(paint, stop, status, own), hint


def _build_settings(limits: Limits) -> tuple[Any, Any, Any, Any, Any]:
    """From ``negative_prompt`` to ``seed``."""
    return (
        ui.textbox(value="", label="Negative prompt", lines=1, info="What to stay away from"),
        ui.setting(
            _DEFAULT, "steps", limits, step=1, label="Steps",
            info="More take longer; -1: the model's own",
        ),
        ui.setting(
            _DEFAULT, "guidance_scale", limits, step=0.5, label="Guidance scale",
            info="1 or less: not guided; -1: the model's own",
        ),
        gr.Dropdown(
            list(SCHEDULERS), value=_DEFAULT.scheduler, label="Scheduler", interactive=True
        ),
        ui.seed_box(),
    )  # fmt: skip


def _build_shown(status: gr.HTML) -> _Shown:
    return _Shown(
        gr.Gallery(
            label="Pictures", columns=2, object_fit="contain", elem_id="paint-gallery",
            **{**ui.PICTURES, "buttons": ["download", "download_all", "fullscreen"]},
        ),
        status,
        ui.notes_box(),
        gr.Markdown(label="Facts", elem_classes="facts", elem_id="paint-facts"),
        ui.receipt_box(elem_id="paint-receipt"),
    )  # fmt: skip


def _handler(studio: Studio) -> Callable[..., Updates]:
    @ui.shows_errors
    def run(
        model: str, prompt: str, negative_prompt: str, steps: int, guidance_scale: float,
        scheduler: str, seed: int, count: int, width: int, height: int,
    ) -> Updates:  # fmt: skip
        """Paints pictures of a prompt; previews are streamed, then come files and receipt.

        Args:
            model: a model of this page or a Hub reference.
            prompt: what to paint.
            negative_prompt: what to stay away from.
            steps: denoising steps; -1 for the model's own.
            guidance_scale: how closely to follow the prompt; 1 or less for no guidance, -1 for
                the model's own.
            scheduler: the name of a sampler.
            seed: of the first picture; -1 for a random one.
            count: how many pictures; each further one adds 1 to the seed.
            width: in pixels, a multiple of 8; 0 for the model's own.
            height: in pixels, a multiple of 8; 0 for the model's own.
        """
        request = PaintRequest(
            model, prompt, negative_prompt, steps, guidance_scale, scheduler, seed, count, width,
            height,
        )  # fmt: skip
        with closing(with_result(generate(studio, request))) as events:
            yield from _updates(events, studio.settings.temporary_dir)

    return run


def _updates(events: Iterator[Any], temporary_dir: Path) -> Updates:
    """What each event changes on the page, in the order of ``_Shown``."""
    pace = ui.Pace()
    finished: list[Any] = []
    for number, item in enumerate(events):
        if number == 0:  # the request is valid: the notes on the last pictures go
            yield gr.skip(), gr.skip(), ui.notes_text([]), "", None
        if isinstance(item, Progress):
            yield gr.skip(), ui.progress_bar(item), gr.skip(), gr.skip(), gr.skip()
        elif isinstance(item, Preview):
            if not pace.is_due():
                continue
            shown = [*finished, *((picture, _UNFINISHED) for picture in item.pictures)]
            bar = ui.progress_bar(item.progress)
            yield shown or gr.skip(), bar, gr.skip(), gr.skip(), gr.skip()
        else:
            result = item.result if isinstance(item, SoFar) else item
            if len(result.pictures) <= len(finished):  # painted once more, in float32
                finished = []
            finished = [*finished, *_captioned(result, temporary_dir, len(finished))]
            line = ui.done("Done") if item is result else ui.progress_bar(item.progress)
            notes = ui.notes_text(result.notes)
            yield finished, line, notes, _facts(result), result.receipt


def _captioned(result: PaintResult, temporary_dir: Path, done: int) -> list[tuple[str, str]]:
    """The files of a result's pictures behind the first ``done``, each with what made it."""
    asked = result.receipt["request"]
    paths = save_png(result, temporary_dir, done)
    return [
        (path, f"seed {seed} · {asked['model']} · {asked['prompt']}")
        for seed, path in enumerate(paths, start=result.seed + done)
    ]


def _facts(result: PaintResult) -> str:
    width, height = result.pictures[0].size
    facts = ui.facts(
        ("total", f"{result.seconds:.2f} s"),
        ("per picture", f"{result.seconds_per_picture:.2f} s"),
        ("size", f"{width} × {height}"),
        ("seed", _seeds(result)),
    )
    return f"{facts} · **its own settings** {result.own_values}" if result.own_values else facts


def _seeds(result: PaintResult) -> str:
    last = result.seed + len(result.pictures) - 1
    return str(result.seed) if last == result.seed else f"{result.seed} to {last}"
