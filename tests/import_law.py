"""The import law as data, and what of a tree breaks it. ``test_import_law`` holds this one to it.

A tree is a mapping from a file's path (``pipelines/hub/search.py``) to its text, so that a planted
violation can be checked without writing it to disk.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Tree = Mapping[str, str]

GROUND = "ground"
_TRUNK = {GROUND, "hub", "runtime", "files", "page"}
_SLICES = {"text_generation", "text_to_image", "image_captioning"}
_COMPARING = _TRUNK | _SLICES | {"datasets", "metrics", "sharing", "recipes"}
MAY_IMPORT: Mapping[str, set[str]] = {
    GROUND: set(),
    "hub": {GROUND},
    "runtime": {GROUND, "hub"},
    "files": {GROUND},
    "metrics": {GROUND},
    "page": {GROUND, "hub", "runtime", "files"},
    "datasets": {GROUND, "hub", "runtime", "files"},
    "sharing": _TRUNK | {"datasets"},
    **dict.fromkeys(_SLICES, _TRUNK | {"recipes"}),
    **dict.fromkeys(("model_comparison", "evaluation", "arena"), _COMPARING),
    "models": _TRUNK,
    "fine_tuning": _TRUNK | {"datasets"},
    "recipes": {GROUND, "hub", "runtime", "files", "datasets", "metrics"},
}
"""Which folders of ``pipelines`` the files of a folder may import, beside their own.

The files directly in ``pipelines`` are the ground, and ``app.py`` and every ``__main__.py`` may
import whatever they wire together.
"""

HEAVY = {"torch", "transformers", "diffusers", "peft", "accelerate", "spaces"}
_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
_WITH_GRADIO = ("tab.py", "_form.py")


@dataclass(frozen=True)
class Import:
    """One import: the file and line, the dotted name, and when it happens."""

    path: str
    line: int
    name: str
    is_at_import: bool
    is_for_types: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.name}"


def tree_of(root: Path) -> dict[str, str]:
    """Every Python file of the app under ``root``."""
    files = [root / "app.py", *(root / "pipelines").rglob("*.py")]
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(files)}


def imports(tree: Tree) -> list[Import]:
    """All imports of our own files and of libraries; a name is as long as a module has it."""
    modules = {_module(path) for path in tree}
    return [
        Import(path, line, f"{base}.{name}" if f"{base}.{name}" in modules else base or name, *when)
        for path, text in tree.items()
        for line, base, name, *when in _imports_of(path, text)
    ]


@cache
def _parsed(text: str) -> ast.Module:
    """Once for each text: trees differ in a file or two."""
    return ast.parse(text)


@cache
def _imports_of(path: str, text: str) -> list[tuple[int, str, str, bool, bool]]:
    """Line, module, imported name, whether at import, and whether for types alone."""
    found = []
    pending: list[tuple[ast.AST, bool, bool]] = [(_parsed(text), True, False)]
    while pending:
        node, at_import, for_types = pending.pop()
        found += [(node.lineno, *names, at_import, for_types) for names in _names(node, path)]  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            at_import = False
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += [(child, False, True) for child in node.body]
            pending += [(child, at_import, for_types) for child in node.orelse]
            continue
        pending += [(child, at_import, for_types) for child in ast.iter_child_nodes(node)]
    return found


def _names(node: ast.AST, path: str) -> list[tuple[str, str]]:
    if isinstance(node, ast.Import):
        return [("", alias.name) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parents = Path(path).with_suffix("").parts[: -node.level]
        base = ".".join((*parents, *([base] if base else [])))
    return [(base, alias.name) for alias in node.names]


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def folder_of(path: str) -> str | None:
    """The room of a file, ``ground`` for what lies directly in ``pipelines``; None at the top."""
    parts = path.split("/")
    if parts[0] != "pipelines" or parts[-1] == "__main__.py":
        return None
    return parts[1] if len(parts) > 2 else GROUND


def _folder_of_module(name: str, tree: Tree) -> str | None:
    file = name.replace(".", "/")
    return folder_of(f"{file}/__init__.py" if f"{file}/__init__.py" in tree else f"{file}.py")


def wrong_arrows(tree: Tree) -> list[str]:
    """Imports of our own that ``MAY_IMPORT`` does not have, and tabs imported by no app."""
    wrong = []
    for each in imports(tree):
        here = folder_of(each.path)
        if here is None or not each.name.startswith(("pipelines.", "app")):
            continue
        there = _folder_of_module(each.name, tree)
        is_allowed = there is not None and there in MAY_IMPORT.get(here, set()) | {here}
        is_page_part = _has_gradio(each.name) and not may_use_gradio(each.path)
        if not is_allowed or is_page_part or each.name.endswith(".tab"):
            wrong.append(str(each))
    return wrong


def _has_gradio(name: str) -> bool:
    return name.split(".")[1:2] == ["page"] or name.endswith((".tab", "_form"))


def may_use_gradio(path: str) -> bool:
    """Whether a file builds the page."""
    return path == "app.py" or folder_of(path) == "page" or path.endswith(_WITH_GRADIO)


def gradio_elsewhere(tree: Tree) -> list[str]:
    """Imports of Gradio outside of the page, the tabs and the forms."""
    return [
        str(each)
        for each in imports(tree)
        if _root(each.name) == "gradio" and not may_use_gradio(each.path)
    ]


def heavy_at_import(tree: Tree) -> list[str]:
    """Imports of heavy libraries as soon as a file that serves is imported."""
    return [
        str(each)
        for each in imports(tree)
        if _root(each.name) in HEAVY and each.is_at_import and folder_of(each.path) != "recipes"
    ]


def recipes_in_service(tree: Tree) -> list[str]:
    """Imports of anything but a recipe's ``model`` by files that serve."""
    return [
        str(each)
        for each in imports(tree)
        if each.name.startswith("pipelines.recipes")
        and folder_of(each.path) not in (None, "recipes")
        and not each.name.endswith(".model")
    ]


def environment_read(tree: Tree) -> list[str]:
    """Where the environment is read or imported outside of ``app.py`` and commands' mains."""
    return [
        f"{path}:{line} reads the environment"
        for path, text in tree.items()
        if path != "app.py" and not (path.endswith("__main__.py") and "/recipes/" in path)
        for line in _environment_lines(text)
    ]


@cache
def _environment_lines(text: str) -> list[int]:
    lines = []
    for node in ast.walk(_parsed(text)):
        is_attribute = isinstance(node, ast.Attribute) and node.attr in _ENVIRONMENT
        is_import = isinstance(node, ast.ImportFrom) and node.module == "os"
        names = {a.name for a in node.names} if isinstance(node, ast.ImportFrom) else set()
        if is_attribute or (is_import and names & (_ENVIRONMENT | {"*"})):
            lines.append(getattr(node, "lineno", 0))
    return lines


def circles_of_files(tree: Tree) -> list[list[str]]:
    """Groups of files that import each other in a circle, at any time but for types."""
    names = {_module(path): path for path in tree}
    arrows: dict[str, set[str]] = {path: set() for path in tree}
    for each in imports(tree):
        if not each.is_for_types and each.name in names:
            arrows[each.path].add(names[each.name])
    return circles(arrows)


def circles_of_folders(tree: Tree) -> list[list[str]]:
    """Groups of folders that import each other in a circle, the top left out."""
    arrows: dict[str, set[str]] = {}
    for each in imports(tree):
        here, there = folder_of(each.path), None
        if each.name.startswith("pipelines."):
            there = _folder_of_module(each.name, tree)
        if here is not None and there is not None and here != there and not each.is_for_types:
            arrows.setdefault(here, set()).add(there)
            arrows.setdefault(there, set())
    return circles(arrows)


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected parts of more than one node, each sorted (Tarjan, 1972)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        path.append(node)
        for target in sorted(arrows[node] - {node}):
            if target not in index:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in path:
                lowest[node] = min(lowest[node], index[target])
        if lowest[node] == index[node]:
            start = path.index(node)
            part = path[start:]
            del path[start:]
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return found


def _root(name: str) -> str:
    return name.split(".")[0]
