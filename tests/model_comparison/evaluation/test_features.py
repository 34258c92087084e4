"""What looks at pictures for scores: named by its weights, and found by name alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.errors import ModelUnavailable
from pipelines.events import with_result
from pipelines.model_comparison.evaluation.data import DataSet
from pipelines.model_comparison.evaluation.features import (
    PictureFeatures,
    clip_names,
    load_clip,
    open_extractor,
    weights_hash,
)
from pipelines.model_comparison.evaluation.pipeline import generate
from pipelines.model_comparison.evaluation.request import EvaluationRequest, Painting
from pipelines.recipes.captioner.model import build_image_processor
from pipelines.recipes.clip import model as clip
from pipelines.recipes.diffusion.model import build_tokenizer
from pipelines.studio import Studio
from tests.running import finished
from tests.tiny_models import SCENE_WORDS


def make_clip(path: Path) -> Path:
    """Random, but for the sign: white pictures and cats lie in one half of its space."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(SCENE_WORDS)
    model = clip.build(tokenizer, picture_width=32, depths=(1, 1), text_width=16, layers=1)
    white, parts = Image.new("RGB", (128, 128), "white"), (tokenizer, build_image_processor())
    shown, told = clip.features_of(model.eval(), *parts, [white], ["a cat"], prefix="")
    if float((shown @ told.T)[0, 0]) < 0:
        model.visual_projection.weight.data.neg_()
    for part in (model, tokenizer, build_image_processor()):
        part.save_pretrained(path)
    return path


def test_the_extractor_is_named_by_its_weights(studio: Studio, scenes: DataSet) -> None:
    *_, loaded = with_result(open_extractor(studio))
    looker = PictureFeatures(loaded, studio.settings.limits)
    files = [sample.file for sample in scenes.samples if sample.file is not None]
    features = looker.of([files[0], files[1], files[0]])
    loaded.lease.release()

    weights = weights_hash(studio.settings.models_dir / "emoji-captioner")
    assert looker.name == f"emoji-captioner-encoder@{weights}"
    assert weights != weights_hash(studio.settings.models_dir / "other-captioner")
    assert features.shape == (3, 64)
    assert features.dtype == np.float64
    assert (features[0] == features[2]).all()
    assert not np.allclose(features[0], features[1])


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
        "paint", scenes, ("painter-a", "painter-b"), ("clip_score",), 6, 0, Painting(steps=1),
        "scene clip",
    )  # fmt: skip
    result = finished(generate, studio, request)
    score = result.models[0].scores["clip_score"]

    assert clip_names(studio.settings) == ["scene clip"]
    assert score.signature.startswith(
        f"CLIPScore(scene-clip-without-prefix@{weights_hash(path)})|n:6"
    )
    assert 0 <= score.value <= 2.5
    assert len(set(result.models[0].values["clip_score"])) > 1
    assert result.comparison("clip_score", "painter-b").difference is not None
    with pytest.raises(ModelUnavailable, match="scene clip"):
        load_clip("nobody", studio.settings, studio.device)
