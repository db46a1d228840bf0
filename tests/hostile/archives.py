"""Zip archives that are not what they say, around a pickle that is good."""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch

from tests.hostile.building import Case, archive, checkpoint, members_of, mlp, saved, swapped

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def _good() -> dict[str, bytes]:
    members = members_of(saved(mlp().state_dict()))
    del members["archive/.data/serialization_id"]
    return members


def _with(changed: Mapping[str, bytes]) -> bytes:
    return archive({**_good(), **changed})


def _without(name: str) -> bytes:
    return archive({key: data for key, data in _good().items() if key != name})


def _renamed(name: Callable[[str], str]) -> bytes:
    return archive({name(key): data for key, data in _good().items()})


def names() -> Iterator[Case]:
    forms: dict[str, Callable[[str], str]] = {
        "absolute names": lambda name: f"/{name}",
        "names in the root folder": lambda name: name.removeprefix("archive"),
        "names in the parent folder": lambda name: name.replace("archive", "..", 1),
        "names above this folder": lambda name: f"../{name}",
        "names of this folder": lambda name: f"./{name}",
        "names without a folder": lambda name: name.partition("/")[2],
        "names with backslashes": lambda name: name.replace("/", "\\"),
        "names with a drive": lambda name: f"C:\\{name}",
        "a root with an escape sequence": lambda name: f"\x1b[31m{name}",
        "a root with a newline": lambda name: f"arch\nive{name}",
        "a root that is written backwards": lambda name: f"\u202e{name}",
        "a root with a zero": lambda name: f"a\u200bb{name}\u2028",
        "names in capitals": lambda name: name.upper(),
        "names of wide letters": lambda name: name.replace("data.pkl", "ｄata.pkl"),
        "two roots": lambda name: name if name.endswith("pkl") else f"other/{name}",
    }
    for form, name in forms.items():
        yield form, partial(_renamed, name)
    yield "a NUL in a name", lambda: _good_zip().replace(b"archive/data/0", b"archive/data\x000")
    yield "a NUL in the directory alone", lambda: _field_of_last(b"archive/data/0", 12, b"\0")
    yield "a NUL in the header alone", lambda: _good_zip().replace(b"archive/data/0", b"archive/data\x000", 1)
    yield "another name in the directory", lambda: _field_of_last(b"archive/data/0", 13, b"9")
    yield "a member that climbs out", lambda: _with({"archive/../../evil.pth": b"x"})
    yield "a member in another root", lambda: _with({"/etc/passwd": b"x"})
    yield "a member that is a folder", lambda: _with({"archive/data/": b""})
    yield "a member more", lambda: _with({"archive/data/99": bytes(16)})
    yield "a member less", lambda: _without("archive/data/2")
    yield "no pickle", lambda: _without("archive/data.pkl")
    yield "an empty pickle", lambda: _with({"archive/data.pkl": b""})
    yield "numbers too short", lambda: _with({"archive/data/1": bytes(4)})
    yield "numbers too long", lambda: _with({"archive/data/1": bytes(4096)})
    yield "big-endian", lambda: _with({"archive/byteorder": b"big"})
    yield "no byte order that is known", lambda: _with({"archive/byteorder": b"\x1b[2J"})
    yield "empty archive", lambda: archive({})
    yield "an archive of folders", lambda: archive({"archive/": b"", "archive/data/": b""})


def twice() -> Iterator[Case]:
    yield "the pickle twice", lambda: _twice("archive/data.pkl", b"\x80\x02}.")
    yield "numbers twice", lambda: _twice("archive/data/1", bytes(2048))
    yield "two directory entries for one member", lambda: _joined(_split()[0], [_split()[1][0], *_split()[1]])
    yield "a member hidden between two", _hidden
    yield "a second directory", lambda: _good_zip() + _good_zip()[_good_zip().index(_CENTRAL) :]
    yield "one archive behind another", lambda: _good_zip() + _good_zip()
    yield "an archive in an archive", lambda: archive({"archive/data.pkl": _good_zip()})
    yield "an archive in an archive beside the pickle", lambda: _with({"archive/inner.pth": _good_zip()})
    yield "members that overlap", _overlapping
    yield "a member inside the bytes of another one", _inside


def _good_zip() -> bytes:
    return archive(_good())


def _twice(name: str, data: bytes) -> bytes:
    """The second one stands right behind the first one."""
    other = name.replace("d", "D", 1)
    members: dict[str, bytes] = {}
    for key, content in _good().items():
        members |= {key: content, other: data} if key == name else {key: content}
    return archive(members).replace(other.encode(), name.encode())


def _split(data: bytes = b"") -> tuple[bytes, list[bytes]]:
    members, *entries = (data or _good_zip()).partition(_END)[0].split(_CENTRAL)
    return members, [_CENTRAL + entry for entry in entries]


def _joined(members: bytes, entries: list[bytes]) -> bytes:
    count, directory = len(entries), b"".join(entries)
    return members + directory + struct.pack("<4s4H2LH", _END, 0, 0, count, count, len(directory), len(members), 0)


def _hidden() -> bytes:
    """Between two members lies a third one that the directory does not know."""
    first, *others = _good().items()
    members, entries = _split(archive(dict([first, ("archive/hidden", b"x" * 100), *others])))
    return _joined(members, [entry for entry in entries if b"archive/hidden" not in entry])


def _overlapping() -> bytes:
    """The directory gives a member the place of another one of the same size."""
    place = (data := _good_zip()).rindex(b"archive/data/3")
    return _field_of_last(b"archive/data/1", -4, data[place - 4 : place])


def _inside() -> bytes:
    """The last numbers of a weight are the header and the bytes of a bias, and the directory leads there."""
    others = _good()
    inner, (entry,) = _split(archive({"archive/data/1": others.pop("archive/data/1")}))
    others["archive/data/0"] = others["archive/data/0"][: -len(inner)] + inner
    members, entries = _split(archive(others))
    return _joined(members, [*entries, entry[:42] + struct.pack("<L", members.index(inner)) + entry[46:]])


def compressed() -> Iterator[Case]:
    for name, method in (("deflated", zipfile.ZIP_DEFLATED), ("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        yield f"{name} members", partial(archive, _good(), method)
    # A gigabyte of zeros, declared in front of what 16 MB deflate to.
    bomb = partial(_one_deflated, "archive/data/0", bytes(1 << 24))
    gigabyte = struct.pack("<L", 1 << 30)
    yield "a deflated bomb of 1 GB", lambda: _field_of_last(b"archive/data/0", 24 - 46, gigabyte, bomb())
    yield "a deflated bomb in a member that nobody reads", partial(_one_deflated, "archive/version", bytes(1 << 24))
    deflated = partial(_one_deflated, "archive/data/0", bytes(1605632))
    yield "deflated, says stored", lambda: _field(_CENTRAL, 10, b"\0\0", deflated())
    yield "stored, says deflated", lambda: _field(_CENTRAL, 10, b"\x08\0")
    yield "stored, header says deflated", lambda: _field(_LOCAL, 8, b"\x08\0")
    yield "an unknown method", lambda: _field(_CENTRAL, 10, b"\x63\0")
    yield "encrypted by its directory", lambda: _field(_CENTRAL, 8, b"\x01\0")
    yield "encrypted by its header", lambda: _field(_LOCAL, 6, b"\x01\0")
    yield "strongly encrypted", lambda: _field(_CENTRAL, 8, b"\x41\0")


def _one_deflated(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for key, data in {**_good(), name: content}.items():
            method = zipfile.ZIP_DEFLATED if key == name else zipfile.ZIP_STORED
            file.writestr(zipfile.ZipInfo(key), data, method)
    return buffer.getvalue()


def _field(signature: bytes, offset: int, value: bytes, data: bytes = b"", last: bool = False) -> bytes:
    """Overwrite a field of the first header of this kind, or of the last."""
    data = data or _good_zip()
    place = (data.rindex if last else data.index)(signature) + offset
    return data[:place] + value + data[place + len(value) :]


_field_of_last = partial(_field, last=True)


def checksums() -> Iterator[Case]:
    yield "saved without checksums", _without_checksums
    yield "a flipped bit in the numbers", lambda: _flipped(1000)
    yield "a flipped bit in the last number", lambda: _flipped(_good_zip().index(b"archive/version") - 40)
    yield "a wrong checksum in the directory", lambda: _field(_CENTRAL, 16, b"\1\2\3\4")
    good = partial(saved, mlp().state_dict())
    yield "two members changed places", lambda: swapped(good(), "archive/data/1", "archive/data/3")
    pickle = "archive/data.pkl"
    other = partial(saved, dict(mlp().state_dict()))
    yield "pickle of another file", lambda: archive({**members_of(good()), pickle: members_of(other())[pickle]})


def _without_checksums() -> bytes:
    torch.serialization.set_crc32_options(False)
    try:
        return saved(mlp().state_dict())
    finally:
        torch.serialization.set_crc32_options(True)


def _flipped(place: int) -> bytes:
    data = bytearray(_good_zip())
    data[place] ^= 1
    return bytes(data)


def ends() -> Iterator[Case]:
    good = _good_zip
    yield "a byte before the archive", lambda: b"x" + good()
    yield "a script before the archive", lambda: b"#!/bin/sh\ntouch /tmp/fashion-core-was-here\n" + good()
    yield "a picture before the archive", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100) + good()
    yield "a pickle before the archive", lambda: b"\x80\x02cos\nsystem\n(X\x01\0\0\0xtR." + good()
    yield "a byte behind the archive", lambda: good() + b"x"
    yield "a pickle behind the archive", lambda: good() + b"\x80\x02cos\nsystem\n(X\x01\0\0\0xtR."
    yield "a comment", lambda: good()[:-2] + b"\x04\0text"
    yield "a comment that is not there", lambda: good()[:-2] + b"\x04\0"
    yield "half of it", lambda: good()[: len(good()) // 2]
    yield "without its last byte", lambda: good()[:-1]
    yield "without its directory", lambda: good()[: good().index(_CENTRAL)]
    yield "only its end", lambda: good()[good().index(_END) :]
    yield "only four bytes", lambda: _LOCAL
    yield "nothing", lambda: b""
    yield "zeros", lambda: bytes(100_000)
    yield "a text", lambda: b"import torch\n" * 100
    yield "a page of the web", lambda: b"<!DOCTYPE html><html><body>404 \x1b[31m</body></html>"
    yield "something before the directory", lambda: _joined(_split()[0] + bytes(1000), _split()[1])
    yield "the directory says it is elsewhere", lambda: _field_of_last(_END, 16, struct.pack("<L", 7))
    yield "the directory says it is outside", lambda: _field_of_last(_END, 16, b"\xff\xff\xff\x7f")
    yield "the directory says it is huge", lambda: _field_of_last(_END, 12, b"\xff\xff\xff\x7f")
    yield "the directory says it is empty", lambda: _field_of_last(_END, 12, bytes(4))
    yield "on another disk", lambda: _field_of_last(_END, 4, b"\7\0\7\0")
    yield "a header outside the file", lambda: _field_of_last(_CENTRAL, 42, b"\xff\xff\xff\x7f")
    yield "a header in the directory", lambda: _field_of_last(_CENTRAL, 42, struct.pack("<L", len(good()) - 60))
    yield "a size beyond the file", lambda: _field_of_last(_CENTRAL, 20, b"\xff\xff\xff\x7f" * 2)
    yield "70,000 members", lambda: archive({f"archive/data/{index}": b"" for index in range(70_000)})
    yield "3,000 members", lambda: archive({f"archive/data/{index}": b"" for index in range(3_000)})
    yield "a directory of 1 MB that declares one member", _lying_count


def _lying_count() -> bytes:
    members, (entry, *_) = _split()
    return _joined(members, [entry * ((1 << 20) // len(entry))])


def zip64() -> Iterator[Case]:
    yield "a size of 2^63", lambda: _zip64_extra(struct.pack("<QQ", 2**63, 2**63))
    yield "a size of 2^64 - 1", lambda: _zip64_extra(struct.pack("<QQ", 2**64 - 1, 2**64 - 1))
    yield "an extra field that is too short", lambda: _zip64_extra(b"\1\2\3")
    yield "a locator without its record", lambda: _zip64_end(struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 7, 0, 9)
    yield "a locator on another disk", partial(_zip64_end, _record(10, 100, 0) + locator)
    directories = {"huge": (2**62, 0), "negative": (10, 2**63), "far": (100, 2**64 - 1), "all": (2**64 - 1, 0)}
    for name, (size, start) in directories.items():
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
        yield f"a zip64 directory that is {name}", partial(_zip64_end, _record(10, size, start) + locator)


def _record(count: int, size: int, start: int) -> bytes:
    return struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)


def _zip64_end(before_the_end: bytes) -> bytes:
    data = _good_zip()
    return data[:-22] + before_the_end + data[-22:]


def _zip64_extra(sizes: bytes) -> bytes:
    """The last member's sizes stand in a zip64 field of the directory."""
    members, (*others, last) = _split()
    extra = struct.pack("<HH", 1, len(sizes)) + sizes
    entry = last[:20] + b"\xff" * 8 + last[28:30] + struct.pack("<H", len(extra)) + last[32:] + extra
    return _joined(members, [*others, entry])


def torchscript() -> Iterator[Case]:
    yield "a TorchScript archive", _scripted
    yield "a TorchScript archive without constants", lambda: _with({"archive/code/__torch__.py": b"def f(): pass"})
    yield "a checkpoint with code", lambda: archive({**members_of(saved(checkpoint())), "archive/code/x.py": b"x"})


def _scripted() -> bytes:
    buffer = io.BytesIO()
    traced = torch.jit.trace(mlp(), torch.zeros(1, 1, 28, 28))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, buffer)
    return buffer.getvalue()


FAMILIES = (names, twice, compressed, checksums, ends, zip64, torchscript)
