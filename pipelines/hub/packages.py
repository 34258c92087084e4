"""The packages that a checkpoint needs beside those of this page, and how to install them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from pipelines.errors import ModelUnavailable, abbreviated
from pipelines.hub.formats import quantised_by
from pipelines.hub.sources import Source, json_of
from pipelines.tasks import Task

_NEED_TORCHVISION = frozenset(
    """
    ernie4_5_vl_moe gemma4 glm46v glm4v glm4v_moe instructblipvideo internvl lfm2_vl
    llava_next_video llava_onevision minicpmv4_6 molmo2 perception_lm qwen2_5_omni qwen2_5_vl
    qwen2_vl qwen3_5 qwen3_5_moe qwen3_vl qwen3_vl_moe smolvlm video_llama_3 video_llava
    """.split()
)
_NEED_NUM2WORDS = frozenset({"smolvlm"})
QUANTISED: Mapping[str, tuple[str, ...]] = {
    "aqlm": ("aqlm",),
    "auto-round": ("auto-round",),
    "awq": ("gptqmodel",),
    "bitnet": (),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed-tensors",),
    "eetq": ("kernels",),
    "fbgemm_fp8": ("fbgemm-gpu",),
    "fouroversix": ("fouroversix",),
    "fp8": (),
    "fp_quant": ("fp-quant",),
    "gemma": (),
    "gptq": ("optimum", "gptqmodel"),
    "higgs": ("flute-kernel",),
    "hqq": ("hqq",),
    "metal": ("kernels",),
    "mxfp4": (),
    "mxfp8": (),
    "nvfp4": ("kernels",),
    "quanto": ("optimum-quanto",),
    "quark": ("amd-quark",),
    "sinq": ("sinq",),
    "spqr": ("spqr-quant",),
    "torchao": ("torchao",),
    "vptq": ("vptq",),
}
"""By the methods of ``quantization_config`` that transformers reads, the packages that it needs
for them. Those without any are unpacked to plain numbers where no GPU computes with them."""
_MODULES = {"amd-quark": "quark", "flute-kernel": "flute", "spqr-quant": "spqr_quant"}
_INSTALL = {
    "torchvision": "torchvision (beside a CPU build of torch: pip install torchvision "
    "--index-url https://download.pytorch.org/whl/cpu)",
}
_VOCABULARIES = (".model", ".spm")


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported for this."""
    module = _MODULES.get(package, package.replace("-", "_"))
    return importlib.util.find_spec(module) is not None


def check_packages(source: Source, config: dict[str, Any], task: Task) -> None:
    """Refuses a checkpoint that needs packages which are not installed, naming them all.

    Raises:
        ModelUnavailable: with the command that installs them.
    """
    needed = [
        *_readers_of_words(source),
        *_readers_of_numbers(source, config),
        *_readers_of_pictures(config, task),
    ]
    missing = [package for package in needed if not is_installed(package)]
    if missing:
        one = len(missing) == 1
        raise ModelUnavailable(
            f"{source.reference} needs the package{'' if one else 's'} {' and '.join(missing)}, "
            f"which {'is' if one else 'are'} not installed. Run: pip install "
            f"{' '.join(_INSTALL.get(package, package) for package in missing)}, and "
            "start this page again."
        )


def _readers_of_pictures(config: dict[str, Any], task: Task) -> list[str]:
    """What a processor needs; a model that only writes has none."""
    kind = config.get("model_type")
    if task != "describe":
        return []
    needed = {"num2words": _NEED_NUM2WORDS, "torchvision": _NEED_TORCHVISION}
    return [package for package, kinds in needed.items() if kind in kinds]


def _readers_of_numbers(source: Source, config: dict[str, Any]) -> list[str]:
    """What packed numbers need, of the whole or of a pipeline's parts."""
    parts = [name for name in config if f"{name}/config.json" in source.files]
    configs = [config, *(json_of(source, f"{name}/config.json") for name in parts)]
    methods = sorted({method for each in configs if (method := quantised_by(each)) is not None})
    for method in methods:
        if method not in QUANTISED:
            raise ModelUnavailable(
                f"{source.reference} is quantised with {abbreviated(method)}, which this version "
                "of transformers does not read. Open the checkpoint that it was made from, or one "
                f"that is quantised with one of {', '.join(QUANTISED)}."
            )
    return list(dict.fromkeys(package for method in methods for package in QUANTISED[method]))


def _readers_of_words(source: Source) -> list[str]:
    """A vocabulary without a ``tokenizer.json`` beside it is read by sentencepiece."""
    for file in source.files:
        folder = file.rpartition("/")[0]
        tokenizer = f"{folder}/tokenizer.json".lstrip("/")
        if file.endswith(_VOCABULARIES) and tokenizer not in source.files:
            return ["sentencepiece"]
    return []
