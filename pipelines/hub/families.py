"""What a checkpoint is, read from its configuration: its family, and the tasks it can do.

A family is what has to be known to load and use it: which class, which inputs. Each slice has
the table of its families in ``families.py``; what is in none of them is not opened. Nothing here
imports a library that computes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.errors import ModelUnavailable
from pipelines.hub.own_models import architecture_of
from pipelines.tasks import TASKS, Task

_SEQ2SEQ = frozenset(
    """
    bart bigbird_pegasus blenderbot blenderbot-small encoder-decoder fsmt led longt5 m2m_100
    marian mbart mt5 mvp nllb-moe pegasus pegasus_x plbart prophetnet switch_transformers t5
    t5gemma t5gemma2 umt5
    """.split()
)
_SEQ2SEQ_CLASSES = (
    "ForConditionalGeneration", "EncoderDecoderModel", "MTModel", "WithLMHeadModel"
)  # fmt: skip
_CAUSAL_CLASSES = ("ForCausalLM", "LMHeadModel", "ModelWithLMHead", "BertGenerationDecoder")
_FILLS_UNLESS_CAUSAL = ("XLMWithLMHeadModel", "FlaubertWithLMHeadModel")
_CAPTIONERS = {
    "BlipForConditionalGeneration": "blip",
    "Blip2ForConditionalGeneration": "blip-2",
    "GitForCausalLM": "git",
    "ShowAttendTell": "show-attend-tell",
}


def family_of(source: Path | dict[str, Any]) -> str | None:
    """The family of a checkpoint's folder, or of its configuration; None where none is known.

    ``causal``, ``seq2seq``, ``fill-mask``, ``vision-encoder-decoder``, ``blip``, ``blip-2``,
    ``git``, ``show-attend-tell``, ``image-text-to-text``, or the name of the diffusers pipeline.

    Raises:
        ModelUnavailable: the configuration is not a JSON object.
    """
    config = configuration(source) if isinstance(source, Path) else source
    pipeline = config.get("_class_name")
    if isinstance(pipeline, str):
        return pipeline if pipeline in TASKS["paint"].families else None
    if config.get("model_type") == "vision-encoder-decoder":
        return "vision-encoder-decoder"
    name = architecture_of(config)
    return None if name is None else _transformers_family(name, config)


def _transformers_family(name: str, config: dict[str, Any]) -> str | None:
    if name in _CAPTIONERS:
        return _CAPTIONERS[name]
    if isinstance(config.get("vision_config"), dict) and name.endswith("ForConditionalGeneration"):
        return "image-text-to-text"
    if str(config.get("model_type")) in _SEQ2SEQ and name.endswith(_SEQ2SEQ_CLASSES):
        return "seq2seq"
    if name.endswith("ForMaskedLM") or (name in _FILLS_UNLESS_CAUSAL and not config.get("causal")):
        return "fill-mask"
    return "causal" if name.endswith(_CAUSAL_CLASSES) else None


def tasks_of_family(family: str | None) -> tuple[Task, ...]:
    """The tasks that a family can do: those of the slices that have it in their tables."""
    return tuple(name for name, task in TASKS.items() if family in task.families)


def configuration(folder: Path) -> dict[str, Any]:
    """A pipeline's ``model_index.json``, or a model's ``config.json``; empty without either."""
    return read_json(folder / "model_index.json") or read_json(folder / "config.json")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is no such file.

    Raises:
        ModelUnavailable: the file is not a JSON object.
    """
    if not path.is_file():
        return {}
    return json_object(path.read_bytes(), f"{path.name} of {path.parent.name}")


def json_object(content: bytes, name: str) -> dict[str, Any]:
    """A JSON object from a file's content; ``name`` is what an error calls it.

    Raises:
        ModelUnavailable: the content is not a JSON object.
    """
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelUnavailable(f"{name} holds no JSON object.")
    return value
