"""What both panels of the Write tab share: the settings of a run, and the facts on a text."""

from __future__ import annotations

from typing import NamedTuple

import gradio as gr

from pipelines.page import ui
from pipelines.settings import Limits
from pipelines.text_generation.pipeline import Counts, TextRequest, TextResult

_DEFAULT = TextRequest(model="", prompt="")


class Settings(NamedTuple):
    """What a run reads beside model and prompt, in the order of the handler's parameters."""

    max_new_tokens: gr.Slider
    temperature: gr.Slider
    top_p: gr.Slider
    top_k: gr.Slider
    seed: gr.Number


def build_settings(limits: Limits) -> Settings:
    return Settings(
        ui.setting(
            _DEFAULT, "max_new_tokens", limits, step=1, label="New tokens",
            info="At most so many; a word is one or two",
        ),
        ui.setting(
            _DEFAULT, "temperature", limits, maximum=2, step=0.05, label="Temperature",
            info="0: always the likeliest",
        ),
        ui.setting(
            _DEFAULT, "top_p", limits, step=0.01, label="Top-p",
            info="Keep the likeliest of this total",
        ),
        ui.setting(
            _DEFAULT, "top_k", limits, maximum=200, step=1, label="Top-k",
            info="Keep so many tokens; 0: all",
        ),
        ui.seed_box(info="-1: a new one each time, as Regenerate takes"),
    )  # fmt: skip


def ending(result: TextResult) -> str:
    reasons = {
        "length": "it has written as many tokens as were asked for",
        "end of text": "the model ended its text",
        "context full": "the model's context is full",
        "gaps filled": "every gap is filled",
    }
    return f"Done: {reasons[result.finish_reason]}"


def spent(counts: Counts) -> list[tuple[str, str]]:
    """What a text has taken so far, and what is left; it stays when the text is stopped."""
    return [
        ("tokens", f"{counts.prompt_tokens} + {counts.new_tokens}"),
        ("left in context", f"{counts.tokens_left:,} of {counts.context_tokens:,}"),
        ("speed", f"{counts.tokens_per_second:.0f} tokens/s"),
    ]


def facts_of(result: TextResult) -> str:
    return ui.facts(
        *spent(result),
        ("first token", f"{result.first_token_seconds * 1000:.0f} ms"),
        ("seed", str(result.seed)),
    )
