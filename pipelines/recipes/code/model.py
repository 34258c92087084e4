"""The architecture of ``small-coder``: the writer's Llama, and a tokenizer that keeps indentation.

Of ``recipes/gpt/model.py`` with input embeddings of their own, drawn wide, as the teller's: what
a program says next is often a name that it had before, and so they copy early.
"""

from __future__ import annotations

from collections.abc import Iterable

from transformers import LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipelines.recipes.gpt import model as gpt

VOCABULARY_SIZE = 3072

_WORDS = r"\n+[ \t]*| ?[\p{L}_]+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}_]+|\s+"
"""Line breaks with the indentation that follows are one piece, so a level of it is one token."""


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """The writer's byte-pair encoding over pieces of programs."""
    return gpt.train_tokenizer(texts, VOCABULARY_SIZE, words=_WORDS)


def build(
    tokenizer: PreTrainedTokenizerBase, width: int = 256, layers: int = 4
) -> LlamaForCausalLM:
    """An untrained coder: 4.8 million parameters at the standard sizes."""
    model = gpt.build(tokenizer, width, layers, copies_early=True)
    model.generation_config.update(temperature=0.5, max_new_tokens=128)
    return model
