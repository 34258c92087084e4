"""What makes the start of the page quicker, before Gradio is imported, and what is cleared
away after it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_WRITER = "gradio.component_meta"


def skip_gradio_stubs() -> None:
    """Makes the coming ``import gradio`` write no type stubs, and take a third less time.

    Gradio parses the source of each of its components as it is imported, to write a type
    stub beside it. Editors read stubs; a page that is served needs none. Where a release
    of Gradio does this in another way, its import takes as long as ever.
    """
    if _WRITER not in sys.modules and _WithoutStubs not in sys.meta_path:
        sys.meta_path.insert(0, _WithoutStubs)


def forget_old_files(folder: Path, seconds: float) -> None:
    """Deletes what in a folder was written longer ago, files and empty folders.

    Gradio deletes what it made itself while it runs, and what a process that was killed had
    made stays for ever. What cannot be deleted stays.
    """
    oldest = time.time() - seconds
    old = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone since
            if path.lstat().st_mtime < oldest:
                old.append(path)
    for path in sorted(old, reverse=True):  # what is inside comes first
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


class _WithoutStubs(PathFinder):
    """Finds the module that writes stubs, and has it write none."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _WRITER:
            return None
        sys.meta_path.remove(cls)
        spec = super().find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_without(module: ModuleType) -> None:
                execute(module)
                vars(module)["create_or_modify_pyi"] = lambda *_, **__: None

            spec.loader.exec_module = execute_without  # type: ignore[method-assign]
        return spec
