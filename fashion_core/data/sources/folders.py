"""A folder of class folders: no link is followed, and nothing is opened that is not a plain file."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fashion_core import files
from fashion_core.data.image_files import MOST_BYTES
from fashion_core.data.report import Finding
from fashion_core.data.sources.base import Item, Source, spread
from fashion_core.data.sources.layout import MOST_FILES, NAMED, is_hidden, lay_out
from fashion_core.errors import DataError, FashionError, counted

_LINK = "{{count:,}} {} out of it {} not followed."


@dataclass
class Scan:
    """All plain files below a folder, as paths with slashes in order, and what else there was."""

    paths: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)


def scan(folder: Path) -> Scan:
    """Raises ``DataError`` or ``DiskError``."""
    found, waiting = Scan(), [""]
    while waiting:
        below = waiting.pop()
        with files.disk_errors(folder / below):
            with os.scandir(folder / below) as entries:
                shown = [entry for entry in entries if not is_hidden(entry.name)]
            if below and not shown:
                found.empty.append(below.rstrip("/"))
            for entry in shown:
                _sort_in(entry, f"{below}{entry.name}", found, waiting)
        if len(found.paths) > MOST_FILES:
            most = f"{folder} holds more than {MOST_FILES:,} files: "
            raise DataError(f"{most}join them into Parquet files, or leave some out.")
    found.paths.sort()
    return found


def _sort_in(entry: os.DirEntry[str], path: str, found: Scan, waiting: list[str]) -> None:
    if entry.is_symlink():
        found.links.append(path)
    elif entry.is_dir(follow_symlinks=False):
        waiting.append(f"{path}/")
    elif entry.is_file(follow_symlinks=False):
        found.paths.append(path)
    else:
        found.special.append(path)


def open_scanned(folder: Path, found: Scan) -> Source:
    """The source in a folder of class folders. Raises ``DataError``."""

    def read(path: str) -> bytes | FashionError:
        try:
            with files.disk_errors(folder / path), files.open_to_read(folder / path) as file:
                return file.read(MOST_BYTES + 1)
        except FashionError as error:
            return error

    return laid_out(str(folder), f"class folders in {folder.name or folder}", found, read)


def laid_out(where: str, kind: str, found: Scan, read: Callable[[str], bytes | FashionError]) -> Source:
    """The source in class folders; ``read`` gives a file by its path, or why it can't be read. Raises ``DataError``."""
    layout = lay_out(where, found.paths, found.empty)

    def items(numbers: Iterable[int]) -> Iterator[Item]:
        for number in numbers:
            place, half, label = layout.files[number]
            yield Item(found.paths[place], half, label, read(found.paths[place]))

    count, findings = len(layout.files), (*layout.findings, *not_followed(found.links, found.special))
    return Source(kind, layout.classes, count, lambda: items(range(count)), lambda: items(spread(count)), findings)


def not_followed(links: list[str], special: list[str]) -> list[Finding]:
    """What is left out since it may point or reach anywhere."""
    found = []
    for names, one, many in (
        (links, _LINK.format("link that may lead", "is"), _LINK.format("links that may lead", "are")),
        (special, "{count} pipe or device is not opened.", "{count:,} pipes or devices are not opened."),
    ):
        if names:
            text = counted(len(names), one, many)
            found.append(Finding(kind="left out", text=text, names=tuple(sorted(names)[:NAMED])))
    return found
