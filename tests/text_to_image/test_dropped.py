"""Settings of other programs' pictures come into the fields; the rest is named, nothing is run.

The files are made as each program makes them: its keywords, its places, its forms.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipelines.errors import InvalidValue
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits
from pipelines.text_to_image import a1111, pipeline
from pipelines.text_to_image.dropped import Taken, settings_in
from pipelines.text_to_image.files import save_png
from tests.running import finished

FIELDS = {
    "prompt": "a red fox, oil painting",
    "negative_prompt": "blurry, watermark",
    "steps": 25,
    "guidance_scale": 6.5,
    "scheduler": "DPM++ 2M Karras",
    "seed": 1234567890,
    "width": 512,
    "height": 768,
}
"""What each of the pictures below says."""
HERE = ("tiny-painter", "other-painter")

A1111 = """a red fox, oil painting <lora:foxes:0.8>
Negative prompt: blurry, watermark
Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 1234567890, \
Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Denoising strength: 0.7, \
Hires upscale: 2, Hires upscaler: Latent, Lora hashes: "foxes: 0123abcd", Version: v1.10.1"""
COMFY: dict[str, dict[str, Any]] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 1234567890, "steps": 25, "cfg": 6.5, "sampler_name": "dpmpp_2m",
            "scheduler": "karras", "denoise": 1, "model": ["10", 0], "positive": ["6", 0],
            "negative": ["7", 0], "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["12", 0], "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode",
          "inputs": {"text": "blurry, watermark", "clip": ["10", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a", "images": ["8", 0]}},
    "10": {"class_type": "LoraLoader",
           "inputs": {"lora_name": "foxes.safetensors", "strength_model": 0.8,
                      "model": ["4", 0], "clip": ["4", 1]}},
    "12": {"class_type": "PrimitiveString", "inputs": {"value": "a red fox, oil painting"}},
}  # fmt: skip
CANVAS = {
    "nodes": [
        {"id": 3, "type": "KSampler",
         "widgets_values": [1234567890, "randomize", 25, 6.5, "dpmpp_2m", "karras", 1],
         "inputs": [{"name": "positive", "link": 4}, {"name": "negative", "link": 6},
                    {"name": "latent_image", "link": 2}]},
        {"id": 5, "type": "EmptyLatentImage", "widgets_values": [512, 768, 1]},
        {"id": 6, "type": "CLIPTextEncode", "widgets_values": ["a red fox, oil painting"]},
        {"id": 7, "type": "CLIPTextEncode", "widgets_values": ["blurry, watermark"]},
    ],
    "links": [[4, 6, 0, 3, 1, "CONDITIONING"], [6, 7, 0, 3, 2, "CONDITIONING"],
              [2, 5, 0, 3, 3, "LATENT"]],
}  # fmt: skip
CUSTOM: dict[str, dict[str, Any]] = {
    "13": {"class_type": "SamplerCustomAdvanced",
           "inputs": {"noise": ["25", 0], "guider": ["22", 0], "sampler": ["16", 0],
                      "sigmas": ["17", 0], "latent_image": ["5", 0]}},
    "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}},
    "17": {"class_type": "BasicScheduler", "inputs": {"scheduler": "karras", "steps": 25}},
    "22": {"class_type": "CFGGuider",
           "inputs": {"cfg": 6.5, "positive": ["6", 0], "negative": ["7", 0]}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 1234567890}},
    "5": COMFY["5"],
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox, oil painting"}},
    "7": COMFY["7"],
}  # fmt: skip
INVOKE = {
    "generation_mode": "txt2img", "positive_prompt": "a red fox, oil painting",
    "negative_prompt": "blurry, watermark", "width": 512, "height": 768, "seed": 1234567890,
    "cfg_scale": 6.5, "steps": 25, "scheduler": "dpmpp_2m_k", "rand_device": "cpu",
    "model": {"key": "1f2", "name": "dreamshaper", "base": "sd-1"},
    "loras": [{"model": {"name": "foxes"}, "weight": 0.8}], "app_version": "5.4.2",
}  # fmt: skip
OLD_INVOKE = {
    "model": "stable diffusion", "model_weights": "stable-diffusion-1.5",
    "image": {
        "prompt": [{"prompt": "a red fox, oil painting [blurry, watermark]", "weight": 1.0}],
        "steps": 25, "cfg_scale": 6.5, "width": 512, "height": 768, "seed": 1234567890,
        "sampler": "k_lms", "type": "txt2img",
    },
}  # fmt: skip
FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL", "guidance_scale": 6.5,
    "lora_combined_1": "foxes : 0.8", "metadata_scheme": "fooocus",
    "negative_prompt": "blurry, watermark", "performance": "Speed",
    "prompt": "a red fox, oil painting", "resolution": "(512, 768)", "sampler": "dpmpp_2m",
    "scheduler": "karras", "seed": "1234567890", "sharpness": 2.0, "steps": 25,
    "styles": "['Fooocus V2']", "version": "Fooocus v2.5.5",
}  # fmt: skip


def png(path: Path, **texts: str) -> Path:
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword.replace("_metadata", "_metadata"), text)
    Image.new("RGB", (16, 16)).save(path, pnginfo=info)
    return path


def read(path: Path, chosen: str = "tiny-painter") -> Taken:
    return settings_in(path, Limits(), chosen, HERE)


CASES: dict[str, tuple[dict[str, str], str, list[str]]] = {
    "a1111": (
        {"parameters": A1111},
        "AUTOMATIC1111",
        ["model hash: '6ce0161689'", "<lora:foxes:0.8> in the prompt", "hires upscale: '2'",
         "model: 'v1-5-pruned-emaonly'; the one that is chosen here stays",
         "lora hashes: 'foxes: 0123abcd'"],
    ),
    "invoke": (
        {"invokeai_metadata": json.dumps(INVOKE)},
        "InvokeAI",
        ["model: 'dreamshaper'", "loras: [{'model': {'name': 'foxes'}"],
    ),
    "comfy": (
        {"prompt": json.dumps(COMFY), "workflow": json.dumps(CANVAS)},
        "ComfyUI",
        ["model: 'sd15.safetensors'", "LoRA: foxes.safetensors, strength 0.8"],
    ),
    "canvas": ({"workflow": json.dumps(CANVAS)}, "ComfyUI", []),
    "custom": ({"prompt": json.dumps(CUSTOM)}, "ComfyUI", []),
    "fooocus": (
        {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"},
        "Fooocus",
        ["model: 'juggernautXL'", "lora_combined_1: 'foxes : 0.8'", "styles: "],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_settings_of_each_program_are_taken_and_the_rest_is_named(
    tmp_path: Path, name: str
) -> None:
    texts, program, left = CASES[name]
    taken = read(png(tmp_path / "a.png", **texts))
    assert taken.program == program
    assert taken.fields == FIELDS
    for words in left:
        assert any(each.startswith(words) for each in taken.left), (words, taken.left)
    first, *rest = taken.notes()
    assert first.startswith(f"From {program}: ")
    assert all(line.startswith("Not taken: ") for line in rest)


@pytest.mark.parametrize("ending", ["jpg", "webp"])
@pytest.mark.parametrize(("text", "program"), [(A1111, "AUTOMATIC1111"), (FOOOCUS, "Fooocus")])
def test_a_jpeg_and_a_webp_hold_them_in_exif(
    tmp_path: Path, ending: str, text: Any, program: str
) -> None:
    said = text if isinstance(text, str) else json.dumps(text)
    exif = Image.Exif()
    if program == "Fooocus":  # it writes plain text, beside the picture's own fields
        exif[0x9286], exif[0x0131] = said, "Fooocus v2.5.5"
    else:
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + said.encode("utf-16-be")
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (16, 16)).save(path, exif=exif.tobytes())
    taken = read(path)
    assert (taken.program, taken.fields) == (program, FIELDS)


def test_an_old_picture_of_invokeai_has_its_negative_prompt_in_brackets(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("sd-metadata", json.dumps(OLD_INVOKE))
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png", pnginfo=info)
    taken = read(tmp_path / "a.png")
    assert taken.fields == {n: v for n, v in FIELDS.items() if n != "scheduler"}
    assert "scheduler: 'k_lms', which is not here; choose another" in taken.left


@pytest.mark.parametrize(
    ("said", "scheduler"),
    [
        ("Sampler: DPM++ 2M Karras", "DPM++ 2M Karras"),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", "DPM++ 2M Karras"),
        ("Sampler: DPM++ 2M, Schedule type: Uniform", "DPM++ 2M"),
        ("Sampler: Euler a, Schedule type: Automatic", "Euler ancestral"),
        ("Sampler: Euler, Schedule type: Karras", None),
        ("Sampler: DPM2 a", None),
        ("Sampler: UniPC", "UniPC"),
    ],
)
def test_sampler_and_schedule_are_one_scheduler_or_named(
    tmp_path: Path, said: str, scheduler: str | None
) -> None:
    text = f"a cat\nSteps: 9, {said}, Seed: 3, Size: 64x64"
    taken = read(png(tmp_path / "a.png", parameters=text))
    assert taken.fields.get("scheduler") == scheduler
    assert any(each.startswith("scheduler: ") for each in taken.left) == (scheduler is None)


def test_values_out_of_range_are_named_and_not_taken(tmp_path: Path) -> None:
    text = "a cat\nSteps: 900, Sampler: DDIM, CFG scale: 99, Seed: 18446744073709551615, Size: 7x9"
    taken = read(png(tmp_path / "a.png", parameters=text))
    assert taken.fields == {"prompt": "a cat", "negative_prompt": "", "scheduler": "DDIM"}
    assert [each.split()[0] for each in taken.left] == [
        "width", "height", "steps", "guidance_scale", "seed:",
    ]  # fmt: skip


def test_hires_fix_of_comfyui_is_the_second_sampler(tmp_path: Path) -> None:
    again = {**COMFY["3"]["inputs"], "seed": 9, "steps": 10, "latent_image": ["3", 0]}
    graph = {"1": {"class_type": "KSampler", "inputs": again}, **COMFY}
    taken = read(png(tmp_path / "a.png", prompt=json.dumps(graph)))
    assert taken.fields == FIELDS
    assert "a further sampler, KSampler (node 1), as for hires fix" in taken.left


def test_a_negative_prompt_that_is_zeroed_out_is_none(tmp_path: Path) -> None:
    zero = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}
    taken = read(png(tmp_path / "a.png", prompt=json.dumps({**COMFY, "7": zero})))
    assert taken.fields == {n: v for n, v in FIELDS.items() if n != "negative_prompt"}


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    graph = {**COMFY, "12": {"class_type": "Reroute", "inputs": {"a": ["6", 0], "b": ["12", 0]}}}
    assert "prompt" not in read(png(tmp_path / "a.png", prompt=json.dumps(graph))).fields


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"parameters": ""},
        {"parameters": "just a prompt"},
        {"prompt": "[" * 100_000},
        {"prompt": json.dumps({"1": {"class_type": "KSampler"}})},
        {"workflow": '{"nodes": [1, {"type": 7}], "links": [[{}], 3]}'},
        {"invokeai_metadata": '{"a": ' * 100 + "1" + "}" * 100},
        {"invokeai_metadata": '{"steps": ' + "1" * 5_000 + "}"},
        {"parameters": "__import__('os').system('true')"},
    ],
)
def test_what_holds_no_settings_is_refused_with_words(
    tmp_path: Path, texts: dict[str, str]
) -> None:
    with pytest.raises(InvalidValue, match="holds no settings of this page, AUTOMATIC1111"):
        read(png(tmp_path / "a.png", **texts))


def test_hostile_values_are_text_and_take_no_time(tmp_path: Path) -> None:
    graph = {"3": {"class_type": "KSampler", "inputs": {"seed": [], "steps": True, "cfg": {}}}}
    texts = {"prompt": json.dumps(graph)}
    assert read(png(tmp_path / "a.png", **texts)).fields == {}
    long = "a " * 500_000 + "\nSteps: 3, Seed: 4, Size: 64x64, " + "word " * 100_000
    taken = read(png(tmp_path / "b.png", parameters=long))
    assert "prompt" not in taken.fields
    assert any(each.startswith("prompt has 999,999 characters") for each in taken.left)


PROMPTS = [
    "a cat",
    "",
    'a cat: Steps: 20, Seed: 1\nNegative prompt: x, "q" \\ 🐱 <b>&amp;',
    "two\nlines <lora:of-ours:1>",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_our_own_picture_gives_its_fields_back_and_nothing_is_lost(
    studio: Studio, tmp_path: Path, prompt: str
) -> None:
    """The receipt counts; the chunk for other programs stands beside it."""
    request = pipeline.PaintRequest(
        "tiny-painter", prompt, "dull", 2, 3.5, "Euler ancestral", 7, width=64, height=64
    )
    result = finished(pipeline.generate, studio, request)
    (path,) = save_png(result, tmp_path)
    taken = read(Path(path))
    assert taken.fields == {
        "prompt": prompt, "negative_prompt": "dull", "steps": 2, "guidance_scale": 3.5,
        "scheduler": "Euler ancestral", "seed": 7, "width": 64, "height": 64,
    }  # fmt: skip
    assert taken.left == []
    assert read(Path(path), "other-painter").left == [
        "model: 'tiny-painter' is here, too; choose it and drop the picture again"
    ]
    with Image.open(path) as picture:
        assert picture.info["parameters"] == a1111.written(result.receipt["request"])


def test_the_chunk_for_other_programs_has_the_form_of_automatic1111() -> None:
    fields = {**FIELDS, "model": "emoji-painter + night:0.5"}
    text = a1111.written(fields)
    assert text == (
        "a red fox, oil painting\nNegative prompt: blurry, watermark\nSteps: 25, "
        "Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 1234567890, "
        'Size: 512x768, Model: "emoji-painter + night:0.5", Version: Triptych'
    )
    read_back = a1111.read(text)
    assert read_back["prompt"] == FIELDS["prompt"]
    assert read_back["Model"] == "emoji-painter + night:0.5"
    own = {**fields, "negative_prompt": "", "scheduler": "Model's own", "guidance_scale": 4.0}
    assert a1111.written(own).splitlines()[1].startswith("Steps: 25, CFG scale: 4, Seed: ")


def test_a_last_line_with_fewer_than_three_values_is_of_the_prompt() -> None:
    assert a1111.read("a cat\nseed: 3, of what: 4") == {
        "prompt": "a cat\nseed: 3, of what: 4",
        "negative prompt": "",
    }
