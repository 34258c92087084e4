"""What the Write tab shows of a run: for a model that fills gaps, what could stand in each."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.replay import replay
from pipelines.text_generation import pipeline, tab
from pipelines.text_generation.gaps import CANDIDATES
from pipelines.text_generation.pipeline import TextRequest
from tests import tiny_models
from tests.text_generation import tiny_families

GAPS = "the [MASK] went to the [MASK]"
SETTINGS = 4, 0.8, 0.95, 50, 0
OUTPUTS = ("story", "status", "notes", "candidates", "summary", "receipt")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("writers")
    tiny_models.make_writer(folder / "goes-on")
    tiny_models.make_writer(folder / "chats")
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (folder / "chats" / "chat_template.jinja").write_text(template, encoding="utf-8")
    tiny_families.make_t5(folder / "answers")
    tiny_families.make_bert(folder / "fills")
    data_dir = tmp_path_factory.mktemp("data")
    return Studio(Settings(models_dir=folder, data_dir=data_dir, hub_enabled=False))


def updates(studio: Studio, model: str, prompt: str) -> list[dict[str, Any]]:
    run = tab._handler(studio)(model, prompt, *SETTINGS)
    return [dict(zip(OUTPUTS, update, strict=True)) for update in run]


def test_a_text_that_is_stopped_keeps_a_receipt_and_a_seed_that_write_it_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was none, for receipts came with the end alone."""
    monkeypatch.setattr(ui.Pace, "is_due", lambda self: True)
    run = tab._handler(studio)("goes-on", "Once", 12, 0.8, 0.95, 50, -1)
    written = (update for update in run if "task" in (update[-1] or {}))
    for _ in range(5):
        story, _, _, _, facts, receipt = next(written)
    run.close()  # type: ignore[attr-defined]
    assert receipt["request"]["max_new_tokens"] == 5
    assert f"**seed** {receipt['request']['seed']}" in facts
    *_, again = with_result(replay(studio, receipt))
    assert again.is_equal, again.lines
    assert generate_again(studio, receipt) == story


def generate_again(studio: Studio, receipt: dict[str, Any]) -> str:
    *_, result = with_result(pipeline.generate(studio, TextRequest(**receipt["request"])))
    text: str = result.whole(result.prompt)
    return text


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


def test_what_was_told_of_the_last_text_goes_when_the_next_begins(studio: Studio) -> None:
    """A stopped text stood beside the receipt of the one before."""
    updates(studio, "goes-on", "Once")
    first, *_ = updates(studio, "goes-on", "Twice")
    assert not first["notes"]["visible"] and not first["candidates"]["visible"]
    assert (first["summary"], first["receipt"]) == ("", None)
    assert first["story"] == gr.skip(), "the text stays until there is another"


def test_an_answer_stands_alone_and_a_continuation_behind_its_prompt(studio: Studio) -> None:
    """Question and answer were glued together."""
    text = {name: updates(studio, name, "Once upon") for name in ("goes-on", "answers", "chats")}
    for name, story in ((name, found[-1]["story"]) for name, found in text.items()):
        assert story.startswith("Once upon") == (name == "goes-on"), name
        told = [update["story"] for update in text[name] if isinstance(update["story"], str)]
        assert all(part.startswith("Once upon") for part in told) == (name == "goes-on")


@pytest.mark.parametrize("model", ["answers", "chats", "fills"])
def test_what_does_not_go_on_with_a_text_says_so(studio: Studio, model: str) -> None:
    request = TextRequest(model, GAPS, 4)
    with pytest.raises(InvalidValue, match=f"{model} answers a prompt or fills its gaps"):
        list(tab._run(studio, request, must_go_on=True))


def test_the_table_is_labelled_hidden_at_first_and_shows_words_as_text(studio: Studio) -> None:
    with gr.Blocks(analytics_enabled=False) as page:
        tab.build(studio, {})
    (table,) = [b for b in page.blocks.values() if b.elem_id == "write-candidates"]
    assert isinstance(table, gr.Dataframe)
    assert (table.label, table.visible) == ("Candidates for each gap", False)
    assert table.headers == ["gap", "candidate", "probability"]
    assert set(table.datatype) in ({"str"}, set("str"))  # neither Markdown nor HTML
