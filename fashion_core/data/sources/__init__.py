"""Where a dataset can come from: each module opens one kind of source and yields its images, one at a time.

``open_source`` tells the kinds apart; nothing in them is trusted, and no more than a few images are in memory at once.
"""

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from fashion_core import files
from fashion_core.data.sources import folders, idx, npz, torchvision_sets, zips
from fashion_core.data.sources.base import Half, Item, Source
from fashion_core.errors import DataError, printable

__all__ = ["Half", "Item", "Source", "open_source"]
_PARQUET: Final = ".parquet"
_PICTURE: Final = re.compile(r"\.(png|jpe?g|webp|gif|bmp|tiff?)$", re.IGNORECASE)
_KINDS: Final = "a folder or zip of class folders, IDX files, an .npz, or Parquet files"


def open_source(source: str, scratch: Path) -> AbstractContextManager[Source]:
    """Open a path, or one of torchvision's sets by its name, which is fetched into ``scratch``.

    Raises ``DataError`` or ``DiskError``.
    """
    path = _path(source)
    with files.disk_errors(path):
        is_folder, is_file, is_there = path.is_dir(), path.is_file(), path.exists()
    if is_folder:
        return _open_folder(path)
    if is_file:
        return _open_file(path)
    if is_there:
        raise DataError(f"{path} is a device or a pipe, which may never end: give {_KINDS}.")
    if source in torchvision_sets.SETS:
        return nullcontext(torchvision_sets.fetch(source, scratch))
    known = ", ".join(torchvision_sets.SETS)
    raise DataError(f"There is no {printable(source)} here: give {_KINDS}, or one of the names {known}.")


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        text = f"{printable(source)} begins with a user that this computer does not know: give the whole path."
        raise DataError(text) from error


def _open_folder(folder: Path) -> AbstractContextManager[Source]:
    found = folders.scan(folder)
    if tables := [path for path in found.paths if path.lower().endswith(_PARQUET)]:
        _check_one_kind(folder, found.paths, tables[0])
        return _open_tables(folder, tables)
    if names := [path for path in found.paths if idx.is_one(path.rpartition("/")[2])]:
        _check_one_kind(folder, found.paths, names[0])
        return nullcontext(idx.open_files(folder, names))
    if not found.paths and found.links:
        raise DataError(f"{folder} holds only links, which are not followed: copy the files themselves into a folder.")
    return nullcontext(folders.open_scanned(folder, found))


def _check_one_kind(folder: Path, paths: list[str], other: str) -> None:
    """Refuse files of another kind among class folders: either would hide the other, and nobody would be told.

    One folder of pictures is none of classes: many sets have one for their page.
    """
    if len({path.rpartition("/")[0] for path in paths if "/" in path and _PICTURE.search(path)}) > 1:
        text = f"{folder} holds folders of pictures, and also {printable(other)}: take away what is not of the dataset."
        raise DataError(text)


def _open_file(path: Path) -> AbstractContextManager[Source]:
    name = path.name.lower()
    if name.endswith(_PARQUET):
        return _open_tables(path.parent, [path.name])
    if name.endswith(".npz"):
        return npz.opened(path)
    if idx.is_one(path.name):
        raise DataError(f"{path.name} is one of the IDX files of a set: give the folder that holds them.")
    if name.endswith(".zip"):
        return zips.opened(path)
    raise DataError(f"{path.name} is not a dataset that is read here: give {_KINDS}.")


def _open_tables(folder: Path, tables: list[str]) -> AbstractContextManager[Source]:
    from fashion_core.data.sources import parquet  # pyarrow takes a while, and every command would wait for it

    return parquet.opened(folder, tables)
