"""The command line, the environment, and what is launched."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app import _Page
from pipelines.settings import ROOT


def run_python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_app(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_python("app.py", *arguments, **environ)


def imported(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A script that imports the page, in a process and an environment of its own."""
    return run_python("-c", script, **environ)


def test_help_names_every_option_with_its_variable() -> None:
    shown = run_app("--help").stdout
    for option, variable in {
        "--host": "TRIPTYCH_HOST",
        "--port": "TRIPTYCH_PORT",
        "--share": "TRIPTYCH_SHARE",
        "--password": "TRIPTYCH_PASSWORD",
        "--model-dir": "TRIPTYCH_MODEL_DIR",
        "--data-dir": "TRIPTYCH_DATA_DIR",
        "--memory-budget": "TRIPTYCH_MEMORY_BUDGET_GIB",
    }.items():
        assert option in shown
        assert variable in shown


def test_a_bad_value_ends_with_a_sentence_not_a_traceback() -> None:
    ended = run_app("--memory-budget", "plenty")
    assert ended.returncode != 0
    assert "--memory-budget is 'plenty'; give a number of GiB" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bad_variable_is_named() -> None:
    ended = run_app(TRIPTYCH_PORT="many")
    assert "TRIPTYCH_PORT is 'many'" in ended.stderr


def test_the_page_can_be_imported_as_gradio_expects(tmp_path: Path) -> None:
    """``gradio app.py`` imports ``demo`` with a command line that is not ours."""
    script = (
        "import sys; sys.argv = ['gradio', '--nonsense'];"
        "import app, gc, gradio as gr;"
        "assert gc.isenabled(), 'it is off only while Gradio is imported';"
        "assert isinstance(app.demo, gr.Blocks);"
        "assert not app.demo.api_open; assert app.demo._queue.max_size == 64;"
        "assert gc.isenabled(), 'it is off only while the page is built';"
        "options = app.launch_options(app.SETTINGS);"
        "assert options['auth']('anybody', 'sesame');"
        "assert not options['auth']('anybody', 'sesam')"
    )
    ended = imported(script, TRIPTYCH_DATA_DIR=str(tmp_path), TRIPTYCH_PASSWORD="sesame")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("environ", [{"TRIPTYCH_HOST": "0.0.0.0"}, {"TRIPTYCH_FINE_TUNE": "0"}])
def test_the_page_is_built_where_visitors_may_not_fine_tune(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """It was not: a picker that is not there then was to be kept fresh."""
    script = (
        "import app; ids = {block.elem_id for block in app.demo.blocks.values()};"
        "assert 'write-model' in ids; assert 'tune-base' not in ids, ids"
    )
    ended = imported(script, TRIPTYCH_DATA_DIR=str(tmp_path), **environ)
    assert ended.returncode == 0, ended.stderr


def test_every_option_reaches_the_settings(tmp_path: Path) -> None:
    models, data = tmp_path / "models", tmp_path / "data"
    models.mkdir()
    script = f"""
import app
from pathlib import Path
from pipelines.settings import Settings
given = app.read_settings(dict(), [
    "--host", "0.0.0.0", "--port", "8000", "--share", "--password", "sesame",
    "--model-dir", "{models}", "--data-dir", "~/data", "--memory-budget", "2",
    "--disk-budget", "3", "--own-token", "--fine-tune", "--debug",
])
assert given == Settings(
    host="0.0.0.0", port=8000, share=True, password="sesame", extra_models_dir=Path("{models}"),
    data_dir=Path.home() / "data", memory_budget_bytes=2 * 1024**3,
    disk_budget_bytes=3 * 1024**3, use_own_token=True, fine_tuning=True,
    debug=True,
), given
"""
    ended = imported(script, TRIPTYCH_DATA_DIR=str(data))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "99999"], "port is 99999; give a whole number from 1 to 65535"),
        (["--port", "0"], "port is 0"),
        (["--model-dir", "/nowhere"], "/nowhere is not there"),
        (["--data-dir", "/dev/null/here"], "/dev/null/here cannot be made"),
    ],
)
def test_a_place_that_cannot_be_used_is_told_in_a_sentence(
    arguments: list[str], words: str
) -> None:
    ended = run_app(*arguments)
    assert words in ended.stderr
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ended = run_app("--port", port, "--data-dir", str(tmp_path))
    assert f"cannot listen on 127.0.0.1, port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("flag", ["TRIPTYCH_SHARE", "TRIPTYCH_HUB"])
def test_a_switch_that_is_neither_on_nor_off_is_refused(flag: str) -> None:
    assert f"{flag} is 'maybe'; give 1 or 0" in run_app(**{flag: "maybe"}).stderr


def test_importing_the_page_writes_nothing_to_disk(tmp_path: Path) -> None:
    """It made the data directory and copied the examples' pictures there."""
    script = "import app; assert not hasattr(app, 'nonsense')"
    ended = imported(script, TRIPTYCH_DATA_DIR=str(tmp_path / "data"), HOME=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_comes_before_the_environment_and_gradios_names_count() -> None:
    script = """
import app
given = app.read_settings(
    {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "8001", "TRIPTYCH_FINE_TUNE": "1",
     "TRIPTYCH_SHARE": ""},
    ["--no-fine-tune", "--debug"],
)
assert (given.host, given.port, given.fine_tuning, given.debug) == ("0.0.0.0", 8001, False, True)
assert app.read_settings({"TRIPTYCH_PORT": "8002", "GRADIO_SERVER_PORT": "8001"}, []).port == 8002
"""
    ended = imported(script)
    assert ended.returncode == 0, ended.stderr


def test_each_panel_of_compare_is_opened_by_a_link_of_its_own(tmp_path: Path) -> None:
    script = """
import app, gradio as gr
from pathlib import Path
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings

def parents(block):
    while block.parent is not None:
        block = block.parent
        yield block

with gr.Blocks():
    panels, openings = app.build_compare(Studio(Settings()), {})
assert [o.kind.parameter for o in openings] == ["compare", "evaluate", "vote"]
for opening in openings:
    (panel,) = (each for each in panels.children if each.id == opening.kind.panel_id)
    assert all(panel in parents(field) for field in [*opening.fields, opening.button])
"""
    ended = imported(script, TRIPTYCH_DATA_DIR=str(tmp_path))
    assert ended.returncode == 0, ended.stderr


def test_what_gradio_cannot_write_for_a_full_disk_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Previews are written by Gradio, past every handler: its own raw message was shown."""

    async def full(self: gr.Blocks, *args: object) -> list[Any]:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/secret/image.png")

    monkeypatch.setattr(gr.Blocks, "postprocess_data", full)
    with _Page() as page, ThreadPoolExecutor(1) as thread:  # a browser's loop may run in this one
        written = thread.submit(lambda: asyncio.run(page.postprocess_data(None, [], None)))
        with pytest.raises(gr.Error, match="disk of this page is full"):
            written.result()


def test_whatever_may_raise_is_queued_for_the_page_shows_no_other_errors(tmp_path: Path) -> None:
    """Before, "Use it" without a model did nothing that a visitor could see."""
    script = (
        "import app; page = app.build_app(app.SETTINGS); "
        "print([f.fn.__qualname__ for f in page.fns.values() "
        "if not f.queue and hasattr(f.fn, '__wrapped__')])"  # by ``ui.shows_errors``
    )
    shown = imported(script, TRIPTYCH_DATA_DIR=str(tmp_path))
    assert (shown.returncode, shown.stdout.strip()) == (0, "[]"), shown.stderr
