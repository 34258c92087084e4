"""The Compare tab: side by side, on a data set, by blind votes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.arena import link as votes_link
from pipelines.arena import tab as votes_tab
from pipelines.evaluation import link as evaluation_link
from pipelines.evaluation import tab as evaluation_tab
from pipelines.model_comparison import link
from pipelines.model_comparison import tab as sides_tab
from pipelines.runtime.studio import Studio
from pipelines.sharing.cards import COMPARISON, EVALUATION, VOTES
from pipelines.sharing.opening import PANELS


@dataclass(frozen=True)
class Opening:
    """What a link opens: ``fill`` takes the text of ``parameter`` in the page's address.

    It fills ``fields`` in, in the panel with the id ``panel`` of ``panels``.
    """

    parameter: str
    panels: gr.Tabs
    panel: str
    fill: Callable[..., Any]
    fields: list[Any]


def build(studio: Studio, compute: dict[str, Any]) -> list[Opening]:
    """Adds the tab's content to the current block: three ways to compare.

    Args:
        compute: queue options that all computing handlers share.

    Returns:
        What links open.
    """
    with gr.Tabs() as panels:
        with gr.Tab(PANELS[COMPARISON], id="sides", elem_id="tab-sides"):
            sides = sides_tab.build(studio, compute)
        with gr.Tab(PANELS[EVALUATION], id="evaluate", elem_id="tab-evaluate"):
            evaluation = evaluation_tab.build(studio, compute)
        with gr.Tab(PANELS[VOTES], id="votes", elem_id="tab-votes") as votes:
            duels = votes_tab.build(studio, compute, votes.select)
    return [
        Opening(link.PARAMETER, panels, "sides", *sides),
        Opening(evaluation_link.PARAMETER, panels, "evaluate", *evaluation),
        Opening(votes_link.PARAMETER, panels, "votes", *duels),
    ]
