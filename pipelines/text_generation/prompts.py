"""How a request becomes the tokens that a writer reads: as they stand, or as a chat.

What people write stays text: a control token in it (``<|im_end|>``) is encoded as its
characters, so that nobody can end a turn, or begin another's, by typing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from pipelines.errors import InvalidValue, ModelUnavailable, abbreviated
from pipelines.settings import Limits
from pipelines.validation import Bound, Rule, bound, choice, text

if TYPE_CHECKING:
    import torch

    from pipelines.text_generation.pipeline import TextRequest
    from pipelines.text_generation.writer import Writer

FORMS = ("own", "chat", "text")
"""The form of a prompt. ``own``: a chat if the model has a template for one, else a text."""
ROLES = ("user", "assistant")
_SENTINEL = "\N{WHITE FLAG}answer\N{WHITE FLAG}"

Turns = tuple[tuple[str, str], ...]
"""Earlier turns of a chat, ``(role, content)``, oldest first."""


@dataclass(frozen=True)
class Conversation(Rule):
    """Turns of user and assistant by turns, the user first, of at most so many characters."""

    most_characters: Bound

    def check(self, name: str, value: object, limits: Limits) -> Turns:
        turns = value if isinstance(value, list | tuple) else [None]
        most = int(bound(self.most_characters, limits))
        checked = tuple(_turn(f"{name}[{i}]", turn, i, most) for i, turn in enumerate(turns))
        if len(checked) % 2:
            raise InvalidValue(
                f"{name} ends with what the user says, {abbreviated(checked[-1][1])}, without an "
                "answer. Give the last message as the prompt."
            )
        text(name, "".join(content for _, content in checked), most)
        return checked


def _turn(name: str, value: object, place: int, most: int) -> tuple[str, str]:
    match value:
        case [role, content]:
            expected = ROLES[place % 2]
            return choice(f"{name}'s role", role, [expected]), text(name, content, most)
    raise InvalidValue(f"{name} is {abbreviated(value)}; give a pair of role and text.")


def is_chat(writer: Writer, request: TextRequest) -> bool:
    """Whether the model gets this request in its chat form.

    Raises:
        InvalidValue: a chat is wanted and the model has no template for one, or the request
            has what only a chat has.
    """
    has_template = bool(writer.tokenizer.chat_template)
    if request.form == "chat" and not has_template:
        raise InvalidValue(
            f"{request.model} has no chat template, so that it cannot tell who says what. "
            "Let it complete a text, or choose a model that was taught to chat."
        )
    chats = has_template and request.form != "text"
    if not chats and (request.system or request.turns or request.begun):
        raise InvalidValue(
            "A system prompt and earlier turns belong to a chat; this text is completed as it "
            "stands. Choose Chat and a model with a chat template, or leave them out."
        )
    return chats


def encode(writer: Writer, request: TextRequest) -> torch.Tensor:
    """Token ids ``(1, T)`` of what the model reads. An empty text begins with its first token.

    Raises:
        InvalidValue: see ``is_chat``; or the template refuses these turns.
    """
    import torch

    if is_chat(writer, request):
        ids = _chat_ids(writer, request)
    else:
        ids = _plain_ids(writer, request.prompt)
    return torch.tensor([ids or [_first_token(writer)]], device=writer.model.device)


def _plain_ids(writer: Writer, prompt: str) -> list[int]:
    reader = writer.literal_tokenizer if controls_in(writer, prompt) else writer.tokenizer
    ids: list[int] = reader(prompt)["input_ids"]
    return ids


def controls_in(writer: Writer, text: str) -> list[str]:
    """The control tokens that stand in a text and are read as characters.

    A seq2seq model's are not: T5's ``<extra_id_0>`` is how one asks it to fill a gap.
    """
    if writer.family == "seq2seq":
        return []
    tokens = writer.tokenizer.added_tokens_decoder.values()
    return [str(token) for token in tokens if token.special and str(token) in text]


def _chat_ids(writer: Writer, request: TextRequest) -> list[int]:
    ids: list[int] = _rendered(
        writer,
        messages_of(request),
        add_generation_prompt=not request.begun,
        continue_final_message=bool(request.begun),
        tokenize=True,
        return_dict=True,
        sanitize_control_tokens=True,
    )["input_ids"]
    return ids


def messages_of(request: TextRequest) -> list[dict[str, str]]:
    """The turns as chat templates take them."""
    turns = [*request.turns, ("user", request.prompt)]
    if request.system:
        turns.insert(0, ("system", request.system))
    if request.begun:
        turns.append(("assistant", request.begun))
    return [{"role": role, "content": content} for role, content in turns]


def _rendered(writer: Writer, messages: list[dict[str, str]], **options: Any) -> Any:
    try:
        return writer.tokenizer.apply_chat_template(messages, **options)
    except (TemplateError, ValueError) as error:
        raise InvalidValue(
            f"The model's chat template refuses these turns: {error}. Leave out the system "
            "prompt, which not every model takes, or begin a new chat."
        ) from error


def _first_token(writer: Writer) -> int:
    for token in (writer.tokenizer.bos_token_id, writer.tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise InvalidValue(
        "The prompt is empty and this model has no token to begin with. Write a word."
    )


def turn_end(tokenizer: Any) -> int | None:
    """The control token that the chat template writes behind an answer.

    Raises:
        ModelUnavailable: the template fails on two turns.
    """
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SENTINEL}]
    try:
        rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    except Exception as error:  # a template is a stranger's program
        raise ModelUnavailable(f"The model's chat template fails: {error}") from error
    behind = rendered.rpartition(_SENTINEL)[2]
    first = tokenizer(behind, add_special_tokens=False)["input_ids"][:1]
    controls = tokenizer.added_tokens_decoder
    return next((token for token in first if token in controls and controls[token].special), None)
