"""Temporary files: a folder for each thing that is made, deleted when its time is over."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path


def new_folder(temporary_dir: Path, prefix: str) -> Path:
    """A new folder among the temporary files, which are made where there are none yet."""
    temporary_dir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=temporary_dir))


def forget_old_files(folder: Path, seconds: float) -> None:
    """Deletes what in a folder was written longer ago, files and empty folders.

    Gradio deletes what it made itself while it runs, and what a process that was killed had
    made would stay for ever. What cannot be deleted stays.
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
