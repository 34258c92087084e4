"""Where a checkpoint's own steps and guidance are from, and that a part of a word says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.text_to_image.families import FAMILIES, SMALL_WORLD, Family
from pipelines.text_to_image.own_settings import own_family, with_loras

XL, SD, FLUX = "StableDiffusionXLPipeline", "StableDiffusionPipeline", "FluxPipeline"


def found(folder: Path, reference: str, kind: str = XL, **files: Any) -> Family:
    """Of a folder with these JSON files, ``/`` written as two underscores, and this card."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        is_card = name == "README"
        path.with_suffix(".md" if is_card else ".json").write_text(
            content if is_card else json.dumps(content)
        )
    return own_family(folder, kind, reference)


@pytest.mark.parametrize(
    ("reference", "kind", "steps", "guidance_scale", "why"),
    [
        ("stabilityai/sdxl-turbo", XL, 4, 0.0, "the name says turbo"),
        ("ada/RealVisXL_V4.0_Lightning@main", XL, 4, 0.0, "the name says lightning"),
        ("ada/xl-lightning-8step", XL, 8, 0.0, "the name says lightning, 8 steps"),
        ("ada/Hyper-SDXL", XL, 8, 0.0, "the name says hyper"),
        ("ada/hyper-sd-1-step", SD, 1, 0.0, "the name says hyper, 1 step"),
        ("tianweiy/DMD2", XL, 4, 0.0, "the name says dmd2"),
        ("dreamer lcm", SD, 4, 1.0, "the name says lcm"),
        ("ada/FLUX.1-schnell", FLUX, 4, 0.0, "the name says schnell"),
        ("Tongyi-MAI/Z-Image-Turbo", "ZImagePipeline", 9, 0.0, "the name says turbo"),
    ],
)
def test_whole_words_of_the_name_say_that_few_steps_are_enough(
    tmp_path: Path, reference: str, kind: str, steps: int, guidance_scale: float, why: str
) -> None:
    family = found(tmp_path, reference, kind)
    assert (family.steps, family.guidance_scale) == (steps, guidance_scale)
    unit = "step" if steps == 1 else "steps"
    assert family.own_values == f"{steps} {unit}, guidance {guidance_scale:g}: {why}"


@pytest.mark.parametrize(
    "reference",
    [
        "falcmix", "nonturboXL", "ada/xl-non-turbo", "ada/not-lcm", "turbo-team/xl", "xl@turbo",
        "ada/hyper-realistic", "ada/hyperion", "ada/30-steps", "/models/turbo/xl",
    ],
)  # fmt: skip
def test_a_part_of_a_word_and_another_ones_name_say_nothing(tmp_path: Path, reference: str) -> None:
    """``falcmix`` was painted in 4 steps without guidance, for it has "lcm" in it."""
    assert found(tmp_path, reference) == FAMILIES[XL]


def test_a_copy_says_what_it_was_made_from(tmp_path: Path) -> None:
    index = {"_name_or_path": "stabilityai/sdxl-turbo"}
    assert found(tmp_path, "my-copy", model_index=index).steps == 4


@pytest.mark.parametrize(
    ("kind", "files", "steps", "guidance_scale"),
    [
        (SD, {"scheduler__scheduler_config": {"_class_name": "LCMScheduler"}}, 4, 1.0),
        (XL, {"scheduler__scheduler_config": {"_class_name": "TCDScheduler"}}, 4, 1.0),
        (
            SD,
            {
                "scheduler__scheduler_config": {"_class_name": "LCMScheduler"},
                "unet__config": {"time_cond_proj_dim": 256},
            },
            4,
            8.5,
        ),
        (FLUX, {"transformer__config": {"guidance_embeds": False}}, 4, 0.0),
        (FLUX, {"transformer__config": {"guidance_embeds": True}}, 28, 3.5),
        ("Flux2KleinPipeline", {"model_index": {"is_distilled": True}}, 4, 1.0),
        ("Flux2KleinPipeline", {"model_index": {"is_distilled": False}}, 50, 4.0),
        ("Flux2KleinPipeline", {"model_index": {}}, 50, 4.0),
    ],
)
def test_the_configuration_says_it(
    tmp_path: Path, kind: str, files: dict[str, Any], steps: int, guidance_scale: float
) -> None:
    family = found(tmp_path, "x", kind, **files)
    assert (family.steps, family.guidance_scale) == (steps, guidance_scale)


CARD = "```python\npipe(prompt, num_inference_steps={}, guidance_scale={}).images[0]\n```\n"


def test_the_example_of_its_card_counts_more_than_its_name(tmp_path: Path) -> None:
    family = found(tmp_path, "xl-turbo", README=CARD.format(6, 1.5))
    assert family.own_values == "6 steps, guidance 1.5: the example of its card"


def test_a_card_that_names_one_of_the_two_leaves_the_other_as_it_was(tmp_path: Path) -> None:
    family = found(tmp_path, "xl-turbo", README="pipe(p, num_inference_steps = 2)")
    assert family.own_values == (
        "2 steps: the example of its card; guidance 0: the name says turbo"
    )


@pytest.mark.parametrize(
    "card",
    [
        CARD.format(1, 0.0) + CARD.format(50, 7.5),  # two examples: which of them?
        CARD.format("n", "scale"),
        CARD.format(0, 99),
        CARD.format(9999, "1e3"),
        "prior(num_inference_steps=20, guidance_scale=4.0) decoder(num_inference_steps=10, "
        "guidance_scale=0.0)",
    ],
)
def test_a_card_that_says_no_one_number_says_nothing(tmp_path: Path, card: str) -> None:
    assert found(tmp_path, "x", README=card) == FAMILIES[XL]


def test_a_family_that_needs_few_steps_keeps_its_own_guidance(tmp_path: Path) -> None:
    """A distilled model's name says nothing new of a family that is distilled already."""
    family = found(tmp_path, "ada/quick-lcm", "LatentConsistencyModelPipeline")
    assert (family.steps, family.guidance_scale) == (4, 8.5)


@pytest.mark.parametrize(
    ("loras", "steps", "guidance_scale"),
    [
        ([("latent-consistency/lcm-lora-sdxl", 1.0)], 4, 1.0),
        ([("ada/falcmix", 1.0), ("ByteDance/SDXL-Lightning", 0.7)], 4, 0.0),
        ([("ada/Hyper-SD/sdxl-hyper-8steps", 1.0)], 8, 0.0),
        ([("ada/turbo", 0.0), ("ada/dmd2", -1.0)], 30, 5.0),
        ([("ada/hyper-realistic", 1.0)], 30, 5.0),
        ([], 30, 5.0),
    ],
)
def test_the_name_of_a_lora_says_that_few_steps_are_enough(
    loras: list[tuple[str, float]], steps: int, guidance_scale: float
) -> None:
    family = with_loras(FAMILIES[XL], XL, loras)
    assert (family.steps, family.guidance_scale) == (steps, guidance_scale)


def test_a_lora_of_a_small_world_or_of_a_quick_base_changes_nothing() -> None:
    """``lightning`` is a thing of the small world."""
    loras = [("my-lightning", 1.0)]
    assert with_loras(SMALL_WORLD, SD, loras) == SMALL_WORLD
    quick = FAMILIES["LatentConsistencyModelPipeline"]
    assert with_loras(quick, "LatentConsistencyModelPipeline", loras) == quick
