"""Checkpoints that take a blink to make and load: random weights, the real file formats.

Their words and pictures mean nothing; their shapes, files and interfaces are those of
the embedded models, so the code under test is the code that serves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTEXT = 64
"""Tokens that the tiny writer sees at once."""

END = "<|endoftext|>"
SCENE_WORDS = (
    "a an apple cat dog face red small big on white blue background and next to above".split()
)
WORLD = {
    "schema": 1,
    "names": ["red apple", "cat face", "dog face"],
    "aliases": {"apple": "red apple", "cat": "cat face", "dog": "dog face"},
    "plurals": {"red apples": "red apple", "cat faces": "cat face", "dog faces": "dog face"},
    "colours": ["white", "blue"],
}
LATENT_CHANNELS = 8
_CORPUS = [
    "Once upon a time there was a king who had three daughters.",
    "The wolf went to the door of the little house and knocked.",
    "A poor fisherman lived with his wife by the sea.",
]


def make_all(directory: Path) -> Path:
    """The three of them in one directory, by their usual names."""
    make_writer(directory / "tiny-writer")
    make_painter(directory / "tiny-painter")
    make_captioner(directory / "tiny-captioner")
    return directory


def make_writer(path: Path, seed: int = 0) -> Path:
    """A Llama of two narrow layers with a byte-level tokenizer and a context of 64 tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(_CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    end = tokenizer.eos_token_id
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            initializer_range=0.3,  # so that the text depends on what came before
            tie_word_embeddings=True,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    model.generation_config = GenerationConfig(
        **special, do_sample=True, temperature=0.8, top_p=0.95
    )
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_painter(path: Path, seed: int = 0) -> Path:
    """A whole ``StableDiffusionPipeline`` of narrow parts; its pictures are 128 x 128."""
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline

    from pipelines.recipes.diffusion import model as diffusion
    from pipelines.recipes.vae import model as vae

    torch.manual_seed(seed)
    tokenizer = diffusion.build_tokenizer(SCENE_WORDS)
    pipeline = StableDiffusionPipeline(
        vae=vae.build((8, 8, 8, 8)),
        text_encoder=diffusion.build_text_encoder(len(tokenizer), width=16, layers=1),
        tokenizer=tokenizer,
        unet=diffusion.build_unet((16, 16), text_width=16),
        scheduler=diffusion.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(path, safe_serialization=True)
    weights = np.random.default_rng(seed).normal(0, 0.2, (LATENT_CHANNELS, 3)).round(3)
    preview = {"weights": weights.tolist(), "bias": [0.0, 0.0, 0.0]}
    _write_json(path / "world.json", {**WORLD, "preview": preview})
    return path


def make_captioner(path: Path, seed: int = 0, *, with_familiarity: bool = True) -> Path:
    """A Swin encoder with a GPT-2 decoder of one layer; white pictures alone are familiar to it."""
    import torch

    from pipelines.recipes.captioner import model as captioner

    torch.manual_seed(seed)
    tokenizer = captioner.build_tokenizer(SCENE_WORDS)
    model = captioner.build(tokenizer, width=32, depths=(1, 1), decoder_layers=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5)  # so that the words depend on the picture
        _say_words_alone(model.decoder)
    processor = captioner.build_image_processor()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    processor.save_pretrained(path)
    if with_familiarity:
        known = {
            "schema": 1,
            "names": WORLD["names"],
            "familiarity": _white_alone(model, processor),
        }
        _write_json(path / "world.json", known)
    return path


def _say_words_alone(decoder: Any) -> None:
    """Makes special tokens next to impossible, but for the end of a caption.

    One direction of the last layer's output is constant, and only special tokens look at it.
    """
    words = decoder.transformer.wte.weight
    words[:, 0] = 0
    for name in ("pad_token_id", "bos_token_id"):
        words[getattr(decoder.config, name), 0] = -10
    words[3, 0] = -10  # the unknown word
    words[decoder.config.eos_token_id, 0] = -0.5
    decoder.transformer.ln_f.weight[0] = 0
    decoder.transformer.ln_f.bias[0] = 3


def _white_alone(model: Any, processor: Any) -> dict[str, Any]:
    import torch
    from PIL import Image

    from pipelines.recipes.captioner.model import traits

    pixels = processor(images=Image.new("RGB", (128, 128), "white"), return_tensors="pt")[
        "pixel_values"
    ]
    with torch.no_grad():
        mean = traits(model.get_encoder()(pixels).last_hidden_state)[0]
    some = torch.eye(8, len(mean))
    return {
        "mean": mean.tolist(),
        "spread": [1e-2] * len(mean),
        "weights": torch.cat([some, -some]).tolist(),
        "biases": [0.0] * 16,
        "votes": [1.0] * 16,
        "bias": 0.0,
        "threshold": 1.0,
        "flattest": 2.0,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")


def make_text_lora(path: Path, base: Path, seed: int = 0, **options: Any) -> Path:
    """A LoRA for a tiny writer in PEFT's form, strong enough to change what it writes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    wanted = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], **options}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(**wanted, task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(str(path))
    configuration = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
    _write_json(path / "adapter_config.json", {**configuration, "init_lora_weights": True})
    return path


def make_picture_lora(path: Path, base: Path, seed: int = 0, *, as_peft: bool = False) -> Path:
    """A LoRA for a tiny painter's U-Net in diffusers' form, or the same one in PEFT's."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    config = LoraConfig(
        r=4,
        lora_alpha=4 if not as_peft else 2,
        target_modules=["to_q", "to_v", "to_out.0"],
        init_lora_weights=False,
    )
    model = get_peft_model(unet, config)
    if as_peft:
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.mul_(2)  # so that half of alpha comes to the same
        model.save_pretrained(str(path))
        configuration = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
        _write_json(path / "adapter_config.json", {**configuration, "init_lora_weights": True})
        return path
    state = get_peft_model_state_dict(model)
    layers = {key.removeprefix("base_model.model."): value for key, value in state.items()}
    StableDiffusionPipeline.save_lora_weights(path, unet_lora_layers=layers)
    return path
