"""The architecture of ``emoji-tasks``: a small T5, and the tokenizer that feeds it.

An encoder that reads a text in both directions and a decoder that writes another (Raffel et
al., 2019, arXiv:1910.10683), with gated feed-forward layers (Shazeer, 2020, arXiv:2002.05202)
and no dropout, for no text is seen twice. Input and output share their embeddings, drawn with
a deviation of 1 and scaled by ``width ** -0.5`` where they write.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, decoders, normalizers, processors
from transformers import (
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from pipelines.recipes.gpt import model as gpt

CONTEXT = 384
"""Tokens that it reads, and that it writes; a tale has about 220."""
VOCABULARY_SIZE = 2048
GAPS = 20
"""How many gaps a text can have."""
PADDING = "<pad>"


def gap(number: int) -> str:
    """The token that stands for a gap in the text, and before its words in the answer."""
    return f"<extra_id_{number}>"


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """The writer's byte-pair encoding, with one space before each word, the first too.

    So a name is the same token wherever it stands, and line breaks are spaces. Encoding adds
    the token of the end. Gaps are no special tokens: decoding shows them.
    """
    backend = gpt.train_tokenizer(
        (f" {text}" for text in texts), VOCABULARY_SIZE, [PADDING]
    ).backend_tokenizer
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Prepend(" "),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    end = (gpt.END, backend.token_to_id(gpt.END))
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {gpt.END}", special_tokens=[end]
    )
    backend.add_tokens([AddedToken(gap(n), normalized=False) for n in range(GAPS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=gpt.END,
        pad_token=PADDING,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build(
    tokenizer: PreTrainedTokenizerBase, width: int = 192, layers: tuple[int, int] = (4, 3)
) -> T5ForConditionalGeneration:
    """An untrained T5: 3.9 million parameters at the standard sizes.

    ``layers``: of the encoder, and of the decoder.
    """
    encoder, decoder = layers
    config = T5Config(  # type: ignore[call-arg]  # its own names for what others share
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=32,
        d_ff=width * 8 // 3,
        num_layers=encoder,
        num_decoder_layers=decoder,
        num_heads=width // 32,
        n_positions=CONTEXT,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    model = T5ForConditionalGeneration(config)
    model.generation_config.update(max_new_tokens=CONTEXT - 1)
    return model
