"""A conversation as a tree of turns, and the thoughts in an answer."""

from __future__ import annotations

import pytest

from pipelines.errors import InvalidValue
from pipelines.text_generation.conversation import Conversation
from pipelines.text_generation.thoughts import parts_of


def talk(*turns: str) -> Conversation:
    conversation = Conversation()
    for number, content in enumerate(turns):
        conversation = conversation.said(("user", "assistant")[number % 2], content)
    return conversation


def words(conversation: Conversation) -> list[str]:
    return [turn.content for turn in conversation.shown]


def test_turns_follow_each_other() -> None:
    assert talk("a", "b", "c").pairs == (("user", "a"), ("assistant", "b"), ("user", "c"))


def test_nobody_speaks_twice_in_a_row() -> None:
    with pytest.raises(InvalidValue, match="the assistant's turn"):
        talk("a").said("user", "again")


def test_another_answer_is_a_branch_and_the_old_one_is_kept() -> None:
    first = talk("a", "b")
    second = first.before(1).said("assistant", "other")
    assert words(second) == ["a", "other"]
    assert [words(second.on_branch(place)) for _, place in second.branches] == [
        ["a", "b"],
        ["a", "other"],
    ]


def test_an_edit_in_the_middle_keeps_all_that_followed() -> None:
    edited = talk("a", "b", "c", "d").edited(2, "C")
    assert words(edited) == ["a", "b", "C"]
    longest = max((edited.on_branch(place) for _, place in edited.branches), key=lambda t: t.pairs)
    assert words(longest) == ["a", "b", "c", "d"]
    assert [label for label, _ in edited.branches] == ["1: 4 turns, “d”", "2: 3 turns, “C”"]


def test_an_answer_that_goes_on_stays_the_same_turn() -> None:
    longer = talk("a", "b").went_on("b and more", {"seed": 1})
    assert words(longer) == ["a", "b and more"]
    assert len(longer.branches) == 1
    assert longer.shown[-1].receipt == {"seed": 1}


def test_a_turn_in_the_middle_is_the_end_of_no_branch() -> None:
    with pytest.raises(InvalidValue, match="no such branch"):
        talk("a", "b", "c").on_branch(1)


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ("", [("", False)]),
        ("Yes.", [("Yes.", False)]),
        ("<think>\nhm\n</think>\n\nYes.", [("hm", True), ("Yes.", False)]),
        ("<think>still thinking", [("still thinking", True)]),
        ("So <think>a</think> and <think>b</think>", [
            ("So ", False), ("a", True), (" and ", False), ("b", True),
        ]),
        ("    indented\n    code", [("    indented\n    code", False)]),
    ],
)  # fmt: skip
def test_thoughts_are_told_from_speech(answer: str, parts: list[tuple[str, bool]]) -> None:
    found = parts_of(answer)
    assert [(part.shown, part.is_thought) for part in found] == parts
    assert "".join(part.raw for part in found) == answer
