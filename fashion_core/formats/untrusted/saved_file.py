"""A saved file after the first two stages: its content as inert values, and where each tensor's numbers are."""

import hashlib
import math
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.config import Shape
from fashion_core.errors import ChangedFileError, RefusedFileError, printable
from fashion_core.formats.untrusted.search import Contents, search
from fashion_core.formats.untrusted.values import (
    DTYPE_BITS,
    MAX_KEY,
    PLAIN_DTYPES,
    Name,
    SavedTensor,
    bytes_of,
    count_nodes,
    named_tensors,
    parse_json,
    tensors_in,
)
from fashion_core.formats.untrusted.zip_archive import Archive

DATASET_KEY = "dataset"  # in a checkpoint of this app, where its dataset was added: the description of that
DESCRIPTION_KEY = "described"  # the same as JSON, in the metadata of formats that hold weights and texts alone
Container = Literal["zip", "legacy", "safetensors", "pt2"]
MAX_TENSORS = 8_000  # a ResNet-152 with the two tensors that Adam keeps for each of its parameters has 1,866
_NUMPY = PLAIN_DTYPES | {"uint16", "uint32", "uint64", "complex64", "complex128"}  # what numpy can show
_CHUNK, _LONGEST_NUMBER = 1 << 20, 40


@dataclass(frozen=True)
class SavedFile:
    path: Path
    container: Container
    size: int  # in bytes
    content: Any  # dicts, lists, plain values, ``Record``, and ``SavedTensor`` for each tensor
    names: frozenset[Name]  # every class or function that its pickle refers to
    places: Mapping[str, int]  # where the numbers of each storage begin, by its key, if they lie there as they are
    members: tuple[tuple[str, int], ...]  # name and bytes of each part of the container
    metadata: Mapping[str, str] = field(default_factory=dict)  # what this app wrote beside the tensors alone
    checksum: tuple[bytes, str] | None = None  # a description and the SHA-256 of it and the numbers, if no part has one
    records: int = 0  # that its pickle makes, whether or not they are part of the content
    has_checksums: bool = False  # whether its members have some
    shape: Shape | None = None  # of the images and classes that it is to be used for
    model: str | None = None  # which it is, as whoever asks knows where the file does not say
    objections: tuple[str, ...] = ()  # what speaks against using it, as far as reading it showed

    @property
    def said_of_dataset(self) -> Any:
        """What it says of a dataset that was added, as anyone may have written it; None if nothing."""
        if text := self.metadata.get(DESCRIPTION_KEY):
            with suppress(RefusedFileError):
                return parse_json(text.encode(errors="replace"))
        return self.content.get(DATASET_KEY) if isinstance(self.content, dict) else None

    @cached_property
    def contents(self) -> Contents:
        """Where its tensors and optimizers are."""
        return search(self.content)

    @cached_property
    def tensors(self) -> tuple[SavedTensor, ...]:
        """All that it holds, in any order, those in shared parts once."""
        return tuple(tensors_in(self.content))

    def check_usable(self) -> None:
        """Refuse what can be described but not used here, whatever model it is. Raises ``RefusedFileError``."""
        if self.objections:
            raise RefusedFileError(self.objections[0])
        self._check_nesting()
        for name, tensor in named_tensors(self.content):
            if problem := _problem(tensor):
                raise RefusedFileError(f"{name or 'what it holds'} {problem}")
        views = {(one.storage.key, one.offset, one.shape, one.stride): one for one in self.tensors}
        if sum(bytes_of(one.dtype, max(one.numel, one.span)) for one in views.values()) > 2 * self.size:
            raise RefusedFileError("its tensors share more of their numbers than any model needs; save a clone of each")

    def _check_nesting(self) -> None:
        """Refuse a part that contains itself, or more than a walk may meet, by its key."""
        parts = self.content.items() if isinstance(self.content, dict) else [("what it holds", self.content)]
        count = 0
        for key, part in parts:
            try:
                count = count_nodes(part, count)
            except RefusedFileError as error:
                raise RefusedFileError(f"{printable(str(key)[:MAX_KEY])} {error.reason}") from error

    def check_numbers(self) -> None:
        """Read the whole file and compare its checksums. Raises ``RefusedFileError`` or ``DiskError``."""
        with files.disk_errors(self.path), self.path.open("rb") as file:
            if self.container in ("zip", "pt2"):
                archive = Archive(file)
                for name in (name for name, member in archive.members.items() if not member.compressed):
                    deque(archive.chunks(name), maxlen=0)  # to the end, where its checksum is compared
            elif self.checksum:
                described, expected = self.checksum
                file.seek(min(self.places.values(), default=self.size))  # the numbers fill the file's end
                if checksum_of(described, iter(lambda: file.read(_CHUNK), b"")) != expected:
                    raise ChangedFileError("its checksum differs: it was changed or damaged")

    def shows(self, tensor: SavedTensor) -> bool:
        """Whether a tensor's numbers lie in the file and numpy can show them."""
        is_plain = not tensor.kind and tensor.dtype in _NUMPY and tensor.storage.key in self.places
        return is_plain and bytes_of(tensor.dtype, tensor.offset + tensor.span) <= tensor.storage.bytes

    def span(self, tensor: SavedTensor) -> bytearray:
        """Read the bytes from the tensor's first element to its last. Raises ``RefusedFileError`` or ``DiskError``."""
        if not self.shows(tensor):
            raise RefusedFileError("the numbers of a tensor in it can't be read here")
        item = DTYPE_BITS[tensor.dtype] // 8
        data = bytearray(tensor.span * item)
        with files.disk_errors(self.path), self.path.open("rb") as file:
            file.seek(self.places[tensor.storage.key] + tensor.offset * item)
            if file.readinto(data) != len(data):
                raise RefusedFileError("it ends before its numbers do")
        return data

    def numbers(self, tensor: SavedTensor) -> NDArray[Any]:
        """Read a tensor as a shaped array; bfloat16, which numpy lacks, becomes float32, exactly."""
        data = self.span(tensor)
        if tensor.dtype == "bfloat16":  # the upper half of a float32
            flat: NDArray[Any] = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            flat = np.frombuffer(data, tensor.dtype)
        strides = tuple(step * flat.itemsize for step in tensor.stride)
        return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)

    def number_under(self, key: str) -> float | None:
        """A finite number under this key, or as text in the metadata of a file of this app; else None."""
        holder = self.metadata if self.container in ("safetensors", "pt2") else self.content
        value = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(value, SavedTensor) and value.numel == 1 and self.shows(value):
            value = self.numbers(value).item()
        if not isinstance(value, int | float | str) or (isinstance(value, str) and len(value) > _LONGEST_NUMBER):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None

    def whole_number_under(self, key: str) -> int | None:
        """A whole number from 0 to 2³¹ - 1, as ``number_under`` finds it; else None."""
        value = self.number_under(key)
        return int(value) if value is not None and value == int(value) and 0 <= value < 2**31 else None


def checksum_of(described: bytes, chunks: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256(described)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def check_count(tensors: int) -> None:
    if tensors > MAX_TENSORS:
        raise RefusedFileError(f"it holds {tensors:,} tensors; at most {MAX_TENSORS:,} are allowed")


def _problem(tensor: SavedTensor) -> str:
    """Why no model here can use a tensor; empty if one can."""
    if tensor.extra:
        return f"carries {tensor.extra} beside its numbers; save the state_dict alone"
    if tensor.kind:
        return f"is a tensor of the kind {tensor.kind}, which this app can't use; save it as a plain one"
    if tensor.dtype not in PLAIN_DTYPES:
        return f"is {tensor.dtype}, which can't become float32 here; convert it with .float() and save again"
    if tensor.offset + tensor.span > tensor.storage.numel:
        return "claims more numbers than the file holds"
    if tensor.numel > tensor.storage.numel:
        return "repeats its numbers, as .expand() does; save its .contiguous() copy"
    return ""
