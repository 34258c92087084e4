"""A checkpoint of random weights for every family of captioners, made in a blink.

Their captions mean nothing; files, classes, processors and prompts are the real ones. The
weights are large, so that words depend on the picture and captions end at different lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.tiny_models import SCENE_WORDS

EDGE = 32
WORDS = (*SCENE_WORDS, "what", "is", "this", "describe", "caption", "en", "user", "assistant")
CHAT = (
    "{% for message in messages %}{{ message['role'] }} "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image> "
    "{% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant{% endif %}"
)
_NARROW: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
_EYE = {**_NARROW, "image_size": EDGE, "patch_size": 16}


def _tokenizer(extra: Sequence[str] = (), in_bert_form: bool = False) -> Any:
    """One token a word: ``<pad> <begin> <end> <unknown>``, the words, then the extra marks."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<begin>", "<end>", "<unknown>"]
    vocabulary = [*special, *sorted(set(WORDS)), *extra]
    backend = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=special[3])
    )
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if in_bert_form:
        backend.post_processor = processors.TemplateProcessing(
            single="<begin> $A <end>", special_tokens=[("<begin>", 1), ("<end>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=special[0],
        bos_token=special[1],
        eos_token=special[2],
        unk_token=special[3],
        cls_token=special[1],
        sep_token=special[2],
        additional_special_tokens=list(extra),
        clean_up_tokenization_spaces=False,
    )


def _save(path: Path, model: Any, processor: Any) -> Path:
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.4)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def _image_processor() -> Any:
    from transformers import CLIPImageProcessor

    edges = {"height": EDGE, "width": EDGE}
    return CLIPImageProcessor(size={"shortest_edge": EDGE}, crop_size=edges)


def make_blip(path: Path, seed: int = 0) -> Path:
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    torch.manual_seed(seed)
    tokenizer = _tokenizer(in_bert_form=True)
    text = {
        **_NARROW,
        "vocab_size": len(tokenizer),
        "encoder_hidden_size": 16,
        "max_position_embeddings": 24,
        "bos_token_id": 1,
        "pad_token_id": 0,
        "eos_token_id": 3,  # as in the real one: not what ends a caption
        "sep_token_id": 2,
    }
    config = BlipConfig(text_config=text, vision_config=_EYE, projection_dim=16)
    images = BlipImageProcessorPil(size={"height": EDGE, "width": EDGE})
    return _save(path, BlipForConditionalGeneration(config), BlipProcessor(images, tokenizer))


def make_blip2(path: Path, seed: int = 0, *, with_t5: bool = False) -> Path:
    import torch
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    torch.manual_seed(seed)
    tokenizer = _tokenizer(["<image>"], in_bert_form=with_t5)
    ids = {"bos_token_id": 1, "pad_token_id": 0, "eos_token_id": 2}
    text: dict[str, Any] = {
        "model_type": "opt", **ids, **_NARROW, "vocab_size": len(tokenizer), "ffn_dim": 32,
        "word_embed_proj_dim": 16, "max_position_embeddings": 48,
    }  # fmt: skip
    if with_t5:
        text = {
            "model_type": "t5", **ids, "vocab_size": len(tokenizer), "d_model": 16, "d_ff": 32,
            "d_kv": 8, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0,
        }  # fmt: skip
    config = Blip2Config(
        vision_config=_EYE,
        qformer_config={**_NARROW, "vocab_size": len(tokenizer), "encoder_hidden_size": 16},
        text_config=text,
        num_query_tokens=3,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    images = BlipImageProcessorPil(size={"height": EDGE, "width": EDGE})
    processor = Blip2Processor(images, tokenizer, num_query_tokens=3)
    return _save(path, Blip2ForConditionalGeneration(config), processor)


def make_git(path: Path, seed: int = 0) -> Path:
    import torch
    from transformers import GitConfig, GitForCausalLM, GitProcessor

    torch.manual_seed(seed)
    tokenizer = _tokenizer(in_bert_form=True)
    config = GitConfig(
        **_NARROW,
        vision_config=_EYE,
        vocab_size=len(tokenizer),
        max_position_embeddings=32,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return _save(path, GitForCausalLM(config), GitProcessor(_image_processor(), tokenizer))


def _llama(tokenizer: Any) -> dict[str, Any]:
    return {
        "model_type": "llama", **_NARROW, "num_key_value_heads": 2, "vocab_size": len(tokenizer),
        "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip


def make_llava(path: Path, seed: int = 0) -> Path:
    import torch
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    torch.manual_seed(seed)
    tokenizer = _tokenizer(["<image>"])
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **_EYE, "projection_dim": 16},
        text_config=_llama(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    processor = LlavaProcessor(
        _image_processor(), tokenizer, patch_size=16, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=CHAT,
    )  # fmt: skip
    return _save(path, LlavaForConditionalGeneration(config), processor)


def make_idefics3(path: Path, seed: int = 0) -> Path:
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import (
        Idefics3ImageProcessorPil,
    )

    torch.manual_seed(seed)
    places = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    marks = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *places]
    tokenizer = _tokenizer(marks)
    config = Idefics3Config(
        vision_config=_EYE,
        text_config=_llama(tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=1,
        pad_token_id=0,  # type: ignore[call-arg]
    )
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": EDGE}, max_image_size={"longest_edge": EDGE}
    )
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=CHAT)
    return _save(path, Idefics3ForConditionalGeneration(config), processor)


def make_paligemma(path: Path, seed: int = 0) -> Path:
    import torch
    from transformers import (
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
    )
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    torch.manual_seed(seed)
    tokenizer = _tokenizer(["<image>"])
    images = SiglipImageProcessorPil(size={"height": EDGE, "width": EDGE})
    images.image_seq_length = 4  # type: ignore[attr-defined]
    processor = PaliGemmaProcessor(images, tokenizer)  # adds tokens of its own
    text = {**_llama(tokenizer), "model_type": "gemma", "head_dim": 8}
    config = PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **_EYE},
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=16,
    )
    return _save(path, PaliGemmaForConditionalGeneration(config), processor)


def make_blip2_t5(path: Path, seed: int = 0) -> Path:
    return make_blip2(path, seed, with_t5=True)


def make_caption_lora(path: Path, base: Path, seed: int = 0) -> Path:
    """A LoRA for the decoder of a captioner with encoder and decoder apart."""
    import json

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=r"decoder.*\.c_attn",
        init_lora_weights=False,
        fan_in_fan_out=True,
    )
    get_peft_model(model, config).save_pretrained(str(path))
    file = path / "adapter_config.json"
    options = {**json.loads(file.read_text()), "init_lora_weights": True}
    options["base_model_name_or_path"] = base.name
    file.write_text(json.dumps(options), encoding="utf-8")
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "tiny-blip": make_blip,
    "tiny-blip2": make_blip2,
    "tiny-blip2-t5": make_blip2_t5,
    "tiny-git": make_git,
    "tiny-llava": make_llava,
    "tiny-idefics3": make_idefics3,
    "tiny-paligemma": make_paligemma,
}
