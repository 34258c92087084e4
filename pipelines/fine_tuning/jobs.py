"""Fine-tunes as processes of their own, each in a folder that outlives the page.

A job's folder holds the request (``job.json``), the training's log and state, what it
printed, and its output. The process is the same command that a person would type; a
closed tab or a page that is started anew changes nothing for it. When it has ended well,
its output becomes a model of the page, by one rename.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import InvalidValue, abbreviated
from pipelines.hub import local_models
from pipelines.settings import ROOT, Settings
from pipelines.tasks import TASKS, Task

State = Literal["running", "finished", "stopped", "failed"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")
_LAST_WORDS = 400
"""Characters of what a failed process printed last that a message quotes."""


@dataclass(frozen=True)
class Job:
    """One fine-tune in its folder. ``pid`` with ``started`` names the process for good."""

    name: str
    task: Task
    base: str
    minutes: float
    pid: int
    started: float
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def log(self) -> Path:
        return self.folder / "run" / "log.jsonl"


def own_models_dir(settings: Settings) -> Path:
    """Where fine-tunes made on the page become models of the page: ``hub.local`` looks there."""
    return settings.data_dir / "models"


def checked_name(name: object, settings: Settings) -> str:
    """``name`` if a fine-tune can be called so.

    Raises:
        InvalidValue: it is malformed or taken.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name.strip()) is None:
        raise InvalidValue(
            f"name is {abbreviated(name)}; give 2 to 40 small letters, digits and hyphens, "
            "such as my-first-tune."
        )
    name = name.strip()
    used = [job.name for job in jobs(settings) if state(job) in ("running", "finished")]
    if name in local_models(settings) or name in used:
        raise InvalidValue(f"There is a {name} already; choose another name.")
    return name


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

    Raises:
        InvalidValue: another fine-tune goes on.
    """
    busy = [job for job in jobs(settings) if state(job) == "running"]
    if busy:
        raise InvalidValue(f"{busy[0].name} is being trained; wait until it is done, or stop it.")
    command = [
        sys.executable, "-m", "pipelines.recipes.finetune", TASKS[task].maker,
        "--base", str(base_path), "--base-name", base, "--data", str(data),
        "--output", str(folder / "output"), "--run-dir", str(folder / "run"),
        "--minutes", f"{minutes:g}", *options,
    ]  # fmt: skip
    with (folder / "printed.txt").open("wb") as printed:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=printed,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    _children[process.pid] = process
    job = Job(
        folder.name, task, base, minutes, process.pid, _start_time(process.pid) or 0.0, folder
    )
    fields = asdict(job) | {"folder": None}
    (folder / "job.json").write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    return job


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this one started, to be reaped when they have ended."""

_settling = threading.Lock()


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
    started = []
    for file in _jobs_dir(settings).glob("*/job.json"):
        fields = json.loads(file.read_text(encoding="utf-8"))
        started.append(Job(**(fields | {"folder": file.parent})))
    return sorted(started, key=lambda job: job.folder.stat().st_ctime, reverse=True)


def state(job: Job) -> State:
    """Whether the process goes on, and if not, how it ended."""
    child = _children.get(job.pid)
    if child is not None and child.poll() is not None:
        del _children[job.pid]
    if _start_time(job.pid) == job.started:
        return "running"
    if (job.folder / "stopped").exists():
        return "stopped"
    return "finished" if (job.output / "README.md").is_file() or _is_settled(job) else "failed"


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
        if state(job) == "finished" and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            (job.folder / "settled").touch()
            job.output.rename(target)
    return target if target.exists() else None


def curves(job: Job) -> dict[str, list[tuple[int, float]]]:
    """What the log holds so far: each value over the steps."""
    values_of: dict[str, list[tuple[int, float]]] = {}
    if not job.log.is_file():
        return values_of
    for line in job.log.read_text(encoding="utf-8").splitlines():
        try:
            values: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # a line that is being written
        for name in values.keys() - {"step", "seconds"}:
            values_of.setdefault(name, []).append((values["step"], values[name]))
    return values_of


def last_words(job: Job) -> str:
    """The last line that the process printed, for a message."""
    file = job.folder / "printed.txt"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-_LAST_WORDS:] if lines else "it printed nothing"


def _jobs_dir(settings: Settings) -> Path:
    return settings.data_dir / "fine-tunes"


def _is_settled(job: Job) -> bool:
    return (job.folder / "settled").exists()


def _start_time(pid: int) -> float | None:
    """When the process began, as the system tells; None where there is none.

    A number is given to another process one day; with its start it names one process.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.Error:
        return None
