"""The Describe tab: widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from pipelines.errors import InvalidValue
from pipelines.events import Progress, with_result
from pipelines.files.images import open_picture
from pipelines.image_captioning.pipeline import METHODS, CaptionRequest, CaptionResult, generate
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Limits
from pipelines.validation import OWN

_DEFAULT = CaptionRequest(model="")
_CAPTIONS, _GUESSES = "Captions", "What it guesses"
"""What the captions are folded under; guesses at a foreign picture are folded away."""
Updates = Iterator[tuple[Any, ...]]


class _Given(NamedTuple):
    """What a run reads, in the order of the handler's parameters."""

    model: gr.Dropdown
    picture: gr.Image
    method: gr.Radio
    captions: gr.Slider
    temperature: gr.Slider
    max_new_tokens: gr.Slider
    seed: gr.Number
    prompt: gr.Textbox
    no_repeat_ngram_size: gr.Slider
    repetition_penalty: gr.Number


class _Shown(NamedTuple):
    """What a run writes, in the order of the endpoint's outputs, and the fold of the captions."""

    best: gr.Textbox
    status: gr.HTML
    notes: gr.Textbox
    table: gr.Dataframe
    summary: gr.Markdown
    receipt: gr.JSON
    fold: gr.Accordion


@dataclass(frozen=True)
class _Buttons:
    """With the line under them, where it is seen on any screen."""

    describe: gr.Button
    stop: gr.Button
    status: gr.HTML


def example_pictures() -> list[list[str]]:
    """The pictures that ship with the page, as rows for ``gr.Examples``."""
    return [[str(path)] for path in sorted((ROOT / "assets" / "examples").glob("*.png"))]


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the tab's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    gr.Markdown("Give a picture, and read what the model sees in it.", elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            given, buttons = _build_given(studio)
        with gr.Column(scale=3, min_width=300):
            shown = _build_shown(buttons.status)
    examples = gr.Examples(
        example_pictures(), [given.picture], label="Pictures", api_visibility="private"
    )
    run, inputs, outputs = _handler(studio), [*given], [*shown]
    shared = ui.run_options(compute, shown.status)
    runs = [
        buttons.describe.click(run, inputs, outputs, **ui.endpoint("describe", run), **shared),
        examples.load_input_event.then(run, inputs, outputs, api_visibility="private", **shared),
    ]
    ui.wire_stop(buttons.stop, runs, [shown.status])


def _build_given(studio: Studio) -> tuple[_Given, _Buttons]:
    picture = ui.picture(height=320, elem_id="describe-picture")
    describe, stop = ui.run_buttons("Describe", "describe")
    status = ui.status_line()
    model = ui.model_picker(studio.settings, "describe", elem_id="describe-model")
    with gr.Accordion("Settings", open=False):
        settings = _build_settings(studio.settings.limits)
    return _Given(model, picture, *settings), _Buttons(describe, stop, status)


def _build_settings(limits: Limits) -> tuple[Any, ...]:
    """From ``method`` on; the prompt is drawn first, for it is asked for most."""
    prompt = ui.textbox(
        value="", label="Question or instruction", lines=2, elem_id="describe-prompt",
        info="For models that take one; empty: a caption",
    )  # fmt: skip
    return (
        gr.Radio(
            list(METHODS), value=_DEFAULT.method, label="Method",
            info="Beams find the likeliest, samples vary",
        ),
        ui.setting(_DEFAULT, "count", limits, step=1, label="Captions"),
        ui.setting(
            _DEFAULT, "temperature", limits, maximum=2, step=0.05, label="Temperature",
            info="For sampling only",
        ),
        ui.setting(_DEFAULT, "max_new_tokens", limits, step=1, label="New tokens"),
        ui.seed_box(),
        prompt,
        ui.setting(
            _DEFAULT, "no_repeat_ngram_size", limits, value=OWN, step=1,
            label="No-repeat n-gram size",
            info="No so many tokens in a row twice; 0: off, -1: the model's own",
        ),
        ui.number(
            value=OWN, label="Repetition penalty",
            info="Above 1 a token that came is less likely; 1: off, -1: the model's own",
            elem_classes="field-repetition_penalty",
        ),
    )  # fmt: skip


def _build_shown(status: gr.HTML) -> _Shown:
    notes = ui.notes_box()
    with gr.Accordion(_CAPTIONS, open=True, elem_id="describe-captions") as fold:
        best = gr.Textbox(
            label="Caption", lines=2, interactive=False, buttons=["copy"], elem_id="caption"
        )
        table = gr.Dataframe(
            headers=["caption", "probability", "per token"], datatype="str", interactive=False,
            label="All captions", wrap=True, column_widths=["56%", "24%", "20%"],
            elem_id="captions",
        )  # fmt: skip
    return _Shown(
        best,
        status,
        notes,
        table,
        gr.Markdown(label="Facts", elem_classes="facts", elem_id="describe-facts"),
        ui.receipt_box(elem_id="describe-receipt"),
        fold,
    )


def _handler(studio: Studio) -> Callable[..., Updates]:
    @ui.shows_errors
    def run(
        model: str, picture: str, method: str, count: int, temperature: float,
        max_new_tokens: int, seed: int, prompt: str = "", no_repeat_ngram_size: int = OWN,
        repetition_penalty: float = OWN,
    ) -> Updates:  # fmt: skip
        """Describes a picture; gives the best caption, all with their scores, and the receipt.

        Args:
            model: a model of this page or a Hub reference.
            picture: an image file.
            method: "beams" or "sampling".
            count: how many captions; equal ones are shown once.
            temperature: for sampling, from 0 to 5.
            max_new_tokens: a caption's length at most.
            seed: for sampling; -1 for a random one.
            prompt: a question or instruction, for models that take one; else empty.
            no_repeat_ngram_size: no so many tokens in a row come twice; 0 for off, -1 for the
                model's own.
            repetition_penalty: from 0.1 to 10; above 1 a token that came is less likely, 1 for
                off, -1 for the model's own.
        """
        if not picture:
            raise InvalidValue(
                "There is no picture yet. Upload, paste or take one, or choose an example."
            )
        yield _update(Progress("Opening the picture"))
        request = CaptionRequest(
            model, open_picture(Path(picture), studio.settings.limits), method, count,
            temperature, max_new_tokens, seed, prompt, no_repeat_ngram_size, repetition_penalty,
        )  # fmt: skip
        with closing(with_result(generate(studio, request))) as events:
            yield from map(_update, events)

    return run


def _update(item: Progress | CaptionResult) -> tuple[Any, ...]:
    """What an event or the result changes on the page, in the order of ``_Shown``."""
    if isinstance(item, Progress):
        return gr.skip(), ui.progress_bar(item), ui.notes_text([]), gr.skip(), "", None, gr.skip()
    return (
        item.captions[0].text,
        ui.done("Done"),
        ui.notes_text(item.notes),
        rows(item),
        _facts(item),
        item.receipt,
        gr.Accordion(_GUESSES if item.is_foreign else _CAPTIONS, open=not item.is_foreign),
    )


def rows(result: CaptionResult) -> list[list[str]]:
    """The captions as rows of the table: text, probability, mean probability of a token."""
    from math import exp

    return [
        [c.text, f"{100 * c.probability:.1f} %", f"{100 * exp(c.mean_log_probability):.1f} %"]
        for c in result.captions
    ]


def _facts(result: CaptionResult) -> str:
    return ui.facts(
        ("total", f"{result.seconds:.2f} s"),
        ("first token", f"{result.first_token_seconds * 1000:.0f} ms"),
        ("seed", str(result.seed)),
    )
