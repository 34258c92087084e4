"""The Chat panel of the Write tab: a conversation with a model, in the form of its template."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.events import api

from pipelines.errors import InvalidValue
from pipelines.events import Progress, with_result
from pipelines.hub import names_here
from pipelines.hub.local import chat_names
from pipelines.page import ui
from pipelines.runtime.studio import Studio
from pipelines.text_generation.conversation import Conversation
from pipelines.text_generation.pipeline import TextDelta, TextRequest, TextResult, generate
from pipelines.text_generation.thoughts import parts_of
from pipelines.text_generation.writing_form import (
    Settings,
    build_settings,
    ending,
    facts_of,
    spent,
)

Updates = Iterator[tuple[Any, ...]]


@dataclass(frozen=True)
class _Panel:
    """The panel's widgets, and the conversation of one visitor's page."""

    talk: gr.State
    chat: gr.Chatbot
    message: gr.Textbox
    send: gr.Button
    stop: gr.Button
    status: gr.HTML
    more: gr.Button
    again: gr.Button
    new: gr.Button
    branch: gr.Dropdown
    notes: gr.Textbox
    model: gr.Dropdown
    system: gr.Textbox
    settings: Settings
    facts: gr.Markdown
    receipt: gr.JSON

    @property
    def way(self) -> list[Any]:
        """What shows which way through the conversation the panel is on."""
        return [self.chat, self.talk, self.branch]

    @property
    def outputs(self) -> list[Any]:
        return [*self.way, self.message, self.status, self.notes, self.facts, self.receipt]


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the panel to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            talked = _build_talk()
        with gr.Column(scale=2, min_width=300):
            chosen = _build_choices(studio)
    chat = _endpoint(studio)
    api(chat, **ui.endpoint("chat", chat), **compute)
    _wire(_Talk(studio), _Panel(gr.State(Conversation()), *talked, *chosen), compute)


def _build_talk() -> tuple[Any, ...]:
    chat = gr.Chatbot(
        label="Conversation", height=480, editable="all", buttons=["copy", "copy_all"],
        feedback_options=None, allow_tags=False, group_consecutive_messages=False,
        placeholder="Say something, and the model answers here.", elem_id="chat",
    )  # fmt: skip
    message = ui.textbox(
        label="Message", lines=1, max_lines=12, elem_id="chat-message",
        info="Enter sends it, Shift+Enter begins a line",
    )  # fmt: skip
    send, stop = ui.run_buttons("Send", "chat")
    status = ui.status_line()
    with gr.Row():
        more = gr.Button("Continue the answer", elem_id="chat-continue")
        again = gr.Button("Another answer", elem_id="chat-again")
        new = gr.Button("New chat", elem_id="chat-new")
    branch = ui.dropdown(
        choices=[], label="Branch", visible=False, interactive=True, elem_id="chat-branch",
        info="An edit or another answer begins a branch; all are kept",
    )  # fmt: skip
    return chat, message, send, stop, status, more, again, new, branch, ui.notes_box()


def _build_choices(studio: Studio) -> tuple[Any, ...]:
    names = names_here(studio.settings, "write")
    index = next((names.index(name) for name in chat_names(studio.settings)), 0)
    model = ui.model_picker(studio.settings, "write", index=index, elem_id="chat-model")
    system = ui.textbox(
        label="System prompt", lines=3, elem_id="chat-system",
        info="What the model is to be or to know; empty for none",
    )  # fmt: skip
    with gr.Accordion("Settings", open=False):
        settings = build_settings(studio.settings.limits)
    facts = gr.Markdown(label="Facts", elem_classes="facts", elem_id="chat-facts")
    return model, system, settings, facts, ui.receipt_box(elem_id="chat-receipt")


@dataclass(frozen=True)
class _Talk:
    """The panel's handlers, which yield updates in the order of ``_Panel.outputs``.

    ``asked`` is the model, the system prompt and the settings.
    """

    studio: Studio

    @ui.shows_errors
    def say(self, talk: Conversation, message: str, *asked: Any) -> Updates:
        if not message.strip():
            raise InvalidValue("The message is empty. Write what you want to say.")
        yield from self._answered(_with_message(talk, message), asked)

    @ui.shows_errors
    def answer_again(self, talk: Conversation, *asked: Any) -> Updates:
        yield from self._answered(_up_to_question(talk), (*asked[:-1], -1))

    @ui.shows_errors
    def go_on(self, talk: Conversation, *asked: Any) -> Updates:
        if len(talk.path) % 2:
            raise InvalidValue("There is no answer yet to go on with. Take Another answer.")
        yield from self._answered(_up_to_question(talk), asked, begun=talk)

    @ui.shows_errors
    def edit(self, edit: gr.EditData, talk: Conversation, *asked: Any) -> Updates:
        """What a visitor says in other words is answered; of an answer the words are taken."""
        number, part = _place_of(talk, edit.index)
        turn = talk.shown[number]
        parts = [each.raw for each in parts_of(turn.content)]
        parts[part] = str(edit.value)
        edited = talk.edited(number, "".join(parts))
        if turn.role == "user":
            yield from self._answered(edited, asked)
        else:
            yield (*_way(edited), *[gr.skip()] * 5)

    def _answered(
        self, talk: Conversation, asked: tuple[Any, ...], begun: Conversation | None = None
    ) -> Updates:
        """Answers the last thing said; or goes on with the answer that ends ``begun``."""
        model, system, *settings = asked
        *turns, (_, prompt) = talk.pairs
        start = begun.shown[-1].content if begun else ""
        request = replace(
            TextRequest(model, prompt, *settings),
            form="chat",
            system=system,
            turns=tuple(turns),
            begun=start,
        )

        def grown(item: TextDelta) -> Conversation:
            whole = start + item.text
            if begun is not None:
                return begun.went_on(whole, item.receipt)
            return talk.said("assistant", whole, item.receipt)

        pace = ui.Pace()
        with closing(with_result(generate(self.studio, request))) as events:
            for number, item in enumerate(events):
                if number == 0:  # the request is valid
                    yield (*_way(begun or talk), "", gr.skip(), ui.notes_text([]), "", None)
                if isinstance(item, Progress):
                    yield (*[gr.skip()] * 4, ui.progress_bar(item), *[gr.skip()] * 3)
                elif isinstance(item, TextResult) or pace.is_due():
                    yield (*_way(grown(item)), gr.skip(), *_about(item, request))


def _about(item: TextDelta, request: TextRequest) -> tuple[Any, ...]:
    """Status, notes, facts and receipt of an answer so far."""
    if isinstance(item, TextResult):
        line = ui.done(ending(item))
        return line, ui.notes_text(item.notes), facts_of(item), item.receipt
    bar = item.progress_of(request.max_new_tokens)
    so_far = ui.facts(*spent(item), ("seed", str(item.seed)))
    return ui.progress_bar(bar), gr.skip(), so_far, item.receipt


def _with_message(talk: Conversation, message: str) -> Conversation:
    """The conversation with one more message; one that was never answered is set aside."""
    if len(talk.path) % 2:
        return talk.edited(len(talk.path) - 1, message)
    return talk.said("user", message)


def _up_to_question(talk: Conversation) -> Conversation:
    """The conversation up to the last thing that the visitor said.

    Raises:
        InvalidValue: nothing was said yet.
    """
    if not talk.path:
        raise InvalidValue("Nothing was said yet. Send a message first.")
    return talk if len(talk.path) % 2 else talk.before(len(talk.path) - 1)


def _way(talk: Conversation) -> tuple[Any, ...]:
    """Updates of ``_Panel.way``."""
    several = len(talk.branches) > 1
    choices, chosen = (talk.branches, talk.last) if several else ([], None)
    return messages(talk), talk, gr.update(choices=choices, value=chosen, visible=several)


def messages(talk: Conversation) -> list[dict[str, Any]]:
    """What the panel shows: each thought folded away, in a message of its own."""
    return [
        {
            "role": turn.role,
            "content": [{"type": "text", "text": part.shown}],
            "metadata": {"title": "Thoughts", "status": "done"} if part.is_thought else None,
        }
        for turn in talk.shown
        for part in parts_of(turn.content)
    ]


def _place_of(talk: Conversation, index: Any) -> tuple[int, int]:
    """The number of a turn and of its part, by the place of a message of ``messages``.

    Raises:
        InvalidValue: there is no such message.
    """
    places = [
        (number, part)
        for number, turn in enumerate(talk.shown)
        for part in range(len(parts_of(turn.content)))
    ]
    if isinstance(index, list | tuple):  # of one message's contents; ours have one
        index = index[0]
    if not isinstance(index, int) or not 0 <= index < len(places):
        raise InvalidValue("That message is not in this conversation. Reload the page.")
    return places[index]


@ui.shows_errors
def _on_branch(talk: Conversation, place: int) -> tuple[Any, ...]:
    return _way(talk.on_branch(place))


def _endpoint(studio: Studio) -> Any:
    @ui.shows_errors
    def chat(
        model: str, message: str, system: str = "", turns: list[list[str]] | None = None,
        begun: str = "", max_new_tokens: int = 200, temperature: float = 0.8, top_p: float = 0.95,
        top_k: int = 50, seed: int = -1,
    ) -> dict[str, Any]:  # fmt: skip
        """Answers a message in the form of the model's chat template.

        Args:
            model: a model of this page or a Hub reference; it needs a chat template.
            message: what the user says.
            system: the system prompt, or nothing.
            turns: earlier turns, pairs of role (user, assistant by turns) and text.
            begun: the beginning of the answer, to go on with.
            max_new_tokens: how many tokens to write at most.
            temperature: from 0 (always the likeliest token) to 5.
            top_p: keep the likeliest tokens that make up this probability.
            top_k: keep this many tokens; 0 for all.
            seed: -1 for a random one.
        """
        request = TextRequest(
            model, message, max_new_tokens, temperature, top_p, top_k, seed,
            "chat", system, turns or (), begun,  # type: ignore[arg-type]
        )  # fmt: skip
        *_, result = with_result(generate(studio, request))
        return {"text": result.text, "ended": result.finish_reason, "receipt": result.receipt}

    return chat


def _begin() -> tuple[Any, ...]:
    return _way(Conversation())


def _wire(talk: _Talk, panel: _Panel, compute: dict[str, Any]) -> None:
    asked = [panel.model, panel.system, *panel.settings]
    said = [panel.talk, panel.message, *asked]
    answered = [panel.talk, *asked]
    options = {"api_visibility": "private", **ui.run_options(compute, panel.status)}
    sent = [panel.send.click, panel.message.submit]
    runs = [
        gr.on(sent, talk.say, said, panel.outputs, **options),
        panel.again.click(talk.answer_again, answered, panel.outputs, **options),
        panel.more.click(talk.go_on, answered, panel.outputs, **options),
        panel.chat.retry(talk.answer_again, answered, panel.outputs, **options),
        panel.chat.edit(talk.edit, answered, panel.outputs, **options),
    ]
    ui.wire_stop(panel.stop, runs, [panel.status])
    panel.branch.input(_on_branch, [panel.talk, panel.branch], panel.way, **ui.PRIVATE)
    gr.on([panel.new.click, panel.chat.clear], _begin, None, panel.way, **ui.FREE)
