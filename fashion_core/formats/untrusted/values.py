"""What reading a pickle gives: plain values, inert records of calls, and tensors that say where their numbers are."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fashion_core.errors import RefusedFileError

MAX_NODES = 60_000  # a ResNet-18 pickled whole makes 2,072
MAX_DEPTH = 64
MAX_KEY = 1000  # characters of a key or a name
ITEM_BYTES: Mapping[str, int] = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle refers to; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Record:
    """What a pickle would have made by calling something: its name, and everything that was passed to it."""

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

    @property
    def bytes(self) -> int:
        return self.numel * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class SavedTensor:
    """A view of a storage: ``shape``, ``stride`` and ``offset`` count elements, as in torch."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Count the storage's elements from the view's first to its last."""
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return reach + 1 if self.numel else 0

    @property
    def bytes(self) -> int:
        """The size of its own elements, whatever else is in the storage."""
        return self.numel * ITEM_BYTES[self.dtype]


def joined(prefix: str, key: Any) -> str:
    """Join the name of a part to the name of the whole. Raises ``RefusedFileError`` if names grow without end."""
    name = f"{prefix}.{key}" if prefix else str(key)
    if len(name) > MAX_KEY:
        raise RefusedFileError("the names of its parts are longer than any model needs")
    return name


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple)):  # a union takes half as long again, for each of many thousand values
        return value
    if isinstance(value, Record):
        return *value.arguments, value.state, *value.items
    return ()


def count_nodes(content: Any) -> int:
    """Count the values that a walk through ``content`` meets, shared ones each time.

    Raises ``RefusedFileError`` where that would not end soon: a cycle, deep nesting, parts shared again and again.
    """
    level, count = [content], 1
    for _ in range(MAX_DEPTH):
        inside = itertools.chain.from_iterable(map(_children, level))
        level = list(itertools.islice(inside, MAX_NODES - count + 1))
        count += len(level)
        if not level:
            return count
        if count > MAX_NODES:
            break
    raise RefusedFileError("its parts are nested or repeated beyond what any model needs")


def tensors_in(content: Any) -> Iterator[SavedTensor]:
    """Yield every tensor that a walk through the content meets, in any order."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, SavedTensor):
            yield value
        waiting.extend(_children(value))


def named_tensors(content: Any, prefix: str = "") -> Iterator[tuple[str, SavedTensor]]:
    """Yield each tensor with the keys that lead to it, joined by dots; layers of a pickled module by their names."""
    if isinstance(content, SavedTensor):
        yield prefix, content
    elif isinstance(content, Record) and isinstance(content.state, dict):
        for part in ("_parameters", "_buffers", "_modules"):
            yield from named_tensors(content.state.get(part), prefix)
    elif isinstance(content, dict | list | tuple):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            if value and isinstance(value, (SavedTensor, Record, dict, list, tuple)):  # others may be thousands
                yield from named_tensors(value, joined(prefix, key))


def are_sizes(group: Any) -> bool:
    """Whether it is a tuple of at most 16 whole numbers that may count elements of a tensor."""
    return isinstance(group, tuple) and len(group) <= 16 and all(type(n) is int and 0 <= n < 2**48 for n in group)


def parse_json(data: bytes) -> dict[str, Any]:
    """Parse a JSON object that is no larger than a pickle may be. Raises ``RefusedFileError``."""
    if data.count(b"[") + data.count(b"{") > MAX_NODES:
        raise RefusedFileError("its description is nested or repeated beyond what any model needs")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unlike_keys)
    except (ValueError, RecursionError) as error:
        raise RefusedFileError("its description is not JSON") from error
    if not isinstance(value, dict):
        raise RefusedFileError("its description is not a JSON object")
    return value


def _unlike_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found
