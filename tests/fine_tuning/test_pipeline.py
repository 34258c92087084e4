"""Fine-tunes from the page: what is asked is checked, what is started is a real process."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from app import build_app
from pipelines.errors import InvalidValue, StudioError
from pipelines.events import Progress, with_result
from pipelines.files.texts import TextReport
from pipelines.fine_tuning import endings, jobs
from pipelines.fine_tuning.pipeline import (
    FineTuned,
    FineTuneRequest,
    Learning,
    check_data,
    checked,
    follow,
    generate,
)
from pipelines.hub import local_names
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.tasks import TASKS
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_generation.pipeline import generate as write
from tests.fine_tuning.conftest import TEXT
from tests.tiny_models import make_writer


@pytest.fixture
def request_(tale: Path) -> FineTuneRequest:
    return FineTuneRequest("write", "tiny", "my-tune", (tale,), minutes=0.2, rank=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "sing"}, "task is 'sing'; choose one of: write, paint, describe"),
        ({"name": "?!"}, "name is '?!'; give 2 to 40 letters and digits, such as Ship Log"),
        ({"name": "x" * 41}, "give 2 to 40 letters"),
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
        ({"batch_size": 1000}, "batch_size is 1000; give a whole number from 1 to 256, or 0 for"),
        ({"batch_size": True}, "batch_size is True"),
        ({"window": 8}, "window is 8; give a whole number from 16 to 32768, or 0 for the recipe's"),
        ({"task": "paint", "window": 64}, "window is 64; pictures have no window, so give 0"),
    ],
)
def test_a_bad_field_is_named_with_what_is_allowed(
    settings: Settings, request_: FineTuneRequest, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidValue, match=re.escape(message)):
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
    assert report.problems == ("latin.txt is not UTF-8 text (byte 1). Save it as UTF-8.",)
    assert report.notes == ("empty.txt is empty.", "again.txt is the same as uploaded tale.txt.")


def test_texts_that_cannot_be_trained_on_are_refused_before_anything_starts(
    settings: Settings, request_: FineTuneRequest
) -> None:
    request_.data[0].write_text("Too short.", encoding="utf-8")
    with pytest.raises(InvalidValue, match="10 characters are too few"):
        list(generate(Studio(settings), request_))
    assert not jobs.jobs(settings)


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
    assert "`uploaded tale.txt`" in tuned.card
    assert local_names(settings, "write") == ["tiny", "my-tune"]
    *_, plain = with_result(write(studio, TextRequest("tiny", "The wolf", 8, seed=1)))
    *_, result = with_result(write(studio, TextRequest("my-tune", "The wolf", 8, seed=1)))
    assert result.text != plain.text
    with pytest.raises(InvalidValue, match="There is a my-tune already"):
        checked(request_, settings)


def test_batch_size_and_window_are_the_visitor_s_and_stand_on_the_card(
    settings: Settings, request_: FineTuneRequest
) -> None:
    small = replace(request_, batch_size=1, window=16)
    *_, tuned = with_result(generate(Studio(settings), small))
    assert "| batch size | 1 |\n| window | 16 tokens |" in tuned.card
    assert "--batch-size 1 " in tuned.card
    assert "--window 16`" in tuned.card
    assert checked(replace(small, name="own", batch_size=0, window=None), settings) == checked(
        replace(request_, name="own"), settings
    )


def test_a_window_that_the_base_cannot_read_starts_nothing(
    settings: Settings, request_: FineTuneRequest
) -> None:
    run = generate(Studio(settings), replace(request_, window=8_000))
    with pytest.raises(InvalidValue, match=r"window is 8,000 tokens; the base reads at most \d+\."):
        assert not [event for event in run if isinstance(event, Learning)]
    assert not jobs.jobs(settings)


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


def write_job(settings: Settings, name: str, **changes: object) -> Path:
    """The folder of a job that has no process."""
    folder = jobs.new_folder(settings, name)
    write_record(folder, **changes)
    return folder


def write_record(folder: Path, **changes: object) -> None:
    """As this version writes it."""
    name = folder.name
    fields = {"name": name, "task": "write", "base": "tiny", "minutes": 1.0, "pid": os.getpid()}
    record = fields | {"folder": None, "number": 1, "result": name} | changes
    (folder / "job.json").write_text(json.dumps(record), encoding="utf-8")


def run_to_its_end(folder: Path, program: str) -> None:
    jobs.launch(folder, [sys.executable, "-c", program])
    (job,) = [job for job in jobs.jobs(settings_of(folder)) if job.folder == folder]
    deadline = time.monotonic() + 30
    while jobs.state(job) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def settings_of(folder: Path) -> Settings:
    return Settings(data_dir=folder.parents[1], hub_enabled=False)


WARNING = "import sys; print('a.py:3: UserWarning: odd\\n  warnings.warn(', flush=True); "


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (
            "import os; os.kill(os.getpid(), 9)",
            r'the system ended it \(SIGKILL\).*smaller "Batch size"',
        ),
        ("raise MemoryError", 'memory ran out.*smaller "Base"'),
        ("raise RuntimeError('CUDA out of memory. Tried')", 'memory ran out.*smaller "Window"'),
        ("import os; os.kill(os.getpid(), 15)", r"ended from outside.*SIGTERM"),
        ("sys.exit('There is no data.')", r"There is no data\.$"),
        ("sys.exit('The data are ' + 300 * 'not ' + 'ready.')", r"The data are not .* ready\.$"),
        ("sys.exit('The data' + 700 * ' are not')", r"The data are not .*…$"),
        ("sys.exit(3)", r"it printed nothing \(status 3\)$"),
    ],
)
def test_the_cause_of_a_failure_is_said_in_words(
    settings: Settings, program: str, words: str
) -> None:
    folder = write_job(settings, "tune")
    run_to_its_end(folder, WARNING + program)
    (job,) = jobs.jobs(settings)
    with pytest.raises(StudioError, match=f"tune could not be trained: .*{words}"):
        list(follow(settings, job))


def test_advice_names_fields_that_the_tab_has(settings: Settings) -> None:
    labels = {
        field.label for field in build_app(settings).blocks.values() if hasattr(field, "label")
    }
    for task in TASKS:
        write_job(settings, "tune", task=task)
        (job,) = jobs.jobs(settings)
        named = re.findall('"([^"]+)"', endings.why(job.folder, job.task))
        assert len(named) == (5 if task == "write" else 4)
        assert set(named) <= labels
        assert ("Window" in named) == (task == "write"), "pictures have none"


def test_a_process_that_ended_with_the_machine_says_so(settings: Settings) -> None:
    write_job(settings, "tune")
    (job,) = jobs.jobs(settings)
    with pytest.raises(StudioError, match="ended without a word: the machine was started anew"):
        list(follow(settings, job))


def test_a_record_of_an_earlier_version_opens_and_its_pid_means_nothing(settings: Settings) -> None:
    folder = jobs.new_folder(settings, "old")
    fields = {
        "name": "old", "task": "write", "base": "tiny", "minutes": 1.0, "pid": os.getpid(),
        "started": time.time(), "folder": None,
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(fields), encoding="utf-8")
    (job,) = jobs.jobs(settings)
    assert jobs.state(job) == "failed"
    jobs.stop(job)  # and this process lives on
    (folder / "output").mkdir()
    (folder / "output/README.md").write_text("---\n---\n# output\n")
    assert jobs.state(job) == "finished"


def test_a_fine_tune_that_nobody_watched_is_in_the_pickers_all_the_same(settings: Settings) -> None:
    """Its page was closed; later somebody opens the page, or a tab of it."""
    folder = write_job(settings, "unwatched", result="unwatched")
    make_writer(folder / "unwatched")
    (folder / "unwatched/README.md").write_text("---\n---\n# unwatched\n")
    handlers = build_app(settings).fns.values()
    fresh = next(each for each in handlers if getattr(each.fn, "__module__", "") == "app")
    assert fresh.name == "offer"
    pickers = fresh.fn(*["write"] * len(fresh.inputs))  # type: ignore[misc]
    listed = {block.elem_id: update["choices"] for block, update in pickers.items()}
    assert listed["write-model"] == ["tiny", "unwatched"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "torn"}', '{"name": 3, "pid": "x"}'])
def test_a_broken_record_is_named_and_stops_nobody(
    settings: Settings, request_: FineTuneRequest, text: str
) -> None:
    write_job(settings, "whole")
    (write_job(settings, "torn") / "job.json").write_text(text)
    assert [job.name for job in jobs.jobs(settings)] == ["whole"]
    (note,) = jobs.notes(settings)
    assert "The job.json of torn cannot be read" in note
    assert checked(request_, settings).name == "my-tune"
    with pytest.raises(InvalidValue, match=r"torn was started before, and its job\.json cannot"):
        checked(replace(request_, name="torn"), settings)


def test_a_record_is_whole_or_not_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = jobs.new_folder(settings, "tune")

    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        jobs.start(settings, "write", folder, "tiny", folder, folder, [], 1.0)
    assert not (folder / "job.json").exists()


def test_progress_and_order_come_from_what_the_job_wrote_and_from_no_clock(
    settings: Settings,
) -> None:
    later = write_job(settings, "later", number=2)
    earlier = write_job(settings, "earlier", number=1)
    pid = jobs.launch(earlier, ["sleep", "30"])
    write_record(earlier, number=1, pid=pid)
    (earlier / "run").mkdir()
    told = {"message": "Training · step 7", "fraction": 0.25, "seconds_left": 15.0}
    (earlier / "run/progress.json").write_text(json.dumps(told))
    latest, first = jobs.jobs(settings)
    assert (latest.folder, first.folder) == (later, earlier), "whatever the folders' times say"
    assert jobs.state(first) == "running"
    assert jobs.progress(first) == Progress("earlier: Training · step 7", 0.25, 15.0)
    jobs.stop(first)
    assert jobs.state(first) == "stopped"


def test_a_refused_start_shows_what_was_shown_before(
    settings: Settings, request_: FineTuneRequest
) -> None:
    write_job(settings, "tune")
    run = generate(Studio(settings), replace(request_, base="nobody"))
    with pytest.raises(StudioError, match="nobody"):
        assert not [event for event in run if isinstance(event, Learning)]
    assert [job.name for job in jobs.jobs(settings)] == ["tune"]


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("Ship Log", "ship-log"), ("my_tune.v2", "my-tune-v2"), ("../up", "up"),
        ("Märchen, 1812!", "marchen-1812"), ("the captain's log", "the-captains-log"),
    ],
)  # fmt: skip
def test_a_name_is_made_fit_for_a_model(
    settings: Settings, request_: FineTuneRequest, name: str, called: str
) -> None:
    assert checked(replace(request_, name=name), settings).name == called


def test_the_card_has_the_visitor_s_names_and_no_markup_of_theirs(
    settings: Settings, request_: FineTuneRequest
) -> None:
    data = request_.data[0].with_name("Ship `<b>` | Log [1].TXT")
    data.write_text(TEXT, encoding="utf-8")
    *_, tuned = with_result(
        generate(Studio(settings), replace(request_, name="Ship Log", data=(data,)))
    )
    assert tuned.card.startswith("# ship-log\n")
    assert "`Ship __b__ _ Log _1_.txt`" in tuned.card
    assert "| base | fine-tune |" in tuned.card
    assert tuned.samples is None, "they are in the card"


def test_a_section_that_links_a_file_is_left_to_the_page(tmp_path: Path) -> None:
    card = "---\na: b\n---\n\n# x\n\n## Samples\n\n[samples.txt](samples.txt).\n\n## Scores\n\n1\n"
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "samples.txt").write_text("words")
    tuned = FineTuned("x", tmp_path, {})
    assert tuned.card == "# x\n\n## Scores\n\n1"
    assert tuned.samples == tmp_path / "samples.txt"


def test_a_line_of_the_log_that_is_being_written_is_waited_for(settings: Settings) -> None:
    folder = write_job(settings, "half")
    (folder / "run").mkdir()
    (folder / "run/log.jsonl").write_text('{"step": 1, "seconds": 2, "loss": 3.5}\n{"step": 2, "lo')
    (job,) = jobs.jobs(settings)
    assert jobs.curves(job) == {"loss": [(1, 3.5)]}
