"""The Describe tab: widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines import ui
from pipelines.errors import InvalidValue
from pipelines.events import Progress, with_result
from pipelines.image_captioning.pipeline import METHODS, CaptionRequest, CaptionResult, generate
from pipelines.images import open_picture
from pipelines.settings import ROOT
from pipelines.studio import Studio

_DEFAULT = CaptionRequest(model="")


def example_pictures() -> list[list[str]]:
    """The pictures that ship with the page, as rows for ``gr.Examples``."""
    return [[str(path)] for path in sorted((ROOT / "assets" / "examples").glob("*.png"))]


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the tab's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    limits = studio.settings.limits
    gr.Markdown("Give a picture, and read what the model sees in it.", elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            picture = ui.picture(
                label="Picture", type="filepath", sources=["upload", "clipboard", "webcam"],
                height=320, elem_id="describe-picture", image_mode=None,
            )  # fmt: skip
            with gr.Row():
                describe = gr.Button("Describe", variant="primary", elem_id="describe-run", scale=2)
                stop = gr.Button("Stop", variant="stop", elem_id="describe-stop", scale=1)
            model = ui.model_picker(studio.settings, "describe", elem_id="describe-model")
            with gr.Accordion("Settings", open=False):
                method = gr.Radio(list(METHODS), value=_DEFAULT.method, label="Method",
                                  info="Beams find the likeliest, samples vary")  # fmt: skip
                count = ui.slider(1, limits.captions, _DEFAULT.count, step=1, label="Captions")
                temperature = ui.slider(0, 2, _DEFAULT.temperature, step=0.05, label="Temperature",
                                        info="For sampling only")  # fmt: skip
                tokens = ui.slider(
                    1, limits.caption_tokens, _DEFAULT.max_new_tokens, step=1, label="New tokens"
                )
                seed = ui.seed_box()
        with gr.Column(scale=3, min_width=300):
            best = gr.Textbox(
                label="Caption", lines=2, interactive=False, buttons=["copy"], elem_id="caption"
            )
            status = ui.status_line()
            notes = ui.notes_box()
            table = gr.Dataframe(
                headers=["caption", "probability", "per token"], datatype="str", interactive=False,
                label="All captions", wrap=True, column_widths=["62%", "19%", "19%"],
                elem_id="captions",
            )  # fmt: skip
            summary = gr.Markdown(elem_classes="facts", elem_id="describe-facts")
            receipt = ui.receipt_box(elem_id="describe-receipt")
    examples = gr.Examples(
        example_pictures(), [picture], label="Pictures", api_visibility="private"
    )

    @ui.shows_errors
    def run(
        model: str,
        picture: str,
        method: str,
        count: int,
        temperature: float,
        max_new_tokens: int,
        seed: int,
    ) -> Iterator[tuple[Any, ...]]:
        """Describes a picture; gives the best caption, all with their scores, and the receipt.

        Args:
            model: a model of this page or a Hub reference.
            picture: an image file.
            method: "beams" or "sampling".
            count: how many captions; equal ones are shown once.
            temperature: for sampling, from 0 to 5.
            max_new_tokens: a caption's length at most.
            seed: for sampling; -1 for a random one.
        """
        if not picture:
            raise InvalidValue(
                "There is no picture yet. Upload, paste or take one, or choose an example."
            )
        opened = open_picture(Path(picture), limits)
        request = CaptionRequest(model, opened, method, count, temperature, max_new_tokens, seed)
        with closing(with_result(generate(studio, request))) as run:
            for item in run:
                if isinstance(item, Progress):
                    bar = ui.progress_bar(item)
                    yield gr.skip(), bar, ui.notes_text([]), gr.skip(), "", None
                else:
                    yield (
                        item.captions[0].text,
                        ui.done("Done"),
                        ui.notes_text(item.notes),
                        rows(item),
                        _facts(item),
                        item.receipt,
                    )

    inputs = [model, picture, method, count, temperature, tokens, seed]
    outputs = [best, status, notes, table, summary, receipt]
    shared = {"show_progress": "minimal", "show_progress_on": [status], **compute}
    runs = [
        describe.click(run, inputs, outputs, api_name="describe", **shared),
        examples.load_input_event.then(run, inputs, outputs, api_visibility="private", **shared),
    ]
    ui.wire_stop(stop, runs, [status])


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
