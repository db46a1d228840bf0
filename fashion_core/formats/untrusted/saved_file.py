"""A saved file after the first two doors: its content as inert values, and where each tensor's numbers are."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.errors import ChangedFileError, RefusedFileError
from fashion_core.formats.untrusted.values import ITEM_BYTES, Name, Record, SavedTensor, Storage, children, joined
from fashion_core.formats.untrusted.zip_archive import Archive

Container = Literal["zip", "legacy", "safetensors", "pt2"]
MAX_TENSORS = 2048
"""A ResNet-152 with the two tensors that Adam keeps for each of its parameters has 1,866."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where the bytes of one storage are in the file, and the archive's member that they are, if it is an archive."""

    offset: int
    bytes: int
    member: str | None = None


@dataclass(frozen=True)
class SavedFile:
    """A file that passed the first two doors.

    Attributes:
        content: dicts, lists, plain values, ``Record``, and ``SavedTensor`` for each tensor.
        names: every class or function that its pickle refers to.
        records: how many records its pickle makes, whether or not they are part of the content.
        places: where the numbers of each storage are, by the storage's key.
        size: of the file, in bytes.
        members: name and bytes of each part of the container.
        metadata: the texts that this app wrote into a safetensors file beside its tensors.
        checksum: SHA-256 that the rest of the file should have, where the container has none for each part.
    """

    path: Path
    container: Container
    size: int
    content: Any
    names: frozenset[Name]
    places: Mapping[str, Place]
    members: tuple[tuple[str, int], ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksum: tuple[bytes, str] | None = None
    records: int = 0

    @property
    def has_checksum(self) -> bool:
        """Whether a changed bit in its numbers would be noticed."""
        return self.container in ("zip", "pt2") or self.checksum is not None

    def check_numbers(self) -> None:
        """Read the whole file and compare its checksums. Raises ``RefusedFileError`` or ``DiskError``."""
        with files.disk_errors(self.path), self.path.open("rb") as file:
            if self.container in ("zip", "pt2"):
                archive = Archive(file)
                for name, _ in self.members:
                    archive.check(name)
            elif self.checksum:
                described, expected = self.checksum
                if checksum_of(described, self._bytes_of_places()) != expected:
                    raise ChangedFileError("its checksum differs: it was changed or damaged")

    def span(self, tensor: SavedTensor) -> bytearray:
        """The bytes from the tensor's first element to its last. Raises ``RefusedFileError`` or ``DiskError``."""
        item = ITEM_BYTES[tensor.dtype]
        data = bytearray(tensor.span * item)
        with files.disk_errors(self.path), self.path.open("rb") as file:
            file.seek(self.places[tensor.storage.key].offset + tensor.offset * item)
            if file.readinto(data) != len(data):
                raise RefusedFileError("it ends before its numbers do")
        return data

    def numbers(self, tensor: SavedTensor) -> NDArray[Any]:
        """The tensor's elements in its shape; bfloat16, which numpy lacks, as the float32 of the same value."""
        data = self.span(tensor)
        flat = _bfloat16(data) if tensor.dtype == "bfloat16" else np.frombuffer(data, tensor.dtype)
        strides = tuple(step * flat.itemsize for step in tensor.stride)
        return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)

    def _bytes_of_places(self) -> Iterator[bytes]:
        places = sorted(self.places.values(), key=lambda place: place.offset)
        with self.path.open("rb") as file:
            for place in places:
                file.seek(place.offset)
                for start in range(0, place.bytes, _CHUNK):
                    yield file.read(min(_CHUNK, place.bytes - start))


def checksum_of(described: bytes, chunks: Iterable[bytes | memoryview]) -> str:
    """The SHA-256 of a description and the numbers that follow it, in hexadecimal."""
    digest = hashlib.sha256(described)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _bfloat16(data: bytearray) -> NDArray[np.float32]:
    """The upper half of a float32 is a bfloat16."""
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


def tensors_in(content: Any) -> Iterator[SavedTensor]:
    """Every tensor that a walk through the content meets, in any order."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, SavedTensor):
            yield value
        waiting.extend(children(value))


_HOLDERS = (SavedTensor, Record, dict, list, tuple)
"""What a tensor may be found in; of other values, which may be many thousand, no names are made."""


def named_tensors(content: Any, prefix: str = "") -> Iterator[tuple[str, SavedTensor]]:
    """Each tensor with the keys that lead to it, joined by dots; layers of a pickled module by their own names."""
    if isinstance(content, SavedTensor):
        yield prefix, content
    elif isinstance(content, dict):
        for key, value in content.items():
            if value and isinstance(value, _HOLDERS):
                yield from named_tensors(value, joined(prefix, key))
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            if value and isinstance(value, _HOLDERS):
                yield from named_tensors(value, joined(prefix, index))
    elif isinstance(content, Record) and isinstance(content.state, dict):
        for part in ("_parameters", "_buffers", "_modules"):
            yield from named_tensors(content.state.get(part), prefix)


def check_count(tensors: int) -> None:
    """Raises ``RefusedFileError`` if a file holds more tensors than any model has."""
    if tensors > MAX_TENSORS:
        raise RefusedFileError(f"it holds {tensors:,} tensors; {MAX_TENSORS:,} are the most allowed")


def check_claims(content: Any, file_bytes: int) -> None:
    """Raises ``RefusedFileError`` if reading its tensors one by one would take much longer than reading the file."""
    tensors = list(tensors_in(content))
    check_count(len(tensors))
    if sum(max(tensor.numel, tensor.span) * ITEM_BYTES[tensor.dtype] for tensor in tensors) > 2 * file_bytes:
        raise RefusedFileError("its tensors share their numbers beyond what any model needs")


def storage_size(storage: Storage) -> int:
    """Bytes."""
    return storage.numel * ITEM_BYTES[storage.dtype]
