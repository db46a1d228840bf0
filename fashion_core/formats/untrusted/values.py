"""What reading a pickle gives: plain values, inert records of calls, and tensors that say where their numbers are.

Content may hold itself, and share its parts: every walk here ends soon in any content.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fashion_core.errors import RefusedFileError

MAX_NODES = 300_000  # a ResNet-18 pickled whole makes 2,072; a history of losses may have many thousands
MAX_DEPTH = 64
CUT_OFF = "it is cut off, as by a download that broke off; get the whole file"
MAX_KEY = 1000  # characters of a key or a name
_MOST_REPEATS = 20_000  # shared parts that a walk enters again
_BITS = {
    128: "complex128",
    64: "float64 int64 uint64 complex64",
    32: "float32 int32 uint32 complex32 qint32",
    16: "float16 bfloat16 int16 uint16 bits16",
    8: "int8 uint8 bool float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2 "
    "qint8 quint8 bits8 bits1x8 bits2x4 bits4x2 int1 int2 int3 int4 int5 int6 int7 uint1 uint2 uint3 uint4 uint5 "
    "uint6 uint7",
    6: "float6_e2m3fn float6_e3m2fn",
    4: "float4_e2m1fn quint4x2",
    2: "quint2x4",
}
DTYPE_BITS: Mapping[str, int] = {name: bits for bits, names in _BITS.items() for name in names.split()}
PLAIN_DTYPES = frozenset(
    ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
)
"""Those of the tensors that can be used here."""


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle refers to; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Entry(NamedTuple):
    """A key and a value that a pickle puts into something that is not a dict."""

    key: Any
    value: Any


@dataclass(eq=False, slots=True)
class Record:
    """What a pickle would have made by calling something: its name, and everything that was passed to it."""

    name: Name
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False, slots=True)
class OddKey:
    """A key that is neither a text nor a number of 64 bits; equal to itself alone, so that no file can slow a dict."""

    value: Any

    def __str__(self) -> str:
        return in_short(self.value)


@dataclass(frozen=True)
class Storage:
    """The numbers behind a tensor, which are not in the pickle: ``numel`` elements of ``dtype`` under ``key``."""

    dtype: str
    key: str
    numel: int

    @property
    def bytes(self) -> int:
        return self.numel * max(DTYPE_BITS[self.dtype], 8) // 8


@dataclass(frozen=True)
class SavedTensor:
    """A view of a storage: ``shape``, ``stride`` and ``offset`` count elements, as in torch."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    own_dtype: str = ""  # where it is not the storage's: torch keeps the numbers of newer dtypes as bytes
    kind: str = ""  # such as sparse or quantized, where its elements are not simply the storage's numbers
    extra: str = ""  # what it carries beside numbers, such as hooks

    @property
    def dtype(self) -> str:
        return self.own_dtype or self.storage.dtype

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Count the elements from the view's first to its last."""
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return reach + 1 if self.numel else 0

    @property
    def bytes(self) -> int:
        """The size of its own elements, whatever else is in the storage; of all that is stored for another kind."""
        return self.storage.bytes if self.kind else bytes_of(self.dtype, self.numel)


def bytes_of(dtype: str, numel: int) -> int:
    return -(-numel * DTYPE_BITS[dtype] // 8)


def joined(prefix: str, key: Any) -> str:
    """Join the name of a part to the name of the whole; names that grow without end are cut."""
    name = f"{prefix}.{key}" if prefix else str(key)
    return name if len(name) <= MAX_KEY else f"{name[: MAX_KEY - 1]}…"


def in_short(value: Any, depth: int = 2) -> str:
    """Any value as a text of a few words."""
    if isinstance(value, list | tuple):
        inside = [in_short(item, depth - 1) for item in value[:4]] if depth else []
        return f"({', '.join(inside if len(inside) == len(value) else [*inside, '…'])})"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length():,} bits"
    if isinstance(value, Record):
        return f"<{value.name}>"
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, SavedTensor):
        return f"{value.kind} {value.dtype} {value.shape}".lstrip()
    if isinstance(value, Storage):
        return f"{value.numel:,} numbers of {value.dtype}"
    return str(
        value[:MAX_KEY] if isinstance(value, str | bytes) else f"<{value}>" if isinstance(value, Name) else value
    )


def listed(items: Sequence[str], most: int = 3, last: str = "and") -> str:
    """Join texts for a sentence: "a, b and c", or "a, b and 7 more"."""
    shown = [*items[:most], *([f"{len(items) - most:,} more"] if len(items) > most else [])]
    return f" {last} ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


class Walk:
    """Where a walk is, so that it ends: nothing is entered inside itself or very deep, shared parts not without end."""

    def __init__(self) -> None:
        self.path: set[int] = set()
        self.met: set[int] = set()
        self.repeats = 0

    def enter(self, value: Any) -> bool:
        """Whether to go into a dict, list, tuple or record; then ``leave`` it at its end."""
        place = id(value)
        if place in self.path or len(self.path) >= MAX_DEPTH:
            return False
        for group in _groups(value):
            if group and id(group) in self.met:  # an empty tuple is always the same one
                self.repeats += 1 + len(group)
            self.met.add(id(group))
        if self.repeats > _MOST_REPEATS:
            return False
        self.path.add(place)
        return True

    def leave(self, value: Any) -> None:
        self.path.remove(id(value))


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple)):  # a union takes half as long again, for each of many thousand values
        return value
    if isinstance(value, Record):
        return value.arguments, value.state, *value.items
    return ()


def count_nodes(content: Any, before: int = 0) -> int:
    """Count the values that a walk through ``content`` meets, shared ones each time, on top of those ``before``.

    Raises ``RefusedFileError`` where that would not end soon: a cycle, deep nesting, parts shared again and again.
    """
    level, count = [content], before + 1
    for _ in range(MAX_DEPTH):
        inside = itertools.chain.from_iterable(map(_children, level))
        level = list(itertools.islice(inside, MAX_NODES - count + 1))
        count += len(level)
        if not level:
            return count
        if count > MAX_NODES:
            break
    raise RefusedFileError(
        "contains itself, or is nested or repeated beyond what any model needs; save the state_dict alone"
    )


def tensors_in(content: Any) -> Iterator[SavedTensor]:
    """Yield every tensor in the content, in any order, those in shared parts once."""
    waiting, met = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, SavedTensor):
            yield value
        elif _has_parts(value) and id(value) not in met:
            met.add(id(value))
            waiting.extend(_children(value))


def named_tensors(content: Any, prefix: str = "", walk: Walk | None = None) -> Iterator[tuple[str, SavedTensor]]:
    """Yield each tensor with the keys that lead to it, joined by dots; layers of a pickled module by their names."""
    walk = walk or Walk()
    if isinstance(content, SavedTensor):
        yield prefix, content
    elif isinstance(content, dict | list | tuple | Record) and walk.enter(content):
        for key, value in _named_parts(content):
            if _has_parts(value):
                yield from named_tensors(value, joined(prefix, key), walk)
        walk.leave(content)


def _has_parts(value: Any) -> bool:
    """The quick answer for all that a walk need not enter: there may be tens of thousands."""
    if isinstance(value, Record):
        return bool(value.state or value.arguments or value.items)
    return bool(value) and isinstance(value, (SavedTensor, dict, list, tuple))


def _named_parts(content: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, Record):
        yield from _record_parts(content)
    else:
        yield from enumerate(content)


def _record_parts(record: Record) -> Iterator[tuple[Any, Any]]:
    """A module's parameters, buffers and layers by their names alone, then everything else."""
    state = record.state if isinstance(record.state, dict) else {}
    parts = _layers(record)
    for part in parts.values():
        yield from part.items()
    yield from ((key, value) for key, value in state.items() if key not in parts)
    yield from enumerate([*record.arguments, record.state if record.state is not state else None])
    yield from (item if isinstance(item, Entry) else (index, item) for index, item in enumerate(record.items))


def _layers(record: Record) -> dict[str, dict[Any, Any]]:
    state = record.state if isinstance(record.state, dict) else {}
    parts = {part: state.get(part) for part in ("_parameters", "_buffers", "_modules")}
    return {name: part for name, part in parts.items() if isinstance(part, dict)}


def _groups(value: Any) -> list[Any]:
    """The dicts, lists and tuples whose entries a walk goes through where it enters ``value``."""
    if not isinstance(value, Record):
        return [value]
    return [value.arguments, value.items, value.state, *_layers(value).values()]


def are_sizes(group: Any) -> bool:
    """Whether it is a tuple of at most 64 whole numbers that may count elements of a tensor."""
    return isinstance(group, tuple) and len(group) <= 64 and all(type(n) is int and 0 <= n < 2**48 for n in group)


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
