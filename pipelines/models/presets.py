"""Models of the Hub to begin with, by task and by hardware, in one table for people to edit.

Names and licences are those that their authors published. Nothing is fetched here, and a
preset is vetted like any other reference when it is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.tasks import Task

Hardware = Literal["CPU", "8 GB", "16 GB", "24 GB", "48 GB"]

GPU_GIGABYTES: dict[Hardware, int] = {"8 GB": 8, "16 GB": 16, "24 GB": 24, "48 GB": 48}
"""The classes of graphics cards, smallest first."""
_GIGABYTE = 1_000_000_000
_SOLD_AS = 0.95
"""The share of the memory it is sold with that a graphics card reports."""


@dataclass(frozen=True)
class Preset:
    """A model that runs on this hardware and larger.

    ``gigabytes`` (10^9 bytes) is what its weights take there: in float32 on a CPU, in half
    precision on a GPU.
    """

    task: Task
    hardware: Hardware
    reference: str
    licence: str
    gigabytes: float
    purpose: str


_RAIL = "CreativeML Open RAIL-M"
_RAIL_XL = "CreativeML Open RAIL++-M"
_TURBO = "sai-nc-community"
_BSD = "BSD-3-Clause"

PRESETS = (
    Preset("write", "CPU", "HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0", 0.54, "small chat"),
    Preset("write", "CPU", "Qwen/Qwen2.5-0.5B-Instruct", "Apache-2.0", 2.0, "chat"),
    Preset("write", "CPU", "google/flan-t5-small", "Apache-2.0", 0.31, "follows instructions"),
    Preset("write", "CPU", "FacebookAI/roberta-base", "MIT", 0.5, "fills gaps"),
    Preset("write", "8 GB", "Qwen/Qwen2.5-1.5B-Instruct", "Apache-2.0", 3.1, "chat"),
    Preset("write", "8 GB", "HuggingFaceTB/SmolLM2-1.7B-Instruct", "Apache-2.0", 3.4, "chat"),
    Preset("write", "16 GB", "microsoft/Phi-3.5-mini-instruct", "MIT", 7.6, "chat, reasoning"),
    Preset("write", "24 GB", "Qwen/Qwen2.5-7B-Instruct", "Apache-2.0", 15.2, "many languages"),
    Preset("write", "24 GB", "mistralai/Mistral-7B-Instruct-v0.3", "Apache-2.0", 14.5, "chat"),
    Preset("write", "48 GB", "Qwen/Qwen2.5-14B-Instruct", "Apache-2.0", 29.5, "chat, long texts"),
    Preset("paint", "CPU", "SimianLuo/LCM_Dreamshaper_v7", "MIT", 4.3, "four steps"),
    Preset("paint", "8 GB", "stable-diffusion-v1-5/stable-diffusion-v1-5", _RAIL, 2.1, "classic"),
    Preset("paint", "8 GB", "stabilityai/sd-turbo", _TURBO, 2.6, "a few steps"),
    Preset("paint", "16 GB", "stabilityai/sdxl-turbo", _TURBO, 6.9, "a few steps"),
    Preset("paint", "16 GB", "stabilityai/stable-diffusion-xl-base-1.0", _RAIL_XL, 6.9, "detail"),
    Preset("paint", "24 GB", "PixArt-alpha/PixArt-XL-2-1024-MS", _RAIL_XL, 10.9, "long prompts"),
    Preset("paint", "48 GB", "black-forest-labs/FLUX.1-schnell", "Apache-2.0", 33.7, "four steps"),
    Preset("describe", "CPU", "Salesforce/blip-image-captioning-base", _BSD, 1.0, "plain"),
    Preset("describe", "CPU", "nlpconnect/vit-gpt2-image-captioning", "Apache-2.0", 1.0, "plain"),
    Preset("describe", "CPU", "microsoft/git-base-coco", "MIT", 0.7, "as in COCO"),
    Preset("describe", "8 GB", "Salesforce/blip-image-captioning-large", _BSD, 0.9, "fuller"),
    Preset("describe", "16 GB", "Salesforce/blip2-opt-2.7b", "MIT", 7.5, "captions, answers"),
    Preset("describe", "24 GB", "llava-hf/llava-1.5-7b-hf", "llama2", 14.1, "talks of pictures"),
    Preset("describe", "48 GB", "llava-hf/llava-1.5-13b-hf", "llama2", 26.7, "talks, in detail"),
)  # fmt: skip


def presets_for(task: Task, device_memory_bytes: int, on_gpu: bool) -> list[Preset]:
    """The presets of a task that this machine can run, those for the largest hardware first.

    Args:
        device_memory_bytes: of the GPU, or of the machine without one.
    """
    classes: list[Hardware] = ["CPU"]
    if on_gpu:
        classes += [
            hardware
            for hardware, gigabytes in GPU_GIGABYTES.items()
            if device_memory_bytes >= gigabytes * _SOLD_AS * _GIGABYTE
        ]
    of_task = [preset for preset in PRESETS if preset.task == task]
    fitting = [p for p in of_task if p.gigabytes * _GIGABYTE < device_memory_bytes]
    return [p for hardware in reversed(classes) for p in fitting if p.hardware == hardware]
