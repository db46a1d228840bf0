"""What reading a pickle gives: plain values, inert records of calls, and tensors that say where their numbers are."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fashion_core.errors import RefusedFileError

MAX_NODES = 60_000
"""A ResNet-18 pickled whole makes 2,072."""
MAX_DEPTH = 64
MAX_KEY = 1000
"""Characters of a key or a name."""


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle refers to; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Record:
    """What a pickle would have made by calling something: the name, and all that was handed to it."""

    name: Name
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Storage:
    """The numbers behind a tensor, which are not in the pickle: ``numel`` elements of ``dtype`` under ``key``."""

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True)
class SavedTensor:
    """A view of a storage: ``shape``, ``stride`` and ``offset`` count elements, as in torch."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Torch's name of it, such as ``float32``."""
        return self.storage.dtype

    @property
    def numel(self) -> int:
        """How many elements."""
        return _product(self.shape)

    @property
    def span(self) -> int:
        """How many elements of the storage there are from its first to its last one."""
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return reach + 1 if self.numel else 0

    @property
    def bytes(self) -> int:
        """How many bytes its elements take, without what others use of the same storage."""
        return self.numel * ITEM_BYTES[self.dtype]


ITEM_BYTES: Mapping[str, int] = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip


def joined(prefix: str, key: Any) -> str:
    """The name of what stands under ``key`` in what ``prefix`` names.

    Raises ``RefusedFileError`` where names of names grow without end.
    """
    name = f"{prefix}.{key}" if prefix else str(key)
    if len(name) > MAX_KEY:
        raise RefusedFileError("the names of its parts are longer than any model needs")
    return name


def children(value: Any) -> Iterable[Any]:
    """The values directly inside a value."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple)):  # a union takes half as long again, for each of many thousand values
        return value
    if isinstance(value, Record):
        return *value.arguments, value.state, *value.items
    return ()


def count_nodes(content: Any) -> int:
    """How many values a walk through ``content`` meets, shared ones each time.

    Raises ``RefusedFileError`` where that would not end soon: a cycle, deep nesting, parts shared again and again.
    """
    level, count = [content], 1
    for _ in range(MAX_DEPTH):
        inside = itertools.chain.from_iterable(map(children, level))
        level = list(itertools.islice(inside, MAX_NODES - count + 1))
        count += len(level)
        if not level:
            return count
        if count > MAX_NODES:
            break
    raise RefusedFileError("its parts are nested or repeated beyond what any model needs")


def are_sizes(*groups: Any) -> bool:
    """Whether each is a tuple of at most 16 whole numbers that may count elements of a tensor."""
    return all(
        isinstance(group, tuple) and len(group) <= 16 and all(type(size) is int and 0 <= size < 2**48 for size in group)
        for group in groups
    )


def _product(sizes: tuple[int, ...]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count
