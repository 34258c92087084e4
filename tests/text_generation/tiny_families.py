"""Small random checkpoints of the writers that are no causal models, vocabulary included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

PLACES = 24
"""Tokens that each of them can read."""
_WORDS = "the wolf went to door of a little house and knocked king had three daughters".split()


def make_t5(path: Path) -> Path:
    tokenizer = _tokenizer(("<pad>", "</s>", "<unk>"), "$A </s>", pad="<pad>", eos="</s>")
    config = T5Config(  # type: ignore[call-arg]  # its own names for what others share
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        n_positions=PLACES,
        decoder_start_token_id=0,
        tie_word_embeddings=False,
        initializer_factor=3.0,
    )
    return _saved(T5ForConditionalGeneration, config, tokenizer, path)


def make_bart(path: Path) -> Path:
    special = ("<s>", "<pad>", "</s>", "<unk>")
    tokenizer = _tokenizer(special, "<s> $A </s>", bos="<s>", pad="<pad>", eos="</s>")
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=PLACES,
        init_std=0.5,
        forced_eos_token_id=None,
    )
    return _saved(BartForConditionalGeneration, config, tokenizer, path)


def make_bert(path: Path) -> Path:
    special = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
    tokenizer = _tokenizer(special, "[CLS] $A [SEP]", pad="[PAD]", mask="[MASK]")
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=PLACES,
        initializer_range=0.5,
        **_narrow(),
    )
    return _saved(BertForMaskedLM, config, tokenizer, path)


def make_roberta(path: Path) -> Path:
    """Its places begin behind that of the padding, so that it has two more than it can use."""
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer = _tokenizer(
        special, "<s> $A </s>", limit=10**9, bos="<s>", pad="<pad>", eos="</s>", mask="<mask>"
    )
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=PLACES + 2,
        initializer_range=0.5,
        **_narrow(),
    )
    return _saved(RobertaForMaskedLM, config, tokenizer, path)


def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Words for a writer of any type: ``<s>`` is 0, ``<pad>`` 1, ``</s>`` 2, ``<mask>`` 4."""
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    template = "<s> $A" if family == "causal" else "<s> $A </s>"
    return _tokenizer(
        special, template, limit=64, bos="<s>", pad="<pad>", eos="</s>", mask="<mask>"
    )


def _narrow() -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }


def _tokenizer(
    special: tuple[str, ...], template: str, limit: int = PLACES, **tokens: str
) -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate((*special, *_WORDS))}
    unknown = next(token for token in special if "unk" in token.lower())
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    used = [(token, vocabulary[token]) for token in special if token in template]
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=unknown,
        model_max_length=limit,
        **{f"{name}_token": token for name, token in tokens.items()},
    )


def _saved(kind: Any, config: Any, tokenizer: PreTrainedTokenizerFast, path: Path) -> Path:
    torch.manual_seed(0)
    kind(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
