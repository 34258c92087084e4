"""The import law: app → tab → pipeline → trunk, and nothing heavy before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.settings import ROOT
from tests import import_law as law

TREE = law.tree_of(ROOT)


def planted(path: str, line: str) -> dict[str, str]:
    """This tree with one more line at the end of a file of ``pipelines``."""
    file = f"pipelines/{path}"
    return {**TREE, file: f"{TREE[file]}\n{line}\n"}


def test_the_law_covers_every_file_and_folder() -> None:
    folders = {law.folder_of(path) for path in TREE} - {None}
    assert folders == set(law.MAY_IMPORT)
    assert {"app.py", "pipelines/hub/__init__.py", "pipelines/recipes/gpt/model.py"} <= set(TREE)


def test_arrows_go_down() -> None:
    assert law.wrong_arrows(TREE) == []


def test_there_is_no_circle_of_files_or_folders() -> None:
    assert law.circles_of_files(TREE) == []
    assert law.circles_of_folders(TREE) == []


def test_only_the_page_imports_gradio() -> None:
    assert law.gradio_elsewhere(TREE) == []


def test_what_serves_imports_nothing_heavy_before_it_is_needed() -> None:
    assert law.heavy_at_import(TREE) == []


def test_what_serves_imports_of_a_recipe_its_model_alone() -> None:
    assert law.recipes_in_service(TREE) == []


def test_only_app_reads_the_environment() -> None:
    assert law.environment_read(TREE) == []


@pytest.mark.parametrize(
    ("breaks", "path", "line"),
    [
        (law.wrong_arrows, "hub/search.py", "import pipelines.fine_tuning.jobs"),
        (law.wrong_arrows, "text_generation/pipeline.py", "from pipelines.fine_tuning import jobs"),
        (law.wrong_arrows, "evaluation/report.py", "from pipelines.evaluation import tab"),
        (law.wrong_arrows, "errors.py", "from pipelines.runtime.studio import Studio"),
        (law.wrong_arrows, "sharing/replay.py", "import pipelines.evaluation.card"),
        (law.wrong_arrows, "arena/duel.py", "from pipelines.model_comparison import card"),
        (law.wrong_arrows, "runtime/studio.py", "def late():\n    import app"),
        (law.gradio_elsewhere, "runtime/studio.py", "def late():\n    import gradio"),
        (law.heavy_at_import, "text_to_image/tab.py", "from torch import nn"),
        (law.recipes_in_service, "evaluation/features.py", "from pipelines.recipes import score"),
        (law.recipes_in_service, "fine_tuning/jobs.py", "import pipelines.recipes.gpt.train"),
        (law.environment_read, "settings.py", "from os import environ"),
        (law.environment_read, "hub/remote.py", "import os as system; system.getenv('A')"),
        (law.circles_of_files, "errors.py", "import pipelines.settings"),
        (law.circles_of_folders, "hub/disk.py", "import pipelines.runtime.studio"),
    ],
)
def test_a_planted_violation_is_found(
    breaks: Callable[[law.Tree], list[object]], path: str, line: str
) -> None:
    assert len(breaks(planted(path, line))) > len(breaks(TREE))


def test_an_import_for_types_is_no_circle() -> None:
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pipelines.settings"
    assert law.circles_of_files(planted("errors.py", for_types)) == []


def test_there_is_no_module_without_a_concept() -> None:
    without = {"utils.py", "common.py", "helpers.py", "misc.py"}
    assert {Path(path).name for path in TREE} & without == set()


def test_no_recipe_bears_the_name_of_one_of_diffusers_folders() -> None:
    import diffusers

    library = Path(diffusers.__file__).parent / "pipelines"
    taken = {p.name for p in library.iterdir() if p.is_dir()}
    ours = {p.name for p in (ROOT / "pipelines/recipes").iterdir() if p.is_dir()}
    assert taken & ours == set()


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh Python holds after a statement."""
    program = f"{statement}\nimport sys; print(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    return set(run.stdout.split())


def test_importing_the_app_loads_no_torch() -> None:
    loaded = modules_after("import app")
    assert "gradio" in loaded
    assert loaded & law.HEAVY == set()


def test_importing_all_that_computes_loads_no_torch_and_no_gradio() -> None:
    serving = [
        path.removesuffix(".py").replace("/", ".")
        for path in TREE
        if path.startswith("pipelines/")
        and not law.may_use_gradio(path)
        and not path.endswith("__.py")
        and law.folder_of(path) != "recipes"
    ]
    loaded = modules_after("; ".join(f"import {name}" for name in serving))
    assert "pipelines" in loaded
    assert loaded & {*law.HEAVY, "gradio"} == set()
