"""What our generators cost above the raw library calls, in turn in one process.

    python -m tests.benchmarks.pipelines_overhead

Same weights, same lengths, greedy or seeded; goal: a ratio of 1.05 or less for each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pipelines.events import with_result
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.image_captioning.pipeline import generate as describe
from pipelines.settings import ROOT, Settings
from pipelines.studio import Studio
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_generation.pipeline import generate as write
from pipelines.text_to_image.pipeline import PaintRequest
from pipelines.text_to_image.pipeline import generate as paint

Call = Callable[[], Any]


def timed(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def finish(run: Any) -> Any:
    return list(with_result(run))[-1]


def pairs(studio: Studio) -> dict[str, tuple[Call, Call]]:
    """For each task: our run and the library's own call for the same work."""
    text = TextRequest("fairytale-gpt", "Once upon a time there was", 128, temperature=0.0)
    picture = Image.open(ROOT / "assets/examples/2-big-pizza.png").convert("RGB")
    return {
        "write": (lambda: finish(write(studio, text)), raw_writer(text)),
        "paint": (
            lambda: finish(
                paint(studio, PaintRequest("emoji-painter", "a red apple", steps=20, seed=1))
            ),
            raw_painter(),
        ),
        "describe": (
            lambda: finish(describe(studio, CaptionRequest("emoji-captioner", picture, count=4))),
            raw_captioner(picture),
        ),
    }


def raw_writer(request: TextRequest) -> Call:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = ROOT / "assets/models/fairytale-gpt"
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path)

    def call() -> str:
        with torch.inference_mode():
            inputs = tokenizer(request.prompt, return_tensors="pt")
            ids = model.generate(
                inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=request.max_new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
            )
            return str(tokenizer.decode(ids[0]))

    return call


def raw_painter() -> Call:
    from diffusers import StableDiffusionPipeline

    path = ROOT / "assets/models/emoji-painter"
    pipeline = StableDiffusionPipeline.from_pretrained(path, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def call() -> Any:
        generator = torch.Generator().manual_seed(1)
        return pipeline(
            "a red apple", num_inference_steps=20, guidance_scale=4.0, generator=generator
        )

    return call


def raw_captioner(picture: Image.Image) -> Call:
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    path = ROOT / "assets/models/emoji-captioner"
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)

    def call() -> list[str]:
        with torch.inference_mode():
            pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
            ids = model.generate(
                pixels, num_beams=4, num_return_sequences=4, early_stopping=True, max_new_tokens=40
            )
            texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
            return texts

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch:
        studio = Studio(replace(Settings(), data_dir=Path(scratch)))
        for name, (ours, raw) in pairs(studio).items():
            ours(), raw()
            times = [(timed(ours), timed(raw)) for _ in range(runs)]
            ratio = statistics.median(a / b for a, b in times)
            own = statistics.median(a for a, _ in times)
            library = statistics.median(b for _, b in times)
            print(
                f"{name:9} ours {own:.3f} s, library {library:.3f} s, ratio {ratio:.3f} (goal 1.05)"
            )


if __name__ == "__main__":
    main()
