"""The import law: app → tab → pipeline → trunk, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.settings import ROOT

PACKAGE = ROOT / "pipelines"
SLICES = ("text_generation", "text_to_image", "image_captioning", "model_comparison")
HEAVY = ("torch", "transformers", "diffusers", "peft", "accelerate", "spaces")
SOURCES = sorted(
    path.relative_to(ROOT) for path in (ROOT / "app.py", *PACKAGE.rglob("*.py")) if path.is_file()
)
SERVING = [path for path in SOURCES if "recipes" not in path.parts]
METRICS = [path for path in SOURCES if path.parts[1:2] == ("metrics",)]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, by its dotted name."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        yield from _names(node, path)


def imported_at_once(path: Path) -> Iterator[str]:
    """Those that it imports when it is imported itself: outside of functions and of type checks."""
    pending: list[ast.AST] = [ast.parse((ROOT / path).read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        yield from _names(node, path)
        pending += ast.iter_child_nodes(node)


def _names(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = path.with_suffix("").parts[: -node.level]
            base = ".".join((*parents, base)).rstrip(".")
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def uses(path: Path, module: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in imported(path))


def is_page(path: Path) -> bool:
    return path.name == "tab.py" or path.as_posix() in ("app.py", "pipelines/ui.py")


def slice_of(path: Path) -> str | None:
    return path.parts[1] if len(path.parts) > 2 and path.parts[1] in SLICES else None


def test_the_law_is_held_against_the_whole_package() -> None:
    assert Path("app.py") in SOURCES
    assert Path("pipelines/hub/__init__.py") in SOURCES
    assert Path("pipelines/metrics/score.py") in METRICS
    for name in SLICES:
        assert Path("pipelines", name, "tab.py") in SOURCES


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_only_app_ui_and_tabs_import_gradio(path: Path) -> None:
    if not is_page(path):
        assert not uses(path, "gradio")
        assert not uses(path, "pipelines.page.ui")


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_imports_what_is_above_it(path: Path) -> None:
    above = []
    if path.name != "app.py":
        above.append("app")
        above += [f"pipelines.{name}.tab" for name in SLICES]
    if slice_of(path) is None and path.name != "app.py":  # the trunk and the recipes
        above += [f"pipelines.{name}" for name in SLICES]
    assert [module for module in above if uses(path, module)] == []


@pytest.mark.parametrize("path", SERVING, ids=str)
def test_nothing_that_serves_imports_data_or_training(path: Path) -> None:
    recipes = {name for name in imported(path) if name.startswith("pipelines.recipes")}
    modules = {name for name in recipes if len(name.split(".")) > 3}
    assert {name for name in modules if name.split(".")[3] != "model"} == set()
    assert not uses(path, "pipelines.recipes.training")


@pytest.mark.parametrize("path", [p for p in SERVING if slice_of(p)], ids=str)
def test_slices_do_not_import_each_other_but_comparison_does(path: Path) -> None:
    own = slice_of(path)
    others = [f"pipelines.{name}" for name in SLICES if name != own]
    used = {name for name in imported(path) for other in others if name.startswith(f"{other}.")}
    if own != "model_comparison":
        assert used == set()
    else:
        assert {name for name in used if name.split(".")[2] == "tab"} == set()


@pytest.mark.parametrize("path", SERVING, ids=str)
def test_what_serves_imports_nothing_heavy_before_it_is_needed(path: Path) -> None:
    heavy = {name for name in imported_at_once(path) if name.split(".")[0] in HEAVY}
    assert heavy == set()


@pytest.mark.parametrize("path", METRICS, ids=str)
def test_metrics_stand_on_the_checks_alone_and_load_no_model(path: Path) -> None:
    allowed = ("pipelines.errors", "pipelines.metrics", "pipelines.validation")
    ours = {name for name in imported(path) if name.startswith("pipelines.")}
    assert {name for name in ours if not name.startswith(allowed)} == set()
    assert {name for name in imported(path) if name.split(".")[0] in HEAVY} == set()


@pytest.mark.parametrize("path", SERVING, ids=str)
def test_only_app_reads_the_environment(path: Path) -> None:
    if path.name != "app.py":
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        reads = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
        assert [name for name in reads if name in ("os.environ", "os.getenv")] == []


def test_there_is_no_module_without_a_concept() -> None:
    assert {path.name for path in SOURCES} & {
        "utils.py",
        "common.py",
        "helpers.py",
        "misc.py",
    } == set()


def test_no_recipe_bears_the_name_of_one_of_diffusers_folders() -> None:
    import diffusers

    taken = {
        p.name for p in (Path(diffusers.__file__).parent / "pipelines").iterdir() if p.is_dir()
    }
    ours = {p.name for p in (PACKAGE / "recipes").iterdir() if p.is_dir()}
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
    assert loaded & set(HEAVY) == set()


def test_importing_all_pipelines_loads_no_torch_and_no_gradio() -> None:
    modules = [f"{name}.pipeline" for name in SLICES]
    modules += ["evaluation.pipeline", "arena.open_duels"]
    modules += ["fine_tuning.pipeline", "hub.publish", "models.presets"]
    modules += ["files.imagefolder", "runtime.adapters"]
    loaded = modules_after("; ".join(f"import pipelines.{name}" for name in modules))
    assert "pipelines" in loaded
    assert loaded & {*HEAVY, "gradio"} == set()
