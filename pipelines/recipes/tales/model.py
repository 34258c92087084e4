"""The teller's architecture and its form of a conversation.

The writer's Llama (``recipes/gpt/model.py``), built to copy early.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipelines.recipes.gpt import model as gpt

ROLES = ("system", "user", "assistant")
TURN_END = "<|end|>"
VOCABULARY_SIZE = 3072

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def as_text(turns: Sequence[tuple[str, str]]) -> str:
    """Turns ``(role, content)`` in the form of ``CHAT_TEMPLATE``."""
    return "".join(f"<|{role}|>{content}{TURN_END}" for role, content in turns)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """The writer's byte-pair encoding, with a token for each role and for the end of a turn."""
    tokens = [TURN_END, *(f"<|{role}|>" for role in ROLES)]
    tokenizer = gpt.train_tokenizer(texts, VOCABULARY_SIZE, tokens)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build(
    tokenizer: PreTrainedTokenizerBase, width: int = 256, layers: int = 6
) -> LlamaForCausalLM:
    """An untrained teller: 6.4 million parameters at the standard sizes."""
    model = gpt.build(tokenizer, width, layers, copies_early=True)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(TURN_END)]
    model.generation_config.update(eos_token_id=ends, temperature=0.7, max_new_tokens=300)
    return model
