"""Messages between two processes of this package: a few JSON values and arrays, never a pickle."""

import io
import json
import struct
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

_LENGTH = struct.Struct("<Q")
_VALUES = "values"


@dataclass(frozen=True)
class Message:
    """``values`` is JSON-ready; no array is called "values" or "file", for ``np.savez`` has uses for these names."""

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def send(stream: IO[bytes], message: Message) -> None:
    """Write one message. Raises ``OSError`` if nobody reads it any more."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **{_VALUES: np.array(json.dumps(message.values))}, **message.arrays)
    stream.write(_LENGTH.pack(packed.tell()))
    stream.write(packed.getbuffer())
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Read one message; None where the other side has closed, in the middle of one too."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    packed = stream.read(length)
    if len(packed) < length:
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return Message(json.loads(str(arrays.pop(_VALUES))), arrays)
