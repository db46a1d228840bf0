"""A zip from anyone: limits before its directory is read, and members that are no larger than they say.

Format: PKWARE's APPNOTE.TXT, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from fashion_core import files
from fashion_core.errors import DataError

MOST_MEMBERS: Final = 300_000  # Python takes about a kilobyte for each
_MOST_DIRECTORY_BYTES: Final = 64 << 20
_FREE_BYTES: Final = 1 << 30  # that any zip may unpack to
_MOST_RATIO: Final = 200  # images are packed already: drawings as BMP come to a hundred
_END, _END64, _LOCATOR, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_TAIL_BYTES: Final = 22 + (1 << 16) + 20
_ENCRYPTED, _UTF8 = 0x1, 0x800
BROKEN: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError,
                 OverflowError, RuntimeError)  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose directory is of bounded size. Raises ``DataError`` or ``DiskError``."""
    with files.disk_errors(path), path.open("rb") as file:
        try:
            _check_directory(path, file)
            archive = zipfile.ZipFile(file)
        except BROKEN as error:
            raise DataError(f"{path.name} is damaged or no zip file: make or fetch it again.") from error
        with archive:
            _check_total(path, archive)
            yield archive


def _check_directory(path: Path, file: BinaryIO) -> None:
    """Count the entries before an object is made of each. Raises ``ValueError`` for what is no zip."""
    length = file.seek(0, 2)
    start = file.seek(max(0, length - _TAIL_BYTES))
    tail = file.read()
    place = tail.rindex(_END)
    size, comment = struct.unpack_from("<L4xH", tail, place + 12)
    if place + 22 + comment != len(tail):  # else there may be another one around or behind it
        raise ValueError("no end")
    behind = start + place
    if tail[max(0, place - 20) : place].startswith(_LOCATOR):
        behind -= 76
        size = _size64(file, behind, *struct.unpack_from("<Q", tail, place - 12))
    file.seek(max(0, behind - min(size, _MOST_DIRECTORY_BYTES)))
    if size > _MOST_DIRECTORY_BYTES or file.read(size).count(_ENTRY) > MOST_MEMBERS:
        raise DataError(f"{path.name} holds more than {MOST_MEMBERS:,} files: unpack it and give the folder.")


def _size64(file: BinaryIO, place: int, named: int) -> int:
    """The size of the directory as its Zip64 record has it, which some Pythons look for where the locator names it.

    Others read what lies before the locator: two records would be two directories. Raises ``ValueError``.
    """
    file.seek(max(0, place))
    record = file.read(56)
    file.seek(min(named, max(0, place)))
    if place < 0 or not record.startswith(_END64) or (named != place and file.read(4) == _END64):
        raise ValueError("no directory, or two")
    return int(struct.unpack_from("<Q", record, 40)[0])


def _check_total(path: Path, archive: zipfile.ZipFile) -> None:
    total = sum(entry.file_size for entry in archive.infolist())
    if total > max(_FREE_BYTES, _MOST_RATIO * path.stat().st_size):
        raise DataError(
            f"{path.name} would unpack to {total / 2**30:,.1f} GiB, more than {_MOST_RATIO} times its size, as a zip "
            "bomb does: if you trust it, unpack it and give the folder."
        )


def name_of(entry: zipfile.ZipInfo) -> str:
    """The name of a member with slashes: some systems write UTF-8 and don't say so, or backslashes."""
    name = entry.filename
    if not entry.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name if "/" in name else name.replace("\\", "/")


def is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def is_special(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG, stat.S_IFLNK)


def open_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> zipfile.ZipExtFile:
    """Open a member; what it yields is no more than it says. Raises ``ValueError`` and what else is ``BROKEN``."""
    if entry.flag_bits & _ENCRYPTED:
        raise ValueError("it is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a bound
        raise ValueError("it is packed in a rare way")
    found = archive.open(entry)
    assert isinstance(found, zipfile.ZipExtFile)
    return found
