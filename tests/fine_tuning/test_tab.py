"""What the Fine-tune tab says of data, and what it shows while a model is trained."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from pipelines.events import Progress
from pipelines.fine_tuning.data_words import in_words
from pipelines.fine_tuning.pipeline import Learning, check_data
from pipelines.fine_tuning.tab import _build_view, _updates
from pipelines.settings import Limits


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ((1, 1), None),
        ((3, 3), "3 captions a picture, one drawn at each showing."),
        ((1, 3), "1 to 3 captions a picture, one drawn at each showing."),
    ],
)
def test_several_captions_are_said_with_what_is_done_with_them(
    tmp_path: Path, counts: tuple[int, int], line: str | None
) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        rows = []
        for number in range(10):
            name, count = f"{number}.png", counts[number % 2]
            Image.new("RGB", (32, 32), (number * 20, 90, 200)).save(tmp_path / name)
            file.write(tmp_path / name, name)
            rows += [{"file_name": name, "text": f"picture {i}"} for i in range(count)]
        file.writestr("metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    lines = in_words(check_data("describe", (archive,), Limits())).splitlines()
    assert lines[1] == "Enough to train: 8 pictures to train on, 2 held out."
    assert [each for each in lines if "captions" in each] == ([line] if line else [])


def test_a_start_that_fails_before_it_trains_leaves_the_finished_card() -> None:
    with gr.Blocks():
        view, _ = _build_view()
    loading = Learning(Progress("Loading the base"), {})
    first, second = ({"loss": [(step, 3.0) for step in range(count)]} for count in (1, 2))
    updates = list(
        _updates(
            view, iter([loading, *(Learning(Progress("Training"), c) for c in (first, second))])
        )
    )
    assert set(updates[0]) == {view.status}
    assert updates[1][view.card] == ""
    assert len(updates[1][view.curve]) == 2
    assert set(updates[2]) == {view.status, view.curve}


def test_pictures_of_which_none_can_be_used_are_said_without_a_word_too_many(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(10):
            file.writestr(f"{number}.png", b"no picture")
            file.writestr(f"{number}.txt", "a dog")
    first, _, broken, few, how = in_words(check_data("describe", (archive,), Limits())).splitlines()
    assert first == "0 usable pictures of 10"
    assert broken.startswith("10 pictures that cannot be used: 0.png (The file is no picture")
    assert broken.endswith("(HEIC is HEIF)) and 7 more.")
    assert few == "0 usable pictures; at least 8 are needed."
    assert how == "10 captions from .txt files beside the pictures."
