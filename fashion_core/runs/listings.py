"""Which saved files a run folder lists: those that have facts."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fashion_core import files


class Listed(NamedTuple):
    """A file that has facts, as a look at its folder found it.

    Attributes:
        name: its path below the run folder, such as ``model_save/3``.
        epoch: the one whose checkpoint it is; None for the other files.
        bytes: its size, None if only the facts are there.
    """

    name: str
    epoch: int | None
    bytes: int | None


def listed_in(folder: Path) -> Iterator[tuple[int, "os.DirEntry[str] | None"]]:
    """The epochs that have facts, and their checkpoint if it is there; none behind a symbolic link.

    Raises ``DiskError``.
    """
    entries: dict[str, os.DirEntry[str]] = {}
    if folder.is_symlink():
        return
    with files.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        entries = {entry.name: entry for entry in os.scandir(folder) if not entry.is_symlink()}
    for name in entries:
        epoch = name.removesuffix(".json")
        if epoch != name and epoch.isdecimal() and str(int(epoch)) == epoch:
            yield int(epoch), entries.get(epoch)


def size_of(file: "str | os.PathLike[str]") -> int | None:
    """Bytes of a file; None if there is none. Raises ``OSError``."""
    try:
        return os.stat(file).st_size  # noqa: PTH116 -- half the time of Path.stat, for all files
    except FileNotFoundError:
        return None
