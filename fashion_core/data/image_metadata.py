"""Split an image file into its picture and its EXIF data, and leave out texts, profiles and previews.

Damage in what is no picture then does not matter, and nothing of it is unpacked.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Literal

from fashion_core.errors import ImageError

MOST_PARTS = 65_536  # chunks or segments of a file, strips or tiles of a TIFF: Pillow takes half a kilobyte for each
TOO_MANY_PARTS = "The image is stored in far too many parts: save it again as a plain PNG or JPEG."
_Part = tuple[bytes, bytes]  # what is kept of a chunk or a segment, and the EXIF data in it
_PNG, _JPEG, _EXIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"Exif\0\0"
_PICTURE, _FEW = (b"IHDR", b"PLTE", b"IDAT"), 16
_TRANSPARENCY_AND_ANIMATION = (b"tRNS", b"acTL", b"fcTL", b"fdAT")
_SEGMENT = re.compile(rb"\xff+([\xc0-\xcf\xdb-\xfe])(..)", re.DOTALL)  # not those that stand alone, nor a scan
_APP0, _APP1, _ADOBE, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_SHORTEST = 14  # length of an Adobe segment; JFIF's is longer: they tell which colours are stored
_ORIENTATION, _SHORT = 0x0112, 3
_PIECES = (273, 279, 324, 325)  # offsets and sizes of strips and of tiles


def split(data: bytes) -> tuple[bytes, bytes]:
    """The file with no more than its picture, and its EXIF data; a TIFF stays as it is, and is both.

    Raises ``ImageError`` if it has more parts than a picture needs.
    """
    if data.startswith(_PNG):
        if _is_picture_alone(data):
            return data, b""
        return _joined(_PNG, _png_chunks(data))
    if data.startswith(_JPEG):
        return _joined(_JPEG, _jpeg_segments(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        content, exif = _joined(b"WEBP", _webp_chunks(data))
        return b"RIFF" + struct.pack("<L", len(content)) + content, exif
    if max((count for tag, _, count, _ in _entries(data) if tag in _PIECES), default=0) > MOST_PARTS:
        raise ImageError(TOO_MANY_PARTS)
    return data, data


def orientation(exif: bytes) -> int:
    """How the picture lies (EXIF 2.3, tag 0x0112); 1, upright, where the data do not tell it or can't be read."""
    order: Literal["little", "big"] = "little" if exif.startswith(b"II") else "big"
    values = (value for tag, kind, _, value in _entries(exif) if tag == _ORIENTATION and kind == _SHORT)
    return next((int.from_bytes(value[:2], order) for value in values), 1)


def _joined(start: bytes, parts: Iterator[_Part]) -> _Part:
    kept, exif = [start], b""
    for number, (part, found) in enumerate(parts):
        if number > MOST_PARTS:
            raise ImageError(TOO_MANY_PARTS)
        kept.append(part)
        exif = exif or found
    return b"".join(kept), exif


def _is_picture_alone(data: bytes) -> bool:
    """Whether a PNG is a few chunks of a picture and nothing else, as those of most datasets are."""
    place = len(_PNG)
    for _ in range(_FEW):
        name = data[place + 4 : place + 8]
        place += 12 + int.from_bytes(data[place : place + 4], "big")
        if name not in _PICTURE:
            return name == b"IEND" and place == len(data)
    return False


def _png_chunks(data: bytes) -> Iterator[_Part]:
    """Each is length, name, content and CRC; what must be understood has a capital (PNG specification, section 5)."""
    place, name = len(_PNG), b""
    while place < len(data) and name != b"IEND":
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        name, chunk = data[place + 4 : place + 8], data[place:end]
        is_seen = name[:1].isupper() or name in _TRANSPARENCY_AND_ANIMATION
        yield chunk if is_seen else b"", _exif_of(chunk) if name == b"eXIf" else b""
        place = end


def _exif_of(chunk: bytes) -> bytes:
    """The EXIF data in a chunk of a PNG; nothing where it is damaged."""
    is_whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
    return chunk[8:-4] if is_whole else b""


def _jpeg_segments(data: bytes) -> Iterator[_Part]:
    """Each before the first scan is marker, length and content; then the rest (ITU-T T.81, annex B)."""
    place = len(_JPEG)
    while found := _SEGMENT.match(data, place):
        marker, length = found[1][0], int.from_bytes(found[2], "big")
        end = found.start(2) + length
        is_picture = not (_APP0 <= marker <= _APP15 or marker == _COMMENT)
        tells_colours = marker in (_APP0, _ADOBE) and length >= _SHORTEST
        content = data[found.end() : end] if marker == _APP1 else b""
        yield (
            data[place:end] if is_picture or tells_colours else b"",
            content.removeprefix(_EXIF) if content.startswith(_EXIF) else b"",
        )
        place = end
    yield data[place:], b""


def _webp_chunks(data: bytes) -> Iterator[_Part]:
    """Each is name, length and content, padded to an even length (RFC 9649, section 2.3)."""
    place = 12
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        name, end = data[place : place + 4], place + 8 + length + length % 2
        exif = data[place + 8 : end].removeprefix(_EXIF) if name == b"EXIF" else b""
        yield b"" if name in (b"EXIF", b"XMP ", b"ICCP") else data[place:end], exif
        place = end


def _entries(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The first directory of a TIFF or of EXIF data: tag, type, count, and the value or its place; else nothing.

    TIFF 6.0, section 2; the big variant has longer numbers.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    start = struct.unpack_from(order + "Q", data, 8)[0] if big else struct.unpack_from(order + "L", data, 4)[0]
    number, entry = struct.Struct(order + ("Q" if big else "H")), struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
    if start + number.size > len(data):
        return
    entries = data[start + number.size :][: number.unpack_from(data, start)[0] * entry.size]
    yield from entry.iter_unpack(entries[: len(entries) // entry.size * entry.size])
