"""The first stage for a file from outside: a zip archive as torch reads it, with the standard library alone.

Every limit is far above what people's models need, and low enough for reading to be quick.
Format: PKWARE's APPNOTE.TXT, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from fashion_core.errors import ChangedFileError, RefusedFileError, is_one_line
from fashion_core.formats.untrusted.rebuild import Ledger
from fashion_core.formats.untrusted.values import CUT_OFF

MAX_MEMBERS = 10_000
MAX_DIRECTORY_BYTES = 2 << 20
_LINK, _TYPES = 0o120000, 0o170000  # of a symbolic link, and of every kind of file, as Unix numbers them
ZIP_START = b"PK\x03\x04"
_CHUNK = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_END_START, _LONGEST_COMMENT = b"PK\x05\x06", (1 << 16) - 1
_TAIL_BYTES = _END64.size + _END64_LOCATOR.size + _END.size
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR_BYTES = 24  # the most that may follow a member: its checksum and sizes once more
_ENCRYPTED = 0x2041


class Kind(NamedTuple):
    """Whose archives are read, and how large they may be."""

    writer: str = "torch"
    what: str = "any model"
    advice_before: str = (  # where other data comes first
        ", as in a part of a distributed checkpoint (.distcp); turn the folder of one into a single file where it was "
        "made"
    )
    members: int = MAX_MEMBERS
    directory_bytes: int = MAX_DIRECTORY_BYTES


TORCH = Kind()


@dataclass(frozen=True)
class Member:
    name: str
    start: int  # of its header
    offset: int  # of its bytes
    bytes: int
    crc: int  # the CRC-32 that its bytes should have
    stored_bytes: int  # how many they are in the archive
    compressed: bool
    is_link: bool


class Archive:
    """An archive with one member of each name, side by side from the first byte to the directory.

    Raises ``RefusedFileError`` if it is anything else. Opening it reads only the directory; reading a member compares
    the CRC, so a changed bit in its bytes never goes unnoticed, unless torch was told to compute none. What torch reads
    but never writes, such as compressed members, is noted in the ``ledger``.
    """

    def __init__(self, file: BinaryIO, ledger: Ledger | None = None, kind: Kind = TORCH) -> None:
        self.file, self.ledger = file, ledger or Ledger()
        _check_directory(file, self.ledger, kind)
        try:
            with zipfile.ZipFile(file) as directory:
                directory_start = directory.start_dir
                found = [_member(file, entry, directory_start) for entry in directory.infolist()]
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError) as error:
            raise RefusedFileError(_damaged(kind)) from error
        self.members = {member.name: member for member in found}
        if len(self.members) != len(found):
            raise RefusedFileError("its zip archive holds two members of the same name")
        self.has_checksums = any(member.crc for member in found)
        if compressed := next((member.name for member in found if member.compressed), None):
            self.ledger.object_to(f"its member {compressed} is compressed; load it in torch and save it again")
        if not all(map(is_one_line, self.members)):  # torch puts the file's own name before each
            self.ledger.object_to("a name in it holds control characters; save it again in torch under another name")
        spans = sorted((member.start, member.offset + member.stored_bytes) for member in found)
        if not spans:
            raise RefusedFileError("its zip archive is empty")
        if spans[0][0] != 0:
            raise RefusedFileError(f"there is other data before its zip archive{kind.advice_before}")
        gaps = [start - end for (_, end), (start, _) in pairwise([*spans, (directory_start, 0)])]
        if min(gaps) < 0:
            raise RefusedFileError("members of its zip archive overlap")
        if max(gaps) > _DESCRIPTOR_BYTES:
            self.ledger.object_to("there is data between the members of its zip archive")

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
        crc = 0
        for chunk in self._inflated(member) if member.compressed else self._stored(member):
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if crc != member.crc and self.has_checksums:
            raise ChangedFileError(
                f"the checksum of its member {name} differs: it was changed, damaged or never written"
            )

    def _stored(self, member: Member) -> Iterator[bytes]:
        self.file.seek(member.offset)
        left = member.stored_bytes
        while left:
            if not (chunk := self.file.read(min(left, _CHUNK))):
                raise RefusedFileError("it ends before its zip archive does")
            left -= len(chunk)
            yield chunk

    def _inflated(self, member: Member) -> Iterator[bytes]:
        """As many bytes as the directory says, whatever would come; ``read`` limits them."""
        inflate, left = zlib.decompressobj(-zlib.MAX_WBITS), member.bytes
        for chunk in self._stored(member):
            if not left:
                break
            try:
                found = inflate.decompress(chunk, left)
            except zlib.error as error:
                raise ChangedFileError(f"its member {member.name} is damaged") from error
            left -= len(found)
            yield found

    def check_fingerprint(self, name: str) -> None:
        """Compare the CRCs of all members, in their order, with what torch wrote about them in a last member.

        Only this shows that two members of one size have changed places. Source:
        ``PyTorchStreamWriter`` in caffe2/serialize/inline_container.cc of https://github.com/pytorch/pytorch; the other
        half of what it writes is a hash of the names that depends on the C++ library.
        """
        others = [member for member in self.members.values() if member.name != name and member.bytes]
        combined = 0
        for member in sorted(others, key=lambda member: member.offset):  # ``c10::hash_combine`` on 64 bits
            combined ^= (member.crc + 0x9E3779B9 + (combined << 6) + (combined >> 2)) & (2**64 - 1)
        if self.read(name, 40)[20:] != f"{combined:020}".encode():
            self.ledger.object_to("its members are not those that torch wrote together: one was changed or moved")


def _damaged(kind: Kind) -> str:
    return f"its zip archive is damaged or not of the kind that {kind.writer} writes"


def _check_directory(file: BinaryIO, ledger: Ledger, kind: Kind) -> None:
    """Count entries before ``zipfile`` makes an object of each, in a directory of any size."""
    length = file.seek(0, 2)
    start = file.seek(max(0, length - _TAIL_BYTES - _LONGEST_COMMENT))
    tail = file.read()
    is_at_the_end = tail[-_END.size :].startswith(_END_START) and tail[-2:] == b"\0\0"
    place = len(tail) - _END.size if is_at_the_end else tail.rfind(_END_START)  # as ``zipfile`` looks for it
    if not 0 <= place <= len(tail) - _END.size:
        raise RefusedFileError(CUT_OFF)
    if not is_at_the_end:
        ledger.object_to("there is data after its zip archive")
    _, disk, first_disk, _, _, size, *_ = _END.unpack(tail[place : place + _END.size])
    behind, before = start + place, tail[:place][-_TAIL_BYTES + _END.size :]
    if before[-_END64_LOCATOR.size :].startswith(b"PK\x06\x07"):
        if not before.startswith(b"PK\x06\x06"):
            raise RefusedFileError(_damaged(kind))
        size, behind = _END64.unpack(before[: _END64.size])[8], behind - len(before)
    elif disk or first_disk:
        raise RefusedFileError("its zip archive is part of a larger one")
    if size > kind.directory_bytes:
        raise RefusedFileError(f"the directory of its zip archive has {size:,} bytes, more than {kind.what} needs")
    file.seek(max(0, behind - size))
    if file.read(size).count(b"PK\x01\x02") > kind.members:
        raise RefusedFileError(f"its zip archive holds more than {kind.members:,} members, more than {kind.what} needs")


def _member(file: BinaryIO, entry: zipfile.ZipInfo, directory_start: int) -> Member:
    """A member whose own header agrees with the directory. Raises ``ValueError`` or ``RefusedFileError``."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedFileError(f"its member {entry.filename} is compressed in a way that torch does not read")
    compressed = entry.compress_type == zipfile.ZIP_DEFLATED
    if not compressed and entry.compress_size != entry.file_size:
        raise ValueError("a stored member of two sizes")
    if not 0 <= entry.header_offset < directory_start:
        raise ValueError("outside the file")
    file.seek(entry.header_offset)
    signature, _, flags, method, *_, name_bytes, extra_bytes = _LOCAL.unpack(file.read(_LOCAL.size))
    name = file.read(name_bytes).decode("utf-8")
    if signature != ZIP_START or name != entry.orig_filename or name != entry.filename or method != entry.compress_type:
        raise ValueError("header and directory disagree")
    if (flags | entry.flag_bits) & _ENCRYPTED or "\\" in name:
        raise ValueError("not a member that torch reads")
    offset = entry.header_offset + _LOCAL.size + name_bytes + extra_bytes
    is_link = entry.external_attr >> 16 & _TYPES == _LINK
    sizes = entry.file_size, entry.CRC, entry.compress_size
    return Member(name, entry.header_offset, offset, *sizes, compressed, is_link)
