"""The Chat panel: what its handlers do to a conversation, with a model that has a template."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
import pytest

from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.replay import replay
from pipelines.text_generation.chat_form import _place_of, _Talk, messages
from pipelines.text_generation.conversation import Conversation
from tests import tiny_models
from tests.running import finished

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
ASKED = ("tiny-writer", "", 6, 1.0, 1.0, 0, 5)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> _Talk:
    folder = tmp_path_factory.mktemp("chatters")
    tiny_models.make_writer(folder / "tiny-writer")
    (folder / "tiny-writer" / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    data = tmp_path_factory.mktemp("data")
    return _Talk(Studio(Settings(models_dir=folder, data_dir=data, hub_enabled=False)))


def talked(updates: Any) -> Conversation:
    """The conversation after the last update."""
    conversation = [update[1] for update in updates if isinstance(update[1], Conversation)][-1]
    assert isinstance(conversation, Conversation)
    return conversation


def words(conversation: Conversation) -> list[str]:
    return [turn.content for turn in conversation.shown]


def test_a_message_is_answered_and_the_answer_has_a_receipt_that_repeats(panel: _Talk) -> None:
    first = talked(panel.say(Conversation(), "hello", *ASKED))
    second = talked(panel.say(first, "and then?", *ASKED))
    assert [turn.role for turn in second.shown] == ["user", "assistant"] * 2
    receipt = second.shown[-1].receipt
    assert receipt is not None
    assert receipt["request"]["turns"] == [list(pair) for pair in first.pairs]
    assert finished(replay, panel.studio, json.loads(json.dumps(receipt))).is_equal


def test_the_message_box_is_emptied_when_the_model_begins_and_not_before(panel: _Talk) -> None:
    updates = list(panel.say(Conversation(), "hello", *ASKED))
    assert updates[0][3] == ""
    with pytest.raises(gr.Error, match="no model"):
        next(panel.say(Conversation(), "hello", "nobody", *ASKED[1:]))


def test_a_stopped_answer_stays_with_a_receipt_of_what_was_written(panel: _Talk) -> None:
    asked = (*ASKED[:2], 40, *ASKED[3:])
    run = panel.say(Conversation(), "hello", *asked)
    parts = [update[1] for update, _ in zip(run, range(8), strict=False)]
    run.close()
    stopped = [part for part in parts if isinstance(part, Conversation) and len(part.path) == 2]
    receipt = stopped[0].shown[-1].receipt
    assert receipt is not None and receipt["request"]["max_new_tokens"] < 40


def test_another_answer_has_another_seed_and_the_old_one_is_kept(panel: _Talk) -> None:
    first = talked(panel.say(Conversation(), "hello", *ASKED))
    second = talked(panel.answer_again(first, *ASKED))
    assert len(second.branches) == 2
    assert second.shown[-1].receipt["request"]["seed"] != 5  # type: ignore[index]
    assert words(second.on_branch(1)) == words(first)


def test_an_answer_goes_on_in_the_same_turn(panel: _Talk) -> None:
    first = talked(panel.say(Conversation(), "hello", *ASKED))
    longer = talked(panel.go_on(first, *ASKED))
    assert len(longer.turns) == 2
    assert words(longer)[1].startswith(words(first)[1])
    assert len(words(longer)[1]) > len(words(first)[1])


def test_an_edited_message_is_answered_on_a_branch_of_its_own(panel: _Talk) -> None:
    first = talked(panel.say(Conversation(), "hello", *ASKED))
    edit = gr.EditData(None, {"index": 0, "value": "good day", "previous_value": "hello"})
    edited = talked(panel.edit(edit, first, *ASKED))
    assert words(edited)[0] == "good day"
    assert len(edited.shown) == 2
    assert words(edited.on_branch(1))[0] == "hello"


def test_an_edited_answer_is_taken_as_it_is_and_its_thoughts_stay(panel: _Talk) -> None:
    said = Conversation().said("user", "hello").said("assistant", "<think>hm</think>Hi.")
    assert [message["content"][0]["text"] for message in messages(said)] == ["hello", "hm", "Hi."]
    edit = gr.EditData(None, {"index": 2, "value": "Ho.", "previous_value": "Hi."})
    edited = talked(panel.edit(edit, said, *ASKED))
    assert words(edited) == ["hello", "<think>hm</think>Ho."]


@pytest.mark.parametrize("index", [-1, 2, "x", None])
def test_an_edit_of_no_message_is_refused(index: Any) -> None:
    said = Conversation().said("user", "a").said("assistant", "b")
    with pytest.raises(Exception, match="not in this conversation"):
        _place_of(said, index)


@pytest.mark.parametrize("handler", ["answer_again", "go_on"])
def test_nothing_is_answered_before_something_was_said(panel: _Talk, handler: str) -> None:
    with pytest.raises(gr.Error, match=r"Send a message first|no answer yet"):
        list(getattr(panel, handler)(Conversation(), *ASKED))


def test_a_message_after_one_that_was_never_answered_takes_its_place(panel: _Talk) -> None:
    waiting = Conversation().said("user", "hello")
    answered = talked(panel.say(waiting, "good day", *ASKED))
    assert words(answered)[0] == "good day"
    assert len(answered.branches) == 2
