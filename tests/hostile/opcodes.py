"""Pickle instructions by hand."""

import struct
from collections.abc import Mapping


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def real(value: float) -> bytes:
    return b"G" + struct.pack(">d", value)


def sequence(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def listed(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def mapping(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + sequence(*arguments) + b"R"


def put(index: int) -> bytes:
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def storage(kind: str = "FloatStorage", key: str = "5", numel: bytes = b"K\x0a", location: str = "cpu") -> bytes:
    """That of the ten numbers of the tutorial's last bias, unless told otherwise."""
    return sequence(text("storage"), named("torch", kind), text(key), text(location), numel) + b"Q"


def tensor(
    source: bytes = storage(),
    offset: bytes = b"K\x00",
    shape: bytes = b"K\x0a\x85",
    stride: bytes = b"K\x01\x85",
    hooks: bytes = call(named("collections", "OrderedDict")),
) -> bytes:
    """``torch._utils._rebuild_tensor_v2`` of the tutorial's last bias, unless told otherwise."""
    return call(named("torch._utils", "_rebuild_tensor_v2"), source, offset, shape, stride, b"\x89", hooks)


def whole(fragment: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + fragment + b"."
