"""What looks at pictures for scores: named by its weights, and found by name alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipelines.datasets.samples import DataSet
from pipelines.errors import LoadFailed
from pipelines.evaluation.clips import clip_names
from pipelines.evaluation.features import (
    open_captioner,
    open_clip,
    picture_reader,
    weights_hash,
)
from pipelines.evaluation.outputs import Extractors, Outputs
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.request import EvaluationRequest, Painting
from pipelines.evaluation.scores import METRICS, needs_of
from pipelines.evaluation.store import Output
from pipelines.events import with_result
from pipelines.recipes.captioner.model import build_image_processor
from pipelines.recipes.clip import model as clip
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.runtime.studio import Studio
from tests.running import finished
from tests.tiny_models import SCENE_WORDS


def make_clip(path: Path) -> Path:
    """Random, but all pictures and cats lie in one half of its space."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(SCENE_WORDS)
    model = clip.build(tokenizer, picture_width=32, depths=(1, 1), text_width=16, layers=1)
    common = model.get_parameter("vision_model.layernorm.bias")
    common.data.fill_(1.0)  # what all pictures have in common
    white, parts = Image.new("RGB", (128, 128), "white"), (tokenizer, build_image_processor())
    shown, told = clip.features_of(model.eval(), *parts, [white], ["a cat"], prefix="")
    if float((shown @ told.T)[0, 0]) < 0:
        model.visual_projection.weight.data.neg_()
    for part in (model, tokenizer, build_image_processor()):
        part.save_pretrained(path)
    return path


def test_clip_score_is_of_picture_and_prompt(
    studio: Studio, scenes: DataSet, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / "extra" / "scene clip")
    (tmp_path / "extra" / "broken").mkdir()
    (tmp_path / "extra" / "broken" / "config.json").write_text("[]")
    (tmp_path / "extra" / "other").mkdir()
    (tmp_path / "extra" / "other" / "config.json").write_text(json.dumps({"architectures": "x"}))
    studio = Studio(replace(studio.settings, extra_models_dir=tmp_path / "extra"))
    request = EvaluationRequest(
        "paint", scenes, ("painter-a", "painter-b"), ("clip_score",), 8, 0, Painting(steps=1),
        "scene clip",
    )  # fmt: skip
    result = finished(generate, studio, request)
    score = result.models[0].scores["clip_score"]

    assert clip_names(studio.settings) == ["scene clip"]
    assert score.signature.startswith(
        f"CLIPScore(scene-clip-without-prefix@{weights_hash(path)})|n:8"
    )
    assert 0 <= score.value <= 2.5
    assert len(set(result.models[0].values["clip_score"])) > 1
    assert result.comparison("clip_score", "painter-b").difference is not None
    assert result.request.clip == "scene clip"
    assert all(resident.users == 0 for resident in studio.residency.residents())


def test_a_caption_is_held_against_its_picture(
    studio: Studio, scenes: DataSet, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / "extra" / "scene-clip")
    settings = replace(studio.settings, extra_models_dir=tmp_path / "extra")
    *_, (lease, features) = with_result(open_clip(Studio(settings), "scene-clip"))
    lease.release()
    extractors = Extractors(clip=features)
    captions = ["a cat", "a dog", "a cat face on a white background"]
    metric = METRICS["caption_clip_score"]

    def score_of(said: list[str]) -> list[float]:
        captions = {"caption": [Output(text=text) for text in said]}
        outputs = Outputs(scenes, scenes.samples[:3], captions, [], extractors, 0)
        score, values = metric.score(outputs), metric.values(outputs)
        assert score.signature.startswith(
            f"CLIPScore(scene-clip-without-prefix@{weights_hash(path)})|n:3"
        )
        assert values is not None
        assert score.value == pytest.approx(sum(values) / 3)
        return values

    values, turned = score_of(captions), score_of(captions[::-1])
    assert values[1] == turned[1]  # the same caption of the same picture
    assert values[0] != turned[2]  # the same caption of another picture
    assert needs_of(["bleu", "caption_clip_score"]) == {"clip"}


def test_a_clip_that_cannot_be_opened_is_told(studio: Studio, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "extra" / "scene-clip")
    (path / "preprocessor_config.json").unlink()
    studio = Studio(replace(studio.settings, extra_models_dir=tmp_path / "extra"))
    with pytest.raises(
        LoadFailed, match=r"scene-clip could not be loaded .* leave CLIPScore and recall out"
    ):
        list(with_result(open_clip(studio, "scene-clip")))
    assert studio.residency.residents() == []


def test_a_round_trip_is_what_the_reader_sees_against_the_prompt(
    studio: Studio, scenes: DataSet
) -> None:
    *_, loaded = with_result(open_captioner(studio))
    reader = picture_reader(loaded, studio.settings.limits)
    files = [sample.file for sample in scenes.samples[:4] if sample.file is not None]
    read = reader.of(files)
    assert reader.of(files[::-1]) == read[::-1]
    loaded.lease.release()
    assert all(text == text.strip() for text in read)
    assert reader.name.startswith(
        f"emoji-captioner@{weights_hash(studio.settings.models_dir / 'emoji-captioner')},"
    )

    def scores(prompts: list[str]) -> dict[str, float]:
        samples = [
            replace(sample, text=text)
            for sample, text in zip(scenes.samples, prompts, strict=False)
        ]
        outputs = Outputs(scenes, samples, {"picture": []}, files, Extractors(reader=reader), 0)
        found = {}
        for name in ("round_trip_cider", "round_trip_rouge_l", "round_trip_exact"):
            score, values = METRICS[name].score(outputs), METRICS[name].values(outputs)
            assert score.signature.startswith(f"round-trip({reader.name})|")
            assert values is not None
            assert score.value == pytest.approx(sum(values) / 4)
            found[name] = score.value
            assert needs_of([name]) == {"reader"}
        return found

    right = scores([text + " !" for text in read])  # punctuation is no word
    assert right["round_trip_exact"] == right["round_trip_rouge_l"] == 1
    wrong = scores(["nothing of it"] * 4)
    assert set(wrong.values()) == {0}
    half = scores([*read[:2], "nothing of it", "nothing of it"])
    assert half["round_trip_exact"] == 0.5
    assert 0 < half["round_trip_rouge_l"] < 1
