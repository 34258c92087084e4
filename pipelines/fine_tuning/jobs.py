"""Fine-tunes as processes of their own, each in a folder that outlives the page.

A job's folder holds the request (``job.json``), the training's log and state, what it
printed, and its output. The process is the same command that a person would type; a
closed tab or a page that is started anew changes nothing for it. As long as it goes on it
holds a lock on a file of the folder: neither a number of a process that is given out
again nor a clock that is set anew is mistaken for it. When it has ended well, its output
becomes a model of the page, by one rename.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import InvalidValue, abbreviated, listed
from pipelines.events import Progress
from pipelines.fine_tuning.endings import EXIT_STATUS, PRINTED
from pipelines.hub import local_models
from pipelines.settings import ROOT, Settings
from pipelines.tasks import TASKS, Task

State = Literal["running", "finished", "stopped", "failed"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")
_RECORD, _LOCK = "job.json", "lock"
_KEEPS_STATUS = '"$@"; echo $? > "$0"'
"""For the shell: runs a command and writes its exit status, for which the page need not wait."""


@dataclass(frozen=True)
class Job:
    """One fine-tune in its folder.

    Attributes:
        pid: leads the processes of it.
        number: counts those that were started here; 0 in records of earlier versions.
        result: name of the output's folder.
    """

    name: str
    task: Task
    base: str
    minutes: float
    pid: int
    folder: Path
    number: int = 0
    result: str = "output"

    @property
    def output(self) -> Path:
        return self.folder / self.result

    @property
    def run(self) -> Path:
        """Where the training keeps its log, state and progress."""
        return self.folder / "run"


def own_models_dir(settings: Settings) -> Path:
    """Where fine-tunes made on the page become models of the page: ``hub.local`` looks there."""
    return settings.data_dir / "models"


def checked_name(name: object, settings: Settings) -> str:
    """What a fine-tune of this name is called: ``Ship Log`` becomes ``ship-log``.

    Raises:
        InvalidValue: there is nothing to make a name of, or it is taken.
    """
    plain = unicodedata.normalize("NFKD", re.sub("['’]", "", name)) if isinstance(name, str) else ""
    ascii_only = plain.encode("ascii", "ignore").decode().lower()
    called = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")
    if _NAME.fullmatch(called) is None:
        raise InvalidValue(
            f"name is {abbreviated(name)}; give 2 to 40 letters and digits, such as Ship Log."
        )
    used = [job.name for job in jobs(settings) if state(job) in ("running", "finished")]
    if called in local_models(settings) or called in used:
        raise InvalidValue(f"There is a {called} already; choose another name.")
    if called in unreadable(settings):
        raise InvalidValue(
            f"{called} was started before, and its {_RECORD} cannot be read; choose another name."
        )
    return called


@contextmanager
def starting(settings: Settings) -> Iterator[None]:
    """One fine-tune is started at a time, and none beside another.

    Raises:
        InvalidValue: another fine-tune goes on.
    """
    with _starting:
        for job in jobs(settings):
            if state(job) == "running":
                raise InvalidValue(
                    f"{job.name} is being trained; wait until it is done, or stop it."
                )
        settle_all(settings)
        yield


def start(
    settings: Settings,
    task: Task,
    folder: Path,
    base: str,
    base_path: Path,
    data: Path,
    options: list[str],
    minutes: float,
) -> Job:
    """Starts the process; returns at once.

    Args:
        folder: a new one, called as the job is; see ``new_folder``.
        base, base_path: the base's reference, and its vetted folder.
        data: a file or folder inside the job's folder.
        options: further arguments, made here of checked numbers.
    """
    output = folder / folder.name
    command = [
        sys.executable, "-m", "pipelines.recipes.finetune", TASKS[task].maker,
        "--base", str(base_path), "--base-name", base, "--data", str(data),
        "--output", str(output), "--run-dir", str(folder / "run"),
        "--minutes", f"{minutes:g}", *options,
    ]  # fmt: skip
    number = max((job.number for job in jobs(settings)), default=0) + 1
    pid = launch(folder, command)
    job = Job(folder.name, task, base, minutes, pid, folder, number, output.name)
    _write_whole(folder / _RECORD, json.dumps(asdict(job) | {"folder": None}, indent=1) + "\n")
    return job


def launch(folder: Path, command: list[str]) -> int:
    """Starts a command that holds the folder's lock as long as it, or a process of its, lives."""
    with (folder / PRINTED).open("wb") as printed, (folder / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPS_STATUS, str(folder / EXIT_STATUS), *command],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True, pass_fds=[lock.fileno()],
        )  # fmt: skip
    _children[process.pid] = process
    return process.pid


def _write_whole(file: Path, text: str) -> None:
    """All of it or nothing, whatever happens meanwhile: written aside, flushed, renamed."""
    partial = file.with_name(f"{file.name}.partial")
    with partial.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(file)


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this one started, to be reaped when they have ended."""

_starting, _settling = threading.Lock(), threading.Lock()


def new_folder(settings: Settings, name: str) -> Path:
    """An empty folder for a job. One that was stopped or failed makes room for its next try.

    Args:
        name: as ``checked_name`` returned it.
    """
    folder = _jobs_dir(settings) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def jobs(settings: Settings) -> list[Job]:
    """All fine-tunes that were started here, the latest first."""
    started = [job for job in map(_read, _records(settings)) if job is not None]
    return sorted(started, key=lambda job: (job.number, job.folder.stat().st_ctime), reverse=True)


def unreadable(settings: Settings) -> list[str]:
    """Names of the fine-tunes whose record is empty or broken."""
    return sorted(file.parent.name for file in _records(settings) if _read(file) is None)


def notes(settings: Settings) -> list[str]:
    """What the page says of them."""
    names = unreadable(settings)
    if not names:
        return []
    return [
        f"The {_RECORD} of {listed(names)} cannot be read, so it is left out. The folder is in "
        f"{_jobs_dir(settings).name} of the page's data; delete it to use the name again."
    ]


def _records(settings: Settings) -> list[Path]:
    return list(_jobs_dir(settings).glob(f"*/{_RECORD}"))


def _read(file: Path) -> Job | None:
    """The job of a record; None where it is broken. Unknown keys are of other versions."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Job)}
        job = Job(**{key: values[key] for key in values.keys() & known} | {"folder": file.parent})
        is_whole = job.name == file.parent.name and job.task in TASKS
        is_whole &= job.pid > 1 and job.number >= 0 and job.output.parent == job.folder
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return job if is_whole else None


def state(job: Job) -> State:
    """Whether the process goes on, and if not, how it ended."""
    child = _children.get(job.pid)
    if child is not None and child.poll() is not None:
        del _children[job.pid]
    if _is_locked(job.folder / _LOCK):
        return "running"
    if (job.folder / "stopped").exists():
        return "stopped"
    return "finished" if (job.output / "README.md").is_file() or _is_settled(job) else "failed"


def _is_locked(file: Path) -> bool:
    try:
        with file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # of an earlier version
        return False
    return False


def stop(job: Job) -> None:
    """Ends the process and all that it started. The state of its training stays."""
    if state(job) != "running":
        return
    (job.folder / "stopped").touch()
    os.killpg(job.pid, signal.SIGTERM)
    for _ in range(50):
        if state(job) != "running":
            return
        time.sleep(0.1)
    os.killpg(job.pid, signal.SIGKILL)


def settle(job: Job, settings: Settings) -> Path | None:
    """Makes the output of a finished job a model of the page; its folder, None before."""
    target = own_models_dir(settings) / job.name
    with _settling:
        if state(job) == "finished" and not target.exists() and job.output.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            (job.folder / "settled").touch()
            job.output.rename(target)
    return target if target.exists() else None


def settle_all(settings: Settings) -> None:
    """Does so with every job that has finished, also where nobody watched it to its end."""
    for job in jobs(settings):
        settle(job, settings)


def curves(job: Job) -> dict[str, list[tuple[int, float]]]:
    """What the log holds so far: each value over the steps."""
    values_of: dict[str, list[tuple[int, float]]] = {}
    log = job.run / "log.jsonl"
    if not log.is_file():
        return values_of
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            values: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # a line that is being written
        for name in values.keys() - {"step", "seconds"}:
            values_of.setdefault(name, []).append((values["step"], values[name]))
    return values_of


def progress(job: Job) -> Progress:
    """How far the job is, as it last wrote itself."""
    try:
        values = json.loads((job.run / "progress.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Progress(f"{job.name}: Starting")
    return Progress(f"{job.name}: {values['message']}", values["fraction"], values["seconds_left"])


def _jobs_dir(settings: Settings) -> Path:
    return settings.data_dir / "fine-tunes"


def _is_settled(job: Job) -> bool:
    return (job.folder / "settled").exists()
