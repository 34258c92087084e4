"""Temporary files are deleted when their time is over."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pipelines.files.temporary import forget_old_files

DAY = 24 * 3600


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
