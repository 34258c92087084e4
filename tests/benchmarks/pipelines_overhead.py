"""What our generators cost above the raw library calls, in turn.

    python -m tests.benchmarks.pipelines_overhead

Same weights, same lengths, greedy or seeded; goal: a ratio of 1.05 or less for each.
Each side has a process of its own, as in real use: two threads that compute in one
process would slow each other, for each brings OpenMP workers.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
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
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT, Settings
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


TEXT = TextRequest("fairytale-gpt", "Once upon a time there was", 128, temperature=0.0)
SCENE = PaintRequest("emoji-painter", "a red apple", steps=20, seed=1)
TASKS = ("write", "paint", "describe")


def own_calls(studio: Studio) -> dict[str, Call]:
    """For each task, a run of ours."""
    request = CaptionRequest("emoji-captioner", example_picture(), count=4)
    return {
        "write": lambda: finish(write(studio, TEXT)),
        "paint": lambda: finish(paint(studio, SCENE)),
        "describe": lambda: finish(describe(studio, request)),
    }


def library_calls() -> dict[str, Call]:
    """For each task, the library's own call for the same work."""
    return {
        "write": raw_writer(TEXT),
        "paint": raw_painter(),
        "describe": raw_captioner(example_picture()),
    }


def example_picture() -> Image.Image:
    return Image.open(ROOT / "assets/examples/2-big-pizza.png").convert("RGB")


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

    def call() -> tuple[list[str], torch.Tensor]:
        with torch.inference_mode():
            pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
            found = model.generate(
                pixels,
                num_beams=4,
                num_return_sequences=4,
                early_stopping=True,
                max_new_tokens=32,
                return_dict_in_generate=True,
                output_scores=True,
            )
            scores = model.compute_transition_scores(
                found.sequences, found.scores, found.beam_indices
            )
            return tokenizer.batch_decode(found.sequences, skip_special_tokens=True), scores

    return call


def serve(side: str) -> None:
    """Reads names of tasks, a line each, and answers with seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        studio = Studio(replace(Settings(), data_dir=Path(scratch)))
        calls = own_calls(studio) if side == "ours" else library_calls()
        for task in sys.stdin:
            print(timed(calls[task.strip()]), flush=True)


class Side:
    """A process that makes one side's calls."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.pipelines_overhead", "--serve", name]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )

    def seconds(self, task: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(task, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--serve", choices=["ours", "library"], help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.serve is not None:
        serve(parsed.serve)
        return
    ours, library = Side("ours"), Side("library")
    try:
        for task in TASKS:
            ours.seconds(task), library.seconds(task)  # the first of each loads
            times = [(ours.seconds(task), library.seconds(task)) for _ in range(parsed.runs)]
            ratio = statistics.median(a / b for a, b in times)
            own, raw = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"{task:9} ours {own:.3f} s, library {raw:.3f} s, ratio {ratio:.3f} (goal 1.05)")
    finally:
        ours.close()
        library.close()


if __name__ == "__main__":
    main()
