"""The log of votes, a SQLite file. Rows are only ever added, and the database holds to that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from pipelines.arena.ballot import Ballot, ballot_of
from pipelines.errors import StudioError
from pipelines.sharing.database import migrate

_MIGRATIONS = (
    (
        """
        CREATE TABLE votes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            schema INTEGER NOT NULL,
            time TEXT NOT NULL,
            task TEXT NOT NULL,
            input_sha256 TEXT NOT NULL,
            seed INTEGER NOT NULL,
            models TEXT NOT NULL,
            choice TEXT NOT NULL
        )
        """,
        "CREATE INDEX votes_by_task ON votes (task)",
        """
        CREATE TRIGGER votes_stay BEFORE UPDATE ON votes
            BEGIN SELECT RAISE(ABORT, 'votes are never changed'); END
        """,
        """
        CREATE TRIGGER votes_remain BEFORE DELETE ON votes
            BEGIN SELECT RAISE(ABORT, 'votes are never deleted'); END
        """,
    ),
)
"""The statements at ``n`` take a database from version ``n`` to ``n + 1``. Only ever append."""
_COLUMNS = "schema, time, task, input_sha256, seed, models, choice"


class LogUnavailable(StudioError):
    """The database of votes cannot be opened, read or written."""


class VoteLog:
    """The votes of one data directory. The file is made with the first vote."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, ballot: Ballot) -> None:
        """Adds a vote, on disk when this returns.

        Raises:
            InvalidValue: a field that ``ballot_of`` would refuse.
            LogUnavailable: it could not be written.
        """
        row = asdict(ballot_of(asdict(ballot)))
        row["models"] = json.dumps(row["models"])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as database:
            database.execute(
                f"INSERT INTO votes ({_COLUMNS}) VALUES "
                "(:schema, :time, :task, :input_sha256, :seed, :models, :choice)",
                row,
            )

    def ballots(self, task: str | None = None) -> list[Ballot]:
        """All votes, or those of one task, the oldest first.

        Raises:
            LogUnavailable: the file is damaged, or of a later version.
        """
        if not self._path.exists():
            return []
        with self._opened() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM votes WHERE :task IS NULL OR task = :task ORDER BY id",
                {"task": task},
            ).fetchall()
        return [ballot_of({**row, "models": json.loads(row["models"])}) for row in map(dict, rows)]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call alone, for visitors come in threads of their own."""
        try:
            with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as database:
                database.row_factory = sqlite3.Row
                migrate(database, _MIGRATIONS, f"The log {self._path.name}", LogUnavailable)
                yield database
        except sqlite3.Error as error:
            raise LogUnavailable(
                f"The votes cannot be read or written ({error}). Nothing was counted. Tell the "
                f"owner of this page to look at the file {self._path.name} in its data directory."
            ) from error
