"""A zip of class folders, read without unpacking it to anywhere."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from fashion_core.data.image_files import MOST_BYTES
from fashion_core.data.sources import zip_file
from fashion_core.data.sources.base import Source
from fashion_core.data.sources.folders import Scan, laid_out
from fashion_core.data.sources.layout import is_hidden
from fashion_core.errors import DataError, FashionError, ImageError, printable


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Raises ``DataError`` or ``DiskError``."""
    with zip_file.opened(path) as archive:
        found, members = _scan(archive)
        _check_names(path.name, found)
        yield laid_out(path.name, f"class folders in {path.name}", found, lambda name: _read(archive, members[name]))


def _check_names(zip_name: str, found: Scan) -> None:
    """Raise ``DataError`` where all lead out: some tools make that of a path above the folder that they ran in."""
    outside = [name for name in found.links if _leads_out(name)]
    if outside and not found.paths:
        where = f"names that lead out of it, such as {printable(outside[0])}"
        raise DataError(f"The files in {zip_name} have {where}: zip the folder anew.")


def _leads_out(name: str) -> bool:
    return ".." in PurePosixPath(name).parts or name.startswith("/")


def _scan(archive: zipfile.ZipFile) -> tuple[Scan, dict[str, zipfile.ZipInfo]]:
    """The members by their names; of two of one name the last counts, as for every program that unpacks them."""
    found, members, folders = Scan(), dict[str, zipfile.ZipInfo](), set[str]()
    for entry in archive.infolist():
        name = zip_file.name_of(entry)
        leads_out = _leads_out(name)
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
