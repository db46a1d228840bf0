"""Files and disks that tests change, watch, make unreadable or fill."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file as people do by hand; a value of ``...`` removes the key."""
    value = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not ...}))


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def files_below(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What must not change there: all but locks, and the audit of what was refused.

    Which file it is, its bytes, and when something about it changed last: whoever writes to it moves that time.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "audit.jsonl")]
    found = {path: path.stat() for path in files if path.suffix != ".lock"}
    return {path: (seen.st_ino, seen.st_size, seen.st_ctime_ns) for path, seen in found.items()}


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every file look untouched for long, so that results made from it are cached."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)


_watched: list[tuple[tuple[str, ...], list[str]]] = []
"""The audit events that somebody watches, and where the paths that they are about are noted."""


def _note(event: str, given: tuple[Any, ...]) -> None:
    for events, paths in _watched:
        if event in events:
            paths.append(str(given[0]))


sys.addaudithook(_note)  # nothing takes a hook away again


@contextmanager
def files_opened(*events: str) -> Iterator[list[str]]:
    """The paths that are opened while inside, or that these other audit events are about."""
    _watched.append((("open", *events), []))
    try:
        yield _watched[-1][1]
    finally:
        _watched.pop()


def forbid_listing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let listing this folder fail, as the system lets it fail for anyone but root."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of this size mounted at ``folder``; skips where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("a full disk needs a tiny tmpfs, and this user may not mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
