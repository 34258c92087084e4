"""What the Write tab shows of a run: for a model that fills gaps, what could stand in each."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from pipelines.settings import Settings
from pipelines.studio import Studio
from pipelines.text_generation import tab
from pipelines.text_generation.gaps import CANDIDATES
from tests import tiny_models
from tests.text_generation import tiny_families

GAPS = "the [MASK] went to the [MASK]"
SETTINGS = 4, 0.8, 0.95, 50, 0
OUTPUTS = ("story", "status", "notes", "candidates", "summary", "receipt")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("writers")
    tiny_models.make_writer(folder / "goes-on")
    tiny_families.make_bert(folder / "fills")
    data_dir = tmp_path_factory.mktemp("data")
    return Studio(Settings(models_dir=folder, data_dir=data_dir, hub_enabled=False))


def updates(studio: Studio, model: str, prompt: str) -> list[dict[str, Any]]:
    run = tab._handler(studio)(model, prompt, *SETTINGS)
    return [dict(zip(OUTPUTS, update, strict=True)) for update in run]


def test_each_gaps_candidates_are_shown_with_their_probabilities(studio: Studio) -> None:
    last = updates(studio, "fills", GAPS)[-1]
    table = last["candidates"]
    assert table["visible"]
    assert [row[0] for row in table["value"]] == ["1"] * CANDIDATES + ["2"] * CANDIDATES
    best = [row[1] for row in table["value"][::CANDIDATES]]
    assert last["story"] == f"the {best[0]} went to the {best[1]}"
    for gap in range(2):
        shown = [row[2] for row in table["value"][gap * CANDIDATES : (gap + 1) * CANDIDATES]]
        numbers = [float(text.removesuffix(" %")) for text in shown]
        assert numbers == sorted(numbers, reverse=True)
        assert 0 < sum(numbers) <= 100


def test_a_model_that_goes_on_has_no_candidates_and_hides_those_of_the_last(
    studio: Studio,
) -> None:
    last = updates(studio, "goes-on", "Once")[-1]
    assert last["candidates"] == gr.update(value=[], visible=False)


def test_the_table_is_labelled_hidden_at_first_and_shows_words_as_text(studio: Studio) -> None:
    with gr.Blocks(analytics_enabled=False) as page:
        tab.build(studio, {})
    (table,) = [b for b in page.blocks.values() if b.elem_id == "write-candidates"]
    assert isinstance(table, gr.Dataframe)
    assert (table.label, table.visible) == ("Candidates for each gap", False)
    assert table.headers == ["gap", "candidate", "probability"]
    assert set(table.datatype) in ({"str"}, set("str"))  # neither Markdown nor HTML
