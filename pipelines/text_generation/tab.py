"""The Write tab: widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from pipelines import ui
from pipelines.events import Progress, with_result
from pipelines.studio import Studio
from pipelines.text_generation.pipeline import TextDelta, TextRequest, TextResult, generate

EXAMPLES = [
    ["Once upon a time there was a poor fisherman who"],
    ["The princess opened the little golden door, and"],
    ["“Who are you?” said the wolf. “I am"],
]
_DEFAULT = TextRequest(model="", prompt="")


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the tab's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    limits = studio.settings.limits
    gr.Markdown("Begin a tale, and the model goes on with it.", elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            prompt = ui.textbox(
                value=EXAMPLES[0][0],
                label="Prompt",
                lines=4,
                elem_id="write-prompt",
                autofocus=True,
            )
            with gr.Row():
                write = gr.Button("Write", variant="primary", elem_id="write-run", scale=2)
                stop = gr.Button("Stop", variant="stop", elem_id="write-stop", scale=1)
            model = ui.model_picker(studio.settings, "write", elem_id="write-model")
            with gr.Accordion("Settings", open=False):
                tokens = ui.slider(
                    1, limits.new_tokens, _DEFAULT.max_new_tokens, step=1, label="New tokens",
                    info="At most so many; a word is one or two",
                )  # fmt: skip
                temperature = ui.slider(
                    0,
                    2,
                    _DEFAULT.temperature,
                    step=0.05,
                    label="Temperature",
                    info="0: always the likeliest",
                )
                top_p = ui.slider(
                    0,
                    1,
                    _DEFAULT.top_p,
                    step=0.01,
                    label="Top-p",
                    info="Keep the likeliest of this total",
                )
                top_k = ui.slider(
                    0,
                    200,
                    _DEFAULT.top_k,
                    step=1,
                    label="Top-k",
                    info="Keep so many tokens; 0: all",
                )
                seed = ui.seed_box()
        with gr.Column(scale=3, min_width=300):
            story = gr.Textbox(
                label="Text",
                lines=13,
                max_lines=26,
                interactive=False,
                buttons=["copy"],
                elem_id="story",
                placeholder="The tale appears here, word by word.",
            )
            status = ui.status_line()
            with gr.Row():
                more = gr.Button("Continue", elem_id="write-continue")
                again = gr.Button("Regenerate", elem_id="write-again")
            summary = gr.Markdown(elem_classes="facts", elem_id="write-facts")
            receipt = ui.receipt_box(elem_id="write-receipt")
    examples = gr.Examples(EXAMPLES, [prompt], label="Beginnings", api_visibility="private")

    @ui.shows_errors
    def run(
        model: str,
        prompt: str,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        top_k: int,
        seed: int,
    ) -> Iterator[tuple[Any, ...]]:
        """Continues a prompt; the text so far is streamed, then comes the receipt.

        Args:
            model: a model of this page or a Hub reference.
            prompt: the beginning of the text.
            max_new_tokens: how many tokens to add at most.
            temperature: from 0 (always the likeliest token) to 5.
            top_p: keep the likeliest tokens that make up this probability.
            top_k: keep this many tokens; 0 for all.
            seed: -1 for a random one.
        """
        request = TextRequest(model, prompt, max_new_tokens, temperature, top_p, top_k, seed)
        pace = ui.Pace()
        with closing(with_result(generate(studio, request))) as run:
            for item in run:
                if isinstance(item, Progress):
                    yield gr.skip(), ui.progress_bar(item), "", None
                elif isinstance(item, TextDelta):
                    if not pace.is_due():
                        continue
                    part = item.new_tokens / max_new_tokens
                    bar = Progress(f"Writing · {item.new_tokens} tokens", part)
                    yield prompt + item.text, ui.progress_bar(bar), gr.skip(), gr.skip()
                else:
                    yield prompt + item.text, ui.done(_ending(item)), _facts(item), item.receipt

    @ui.shows_errors
    def go_on(model: str, text: str, *settings: Any) -> Iterator[tuple[Any, ...]]:
        yield from run(model, text, *settings)

    @ui.shows_errors
    def rewrite(model: str, prompt: str, *settings: Any) -> Iterator[tuple[Any, ...]]:
        yield from run(model, prompt, *settings[:-1], -1)

    settings = [tokens, temperature, top_p, top_k, seed]
    prompted = [model, prompt, *settings]
    outputs = [story, status, summary, receipt]
    shared = {"show_progress": "minimal", "show_progress_on": [status], **compute}
    runs = [
        gr.on([write.click, prompt.submit], run, prompted, outputs, api_name="write", **shared),
        more.click(go_on, [model, story, *settings], outputs, api_visibility="private", **shared),
        again.click(rewrite, prompted, outputs, api_visibility="private", **shared),
        examples.load_input_event.then(run, prompted, outputs, api_visibility="private", **shared),
    ]
    ui.wire_stop(stop, runs, [status])


def _ending(result: TextResult) -> str:
    reasons = {
        "length": "it has written as many tokens as were asked for",
        "end of text": "the model ended its text",
        "context full": "the model's context is full",
    }
    return f"Done: {reasons[result.finish_reason]}"


def _facts(result: TextResult) -> str:
    return ui.facts(
        ("tokens", f"{result.prompt_tokens} + {result.new_tokens}"),
        ("left in context", f"{result.tokens_left:,} of {result.context_tokens:,}"),
        ("speed", f"{result.tokens_per_second:.0f} tokens/s"),
        ("first token", f"{result.first_token_seconds * 1000:.0f} ms"),
        ("seed", str(result.seed)),
    )
