"""``audit.jsonl`` of a store: a line for each action, who asked for it, when, and how it ended.

The outcome is ``done``, ``interrupted``, or why it was refused or failed. JSON keeps line breaks and control characters
of names out of the file.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fashion_core import files
from fashion_core.errors import printable

NAME: Final = "audit.jsonl"
DONE: Final = "done"


@dataclass
class Entry:
    """One line; what becomes known later is filled in before it is written."""

    when: str  # UTC, ISO 8601
    who: str
    what: str
    run: str | None = None
    detail: str = ""
    outcome: str = "interrupted"


def entry(who: str, what: str, run: str | None = None, detail: str = "") -> Entry:
    return Entry(datetime.now(UTC).isoformat(timespec="milliseconds"), who, what, run, detail)


def check(root: Path) -> None:
    """Raise ``DiskError`` if this store can't note an action; a store that is not there yet will be made."""
    if root.exists():
        with _opened(root):
            pass


def write(root: Path, entry: Entry) -> None:
    """Append a line in one write; only an action that was done creates a store. Raises ``DiskError``."""
    if entry.outcome != DONE and not root.exists():
        return
    with _opened(root) as descriptor:
        data = _break_of_a_torn_line(descriptor) + _as_line(entry)
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    path = root / NAME
    with files.disk_errors(path):
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _as_line(entry: Entry) -> bytes:
    shown = {name: printable(value) if isinstance(value, str) else value for name, value in asdict(entry).items()}
    return json.dumps(shown).encode() + b"\n"


def _break_of_a_torn_line(descriptor: int) -> bytes:
    """End a line that a crash or a full disk has cut short, so that only that one is lost."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return b""
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return b"" if os.read(descriptor, 1) == b"\n" else b"\n"


def read(root: Path) -> list[Entry]:
    """Return all whole lines, the oldest first; skip torn ones. Raises ``DiskError``."""
    path = root / NAME
    with files.disk_errors(path):
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [found for found in map(_parse, lines) if found]


def _parse(line: bytes) -> Entry | None:
    with suppress(ValueError, TypeError, RecursionError):
        return Entry(**json.loads(line))
    return None
