"""Gradio is imported without the type stubs that it would write; old files are cleared away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.page.startup import forget_old_files

DAY = 24 * 3600
COMPONENT = """
from gradio.components import Textbox
class Mine(Textbox):
    EVENTS = ["change"]
"""
SCRIPT = """
import sys
from pathlib import Path
if sys.argv[2] == "without":
    from pipelines.page.startup import skip_gradio_stubs
    skip_gradio_stubs()
    skip_gradio_stubs()
finders = len(sys.meta_path)
import gradio as gr
import mine
with gr.Blocks():
    mine.Mine().change(lambda: None)
    gr.Button().click(lambda: None)
left = len(sys.meta_path) - finders
print("stub" if Path(sys.argv[1], "mine.pyi").exists() else "none", left)
"""


@pytest.mark.parametrize(("how", "told"), [("without", "none -1"), ("with", "stub 0")])
def test_components_work_and_leave_no_stub(tmp_path: Path, how: str, told: str) -> None:
    """With Gradio's own import there is a stub: so the test can tell."""
    (tmp_path / "mine.py").write_text(COMPONENT, encoding="utf-8")
    told_by = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), how],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": f"{tmp_path}:.", "PATH": "", "GRADIO_ANALYTICS_ENABLED": "False"},
    )
    assert told_by.stdout.strip() == told


def test_files_of_a_killed_process_go_after_their_time(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    tmp = tmp_path / "tmp"
    kept, old, deep = (tmp / name for name in ("a/new.png", "a/old.png", "b/c/old.png"))
    for file in (outside, kept, old, deep):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (tmp / "a/link.png").symlink_to(outside)
    yesterday = time.time() - 1.1 * DAY
    for path in (outside, old, deep, tmp / "b/c", tmp / "b", tmp / "a"):
        os.utime(path, (yesterday, yesterday))
    forget_old_files(tmp, DAY)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"outside.png", "tmp", "tmp/a", "tmp/a/new.png", "tmp/a/link.png"}
    forget_old_files(tmp_path / "nowhere", DAY)
