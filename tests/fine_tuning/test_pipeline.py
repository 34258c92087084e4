"""Fine-tunes from the page: what is asked is checked, what is started is a real process."""

from __future__ import annotations

import json
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import InvalidValue, StudioError
from pipelines.events import with_result
from pipelines.fine_tuning import jobs
from pipelines.fine_tuning.pipeline import (
    FineTuned,
    FineTuneRequest,
    Learning,
    TextReport,
    check_data,
    checked,
    follow,
    generate,
)
from pipelines.hub import local_names
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_generation.pipeline import generate as write
from tests.tiny_models import make_writer

TEXT = "The wolf went to the house of the old woman, and the old woman opened the door. " * 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_writer(tmp_path / "shipped" / "tiny")
    return Settings(models_dir=tmp_path / "shipped", data_dir=tmp_path / "data", hub_enabled=False)


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    file = tmp_path / "uploaded tale.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.fixture
def request_(tale: Path) -> FineTuneRequest:
    return FineTuneRequest("write", "tiny", "my-tune", (tale,), minutes=0.2, rank=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "sing"}, "task is 'sing'; choose one of: write, paint, describe"),
        ({"name": "../up"}, "small letters, digits and hyphens"),
        ({"name": None}, "name is None"),
        ({"name": "tiny"}, "There is a tiny already"),
        ({"data": ()}, "data are 0 files; give .txt files"),
        ({"data": None}, "data are 0 files"),
        ({"data": (Path("a.exe"),)}, "'a.exe' is of another kind; give .txt files"),
        ({"task": "paint", "data": (Path("a.zip"), Path("b.zip"))}, "data are 2 files; give one"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"minutes": 1000}, "minutes is 1000; give a number from 0.2 to 240"),
        ({"rank": 5}, "rank is '5'; choose one of: 0, 4, 8"),
        ({"learning_rate": 1.0}, "learning_rate is 1.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_bad_field_is_named_with_what_is_allowed(
    settings: Settings, request_: FineTuneRequest, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message.replace("(", r"\(")):
        checked(replace(request_, **changes), settings)  # type: ignore[arg-type]


def test_texts_are_counted_and_their_faults_named(settings: Settings, tale: Path) -> None:
    files = {
        "empty.txt": b"  \n",
        "latin.txt": "Märchen".encode("latin-1"),
        "again.txt": TEXT.encode(),
    }
    for name, content in files.items():
        (tale.parent / name).write_bytes(content)
    paths = (tale, *(tale.parent / name for name in files))
    report = check_data("write", paths, settings.limits)
    assert isinstance(report, TextReport)
    assert (report.files, report.words) == (4, 2 * len(TEXT.split()))
    assert report.problems == (
        "empty.txt is empty.",
        "latin.txt is not UTF-8 text (byte 1).",
        "again.txt is the same as uploaded tale.txt.",
    )


def test_a_zip_without_captions_is_refused_before_anything_starts(
    settings: Settings, tmp_path: Path
) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("0.png", b"")
    with pytest.raises(InvalidValue, match=r"no metadata\.jsonl"):
        check_data("paint", (archive,), settings.limits)


def test_a_fine_tune_becomes_a_model_that_writes(
    settings: Settings, request_: FineTuneRequest
) -> None:
    studio = Studio(settings)
    *events, tuned = with_result(generate(studio, request_))
    assert isinstance(tuned, FineTuned)
    assert tuned.curves["held_out_loss"]
    assert any(isinstance(event, Learning) for event in events)
    assert tuned.samples is not None
    assert "uploaded" not in tuned.card, "names of strangers are not kept"
    assert local_names(settings, "write") == ["tiny", "my-tune"]
    *_, plain = with_result(write(studio, TextRequest("tiny", "The wolf", 8, seed=1)))
    *_, result = with_result(write(studio, TextRequest("my-tune", "The wolf", 8, seed=1)))
    assert result.text != plain.text
    with pytest.raises(InvalidValue, match="There is a my-tune already"):
        checked(request_, settings)


def test_closing_the_page_leaves_it_running_and_stop_ends_it(
    settings: Settings, request_: FineTuneRequest
) -> None:
    studio = Studio(settings)
    run = generate(studio, replace(request_, minutes=30))
    assert any(isinstance(event, Learning) for event in run)
    run.close()
    (job,) = jobs.jobs(settings)
    assert jobs.state(job) == "running"
    other = replace(request_, name="another")
    with pytest.raises(InvalidValue, match="my-tune is being trained"):
        list(generate(studio, other))
    jobs.stop(job)
    assert jobs.state(job) == "stopped"
    with pytest.raises(StudioError, match="was stopped"):
        list(follow(settings, job))
    assert local_names(settings, "write") == ["tiny"]
    assert checked(request_, settings).name == "my-tune", "the name is free again"


def test_what_went_wrong_is_told_in_the_words_of_the_training(
    settings: Settings, request_: FineTuneRequest
) -> None:
    request_.data[0].write_text("Too short.", encoding="utf-8")
    with pytest.raises(StudioError, match=r"my-tune could not be trained.*characters"):
        list(generate(Studio(settings), request_))


def test_a_process_that_has_the_number_of_an_old_one_is_not_the_job(settings: Settings) -> None:
    folder = jobs.new_folder(settings, "old")
    fields = {
        "name": "old", "task": "write", "base": "tiny", "minutes": 1.0, "pid": os.getpid(),
        "started": time.time() - 10_000_000, "folder": None,
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(fields), encoding="utf-8")
    (job,) = jobs.jobs(settings)
    assert jobs.state(job) == "failed"
    jobs.stop(job)  # and this process lives on


def test_a_line_of_the_log_that_is_being_written_is_waited_for(settings: Settings) -> None:
    folder = jobs.new_folder(settings, "half")
    (folder / "run").mkdir()
    (folder / "run/log.jsonl").write_text('{"step": 1, "seconds": 2, "loss": 3.5}\n{"step": 2, "lo')
    job = jobs.Job("half", "write", "tiny", 1.0, 1, 0.0, folder)
    assert jobs.curves(job) == {"loss": [(1, 3.5)]}
