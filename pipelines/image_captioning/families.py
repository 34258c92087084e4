"""What differs between the families of captioners: their inputs, their prompt, who decodes.

Nothing here asks for a family's name twice: the pipeline takes a ``Family`` from
``FAMILIES`` and calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.runtime.loading import OFFLINE

if TYPE_CHECKING:
    import torch
    from PIL import Image

INSTRUCTION = "Describe this picture in one sentence."
"""What a chat model is told when the prompt is empty."""
_CAPTION_TASK = "caption en"
"""The same for one without a chat template, in PaliGemma's words."""


@dataclass(frozen=True)
class Prepared:
    """A picture and a prompt as ``generate`` takes them, in one row.

    The sequences that come out begin with ``prompt_tokens`` that are no caption.
    ``cells`` are the encoder's states ``(1, S, C)`` for ``pixels`` ``(1, 3, H, W)``, where they
    were computed already.
    """

    arguments: dict[str, Any]
    prompt_tokens: int
    cells: torch.Tensor | None = None
    pixels: torch.Tensor | None = None


Readers = tuple[Any, Any]
Prepare = Callable[[Any, Any, "Image.Image", str], Prepared]


@dataclass(frozen=True)
class Family:
    """One way to caption.

    ``readers`` loads a folder's processor and tokenizer; ``decoder`` is the part of a model
    whose ``generate`` decodes in the end; ``prepare`` gets model, processor, picture, prompt.
    ``folder`` is where a checkpoint has the model, if that is one part of it.
    """

    takes_prompt: bool
    readers: Callable[[str], Readers]
    decoder: Callable[[Any], Any]
    prepare: Prepare
    folder: str = ""


def _read_apart(path: str) -> Readers:
    from transformers import AutoImageProcessor, AutoTokenizer

    return (
        AutoImageProcessor.from_pretrained(path, **OFFLINE),
        AutoTokenizer.from_pretrained(path, **OFFLINE),
    )


def _read_together(path: str) -> Readers:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(path, **OFFLINE)
    return processor, processor.tokenizer


def _read_image_gpt(path: str) -> Readers:
    from transformers import AutoTokenizer

    from pipelines.recipes.image_gpt.model import PictureReader

    reader = PictureReader.from_pretrained(Path(path), local_files_only=True)
    return reader, AutoTokenizer.from_pretrained(f"{path}/tokenizer", **OFFLINE)


def _itself(model: Any) -> Any:
    return model


def _blip_decoder(model: Any) -> Any:
    """BLIP ends a caption at the separator, whatever its generation config says."""
    model.text_decoder.generation_config.eos_token_id = model.config.text_config.sep_token_id
    return model.text_decoder


def _encoded(model: Any, processor: Any, picture: Image.Image, prompt: str) -> Prepared:
    """Encoder and decoder apart: the picture is encoded once for all beams and samples."""
    from transformers.modeling_outputs import BaseModelOutput

    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    cells = model.get_encoder()(pixels.to(model.device, model.dtype)).last_hidden_state
    return Prepared({"encoder_outputs": BaseModelOutput(last_hidden_state=cells)}, 1, cells, pixels)


def _codes(model: Any, processor: Any, picture: Image.Image, prompt: str) -> Prepared:
    """The caption follows on the picture's codes."""
    rows = model.picture_rows(processor([picture]).to(model.device))
    arguments = {"input_ids": rows.ids, "attention_mask": rows.mask}
    return Prepared(arguments, rows.ids.shape[1])


def _blip(model: Any, processor: Any, picture: Image.Image, prompt: str) -> Prepared:
    """The caption goes on with the prompt. BLIP itself puts the first token and drops the last."""
    inputs = _on_model(model, processor(images=picture, text=prompt, return_tensors="pt"))
    return Prepared(inputs, inputs["input_ids"].shape[1] - 1)


def _blip2(model: Any, processor: Any, picture: Image.Image, prompt: str) -> Prepared:
    """Queries of the picture, then the prompt; T5 answers in a sequence of its own."""
    if processor.num_query_tokens is None:  # older checkpoints leave it to the model
        processor.num_query_tokens = model.config.num_query_tokens
    inputs = _on_model(model, processor(images=picture, text=prompt, return_tensors="pt"))
    answers_apart = model.language_model.config.is_encoder_decoder
    return Prepared(inputs, 1 if answers_apart else inputs["input_ids"].shape[1])


def _git(model: Any, processor: Any, picture: Image.Image, prompt: str) -> Prepared:
    """The caption, or the answer, goes on with the prompt behind the token that begins a text."""
    import torch

    tokenizer = processor.tokenizer
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    inputs = {
        "input_ids": torch.tensor([[tokenizer.cls_token_id, *ids]], device=model.device),
        "pixel_values": pixels.to(model.device, model.dtype),
    }
    return Prepared(inputs, 1 + len(ids))


def _chat(model: Any, processor: Any, picture: Image.Image, prompt: str) -> Prepared:
    """One turn of a chat: the picture, then the prompt."""
    if processor.chat_template is None:
        return _without_template(model, processor, picture, prompt)
    parts = [
        {"type": "image", "image": picture},
        {"type": "text", "text": prompt if prompt else INSTRUCTION},
    ]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    return Prepared(_on_model(model, inputs), inputs["input_ids"].shape[1])


def _without_template(model: Any, processor: Any, picture: Image.Image, prompt: str) -> Prepared:
    """The picture, then the prompt, as PaliGemma takes them."""
    text = str(processor.image_token) + (prompt if prompt else _CAPTION_TASK)
    inputs = processor(images=picture, text=text, return_tensors="pt")
    inputs.pop("labels", None)
    return Prepared(_on_model(model, inputs), inputs["input_ids"].shape[1])


def _on_model(model: Any, inputs: Any) -> dict[str, Any]:
    """The tensors on the model's device; those of floats in its precision."""
    return dict(inputs.to(model.device, model.dtype))


def control_tokens(processor: Any, tokenizer: Any) -> set[str]:
    """What a prompt must not hold: it would stand for a picture, or for another's turn.

    (The library's ``sanitize_control_tokens`` would make text of them, but not in Idefics3.)
    """
    added = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    return added | {str(getattr(processor, "image_token", "<image>"))}


FAMILIES = {
    "vision-encoder-decoder": Family(False, _read_apart, _itself, _encoded),
    "show-attend-tell": Family(False, _read_apart, _itself, _encoded),
    "ImageGPTPipeline": Family(False, _read_image_gpt, _itself, _codes, folder="gpt"),
    "blip": Family(True, _read_together, _blip_decoder, _blip),
    "blip-2": Family(True, _read_together, lambda model: model.language_model, _blip2),
    "git": Family(True, _read_together, _itself, _git),
    "image-text-to-text": Family(True, _read_together, _itself, _chat),
}
