"""The few functions that saved models name in their pickles, each played by one that only describes and checks."""

from collections.abc import Callable, Mapping
from typing import Any

from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.values import ITEM_BYTES, MAX_KEY, Name, Storage, StoredTensor, are_sizes

_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any = False, hooks: Any = None, flags: Any = None
) -> StoredTensor:
    """``torch._utils._rebuild_tensor_v2``: a view that lies inside its storage and repeats none of it."""
    if not isinstance(storage, Storage) or not are_sizes((offset,), shape, stride) or len(shape) != len(stride):
        raise RefusedFileError("a tensor in it is not described as torch describes one")
    if hooks:
        raise RefusedFileError("a tensor in it carries hooks")
    if flags:
        raise RefusedFileError("a tensor in it is stored with flags that change what its numbers mean")
    tensor = StoredTensor(storage, offset, shape, stride)
    if tensor.numel > storage.numel or offset + tensor.span > storage.numel:
        raise RefusedFileError("a tensor in it claims more numbers than the file holds")
    return tensor


def _parameter(data: Any, _grad: Any = True, hooks: Any = None, state: Any = None) -> StoredTensor:
    """``torch._utils._rebuild_parameter``."""
    if not isinstance(data, StoredTensor) or hooks or state:
        raise RefusedFileError("a parameter in it carries more than numbers")
    return data


def _empty_dict(items: Any = ()) -> dict[Any, Any]:
    if items != () and items != []:
        raise RefusedFileError("a dict in it is not written as Python 3 writes one")
    return {}


def _default_dict(factory: Any = None) -> dict[Any, Any]:
    if factory is not None and not isinstance(factory, Name):
        raise ValueError("no factory")
    return {}


def _counter(counts: Any) -> Any:
    """A ``Counter`` is what torch's MultiStepLR keeps its milestones in."""
    if not isinstance(counts, dict):
        raise ValueError("a counter of no dict")
    return counts


def _set(items: Any = ()) -> Any:
    """Its items as they stand: nothing is hashed or copied, so that no file can have it done a thousand times."""
    if not isinstance(items, list | tuple):
        raise ValueError("a set of no list")
    return items


def _size(items: Any = ()) -> tuple[int, ...]:
    if not are_sizes(items):
        raise ValueError("a shape of no sizes")
    return tuple(items)


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or len(kind) > MAX_KEY or not (index is None or are_sizes((index,))):
        raise ValueError("no device")
    return kind if index is None else f"{kind}:{index}"


REBUILT: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "collections.OrderedDict": _empty_dict,
    "collections.defaultdict": _default_dict,
    "collections.Counter": _counter,
    "__builtin__.set": _set,
    "builtins.set": _set,
    "torch.Size": _size,
    "torch.device": _device,
}
"""What each of these functions would make of its arguments, by its name in a pickle.

Each raises ``RefusedFileError``, ``ValueError`` or ``TypeError`` for arguments that torch would not give it.
"""
PLAIN_NAMES = frozenset(
    {
        *REBUILT,
        *(f"torch.{storage}" for storage in _STORAGES),
        *(f"torch.{dtype}" for dtype in ITEM_BYTES),
        "__builtin__.dict",
        "builtins.dict",
    }
)
"""The names that tensors and plain containers need: none of them is called."""


def what_is_stored(identity: Any) -> Name | Storage:
    """A persistent id of torch: a storage, or (in files of torch before 1.6) a class with its source.

    Raises ``RefusedFileError``.
    """
    if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module" and isinstance(identity[1], Name):
        return identity[1]
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise RefusedFileError("its pickle refers to something outside that is no storage")
    _, kind, key, location, numel = identity[:5]
    if identity[5:] not in ((), (None,)) or not isinstance(kind, Name) or not isinstance(location, str):
        raise RefusedFileError("a storage in it is not described as torch describes one")
    if not isinstance(key, str) or len(key) > MAX_KEY or not are_sizes((numel,)):
        raise RefusedFileError("a storage in it is not described as torch describes one")
    if kind.module != "torch" or kind.name not in _STORAGES:
        raise RefusedFileError(f"it holds numbers of a kind that is not read here: {kind}")
    return Storage(_STORAGES[kind.name], key, numel)
