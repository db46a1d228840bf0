"""The few functions that torch's files name in their pickles, and for each a function that only describes and checks.

Nothing is called: what torch's would return is described by ``values``. Sources: torch/_utils.py and
torch/_weights_only_unpickler.py of https://github.com/pytorch/pytorch
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.values import (
    DTYPE_BITS,
    MAX_KEY,
    Name,
    OddKey,
    SavedTensor,
    Storage,
    are_sizes,
    in_short,
)

_MOST_OBJECTIONS = 10
_MOST_COPIED = 32 << 20
_MOST_NUMBER_KEYS = 30_000  # hashes of numbers can be chosen so that a dict becomes slow, those of texts can't
_FLAGGED = "conjugated or negated"
_MOST_ELEMENTS = 2**48  # of a tensor: more than any machine holds


class Ledger:
    """What is noted while one file is read: what speaks against using it, and how much its pickles had copied."""

    def __init__(self) -> None:
        self.objections: list[str] = []  # each completes a sentence as the reason of ``RefusedFileError`` does
        self.copied = 0
        self.number_keys = 0

    def object_to(self, reason: str) -> None:
        if not self.is_full:
            self.objections.append(reason)

    @property
    def is_full(self) -> bool:
        """Whether no more objections are noted, so that nobody needs to word them."""
        return len(self.objections) >= _MOST_OBJECTIONS

    def copy(self, size: int) -> None:
        """Count bytes that are copied. Raises ``RefusedFileError`` for what would go on without end."""
        self.copied += size
        if self.copied > _MOST_COPIED:
            raise RefusedFileError("its pickle copies its texts again and again")


def dict_key(key: Any, ledger: Ledger) -> Any:
    """A text or a number of 64 bits as it is; anything else can be shown, but not looked up."""
    if isinstance(key, str):
        if len(key) > MAX_KEY:
            ledger.object_to(f"its key {key[:40]}… has {len(key):,} letters; save the state_dict alone")
        return key
    if type(key) is int and key.bit_length() < 64:
        ledger.number_keys += 1
        if ledger.number_keys <= _MOST_NUMBER_KEYS:
            return key
        ledger.object_to(f"it has more than {_MOST_NUMBER_KEYS:,} numbers as keys; save the state_dict alone")
        return OddKey(key)
    if not ledger.is_full:  # there may be tens of thousands of such keys
        reason = f"its key {in_short(key)[:80]} is neither a text nor a whole number of 64 bits"
        ledger.object_to(f"{reason}; save the state_dict alone")
    return OddKey(key)


_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}  # fmt: skip
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")


def saved_object(identity: Any) -> Name | Storage:
    """Read a persistent id of torch: a storage, or (in files of torch before 1.6) a class with its source.

    Raises ``ValueError`` for anything else.
    """
    if not isinstance(identity, tuple) or not identity:
        raise ValueError("no persistent id of torch")
    if identity[0] == "module" and len(identity) == 4 and isinstance(identity[1], Name):
        return identity[1]
    word, kind, key, location, numel, *view = identity
    is_torchs = word == "storage" and view in ([], [None]) and isinstance(kind, Name) and isinstance(location, str)
    if not is_torchs or not isinstance(key, str) or len(key) > MAX_KEY or not are_sizes((numel,)):
        raise ValueError("no storage of torch")
    if kind.module not in _STORAGE_MODULES or kind.name not in _STORAGES:
        raise ValueError("no storage that torch knows")
    return Storage(_STORAGES[kind.name], key, numel)


def _view(storage: Any, offset: Any, shape: Any, stride: Any, dtype: str = "", kind: str = "") -> SavedTensor:
    if not isinstance(storage, Storage) or not all(map(are_sizes, ((offset,), shape, stride))):
        raise ValueError("no view of a storage")
    if len(shape) != len(stride) or math.prod(shape) > _MOST_ELEMENTS:
        raise ValueError("no shape that a tensor can have")
    return SavedTensor(storage, offset, shape, stride, "" if dtype == storage.dtype else dtype, kind)


def _tensor(
    _: Ledger, storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any = 0, hooks: Any = None, flags: Any = 0
) -> SavedTensor:
    tensor = _view(storage, offset, shape, stride, kind=_FLAGGED if flags else "")
    return _with_extra(tensor, "hooks" if hooks else "")


def _newer_tensor(
    _: Ledger, storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, hooks: Any, dtype: Any, *flags: Any
) -> SavedTensor:
    kind = _FLAGGED if any(flags) else ""
    return _with_extra(_view(storage, offset, shape, stride, _dtype(dtype), kind), "hooks" if hooks else "")


def _quantized(
    _: Ledger, storage: Any, offset: Any, shape: Any, stride: Any, _how: Any, _grad: Any, hooks: Any
) -> SavedTensor:
    return _with_extra(_view(storage, offset, shape, stride, kind="quantized"), "hooks" if hooks else "")


def _with_extra(tensor: Any, extra: str) -> SavedTensor:
    if not isinstance(tensor, SavedTensor):
        raise ValueError("no tensor")
    return replace(tensor, extra=extra) if extra else tensor


def _dtype(name: Any) -> str:
    if not isinstance(name, Name) or name.module != "torch" or name.name not in DTYPE_BITS:
        raise ValueError("no dtype of torch")
    return name.name


def _elsewhere(dtype: str, shape: Any, kind: str, parts: tuple[Any, ...] = ()) -> SavedTensor:
    """A tensor that is no view of a storage; ``parts`` are the tensors that it is made of."""
    stored = sum(part.bytes for part in parts if isinstance(part, SavedTensor))
    flat = (0,) * len(shape) if isinstance(shape, tuple) else None
    return _view(Storage("uint8", "", stored), 0, shape, flat, dtype, kind)


def _sparse(_: Ledger, layout: Any, data: Any) -> SavedTensor:
    values, size = data[1:3] if layout == "torch.sparse_coo" else data[2:4]
    return _elsewhere(values.dtype, size, layout.removeprefix("torch."), data)


def _nested(_: Ledger, buffer: Any, *_how: Any) -> SavedTensor:
    return replace(_with_extra(buffer, ""), kind="nested")


def _meta(_: Ledger, dtype: Any, shape: Any, *_how: Any) -> SavedTensor:
    return _elsewhere(_dtype(dtype), shape, "meta")


def _wrapper(_: Ledger, kind: Any, dtype: Any, shape: Any, *_how: Any) -> SavedTensor:
    return _elsewhere(_dtype(dtype), shape, str(kind))


def _from_numpy(_: Ledger, data: Any, dtype: Any, device: Any, _grad: Any) -> SavedTensor:
    return _elsewhere(_dtype(dtype), data.state[1], str(device))


def _from_cpu(_: Ledger, data: Any, *_how: Any) -> SavedTensor:
    return _with_extra(data, "")


def _from_type(ledger: Ledger, function: Any, kind: Any, arguments: Any, state: Any) -> SavedTensor:
    """A tensor of another class, or one with attributes."""
    tensor = _TENSORS[str(function)](ledger, *arguments)
    return _with_extra(tensor, "attributes of its own" if state else f"the class {kind}")


def _parameter(_: Ledger, data: Any, _grad: Any = True, hooks: Any = None, state: Any = None) -> SavedTensor:
    return _with_extra(data, "hooks" if hooks else "attributes of its own" if state else "")


def _ordered_dict(ledger: Ledger, items: Any = ()) -> dict[Any, Any]:
    """Python 2 passes the items: they move, so that no file can have them copied again and again."""
    if items == ():
        return {}
    if not isinstance(items, list):
        raise ValueError("no list of pairs")
    found = {dict_key(key, ledger): value for key, value in items}
    items.clear()
    return found


def _bytes(ledger: Ledger, source: Any = b"", encoding: Any = "latin1") -> bytes:
    if not isinstance(source, str | bytes) or encoding not in ("latin1", "latin-1"):
        raise ValueError("no bytes")
    ledger.copy(len(source))
    return source if isinstance(source, bytes) else source.encode("latin1")


def _device(_: Ledger, kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or len(kind) > MAX_KEY or not (index is None or are_sizes((index,))):
        raise ValueError("no device")
    return kind if index is None else f"{kind}:{index}"


def _checked(is_torchs: bool, value: Any) -> Any:
    if not is_torchs:
        raise ValueError("arguments that torch would not pass")
    return value


_BUILDERS: Mapping[str, Callable[..., SavedTensor]] = {
    "tensor": _tensor,
    "tensor_v2": _tensor,
    "tensor_v3": _newer_tensor,
    "qtensor": _quantized,
    "sparse_tensor": _sparse,
    "nested_tensor": _nested,
    "meta_tensor_no_storage": _meta,
    "wrapper_subclass": _wrapper,
    "device_tensor_from_numpy": _from_numpy,
    "device_tensor_from_cpu_tensor": _from_cpu,
    "parameter": _parameter,
    "parameter_with_state": _parameter,
}
_TENSORS = {f"torch._utils._rebuild_{name}": builder for name, builder in _BUILDERS.items()}
_PYTHON: Mapping[str, Callable[..., Any]] = {
    # A set's items stay as they are: nothing is hashed or copied, so no file can force that a thousand times.
    "set": lambda _, items=(): _checked(isinstance(items, list | tuple), items),
    "bytes": _bytes,
    "bytearray": _bytes,
    "complex": lambda _, real, imaginary: complex(real, imaginary),
}
REBUILT: Mapping[str, Callable[..., Any]] = {
    **_TENSORS,
    **{f"{module}.{name}": function for module in ("__builtin__", "builtins") for name, function in _PYTHON.items()},
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": lambda _, items=(): _checked(are_sizes(items), items),
    "torch.device": _device,
    "torch.serialization._get_layout": lambda _, name: _checked(isinstance(name, str), name),
    "_codecs.encode": _bytes,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": lambda _, factory=None: _checked(factory is None or isinstance(factory, Name), {}),
    "collections.Counter": lambda _, counts: _checked(isinstance(counts, dict), counts),  # MultiStepLR's milestones
}
"""Each raises ``RefusedFileError``, or what ``UNLIKE_TORCH`` lists for arguments that torch would not pass."""
UNLIKE_TORCH = (ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError)
_FACTORIES = ("list", "dict", "set", "tuple", "int", "float", "bool", "str")  # of a defaultdict
PLAIN_NAMES = {
    *REBUILT,
    *(f"{module}.{name}" for module in ("__builtin__", "builtins") for name in _FACTORIES),
    *(f"{module}.{name}" for module in _STORAGE_MODULES for name in _STORAGES),
    *(f"torch.{dtype}" for dtype in DTYPE_BITS),
    *(f"torch.per_{what}" for what in ("tensor_affine", "channel_affine", "channel_affine_float_qparams")),
    "torch.Tensor", "torch.nn.parameter.Parameter",
}  # fmt: skip
"""The names that tensors and plain containers need: none of them is called."""
