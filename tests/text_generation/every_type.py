"""Tiny random checkpoints of every type of language model that transformers has.

A type's own configuration is taken with small numbers in the place of its large ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.models.auto import modeling_auto

from tests.text_generation.tiny_families import tokenizer

TYPES: Mapping[str, Mapping[str, Any]] = {
    "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "seq2seq": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "fill-mask": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
}
"""Classes by family and type."""

_SMALL: tuple[tuple[str, int], ...] = (
    (r"num_hidden_layers|n_layers?|num_layers|(en|de)coder_layers|num_(en|de)coder_layers", 2),
    (r".*(hidden_size|d_model|n_embd|emb_dim|embedding_size|hidden_dim|embed_dim)|dim", 32),
    (r".*(intermediate_size|ffn_dim|d_ff|ffn_hidden_size|n_inner|inner_dim)", 32),
    (r".*(attention_heads|num_heads|n_heads?|linear_num_\w+_heads)", 4),
    (r".*key_value_heads", 2),
    (r".*head_dim|d_kv|attention_head_size", 8),
    (r"n?_?(num|n)_(local_|routed_)?experts", 4),
    (r".*experts_per_tok|moe_topk|moe_k", 2),
    (r".*rank", 8),
    (r"max_position_embeddings|n_positions|max_(source|target)_positions", 64),
)


_FULL = {"layer_types": ["linear_attention", "full_attention"]}
_OF_ITS_OWN: Mapping[str, Mapping[str, Any]] = {
    "bailing_hybrid": _FULL,
    "bamba": {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8},
    "codegen": {"rotary_dim": 8},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}},
        "layer_types": ["full_attention", "full_attention"],
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2},
    "dots3_note": {"num_key_value_heads": 4},
    "dots3_note_text": {"num_key_value_heads": 4},
    "esmc": {"num_key_value_heads": 4},
    "gemma3n_text": {"num_kv_shared_layers": 0, "hidden_size_per_layer_input": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": _FULL,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lfm3": {"num_hidden_layers": 4},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 8},
    "mobilebert": {"intra_bottleneck_size": 32, "true_hidden_size": 32, "use_bottleneck": False},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h": {"mamba_num_heads": 8, "mamba_head_dim": 8},
    "neomme": {"head_dim": 16},
    "qwen3_5_moe_text": _FULL,
    "qwen3_5_text": _FULL,
    "qwen3_next": _FULL,
    "qwen4_exp_text": _FULL,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds_dim": (16, 16), "axial_pos_shape": (8, 8)},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 6},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"], "mamba_headdim": 8},
    "zaya": {"num_experts_per_tok": 1},
}
"""What a type needs beside the small numbers."""


def make(kind: str, family: str, path: Path) -> Path:
    """A checkpoint of this type in a folder."""
    import transformers

    words = tokenizer(family)
    model_class = getattr(transformers, TYPES[family][kind])
    changes = _changes(model_class.config_class, len(words))
    if kind in ("reformer", "xlm"):
        changes["is_decoder" if kind == "reformer" else "causal"] = family == "causal"
    if family == "seq2seq":
        changes.setdefault("decoder_start_token_id", 0)
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**changes))
    model.save_pretrained(path)
    words.save_pretrained(path)
    return path


def _small(name: str) -> dict[str, int]:
    return next(({name: small} for rule, small in _SMALL if re.fullmatch(rule, name)), {})


def _changes(config_class: Any, words: int) -> dict[str, Any]:
    default = config_class()
    changes: dict[str, Any] = {}
    for name, value in vars(default).items():
        part = config_class.sub_configs.get(name)
        if part is not None and isinstance(value, PretrainedConfig):
            changes[name] = _changes(type(value), words) | {"model_type": value.model_type}
        elif "vocab_size" in name and isinstance(value, int):
            changes[name] = words
        elif re.fullmatch(r"(bos|eos|pad|decoder_start|sep|unk)_token_id", name):
            changes[name] = {"pad_token_id": 1, "eos_token_id": 2}.get(name, 0)
        elif isinstance(value, int) and not isinstance(value, bool):
            changes |= _small(name)
    if "qk_rope_head_dim" in changes:
        changes.pop("head_dim", None)
        changes["num_key_value_heads"] = 4
    return {**changes, **_OF_ITS_OWN.get(config_class.model_type, {})}


_SOUND = "hears: it writes down speech or answers to it"
_PICTURE = "sees: it is for Describe"
_PARTS = "is a part of a larger model and no checkpoint by itself"
_SHAPE = (
    "its configuration needs sizes that fit each other in a way of its own; no tiny one was made"
)
CANNOT: Mapping[str, Mapping[str, str]] = {
    "causal": {
        "axk1": _SHAPE,
        "blt": "reads bytes, and transformers cannot make the cache that its generation needs",
        "dbrx": "transformers cannot read its own default configuration",
        "emu3": _PARTS,
        "gemma3": _PICTURE,
        "gemma3n": _PICTURE,
        "gemma4": _PICTURE,
        "gemma4_assistant": _PARTS,
        "gemma4_unified": _PICTURE,
        "gemma4_unified_assistant": _PARTS,
        "git": _PICTURE,
        "got_ocr2": _PICTURE,
        "kimi_linear": _SHAPE,
        "longcat_flash": _SHAPE,
        "mllama": _PARTS,
        "moss_transcribe_diarize": _SOUND,
        "musicgen": _PARTS,
        "musicgen_melody": _PARTS,
        "prophetnet": "refuses the positions that transformers gives it in generation",
        "qwen4_exp": _SHAPE,
        "qwen4_exp_text": _SHAPE,
        "xlstm": _SHAPE,
        "zamba": _SHAPE,
        "zamba2": _SHAPE,
    },
    "seq2seq": {
        "audioflamingo3": _SOUND,
        "glmasr": _SOUND,
        "granite_speech": _SOUND,
        "granite_speech_plus": _SOUND,
        "moss_transcribe_diarize": _SOUND,
        "musicflamingo": _SOUND,
        "nemo_speechlm": _SOUND,
        "prophetnet": "refuses the positions that transformers gives it in generation",
        "qwen2_audio": _SOUND,
        "qwen3_asr": _SOUND,
        "seamless_m4t": "needs a target language with each text, which Write does not offer",
        "seamless_m4t_v2": "needs a target language with each text, which Write does not offer",
        "vibevoice_asr": _SOUND,
        "voxtral": _SOUND,
        "voxtral_realtime": _SOUND,
    },
    "fill-mask": {
        "perceiver": "reads texts of 2,048 bytes alone",
    },
}
"""Types that do not write here, by family, with the reason."""
