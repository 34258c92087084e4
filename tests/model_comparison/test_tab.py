"""Compare tells what opens by which link, and in which of its panels."""

from __future__ import annotations

import gradio as gr
import pytest

from pipelines.model_comparison import panels as tab
from pipelines.runtime.studio import Studio


def test_each_panel_is_opened_by_a_link_of_its_own(studio: Studio) -> None:
    with gr.Blocks():
        openings = tab.build(studio, {})
    assert [opening.parameter for opening in openings] == ["compare", "evaluate", "vote"]
    for opening in openings:
        (panel,) = (each for each in opening.panels.children if each.id == opening.panel)  # type: ignore[attr-defined]
        assert all(panel in parents_of(field) for field in opening.fields)
        with pytest.raises(gr.Error, match="The link"):
            opening.fill("<b>")


def parents_of(block: gr.blocks.Block) -> list[gr.blocks.Block]:
    found = []
    while block.parent is not None:
        block = block.parent
        found.append(block)
    return found
