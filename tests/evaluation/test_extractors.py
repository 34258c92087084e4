"""What looks at pictures for KID and FID: named by its weights, InceptionV3 known by its header."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipelines.datasets.samples import DataSet
from pipelines.errors import LoadFailed, ModelUnavailable, OutOfBudget, StudioError
from pipelines.evaluation import extractors
from pipelines.evaluation.card import card, request_of
from pipelines.evaluation.extractors import (
    INCEPTION,
    extractor_names,
    open_extractor,
)
from pipelines.evaluation.features import PictureFeatures, weights_hash
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.replay import compared, replay
from pipelines.evaluation.request import EvaluationRequest, Painting
from pipelines.events import Progress, with_result
from pipelines.runtime.residency import Lease
from pipelines.runtime.studio import Studio
from pipelines.settings import ROOT
from tests.recipes.inception_weights import weights, write_weights
from tests.running import finished


@pytest.fixture(scope="session")
def inception_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model directory; the weights are in a folder, under a name that says nothing."""
    directory = tmp_path_factory.mktemp("inception")
    path = write_weights(directory / "folder" / "weights.safetensors")
    yield directory
    path.unlink()


def beside(studio: Studio, directory: Path) -> Studio:
    return Studio(replace(studio.settings, extra_models_dir=directory))


def opened(studio: Studio, name: str) -> tuple[Lease, PictureFeatures]:
    *_, (lease, extractor) = with_result(open_extractor(studio, name))
    return lease, extractor


def files_of(scenes: DataSet) -> list[Path]:
    return [sample.file for sample in scenes.samples if sample.file is not None]


def test_the_embedded_extractor_is_named_by_its_weights(studio: Studio, scenes: DataSet) -> None:
    lease, extractor = opened(studio, "emoji-captioner")
    files = files_of(scenes)
    features = np.stack(extractor.of([files[0], files[1], files[0]]))
    lease.release()

    known = weights_hash(studio.settings.models_dir / "emoji-captioner")
    assert extractor.name == f"emoji-captioner-encoder@{known}"
    assert known != weights_hash(studio.settings.models_dir / "other-captioner")
    assert features.shape == (3, 64)
    assert features.dtype == np.float64
    assert (features[0] == features[2]).all()
    assert not np.allclose(features[0], features[1])


def test_inception_is_known_by_its_header_and_is_one_of_the_models_in_memory(
    studio: Studio, scenes: DataSet, inception_dir: Path
) -> None:
    assert extractor_names(studio.settings) == ["emoji-captioner"]
    studio = beside(studio, inception_dir)
    assert extractor_names(studio.settings) == ["emoji-captioner", INCEPTION]

    lease, extractor = opened(studio, INCEPTION)
    known = weights_hash(inception_dir / "folder" / "weights.safetensors")
    assert extractor.name == f"InceptionV3-2015-12-05@{known}"
    (resident,) = studio.residency.residents()
    assert (resident.key, resident.users) == (extractor.name, 1)
    assert 87e6 < resident.size_bytes < 88e6, "float32, without the classifier"
    files = files_of(scenes)[:2]
    assert np.stack(extractor.of(files)).shape == (2, 2048)
    again, _ = opened(studio, INCEPTION)
    assert again.model is lease.model
    for held in (lease, again):
        held.release()
    small = Studio(replace(studio.settings, memory_budget_bytes=90_000_000))
    with pytest.raises(OutOfBudget, match="InceptionV3-2015-12-05 needs about"):
        opened(small, INCEPTION)


def _nothing(directory: Path) -> None:
    directory.mkdir()


def _torchvision(directory: Path) -> None:
    directory.mkdir()
    few = {"Conv2d_1a_3x3.conv.weight": torch.zeros(1), "fc.weight": torch.zeros(1000, 1)}
    save_file(few, directory / "inception.safetensors")


def _headless(directory: Path) -> None:
    directory.mkdir()
    save_file({"Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, directory / "x.safetensors")


def _pickle(directory: Path) -> None:
    (directory / "weights").mkdir(parents=True)
    (directory / "weights" / "pt_inception-2015.pth").write_bytes(b"never read")


def _others(directory: Path) -> None:
    directory.mkdir()
    save_file({"fc.weight": torch.zeros(1008, 1)}, directory / "no-inception.safetensors")
    (directory / "broken.safetensors").write_bytes(b"inception")
    (directory / "other.pth").write_bytes(b"never read")


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (_nothing, "not on this machine.*--model-dir"),
        (_others, "not on this machine.*--model-dir"),
        (_torchvision, r"inception.safetensors is an InceptionV3 of 1,000 classes.*1,008"),
        (_headless, "x.safetensors is an InceptionV3 without its classifier, fc.weight"),
        (_pickle, "(?s)pt_inception-2015.pth is a pickle.*save_file.*pt_inception-2015.safeten"),
    ],
)
def test_what_is_there_in_its_place_is_told(
    studio: Studio, tmp_path: Path, fill: Callable[[Path], None], words: str
) -> None:
    fill(tmp_path / "models")
    studio = beside(studio, tmp_path / "models")

    assert extractor_names(studio.settings) == ["emoji-captioner"]
    with pytest.raises(ModelUnavailable, match=words) as caught:
        opened(studio, INCEPTION)
    assert "emoji-captioner, which ships" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_the_readme_tells_the_command_that_converts() -> None:
    told = extractors._CONVERT.format("pt_inception-2015-12-05-6726825d.pth", "inception")
    assert told in (ROOT / "pipelines/evaluation/README.md").read_text(encoding="utf-8")


def test_a_pickle_is_converted_by_the_command_that_is_told(studio: Studio, tmp_path: Path) -> None:
    tensors = weights() | {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}
    name = "Conv2d_2a_3x3.conv.weight"
    tensors[name] = tensors[name].permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)
    torch.save(tensors, tmp_path / "inception.pth")
    studio = beside(studio, tmp_path)
    with pytest.raises(ModelUnavailable) as caught:
        opened(studio, INCEPTION)
    command = str(caught.value).splitlines()[1]
    assert command.startswith('python -c "')
    program = command.removeprefix('python -c "').removesuffix('"')
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)

    lease, extractor = opened(studio, INCEPTION)
    lease.release()
    assert extractor.name.startswith("InceptionV3-2015-12-05@")
    assert torch.equal(lease.model.Conv2d_2a_3x3.conv.weight, tensors[name])
    for path in tmp_path.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (torch.zeros(32, 3, 3, 3), r"Conv2d_1a_3x3\.bn\.weight"),
        (torch.zeros(32, 3, 3, 1), r"Conv2d_1a_3x3\.conv\.weight"),
        (torch.zeros(32, 3, 3, 3).half(), r"Conv2d_1a_3x3\.conv\.weight"),
    ],
    ids=["missing", "shape", "half"],
)
def test_a_file_that_is_not_whole_is_refused(
    studio: Studio, tmp_path: Path, first: torch.Tensor, words: str
) -> None:
    tensors = {"Conv2d_1a_3x3.conv.weight": first, "fc.weight": torch.zeros(1008, 2048)}
    save_file(tensors, tmp_path / "weights.safetensors")
    studio = beside(studio, tmp_path)
    with pytest.raises(LoadFailed, match=f"{words} the first. Convert"):
        opened(studio, INCEPTION)
    assert studio.residency.residents() == []


def test_scores_cards_and_replays_are_of_the_extractor_that_was_asked_for(
    studio: Studio, scenes: DataSet, inception_dir: Path
) -> None:
    metrics = ("kid", "fid", "diversity", "round_trip_exact")
    request = EvaluationRequest(
        "paint", scenes, ("painter-a", "painter-b"), metrics, 3, 0, Painting(steps=1),
        extractor=INCEPTION,
    )  # fmt: skip
    with pytest.raises(ModelUnavailable, match="not on this machine"):
        finished(generate, studio, request)
    studio = beside(studio, inception_dir)
    told = list(with_result(generate(studio, request)))
    result = told[-1]

    signed = f"InceptionV3-2015-12-05@{weights_hash(inception_dir)}"
    scores = result.models[0].scores
    assert scores["fid"].signature.startswith(f"FID({signed})|n:3|m:12|d:2048|")
    assert scores["kid"].signature.startswith(f"KID({signed})|n:3|m:12|d:2048|")
    assert scores["diversity"].signature.startswith(f"mean_cosine_distance({signed})|n:3|")
    assert scores["round_trip_exact"].signature.startswith("round-trip(emoji-captioner@")
    assert scores["fid"].warning is not None
    messages = [item.message for item in told if isinstance(item, Progress)]
    assert "Reading the real pictures" in messages
    assert "Reading the pictures of painter-b" in messages
    assert all(resident.users == 0 for resident in studio.residency.residents())

    old = card(result)
    assert old["request"]["extractor"] == INCEPTION
    assert request_of(old, scenes) == result.request
    *_, again = with_result(replay(studio, old, scenes))
    assert again.is_equal
    assert again.made["models"][0]["scores"]["kid"] == old["models"][0]["scores"]["kid"]

    embedded = card(finished(generate, studio, replace(request, extractor=None)))
    assert embedded["request"]["extractor"] == "emoji-captioner"
    assert embedded["models"][0]["scores"]["kid"]["value"] != scores["kid"].value
    last = compared(old, {**embedded, "versions": old["versions"]})[-1].text
    assert last == "What differs may be because of the signature of KID, signature of FID and " \
        "signature of Diversity."  # fmt: skip
    del embedded["request"]["extractor"]  # a card from before there was a choice
    assert request_of(embedded, scenes).extractor is None


def test_an_unknown_extractor_is_refused_with_those_there_are(
    studio: Studio, scenes: DataSet
) -> None:
    request = EvaluationRequest("paint", scenes, ("painter-a", "painter-b"), extractor="clip")
    with pytest.raises(StudioError, match=r"'clip'.*emoji-captioner, InceptionV3-2015-12-05"):
        finished(generate, studio, request)
