"""The architecture of ``emoji-gaps``: a small BERT, and the tokenizer that feeds it.

An encoder that reads a text in both directions and names the words that are masked (Devlin et
al., 2018, arXiv:1810.04805), without the task of the next sentence, which Liu et al. (2019,
arXiv:1907.11692) found of no use, and without dropout, for no text is seen twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

CONTEXT = 320
"""Tokens that it reads; a tale has about 220."""
VOCABULARY_SIZE = 3072
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """WordPiece (Schuster and Nakajima, 2012): a word, or pieces of it that begin with ``##``.

    Words of the tales are whole, names of syllables have pieces. Capitals count: a name is
    known by its own. Marks are words. ``[CLS]`` begins a text and ``[SEP]`` ends it.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY_SIZE, special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.WordPiece()
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    padding, unknown, begin, end, mask = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=padding,
        unk_token=unknown,
        cls_token=begin,
        sep_token=end,
        mask_token=mask,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build(tokenizer: PreTrainedTokenizerBase, width: int = 192, layers: int = 6) -> BertForMaskedLM:
    """An untrained BERT: 3.4 million parameters at the standard sizes."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        max_position_embeddings=CONTEXT,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    return BertForMaskedLM(config)
