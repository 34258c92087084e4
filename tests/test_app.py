"""The command line, the environment, and what is launched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.settings import ROOT


def run_app(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


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
        "import app, gradio as gr; assert isinstance(app.demo, gr.Blocks);"
        "assert not app.demo.api_open; assert app.demo._queue.max_size == 64;"
        "import gc; assert gc.isenabled(), 'it is off only while the page is built';"
        "options = app.launch_options(app.SETTINGS);"
        "assert options['auth']('anybody', 'sesame');"
        "assert not options['auth']('anybody', 'sesam')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "TRIPTYCH_DATA_DIR": str(tmp_path), "TRIPTYCH_PASSWORD": "sesame"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("flag", ["TRIPTYCH_SHARE", "TRIPTYCH_HUB"])
def test_a_switch_that_is_neither_on_nor_off_is_refused(flag: str) -> None:
    assert f"{flag} is 'maybe'; give 1 or 0" in run_app(**{flag: "maybe"}).stderr


def test_the_servers_routes_are_built_no_more_often_than_for_an_empty_page(tmp_path: Path) -> None:
    """Each time takes a sixth of a second: ``queue`` called once more would be one more."""
    script = (
        "from gradio.routes import App; made = []; build = App.create_app;"
        "App.create_app = staticmethod(lambda *a, **k: made.append(1) or build(*a, **k));"
        "import gradio as gr; page = gr.Blocks(); page.__enter__(); page.__exit__();"
        "empty = len(made); import app; assert len(made) == 2 * empty, (empty, len(made))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "TRIPTYCH_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_configuration_is_made_once_and_each_schema_stands_in_it_once() -> None:
    """Clients are told the same of the endpoints as of a page of Gradio's own."""
    script = (
        "import app, gradio as gr; page = app.demo;"
        "told = page.get_config_file()['components'];"
        "assert told is page.get_config_file()['components'];"
        "assert any('api_info' in one for one in told);"
        "twins = ('api_info_as_input', 'api_info_as_output');"
        "assert not any(one.get(twin) == one.get('api_info') != None"
        " for one in told for twin in twins);"
        "lean = page.get_api_info();"
        "del page.default_config.get_config; page.config = page.get_config_file();"
        "assert any(twin in one for one in page.config['components'] for twin in twins);"
        "assert page.get_api_info() == lean; assert lean['named_endpoints']['/write']"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
