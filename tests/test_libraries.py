"""The large libraries are imported by one thread at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
import transformers

from pipelines import libraries

LIBRARY = """
import sys, time, types
class Whole(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        quiet = {"set_verbosity_error": int, "disable_progress_bar": int}
        return types.SimpleNamespace(__name__=name, **quiet)
whole = Whole(__name__)
whole.__spec__ = __spec__
time.sleep(0.5)
sys.modules[__name__] = whole
"""
"""Puts another module in its own place when its import ends, as transformers and diffusers do."""

SCRIPT = """
import sys, threading
from pipelines import libraries
from pipelines.runtime.residency import Residency

def load():
    from transformers import AutoModelForCausalLM
    from diffusers import DiffusionPipeline
    return AutoModelForCausalLM, DiffusionPipeline

warm_up = threading.Thread(target=libraries.warm_up)
warm_up.start()
while sys.argv[1] not in sys.modules and warm_up.is_alive():
    pass
lease = Residency(1000).lease("a", load, lambda model: 1)
for _ in lease.wait():
    pass
warm_up.join()
print(*(part.__name__ for part in lease.model))
"""


@pytest.mark.parametrize("importing", ["transformers", "diffusers"])
def test_a_model_asked_for_while_the_libraries_are_imported_loads(
    tmp_path: Path, importing: str
) -> None:
    """A picture asked for a second after the first start failed: "cannot import name"."""
    for name in ("transformers", "diffusers"):
        (tmp_path / f"{name}.py").write_text(LIBRARY, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, importing],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env={"PYTHONPATH": f"{tmp_path}:.", "PATH": ""},
    )
    assert ended.stdout.split() == ["AutoModelForCausalLM", "DiffusionPipeline"], ended.stderr


def test_the_libraries_log_errors_alone_and_draw_no_bars() -> None:
    """Their warnings are for who writes code; what a visitor should know, the page tells."""
    libraries.import_for("paint")
    for library in (transformers, diffusers):
        assert library.logging.get_verbosity() == library.logging.ERROR
        assert not library.logging.is_progress_bar_enabled()
