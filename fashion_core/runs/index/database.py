"""The rows of an index in a file, for the next process of this host: SQLite, one row a run.

Each host has its own file in the store, because SQLite's locks need not hold between hosts. Whatever is wrong with the
file, there is none: then the folders are read again.
"""

import json
import platform
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import starmap
from pathlib import Path
from typing import Final, NamedTuple

from pydantic_core import from_json

from fashion_core.runs.index.row import FIELDS, Row

LOAD_SECONDS: Final = 5.0  # how long to wait for a process that writes; it takes far less
SAVE_SECONDS: Final = 0.1  # while visitors wait: what was not kept is kept the next time
FOLDER: Final = ".index"  # of its own: what SQLite writes beside its file must not look like a change of the store
_COLUMNS: Final = ",".join(FIELDS)
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, status INTEGER, files INTEGER, row TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
)


class Entry(NamedTuple):
    """A row, and the stamps of the files that it was read from: None while they may change unseen."""

    status: int | None
    files: int | None
    row: Row


class Kept(NamedTuple):
    entries: dict[str, Entry]
    audited: int  # bytes of the audit that they are as new as


class Database:
    def __init__(self, root: Path) -> None:
        host = re.sub(r"[^A-Za-z0-9.-]", "_", platform.node()) or "host"
        self.path = root / FOLDER / f"{host}.sqlite"

    def load(self) -> Kept:
        """All that was kept; nothing where there is no file, or a damaged one, which is removed."""
        if not self.path.exists():
            return Kept({}, 0)
        try:
            with self._opened(LOAD_SECONDS) as connection:
                return _read(connection)
        except (sqlite3.Error, ValueError, TypeError) as error:
            if not _is_busy(error):
                with suppress(OSError):
                    self.path.unlink()
            return Kept({}, 0)

    def save(self, changed: Mapping[str, Entry], gone: Iterable[str], audited: int) -> bool:
        """Return whether that worked: another process may be writing, or this user may not."""
        try:
            self.path.parent.mkdir(exist_ok=True)
            with self._opened(SAVE_SECONDS) as connection, connection:
                connection.executemany("DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in gone])
                connection.executemany("REPLACE INTO runs VALUES (?, ?, ?, ?)", map(_as_columns, changed.values()))
                facts = {"audited": str(audited), "columns": _COLUMNS}
                connection.executemany("REPLACE INTO facts VALUES (?, ?)", facts.items())
            return True
        except (sqlite3.Error, OSError):
            return False

    @contextmanager
    def _opened(self, patience: float) -> Iterator[sqlite3.Connection]:
        """Nothing is flushed to the disk: after a power cut the folders are read again."""
        with closing(sqlite3.connect(self.path, timeout=patience)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            for table in _TABLES:
                connection.execute(table)
            yield connection


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def _as_columns(entry: Entry) -> tuple[str, int | None, int | None, str]:
    return entry.row.id, entry.status, entry.files, json.dumps(entry.row)


def _read(connection: sqlite3.Connection) -> Kept:
    """Raise ``ValueError`` if another version wrote it."""
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    if facts.get("columns") != _COLUMNS:
        raise ValueError("an index of another version")
    found = connection.execute("SELECT status, files, row FROM runs").fetchall()
    rows = starmap(Row, from_json(f"[{','.join(row for *_, row in found)}]"))
    entries = (Entry(status, stamped, row) for (status, stamped, _), row in zip(found, rows, strict=True))
    return Kept({entry.row.id: entry for entry in entries}, int(facts["audited"]))
