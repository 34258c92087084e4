"""The writer's architecture: a small Llama, and the tokenizer that feeds it.

A decoder-only transformer with rotary positions, RMS norms and gated feed-forward
layers (Touvron et al., 2023, arXiv:2302.13971), input and output embeddings tied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

CONTEXT = 512
"""Tokens of context."""

END = "<|endoftext|>"
"""Separates tales; also the token for the beginning, the end and padding."""

VOCABULARY_SIZE = 4096
EMBEDDING_STD = 0.5
"""Of the input embeddings of a model that copies early."""

_WORDS = r"'(?:s|t|d|m|ll|ve|re)|\n+| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|[^\S\n]+"
"""GPT-2's split into words (Radford et al., 2019), but line breaks stay together: the
blank line between two paragraphs is one piece."""


def build(
    tokenizer: PreTrainedTokenizerBase,
    width: int = 256,
    layers: int = 6,
    heads: int = 4,
    context: int = CONTEXT,
    copies_early: bool = False,
) -> LlamaForCausalLM:
    """An untrained writer: 5.9 million parameters at the standard sizes.

    ``copies_early``: input embeddings are apart from the output's, and drawn twenty-five times as
    wide. With narrow ones that are the output's as well, the attention heads that find an earlier
    name begin to form only after a million tokens.
    """
    end = tokenizer.eos_token_id
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=not copies_early,
        **special,
    )
    model = LlamaForCausalLM(config)
    if copies_early:
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=EMBEDDING_STD)
    model.generation_config = GenerationConfig(
        **special, do_sample=True, temperature=0.8, top_p=0.95, max_new_tokens=200
    )
    return model


def train_tokenizer(
    texts: Iterable[str],
    size: int = VOCABULARY_SIZE,
    special_tokens: Sequence[str] = (),
    words: str = _WORDS,
) -> PreTrainedTokenizerFast:
    """Byte-pair encoding over bytes (Sennrich et al., 2015, arXiv:1508.07909).

    Every byte is a piece, so any text is decoded exactly. Little text gives fewer than
    ``size`` pieces. Encoding adds no special token. No piece goes beyond a match of the
    expression ``words``.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, *special_tokens],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
