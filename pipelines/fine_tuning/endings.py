"""Why a fine-tune's process ended without a result, in words that say what to do."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from pipelines.tasks import TASKS, Task

EXIT_STATUS, PRINTED = "exit_status", "printed.txt"
"""Files in a job's folder: the status that the shell saw, and what the process printed."""

_NO_MEMORY = re.compile(
    r"\bMemoryError\b|out of memory|can't allocate memory|cannot allocate memory|"
    r"not enough memory|bad_alloc",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"^\s|^\S+:\d+: \w*Warning: |^step=\d+ ")
"""Lines that are no last words: what is indented, warnings, and lines of the log."""

_LONGEST = 1_500
"""Characters of the last line, whose beginning says most."""

_TAIL_BYTES = 64 * 1024


def why(folder: Path, task: Task) -> str:
    """What the exit status and the last lines say. The shell gives 128 + n after signal n."""
    use_less = _how_to_use_less(task)
    status, printed = _status(folder / EXIT_STATUS), _tail(folder / PRINTED)
    if _NO_MEMORY.search(printed):
        return f"memory ran out. {use_less}"
    if status == 128 + signal.SIGKILL:
        return f"the system ended it (SIGKILL), most often because memory ran out. {use_less}"
    if status is None:
        return (
            "it ended without a word: the machine was started anew, or the system ended it, most "
            f"often because memory ran out. {use_less}"
        )
    if status > 128:
        names = {each.value: each.name for each in signal.Signals}
        name = names.get(status - 128, f"signal {status - 128}")
        return f"the process was ended from outside, or it crashed ({name}). Start it again."
    lines = [line for line in printed.splitlines() if line.strip() and not _ASIDE.match(line)]
    if not lines:
        return f"it printed nothing (status {status})"
    last = lines[-1].strip()
    return last if len(last) <= _LONGEST else f"{last[:_LONGEST]}…"


def _how_to_use_less(task: Task) -> str:
    """In the labels of the tab's fields; pictures have no window."""
    window = ', a smaller "Window"' if TASKS[task].trains_on == "texts" else ""
    return (
        f'Use less memory: in "Settings" a smaller "Batch size"{window} or a LoRA of low rank for '
        '"What is trained", or else a smaller "Base".'
    )


def _status(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _tail(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        return opened.read().decode("utf-8", errors="replace")
