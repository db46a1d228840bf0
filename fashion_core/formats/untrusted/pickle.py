"""The second stage: read a pickle as a list of instructions that build inert values; nothing in it is ever called.

What torch's own unpickler would call becomes a ``Record`` of a name and its arguments. A tensor becomes a
``SavedTensor``: where its numbers are, not the numbers. So reading a stranger's file requires neither torch nor trust.
Opcodes: the comments of https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.values import MAX_KEY, Name, Record, SavedTensor, Storage, are_sizes, count_nodes

MAX_OPCODES = 60_000  # a ResNet-18 pickled whole takes 11,510 and refers to 30 names
MAX_NAMES = 1000


class Pickle:
    """What one pickle builds, on the stack and the memo of an unpickler, with values that can do nothing.

    These are dicts, lists, tuples, plain values, ``SavedTensor``, ``Storage``, ``Name`` and ``Record``, at most
    ``MAX_DEPTH`` deep and ``MAX_NODES`` large however they share their parts. Raises ``RefusedFileError``.
    """

    def __init__(self, data: bytes, start: int = 0, most: int = MAX_OPCODES) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.names: set[Name] = set()  # all that it refers to
        self.storages: dict[str, Storage] = {}  # all that it refers to, by their keys
        self.records = 0  # that it makes, whether or not they are part of the content
        stream = io.BytesIO(data)
        stream.seek(start)
        try:
            self.content = self.run(stream, most)
        except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            raise RefusedFileError("its pickle is malformed") from error
        count_nodes(self.content)
        self.end = stream.tell()  # the byte after it

    def run(self, stream: io.BytesIO, most: int) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > most:
                raise RefusedFileError(f"its pickle has more than {most:,} instructions")
            if opcode.name == "STOP":
                break
            if opcode.name not in _OPCODES:
                raise RefusedFileError(f"its pickle uses the instruction {opcode.name}, which no saved model needs")
            _OPCODES[opcode.name](self, argument)
        (value,) = self.stack
        if self.marks:
            raise ValueError("something is left on the stack")
        return value

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def tuple_of(self, count: int) -> None:
        self.push(tuple([self.stack.pop() for _ in range(count)][::-1]))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list | Record):
            raise ValueError("appends to no list")
        (target if isinstance(target, list) else target.items).extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, dict):
                # Short texts and small numbers alone: their hashes can't be chosen so that a dict becomes slow.
                if not ((isinstance(key, str) and len(key) <= MAX_KEY) or (type(key) is int and abs(key) < 2**31)):
                    raise RefusedFileError("a key in its pickle is neither a short text nor a small number")
                target[key] = value
            elif isinstance(target, Record):
                target.items.append((key, value))
            else:
                raise ValueError("sets items of no dict")

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name is no text")
        found = Name(module, name)
        self.names.add(found)
        if len(self.names) > MAX_NAMES or len(str(found)) > MAX_KEY:
            raise RefusedFileError("it refers to more classes and functions than any model needs")
        self.push(found)

    def make(self, arguments: Any, function: Any) -> None:
        """Stand in for a call of a function or the making of an object: the same in torch's files."""
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise RefusedFileError("its pickle calls something that it made itself")
        if rebuild := REBUILT.get(str(function)):
            self.push(rebuild(*arguments))
        else:
            self.records += 1
            self.push(Record(function, arguments))

    def build(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, Record) and target.state is None:
            target.state = state
        elif not (isinstance(target, dict) and isinstance(state, dict) and set(state) <= {"_metadata"}):
            raise RefusedFileError("its pickle changes the attributes of something that is not a layer")

    def persistent(self, identity: Any) -> None:
        found = _saved_object(identity)
        if isinstance(found, Storage) and self.storages.setdefault(found.key, found) != found:
            raise RefusedFileError("two tensors in it describe the same numbers differently")
        self.push(found)


_LITERALS = "BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES"
_OPCODES: Mapping[str, Callable[[Pickle, Any], None]] = {
    **dict.fromkeys(_LITERALS.split(), Pickle.push),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), Pickle.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda pickle, index: pickle.push(pickle.memo[index])),
    **dict.fromkeys(("PROTO", "FRAME"), lambda pickle, _: None),  # they say how the rest is written
    "NONE": lambda pickle, _: pickle.push(None),
    "NEWTRUE": lambda pickle, _: pickle.push(True),
    "NEWFALSE": lambda pickle, _: pickle.push(False),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda pickle, _: pickle.push([])),
    "EMPTY_DICT": lambda pickle, _: pickle.push({}),
    "EMPTY_TUPLE": lambda pickle, _: pickle.push(()),
    "MARK": lambda pickle, _: pickle.mark(),
    "TUPLE": lambda pickle, _: pickle.push(tuple(pickle.since_mark())),
    "TUPLE1": lambda pickle, _: pickle.tuple_of(1),
    "TUPLE2": lambda pickle, _: pickle.tuple_of(2),
    "TUPLE3": lambda pickle, _: pickle.tuple_of(3),
    "APPEND": lambda pickle, _: pickle.append([pickle.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda pickle, _: pickle.append(pickle.since_mark())),
    "SETITEM": lambda pickle, _: pickle.set_items([pickle.stack.pop(-2), pickle.stack.pop()]),
    "SETITEMS": lambda pickle, _: pickle.set_items(pickle.since_mark()),
    "GLOBAL": lambda pickle, names: pickle.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda pickle, _: pickle.name(pickle.stack.pop(-2), pickle.stack.pop()),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda pickle, _: pickle.make(pickle.stack.pop(), pickle.stack.pop())),
    "BUILD": lambda pickle, _: pickle.build(pickle.stack.pop()),
    "BINPERSID": lambda pickle, _: pickle.persistent(pickle.stack.pop()),
}

_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip


def _saved_object(identity: Any) -> Name | Storage:
    """Read a persistent id of torch: a storage, or (in files of torch before 1.6) a class with its source."""
    if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module" and isinstance(identity[1], Name):
        return identity[1]
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise RefusedFileError("its pickle refers to something outside it that is not a storage")
    _, kind, key, location, numel = identity[:5]
    is_torchs = identity[5:] in ((), (None,)) and isinstance(kind, Name) and isinstance(location, str)
    if not is_torchs or not isinstance(key, str) or len(key) > MAX_KEY or not are_sizes((numel,)):
        raise RefusedFileError("a storage in it is not described as torch describes one")
    if kind.module != "torch" or kind.name not in _STORAGES:
        raise RefusedFileError(f"it holds numbers of a type that can't be read here: {kind}")
    return Storage(_STORAGES[kind.name], key, numel)


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any = False, hooks: Any = None, flags: Any = None
) -> SavedTensor:
    """A view that lies inside its storage and visits no element twice."""
    is_view = all(map(are_sizes, ((offset,), shape, stride))) and len(shape) == len(stride)
    if not isinstance(storage, Storage) or not is_view:
        raise RefusedFileError("a tensor in it is not described as torch describes one")
    if hooks:
        raise RefusedFileError("a tensor in it carries hooks")
    if flags:
        raise RefusedFileError("a tensor in it is saved with flags that change what its numbers mean")
    tensor = SavedTensor(storage, offset, shape, stride)
    if tensor.numel > storage.numel or offset + tensor.span > storage.numel:
        raise RefusedFileError("a tensor in it claims more numbers than the file holds")
    return tensor


def _parameter(data: Any, _grad: Any = True, hooks: Any = None, state: Any = None) -> SavedTensor:
    if not isinstance(data, SavedTensor) or hooks or state:
        raise RefusedFileError("a parameter in it carries more than numbers")
    return data


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if items != () and items != []:
        raise RefusedFileError("a dict in it is not written as Python 3 writes one")
    return {}


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or len(kind) > MAX_KEY or not (index is None or are_sizes((index,))):
        raise ValueError("no device")
    return kind if index is None else f"{kind}:{index}"


def _checked(is_torchs: bool, value: Any) -> Any:
    if not is_torchs:
        raise ValueError("arguments that torch would not pass")
    return value


# The few functions that saved models name in their pickles, and for each a function that only describes and checks.
# Each raises ``RefusedFileError``, ``ValueError`` or ``TypeError`` for arguments that torch would not pass.
REBUILT: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"), _tensor),
    **dict.fromkeys(("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"), _parameter),
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": lambda factory=None: _checked(factory is None or isinstance(factory, Name), {}),
    "collections.Counter": lambda counts: _checked(isinstance(counts, dict), counts),  # the milestones of MultiStepLR
    # A set's items stay as they are: nothing is hashed or copied, so no file can force that a thousand times.
    **dict.fromkeys(
        ("__builtin__.set", "builtins.set"), lambda items=(): _checked(isinstance(items, list | tuple), items)
    ),
    "torch.Size": lambda items=(): _checked(are_sizes(items), items),
    "torch.device": _device,
}
# The names that tensors and plain containers need: none of them is called.
PLAIN_NAMES = {"__builtin__.dict", "builtins.dict", *REBUILT,
               *(f"torch.{name}" for pair in _STORAGES.items() for name in pair)}  # fmt: skip
