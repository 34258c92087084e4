"""The families of language models, and the class of transformers that loads each."""

from __future__ import annotations

FAMILIES = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "fill-mask": "AutoModelForMaskedLM",
}
"""By the names that ``hub.families`` gives to a checkpoint's configuration."""
