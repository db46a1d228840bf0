"""The first stage for a file from outside: a zip archive as torch writes it, read with the standard library alone.

Every limit is far above what a file of this app or of the tutorial needs, and low enough for reading to be quick.
Format: PKWARE's APPNOTE.TXT, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from fashion_core.errors import ChangedFileError, RefusedFileError

MAX_MEMBERS = 2048
MAX_DIRECTORY_BYTES = 1 << 20
ZIP_START = b"PK\x03\x04"
_CHUNK = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_TAIL_BYTES = _END64.size + _END64_LOCATOR.size + _END.size
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR_BYTES = 24  # the most that may follow a member: its checksum and sizes once more
_ENCRYPTED = 0x2041


@dataclass(frozen=True)
class Member:
    name: str
    start: int  # of its header
    offset: int  # of its bytes
    bytes: int
    crc: int  # the CRC-32 that its bytes should have


class Archive:
    """An archive with stored members, one of each name, side by side from the first byte to the directory.

    Raises ``RefusedFileError`` if it is anything else. Opening it reads only the directory; reading a member compares
    the CRC, so a changed bit in its bytes never goes unnoticed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        _check_directory(file)
        try:
            with zipfile.ZipFile(file) as directory:
                directory_start = directory.start_dir
                found = [_member(file, entry, directory_start) for entry in directory.infolist()]
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError) as error:
            raise RefusedFileError("its zip archive is damaged or not of the kind that torch writes") from error
        self.members = {member.name: member for member in found}
        if len(self.members) != len(found):
            raise RefusedFileError("its zip archive holds two members of the same name")
        spans = sorted((member.start, member.offset + member.bytes) for member in found)
        if not spans or spans[0][0] != 0:
            raise RefusedFileError("there is data before its zip archive")
        gaps = [start - end for (_, end), (start, _) in pairwise([*spans, (directory_start, 0)])]
        if min(gaps) < 0:
            raise RefusedFileError("members of its zip archive overlap")
        if max(gaps) > _DESCRIPTOR_BYTES:
            raise RefusedFileError("there is data between the members of its zip archive")

    def read(self, name: str, limit: int) -> bytes:
        """Read a small member. Raises ``RefusedFileError`` if it is absent or too large, or its CRC differs."""
        member = self.members.get(name)
        if member and member.bytes > limit:
            raise RefusedFileError(f"its member {name} has {member.bytes:,} bytes; at most {limit:,} are allowed")
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Read a member of any size; its CRC is compared at the end. Raises ``RefusedFileError``."""
        if name not in self.members:
            raise RefusedFileError(f"its zip archive has no member {name}")
        member = self.members[name]
        self.file.seek(member.offset)
        left, crc = member.bytes, 0
        while left:
            if not (chunk := self.file.read(min(left, _CHUNK))):
                raise RefusedFileError("it ends before its zip archive does")
            left, crc = left - len(chunk), zlib.crc32(chunk, crc)
            yield chunk
        if crc != member.crc:
            raise ChangedFileError(
                f"the checksum of its member {name} differs: it was changed, damaged or never written"
            )

    def check_fingerprint(self, name: str) -> None:
        """Compare the CRCs of all members, in their order, with what torch wrote about them in a last member.

        Only this shows that two members of one size have changed places. Raises ``RefusedFileError``. Source:
        ``PyTorchStreamWriter`` in caffe2/serialize/inline_container.cc of https://github.com/pytorch/pytorch; the other
        half of what it writes is a hash of the names that depends on the C++ library.
        """
        others = [member for member in self.members.values() if member.name != name and member.bytes]
        combined = 0
        for member in sorted(others, key=lambda member: member.offset):  # ``c10::hash_combine`` on 64 bits
            combined ^= (member.crc + 0x9E3779B9 + (combined << 6) + (combined >> 2)) & (2**64 - 1)
        if self.read(name, 40)[20:] != f"{combined:020}".encode():
            raise RefusedFileError("its members are not those that torch wrote together: one was changed or moved")


def _check_directory(file: BinaryIO) -> None:
    """Count entries before ``zipfile`` makes an object of each, in a directory of any size."""
    length = file.seek(0, 2)
    file.seek(max(0, length - _TAIL_BYTES))
    tail = file.read()
    end = tail[-_END.size :]
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06") or end[-2:] != b"\0\0":
        raise RefusedFileError("its zip archive is cut off, or has data after it")
    _, disk, first_disk, _, _, size, *_ = _END.unpack(end)
    behind = _END.size
    if tail[-_END.size - _END64_LOCATOR.size :].startswith(b"PK\x06\x07"):
        if not tail.startswith(b"PK\x06\x06"):
            raise RefusedFileError("its zip archive is damaged or not of the kind that torch writes")
        size, behind = _END64.unpack(tail[: _END64.size])[8], _TAIL_BYTES
    elif disk or first_disk:
        raise RefusedFileError("its zip archive is part of a larger one")
    if size > MAX_DIRECTORY_BYTES:
        raise RefusedFileError(f"the directory of its zip archive has {size:,} bytes, more than any model needs")
    file.seek(max(0, length - behind - size))
    if file.read(size).count(b"PK\x01\x02") > MAX_MEMBERS:
        raise RefusedFileError(f"its zip archive holds more than {MAX_MEMBERS:,} members, more than any model needs")


def _member(file: BinaryIO, entry: zipfile.ZipInfo, directory_start: int) -> Member:
    """A member whose own header agrees with the directory. Raises ``ValueError`` or ``RefusedFileError``."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise RefusedFileError(f"its member {entry.filename} is compressed; torch stores members as they are")
    if not 0 <= entry.header_offset < directory_start:
        raise ValueError("outside the file")
    file.seek(entry.header_offset)
    signature, _, flags, method, *_, name_bytes, extra_bytes = _LOCAL.unpack(file.read(_LOCAL.size))
    name = file.read(name_bytes).decode("utf-8")
    if signature != ZIP_START or name != entry.orig_filename or name != entry.filename or method:
        raise ValueError("header and directory disagree")
    if (flags | entry.flag_bits) & _ENCRYPTED or entry.is_dir() or not name.isprintable() or "\\" in name:
        raise ValueError("not a member that torch writes")
    offset = entry.header_offset + _LOCAL.size + name_bytes + extra_bytes
    return Member(name, entry.header_offset, offset, entry.file_size, entry.CRC)
