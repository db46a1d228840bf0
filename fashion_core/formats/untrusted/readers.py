"""The first two stages for any saved file: torch's zip, torch's format before 1.6, safetensors, and .pt2.

Formats: torch/serialization.py of https://github.com/pytorch/pytorch
"""

import io
import stat
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from fashion_core import files
from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.archive_readers import MAX_PICKLE_BYTES, read_archive
from fashion_core.formats.untrusted.pickle import MAX_OPCODES, Pickle, read_pickle
from fashion_core.formats.untrusted.safetensors_reader import read_safetensors
from fashion_core.formats.untrusted.saved_file import Place, SavedFile, check_claims
from fashion_core.formats.untrusted.values import Storage
from fashion_core.formats.untrusted.zip_archive import MAX_MEMBERS, ZIP_START

_SHOWN = 3
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# For the five pickles before torch 1.6: magic number, protocol, the machine's number sizes, content, storage keys.
_MOST_OPCODES = (10, 10, 100, MAX_OPCODES, 4 * MAX_MEMBERS)


def read_saved_file(path: Path) -> SavedFile:
    """Read a file's description, not its numbers: the first two stages. Raises ``RefusedFileError``, ``DiskError``."""
    with files.disk_errors(path):
        mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise RefusedFileError("it is a device or a pipe, not a file")  # which may be read without end, or only once
    with files.disk_errors(path), path.open("rb") as file:
        found = _read(path, file)
    check_claims(found.content, found.size)
    return found


def _read(path: Path, file: BinaryIO) -> SavedFile:
    start = file.read(10)
    if start[8:9] == b"{":  # looked at first: the length of a safetensors header may begin with any byte
        return read_safetensors(path, file)
    if start.startswith(ZIP_START):
        return read_archive(path, file)
    if start.startswith(b"\x80"):
        return _read_legacy(path, file)
    if zipfile.is_zipfile(file):
        raise RefusedFileError("there is data before its zip archive")
    raise RefusedFileError("it is empty" if not start else "it is not a file that torch or safetensors writes")


def _read_legacy(path: Path, file: BinaryIO) -> SavedFile:
    """Read five pickles, one behind the other, then each storage: its number of elements and its bytes."""
    file.seek(0)
    data = file.read(MAX_PICKLE_BYTES)
    _check_magic(data)
    pickles: list[Pickle] = []
    for most in _MOST_OPCODES:
        pickles.append(read_pickle(data, pickles[-1].end if pickles else 0, most))
    _, protocol, system, content, keys = pickles
    is_little_endian = isinstance(system.content, dict) and system.content.get("little_endian") is True
    if protocol.content != _PROTOCOL or not is_little_endian:
        raise RefusedFileError("it was written by an unknown version of torch, or on a big-endian machine")
    places, members = _legacy_places(file, keys.content, content.storages, keys.end), (("pickles", keys.end),)
    names, records = content.names.union(*(pickle.names for pickle in pickles)), sum(p.records for p in pickles)
    size = file.seek(0, io.SEEK_END)
    return SavedFile(path, "legacy", size, content.content, names, places, members, records=records)


def _check_magic(data: bytes) -> None:
    """Refuse a pickle that torch did not write, and name what it refers to as far as it can be read."""
    with suppress(RefusedFileError):
        if read_pickle(data, 0, _MOST_OPCODES[0]).content == _MAGIC:
            return
    names: tuple[str, ...] = ()
    with suppress(RefusedFileError):
        names = tuple(sorted(map(str, read_pickle(data).names)))
    refers = f"; it refers to {', '.join(names[:_SHOWN])}" if names else ""
    raise RefusedFileError(f"it is a pickle, but not one that torch wrote{refers}", names)


def _legacy_places(file: BinaryIO, keys: Any, storages: Mapping[str, Storage], offset: int) -> dict[str, Place]:
    are_texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not are_texts or len(keys) != len(storages) or set(keys) != set(storages):
        raise RefusedFileError("its list of tensors does not match its tensors")
    places = {}
    for key in keys:
        file.seek(offset)
        if file.read(8) != struct.pack("<q", storages[key].numel):
            raise RefusedFileError("its numbers are missing, or not of the size that its pickle says")
        places[key] = Place(offset + 8, storages[key].bytes)
        offset += 8 + places[key].bytes
    if file.seek(0, io.SEEK_END) != offset:
        raise RefusedFileError("it is cut off, or has data after its numbers")
    return places
