"""What was made from files, kept until one of them changes: what stands still on the disk is read once.

A stamp tells whether a file changed: another inode when it was replaced, another size or time when it was written over;
a folder's tells whether a name in it came, went or was replaced. Two changes within one tick of the disk's clock may
leave the same stamp, so nothing is kept that was made from a file that had just changed: it is made anew each time,
until the file has been left alone for ``SETTLED_SECONDS``.
"""

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

SETTLED_SECONDS: Final = 2.0
"""The coarsest clock of a disk still in use, that of FAT; a change of the last seconds may hide another one."""
MOST_RUNS: Final = 4096
"""Of how many runs something is kept: what the small files of one say takes about 10 kB."""

Value = TypeVar("Value")
Stamp = tuple[int, int, int, int] | None


def stamp(path: Path | str) -> Stamp:
    """Inode, bytes and the times of the last change, in ns since 1970; None where nothing can be found."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- half the time of Path.stat, a thousand times a page
    except OSError:  # whoever reads it says what is wrong
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_settled(stamps: Sequence[Stamp], looked: int) -> bool:
    """Whether no file had changed shortly before it was looked at; one from the future never counts."""
    latest = looked - int(SETTLED_SECONDS * 1e9)
    return all(max(found[2:]) < latest for found in stamps if found)


class FileCache(Generic[Value]):
    """Values by a key, each made from files that ``get`` is given; at most so many, the oldest go first.

    Threads share it, and the values: they must not be changed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[Hashable, tuple[tuple[Stamp, ...], Value]] = {}
        self._changing = threading.Lock()

    def get(self, key: Hashable, paths: tuple[Path | str, ...], make: Callable[[], Value]) -> Value:
        """The value that ``make`` gives for these files as they are now; what it raises is raised, and not kept."""
        looked = time.time_ns()
        stamps = tuple([stamp(path) for path in paths])
        entry = self._entries.get(key)
        if entry and entry[0] == stamps:
            return entry[1]
        value = make()
        self._replace(key, (stamps, value) if _is_settled(stamps, looked) else None)
        return value

    def forget(self, key: Hashable) -> None:
        """Make it anew the next time."""
        self._replace(key, None)

    def clear(self) -> None:
        """Forget all, as if nothing had been read yet."""
        with self._changing:
            self._entries.clear()

    def _replace(self, key: Hashable, entry: tuple[tuple[Stamp, ...], Value] | None) -> None:
        with self._changing:
            self._entries.pop(key, None)
            if entry:
                self._entries[key] = entry
            while len(self._entries) > self._most:
                del self._entries[next(iter(self._entries))]


class LatestCache(Generic[Value]):
    """By a key the value made last, for as long as what it is made from stays equal; at most so many keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[Hashable, tuple[object, Value]] = {}
        self._changing = threading.Lock()

    def get(self, key: Hashable, made_from: object, make: Callable[[], Value]) -> Value:
        """The value that ``make`` gives for ``made_from``; several threads that ask at once make it once."""
        entry = self._entries.get(key)
        if entry and entry[0] == made_from:
            return entry[1]
        with self._changing:
            entry = self._entries.pop(key, None)
            if not entry or entry[0] != made_from:
                entry = made_from, make()
            self._entries[key] = entry
            while len(self._entries) > self._most:
                del self._entries[next(iter(self._entries))]
        return entry[1]

    def clear(self) -> None:
        """Forget all."""
        with self._changing:
            self._entries.clear()
