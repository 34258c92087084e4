"""The Compare tab: side by side, on a data set, by blind votes."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.model_comparison.evaluation import tab as evaluation_tab
from pipelines.model_comparison.sides import tab as sides_tab
from pipelines.model_comparison.votes import tab as votes_tab
from pipelines.studio import Studio


def build(studio: Studio, compute: dict[str, Any]) -> sides_tab.Opening:
    """Adds the tab's content to the current block: three ways to compare.

    Args:
        compute: queue options that all computing handlers share.

    Returns:
        What fills the fields in from a link's text.
    """
    with gr.Tabs():
        with gr.Tab("Side by side", id="sides", elem_id="tab-sides"):
            opening = sides_tab.build(studio, compute)
        with gr.Tab("On a data set", id="evaluate", elem_id="tab-evaluate"):
            evaluation_tab.build(studio, compute)
        with gr.Tab("Blind votes", id="votes", elem_id="tab-votes") as votes:
            votes_tab.build(studio, compute, votes.select)
    return opening
