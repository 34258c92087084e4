"""Gradio is imported without the type stubs that it would write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMPONENT = """
from gradio.components import Textbox
class Mine(Textbox):
    EVENTS = ["change"]
"""
SCRIPT = """
import sys
from pathlib import Path
if sys.argv[2] == "without":
    from pipelines.startup import skip_gradio_stubs
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
        cwd=Path(__file__).parents[1],
        env={"PYTHONPATH": f"{tmp_path}:.", "PATH": "", "GRADIO_ANALYTICS_ENABLED": "False"},
    )
    assert told_by.stdout.strip() == told
