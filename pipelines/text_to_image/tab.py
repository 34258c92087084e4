"""The Paint tab: widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from pipelines import ui
from pipelines.events import Progress, with_result
from pipelines.studio import Studio
from pipelines.text_to_image.files import save_png
from pipelines.text_to_image.pipeline import (
    SCHEDULERS,
    PaintRequest,
    PaintResult,
    Preview,
    generate,
)

EXAMPLES = [
    ["a red apple on a white background"],
    ["a cat face to the left of a rose on a yellow background"],
    ["a small rocket above a big moon on a black background"],
    ["a castle next to a tree on a cyan background"],
]
_DEFAULT = PaintRequest(model="", prompt="")


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the tab's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    limits = studio.settings.limits
    gr.Markdown(
        "Name one or two things, where they stand, and a background colour.", elem_classes="lead"
    )
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            prompt = ui.textbox(
                value=EXAMPLES[1][0], label="Prompt", lines=3, elem_id="paint-prompt"
            )
            with gr.Row():
                paint = gr.Button("Paint", variant="primary", elem_id="paint-run", scale=2)
                stop = gr.Button("Stop", variant="stop", elem_id="paint-stop", scale=1)
            model = ui.model_picker(studio.settings, "paint", elem_id="paint-model")
            count = ui.slider(
                1, limits.pictures, 4, step=1, label="Pictures", elem_id="paint-count"
            )
            with gr.Accordion("Settings", open=False):
                negative = ui.textbox(
                    value="", label="Negative prompt", lines=1, info="What to stay away from"
                )
                steps = ui.slider(
                    1, limits.steps, _DEFAULT.steps, step=1, label="Steps", info="More take longer"
                )
                guidance = ui.slider(
                    0, limits.guidance_scale, _DEFAULT.guidance_scale, step=0.5,
                    label="Guidance scale", info="1 or less: not guided",
                )  # fmt: skip
                scheduler = gr.Dropdown(
                    list(SCHEDULERS), value=_DEFAULT.scheduler, label="Scheduler"
                )
                seed = ui.seed_box()
                with gr.Row():
                    width = ui.number(
                        0, label="Width", info="Pixels; 0: the model's own", precision=0
                    )
                    height = ui.number(
                        0, label="Height", info="Pixels; 0: the model's own", precision=0
                    )
        with gr.Column(scale=3, min_width=300):
            gallery = gr.Gallery(
                label="Pictures", columns=2, object_fit="contain", format="png",
                elem_id="paint-gallery", interactive=False,
            )  # fmt: skip
            status = ui.status_line()
            notes = ui.notes_box()
            summary = gr.Markdown(elem_classes="facts", elem_id="paint-facts")
            receipt = ui.receipt_box(elem_id="paint-receipt")
    examples = gr.Examples(EXAMPLES, [prompt], label="Scenes", api_visibility="private")

    @ui.shows_errors
    def run(
        model: str,
        prompt: str,
        negative_prompt: str,
        steps: int,
        guidance_scale: float,
        scheduler: str,
        seed: int,
        count: int,
        width: int,
        height: int,
    ) -> Iterator[tuple[Any, ...]]:
        """Paints pictures of a prompt; previews are streamed, then come files and receipt.

        Args:
            model: a model of this page or a Hub reference.
            prompt: what to paint.
            negative_prompt: what to stay away from.
            steps: denoising steps.
            guidance_scale: how closely to follow the prompt; 1 or less for no guidance.
            scheduler: the name of a sampler.
            seed: of the first picture; -1 for a random one.
            count: how many pictures; each further one adds 1 to the seed.
            width: in pixels, a multiple of 8; 0 for the model's own.
            height: in pixels, a multiple of 8; 0 for the model's own.
        """
        request = PaintRequest(
            model,
            prompt,
            negative_prompt,
            steps,
            guidance_scale,
            scheduler,
            seed,
            count,
            width,
            height,
        )
        pace = ui.Pace()
        with closing(with_result(generate(studio, request))) as run:
            for item in run:
                if isinstance(item, Progress):
                    yield gr.skip(), ui.progress_bar(item), ui.notes_text([]), "", None
                elif isinstance(item, Preview):
                    if not pace.is_due():
                        continue
                    bar = Progress(
                        f"Step {item.step} of {item.steps}",
                        item.step / item.steps,
                        item.seconds_left,
                    )
                    shown = item.pictures or gr.skip()
                    yield shown, ui.progress_bar(bar), gr.skip(), gr.skip(), gr.skip()
                else:
                    files = save_png(item, studio.settings.data_dir)
                    yield (
                        files,
                        ui.done("Done"),
                        ui.notes_text(item.notes),
                        _facts(item),
                        item.receipt,
                    )

    inputs = [model, prompt, negative, steps, guidance, scheduler, seed, count, width, height]
    outputs = [gallery, status, notes, summary, receipt]
    shared = {"show_progress": "minimal", "show_progress_on": [status], **compute}
    runs = [
        gr.on([paint.click, prompt.submit], run, inputs, outputs, api_name="paint", **shared),
        examples.load_input_event.then(run, inputs, outputs, api_visibility="private", **shared),
    ]
    ui.wire_stop(stop, runs, [status])


def _facts(result: PaintResult) -> str:
    width, height = result.pictures[0].size
    return ui.facts(
        ("total", f"{result.seconds:.2f} s"),
        ("per picture", f"{result.seconds_per_picture:.2f} s"),
        ("size", f"{width} × {height}"),
        ("seed", _seeds(result)),
    )


def _seeds(result: PaintResult) -> str:
    last = result.seed + len(result.pictures) - 1
    return str(result.seed) if last == result.seed else f"{result.seed} to {last}"
