"""A cache of values made from files: each is kept until its files change, so an unchanged file is read only once.

Each value is kept with a *stamp*, which stays equal while the value is valid. The stamp of files is their identity:
another inode when one was replaced, another size or time when it was written over; a folder's changes with its names.
"""

import os
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

from cachetools import FIFOCache

SETTLED_NS: Final = 2_000_000_000  # two changes within the coarsest timestamp still in use, FAT's, may look like one
MOST_RUNS: Final = 4096  # to cache; the records of one take about 10 kB

Value = TypeVar("Value")
Identity = tuple[int, int, int, int]


def identity(path: Path | str) -> Identity | None:
    """Inode, bytes and the times of the last change, in ns since 1970; None where nothing can be found."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- half the time of Path.stat, a thousand times a page
    except OSError:  # reading it says what is wrong
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def stamp(*paths: Path | str) -> object:
    """The stamp of these files and folders, which must be taken before they are read.

    Two changes within one tick of the disk's clock may leave the same identity, so the stamp of a file that changed
    less than ``SETTLED_NS`` ago, or comes from the future, equals no other: what is made from it is made each time.
    """
    settled = time.time_ns() - SETTLED_NS
    identities: list[Identity | None] = []
    for path in paths:  # as ``identity`` does; to call it a thousand times a page costs as much as the comparisons
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError:
            identities.append(None)
            continue
        modified, changed = found.st_mtime_ns, found.st_ctime_ns
        if modified >= settled or changed >= settled:
            return object()
        identities.append((found.st_ino, found.st_size, modified, changed))
    return identities


class _Entries(FIFOCache[Hashable, tuple[object, Value] | None]):
    """Unlike LRU, FIFO changes nothing when it is read, so readers need no lock; a page reads a thousand entries."""

    def __missing__(self, key: Hashable) -> None:
        return None


class Cache(Generic[Value]):
    """A cache of values by key; the oldest go when it is full. Threads share its values, so never modify one.

    Args:
        most: how many are kept, or how much they may measure together.
        size: what a value measures; by default each counts as one.
    """

    def __init__(self, most: int, size: Callable[[Value], int] | None = None) -> None:
        measure = None if size is None else lambda entry: size(entry[1])
        self._entries = _Entries[Value](most, getsizeof=measure)
        self._changing, self._making = threading.Lock(), threading.RLock()

    def get(self, key: Hashable, stamp: object, make: Callable[[], Value]) -> Value:
        """Return the value made at this stamp, else call ``make`` and keep its result; its errors are raised, not kept.

        Concurrent threads wait for the one that makes it.
        """
        entry = self._entries[key]
        if entry and entry[0] == stamp:
            return entry[1]
        with self._making:
            entry = self._entries[key]
            if not entry or entry[0] != stamp:
                entry = stamp, make()
                with self._changing, suppress(ValueError):  # larger than all the room: used, not kept
                    self._entries[key] = entry
        return entry[1]

    def __contains__(self, key: Hashable) -> bool:
        """Whether this key has a value, whatever its stamp."""
        return key in self._entries

    @property
    def size(self) -> float:
        return self._entries.currsize

    def forget(self, key: Hashable) -> None:
        with self._changing:
            self._entries.pop(key, None)

    def clear(self) -> None:
        with self._changing:
            self._entries.clear()
