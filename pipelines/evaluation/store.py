"""Finished samples on disk: what was computed once is never computed again.

SQLite beside a folder of pictures. A sample is written as soon as it is finished, so a process
that is killed loses only the batch that it was computing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import StudioError
from pipelines.runtime.receipts import hash_pictures
from pipelines.sharing.database import migrate

if TYPE_CHECKING:
    from PIL import Image

FILE = "evaluations.sqlite3"
PICTURES = "evaluations"

MIGRATIONS = (
    """
    CREATE TABLE samples (
        key TEXT PRIMARY KEY,
        output TEXT NOT NULL,
        computed_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE costs (
        key TEXT PRIMARY KEY,
        load_seconds REAL NOT NULL,
        peak_bytes INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE looks (
        key TEXT NOT NULL,
        samples INTEGER NOT NULL,
        PRIMARY KEY (key, samples)
    ) WITHOUT ROWID
    """,
)
"""Applied in their order when the file is opened; never changed, only added to."""


@dataclass(frozen=True)
class Output:
    """What one model made of one sample.

    ``picture`` is a hash of pixels, ``facts`` are numbers and names that its kind has.
    ``seconds`` is how long the ``batch`` took that it came in. ``computed_at`` is in UTC, and
    ``machine_load`` the average number of processes at work in the minute before that run began;
    earlier versions did not save it.
    """

    text: str = ""
    picture: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    batch: int = 1
    computed_at: str = ""
    machine_load: float | None = None


@dataclass(frozen=True)
class RunCost:
    """What a model took beside its samples' time."""

    load_seconds: float
    peak_bytes: int


def key_of(parts: Mapping[str, Any]) -> str:
    """A name for everything that a sample depends on: SHA-256 of its canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Store:
    """The samples in a folder. Several threads and processes may use it together."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._pictures = folder / PICTURES
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            folder / FILE, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        try:
            migrate(self._connection, [(each,) for each in MIGRATIONS], str(folder / FILE))
        except StudioError:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def load(self, keys: Sequence[str]) -> dict[str, Output]:
        """The finished samples of these keys. One whose picture is gone is not finished."""
        outputs = {}
        with self._lock:
            for key in keys:
                row = self._connection.execute(
                    "SELECT output, computed_at FROM samples WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    values = {"computed_at": row[1], **json.loads(row[0])}
                    outputs[key] = Output(**{**values, "notes": tuple(values["notes"])})
        return {
            key: output
            for key, output in outputs.items()
            if not output.picture or self.picture_file(output.picture).is_file()
        }

    def save(self, outputs: Mapping[str, Output]) -> None:
        """Writes finished samples, all or none."""
        rows = [(key, json.dumps(asdict(output))) for key, output in outputs.items()]
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR REPLACE INTO samples (key, output) VALUES (?, ?)", rows
            )
            self._connection.execute("COMMIT")

    def cost(self, key: str) -> RunCost | None:
        with self._lock:
            row = self._connection.execute(
                "SELECT load_seconds, peak_bytes FROM costs WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else RunCost(*row)

    def save_cost(self, key: str, cost: RunCost) -> None:
        """Takes the place of an earlier run's."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO costs VALUES (?, ?, ?)",
                (key, cost.load_seconds, cost.peak_bytes),
            )

    def look(self, key: str, samples: int) -> set[int]:
        """Remembers that a result of so many samples was seen; the smaller numbers seen before."""
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO looks VALUES (?, ?)", (key, samples))
            rows = self._connection.execute(
                "SELECT samples FROM looks WHERE key = ? AND samples < ?", (key, samples)
            ).fetchall()
        return {samples for (samples,) in rows}

    def save_picture(self, picture: Image.Image) -> str:
        """Writes a picture under the hash of its pixels, whole or not at all; returns that."""
        name = hash_pictures([picture])
        path = self.picture_file(name)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
            with os.fdopen(handle, "wb") as file:
                picture.save(file, format="PNG")
            Path(partial).replace(path)
        return name

    def picture_file(self, name: str) -> Path:
        """Where the picture of that hash lies, or would."""
        return self._pictures / name[:2] / f"{name}.png"
