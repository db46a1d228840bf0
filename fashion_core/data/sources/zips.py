"""A zip of class folders, read without unpacking it to anywhere."""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from fashion_core.data.image_files import MOST_BYTES
from fashion_core.data.sources import zip_file
from fashion_core.data.sources.base import Item, Source, spread
from fashion_core.data.sources.folders import Scan, not_followed
from fashion_core.data.sources.layout import is_hidden, lay_out
from fashion_core.errors import FashionError, ImageError


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Raises ``DataError`` or ``DiskError``."""
    with zip_file.opened(path) as archive:
        found, members = _scan(archive)
        layout = lay_out(path.name, found.paths, found.empty)

        def items(numbers: Iterable[int]) -> Iterator[Item]:
            for number in numbers:
                place, half, label = layout.files[number]
                name = found.paths[place]
                yield Item(name, half, label, _read(archive, members[name]))

        count = len(layout.files)
        yield Source(
            f"class folders in {path.name}",
            layout.classes,
            count,
            lambda: items(range(count)),
            lambda: items(spread(count)),
            (*layout.findings, *not_followed(found.links, found.special)),
        )


def _scan(archive: zipfile.ZipFile) -> tuple[Scan, dict[str, zipfile.ZipInfo]]:
    """The members by their names; of two of one name the last counts, as for every program that unpacks them."""
    found, members, folders = Scan(), dict[str, zipfile.ZipInfo](), set[str]()
    for entry in archive.infolist():
        name = zip_file.name_of(entry)
        leads_out = ".." in PurePosixPath(name).parts or name.startswith("/")
        if not name or (is_hidden(name) and not leads_out):
            continue
        if name.endswith("/"):
            folders.add(name.rstrip("/"))
        elif zip_file.is_link(entry) or leads_out:
            found.links.append(name)
        elif zip_file.is_special(entry):
            found.special.append(name)
        else:
            members[name] = entry
    found.paths = sorted(members)
    used = {str(parent) for name in [*members, *folders] for parent in PurePosixPath(name).parents}
    found.empty = sorted(folders - used)
    return found, members


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes | FashionError:
    try:
        with zip_file.open_member(archive, entry) as file:
            return file.read(MOST_BYTES + 1)
    except zip_file.BROKEN as error:
        return ImageError(f"It can't be unpacked ({error}): make the zip again.")
