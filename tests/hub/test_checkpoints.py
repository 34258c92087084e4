"""Checkpoints as they stand on the Hub: each opens for its tasks, or *Check* says why not.

``data/checkpoints.json`` has the decisive keys of their configurations and the names of their
files; the weights here are one number each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipelines.device import Device
from pipelines.errors import StudioError
from pipelines.hub import packages, resolve
from pipelines.hub.preflight import preflight
from pipelines.hub.references import parse_reference
from pipelines.settings import Settings
from pipelines.tasks import Task
from tests.hub.checkpoints import checkpoint
from tests.loopback_hub import Hub, Repository

CPU = Device("cpu", "float32", "")
SHAPES = json.loads(Path(__file__, "../../data/checkpoints.json").resolve().read_text())
MODELS = {row["name"]: row for row in SHAPES["language_and_picture_models"]}
PAINTERS: dict[str, str] = SHAPES["painter_classes"]
OPENS = ""
CODE = "needs code of its own (trust_remote_code), which is never run here"
PICKLES = "A converted copy waits in its revision refs/pr/12: open {name}@refs/pr/12."


class Case(NamedTuple):
    """What *Check* says of a shape; an empty ``says`` is that it opens.

    ``installed`` are the packages beside those of this page.
    """

    name: str
    task: Task
    says: str = OPENS
    installed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join((self.name.replace("/", "·"), self.task, *self.installed))


def _missing(*names: str) -> str:
    one = len(names) == 1
    return (
        f"needs the package{'' if one else 's'} {' and '.join(names)}, which "
        f"{'is' if one else 'are'} not installed. Run: pip install {names[0]}"
    )


def _sees(name: str, *needed: str) -> list[Case]:
    """A model of text and pictures whose processor needs these packages."""
    missing = [Case(name, "describe", _missing(*needed))] if needed else []
    return [Case(name, "write"), *missing, Case(name, "describe", installed=needed)]


WRITERS = """
Qwen/Qwen3-0.6B meta-llama/Llama-3.2-1B-Instruct google/gemma-3-270m-it HuggingFaceTB/SmolLM3-3B
microsoft/Phi-4-mini-instruct microsoft/phi-4 mistralai/Mistral-7B-Instruct-v0.3
deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B LiquidAI/LFM2-1.2B EleutherAI/pythia-70m
answerdotai/ModernBERT-base facebook/nllb-200-distilled-600M
""".split()
BNB, AWQ = "unsloth/Llama-3.2-1B-Instruct-bnb-4bit", "Qwen/Qwen2.5-0.5B-Instruct-AWQ"
TEXT_ONLY = "nvidia/Cosmos or unsloth/gemma-3-4b-it text-only"
CASES = [
    *(Case(name, "write") for name in (*WRITERS, TEXT_ONLY)),
    *_sees("Qwen/Qwen3.5-0.8B", "torchvision"),
    *_sees("Qwen/Qwen3.5-9B", "torchvision"),
    *_sees("Qwen/Qwen2.5-VL-3B-Instruct", "torchvision"),
    *_sees("google/gemma-3-4b-it"),
    *_sees("HuggingFaceTB/SmolVLM-256M-Instruct"),
    *_sees("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "num2words", "torchvision"),
    Case(BNB, "write", _missing("bitsandbytes")),
    Case(BNB, "write", installed=("bitsandbytes",)),
    Case(AWQ, "write", _missing("gptqmodel")),
    Case(AWQ, "write", installed=("gptqmodel",)),
    Case(
        "mlx-community/Qwen3-0.6B-4bit", "write",
        "has weights for MLX, which Apple's library alone reads. It was made from "
        "'Qwen/Qwen3-0.6B': open that",
    ),
    Case("unsloth/Qwen3-0.6B-GGUF", "write"),
    Case("google/paligemma2-3b-pt-224", "describe"),
    Case("Salesforce/instructblip-flan-t5-xl", "describe"),
    Case("microsoft/Florence-2-base", "describe", "Open florence-community/Florence-2-base"),
    Case("Salesforce/blip-image-captioning-base", "describe", PICKLES),
    Case("nlpconnect/vit-gpt2-image-captioning", "describe", PICKLES),
    Case("vikhyatk/moondream2", "describe", CODE),
    Case("moondream/moondream3-preview", "describe", CODE),
    Case("OpenGVLab/InternVL3_5-1B", "describe", "Open the same name with -HF at its end"),
    Case("microsoft/Phi-3.5-vision-instruct", "describe", CODE),
    Case("apple/FastVLM-0.5B", "describe", CODE),
]  # fmt: skip

NOT_YET = {
    "a model of text and pictures writes": [
        Case("Qwen/Qwen3.5-0.8B", "write"),
        Case("Qwen/Qwen3.5-9B", "write"),
        Case("Qwen/Qwen2.5-VL-3B-Instruct", "write"),
        Case("google/gemma-3-4b-it", "write"),
        Case("HuggingFaceTB/SmolVLM-256M-Instruct", "write"),
        Case("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "write"),
    ],
    "GGUF opens": [Case("unsloth/Qwen3-0.6B-GGUF", "write")],
}
"""What does not hold yet."""
_REASON = {case: reason for reason, cases in NOT_YET.items() for case in cases}


class Painter(NamedTuple):
    """What *Check* says of a pipeline of this class."""

    kind: str
    says: str = OPENS


_HALF = "the second half of a model"
PAINTER_CASES = [
    Painter("StableCascadeDecoderPipeline", _HALF),
    Painter("KandinskyV22Pipeline", _HALF),
    Painter("LuminaText2ImgPipeline", "is now called LuminaPipeline"),
    Painter("DiTPipeline", "makes pictures of a class by its number"),
]
PAINTER_CASES += [Painter(kind) for kind in PAINTERS.values() if kind not in dict(PAINTER_CASES)]


def _marked(case: Case) -> Any:
    reason = _REASON.get(case)
    marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
    return pytest.param(case, id=str(case), marks=marks)


def _on_hub(row: dict[str, Any], parent: Path) -> Path:
    """The shape as a folder; shards bring their index, as on the Hub."""
    shards = row["weights"]
    folder = checkpoint(parent, "model", row["config"], *shards)
    for file in row["other_files"]:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"{}" if file.endswith(".json") else b"\0" * 64)
    if shards and shards != ["model.safetensors"]:
        index = {"weight_map": {f"{i}.weight": shard for i, shard in enumerate(shards)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _check(name: str, case: Case, online: Settings) -> None:
    """*Check* says it, and opening says the same before anything is fetched."""
    found = preflight(name, case.task, online, CPU)
    said = " ".join((found.verdict, *found.helps))
    assert found.fits == (case.says == OPENS), said
    assert case.says in said
    if case.says != OPENS:
        with pytest.raises(StudioError) as refused:
            resolve(name, case.task, online)
        assert case.says in str(refused.value)
    assert not (online.data_dir / "hub").exists()


def test_every_shape_has_its_case() -> None:
    assert {case.name for case in CASES} == set(MODELS)
    assert _REASON.keys() <= set(CASES)


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_a_checkpoint_opens_or_check_says_what_is_missing(
    online: Settings, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda package: package in case.installed)
    name = case.name if parse_reference(case.name) else "ada/model"
    folder = _on_hub(MODELS[case.name], tmp_path)
    if name.startswith("mlx"):
        (folder / "README.md").write_text("---\nbase_model: Qwen/Qwen3-0.6B\n---\n")
    converted = checkpoint(tmp_path, "converted", {}, "model.safetensors")
    pulls = {3: ("Fix the card", folder), 12: ("Adding `safetensors` variant", converted)}
    hub.repositories[name] = Repository(folder, pulls=pulls)
    _check(name, case._replace(says=case.says.format(name=name)), online)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.kind) for case in PAINTER_CASES],
)
def test_a_painter_opens_or_check_says_what_it_is(
    online: Settings, hub: Hub, tmp_path: Path, case: Painter
) -> None:
    part = checkpoint(tmp_path / "model", "transformer", {}, "diffusion_pytorch_model.safetensors")
    index = {"_class_name": case.kind, part.name: ["diffusers", "Transformer2DModel"]}
    (part.parent / "model_index.json").write_text(json.dumps(index))
    hub.repositories["ada/painter"] = Repository(part.parent)
    _check("ada/painter", Case(case.kind, "paint", case.says), online)
