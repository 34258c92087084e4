"""Numbered migrations of an SQLite file, as the stores of votes and of samples have them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from pipelines.errors import StudioError


def migrate(
    database: sqlite3.Connection,
    migrations: Sequence[Sequence[str]],
    name: str,
    error: type[StudioError] = StudioError,
) -> None:
    """Brings a database to the version of this code, whole or not at all.

    Args:
        database: a connection that begins no transactions by itself.
        migrations: the statements at ``n`` take it from version ``n`` to ``n + 1``.
        name: what a message calls it.

    Raises:
        StudioError: of the class ``error``; it was written by a later version.
    """
    if _version(database) == len(migrations):
        return
    database.execute("BEGIN IMMEDIATE")  # of two that come together, one finds the work done
    version = _version(database)
    if version > len(migrations):
        database.execute("ROLLBACK")
        raise error(
            f"{name} was written by a later version of this program (its version is {version}, "
            f"here at most {len(migrations)}). Update, or choose another data directory."
        )
    for statements in migrations[version:]:
        for statement in statements:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {len(migrations)}")
    database.execute("COMMIT")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
