"""``audit.jsonl`` of a store: a line for each action, who asked for it, when, and how it ended."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import RawIOBase
from pathlib import Path
from typing import Final

from fashion_core import files
from fashion_core.errors import printable

NAME: Final = "audit.jsonl"
DONE: Final = "done"


@dataclass
class Entry:
    """One line; fields not known at first are set before writing."""

    when: str  # UTC, ISO 8601
    who: str
    what: str
    run: str | None
    detail: str
    outcome: str  # ``done``, ``interrupted``, or why it was refused or failed


def entry(who: str, what: str, run: str | None = None, detail: str = "", outcome: str = "interrupted") -> Entry:
    return Entry(datetime.now(UTC).isoformat(timespec="milliseconds"), who, what, run, detail, outcome)


def check(root: Path) -> None:
    """Raise ``DiskError`` if this store can't note an action; a store that does not exist yet will be made."""
    if root.exists():
        with _opened(root):
            pass


def write(root: Path, entry: Entry) -> None:
    """Append a line in one write; only an action that was done creates a store. Raises ``DiskError``."""
    if entry.outcome != DONE and not root.exists():
        return
    shown = {name: value and printable(value) for name, value in asdict(entry).items()}
    with _opened(root) as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 1))
        torn = log.read(1) not in (b"", b"\n")  # by a crash or a full disk: ended here, so that only that line is lost
        line = b"\n" * torn + json.dumps(shown).encode() + b"\n"
        if log.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(log.fileno())


@contextmanager
def _opened(root: Path) -> Iterator[RawIOBase]:
    path = root / NAME
    with files.disk_errors(path):
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        with os.fdopen(descriptor, "rb+", buffering=0) as log:
            yield log


def read(root: Path) -> list[Entry]:
    """Return all whole lines, the oldest first; skip torn ones. Raises ``DiskError``."""
    path = root / NAME
    with files.disk_errors(path):
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    found = []
    for line in lines:
        with suppress(ValueError, TypeError, RecursionError):
            found.append(Entry(**json.loads(line)))
    return found
