"""The second stage: read a pickle as a list of instructions that build inert values; nothing in it is ever called.

What torch's own unpickler would call becomes a ``Record`` of a name and its arguments. A tensor becomes a
``SavedTensor``: where its numbers are, not the numbers. So reading a stranger's file requires neither torch nor trust.
Whatever a pickle may hold is read, within limits against bombs; what no usable file does is noted in the ``Ledger``.
Opcodes: the comments of https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.rebuild import REBUILT, UNLIKE_TORCH, Ledger, dict_key, saved_object
from fashion_core.formats.untrusted.values import CUT_OFF, MAX_KEY, Entry, Name, Record, Storage

MAX_OPCODES = 300_000  # a ResNet-18 pickled whole takes 11,510 and refers to 30 names
MAX_NAMES = 1000


class Pickle:
    """What one pickle builds, on the stack and the memo of an unpickler, with values that can do nothing.

    These are dicts, lists, tuples, plain values, ``SavedTensor``, ``Storage``, ``Name`` and ``Record``, which may share
    their parts and hold themselves. Raises ``RefusedFileError``.
    """

    def __init__(self, data: bytes, start: int = 0, most: int = MAX_OPCODES, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.names: dict[tuple[str, str], Name] = {}  # all that it refers to, by module and name
        self.storages: dict[str, Storage] = {}  # all that it refers to, by their keys
        self.records = 0  # that it makes, whether or not they are part of the content
        stream = io.BytesIO(data)
        stream.seek(start)
        try:
            self.content = self.run(stream, most)
        except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            is_cut = stream.tell() == len(data) and not data.endswith(b".")
            raise RefusedFileError(CUT_OFF if is_cut else "its pickle is malformed") from error
        self.end = stream.tell()  # the byte after it

    def run(self, stream: io.BytesIO, most: int) -> Any:
        for _ in range(most):
            code = stream.read(1)
            if code == b".":
                break
            if code not in _INSTRUCTIONS:
                name = _CODES[code].name
                raise RefusedFileError(f"its pickle uses the instruction {name}, which no saved model needs")
            read, act = _INSTRUCTIONS[code]
            act(self, read(stream) if read else None)
        else:
            raise RefusedFileError(f"its pickle has more than {most:,} instructions; save the state_dict alone")
        (value,) = self.stack
        if self.marks:
            raise ValueError("something is left on the stack")
        return value

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_text(self, text: str) -> None:
        """A byte string of Python 2, which ``pickletools`` gives as latin-1."""
        data = text.encode("latin-1")
        try:
            self.push(data.decode())
        except UnicodeDecodeError:
            self.push(data)

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def put(self, index: int | None) -> None:
        place = len(self.memo) if index is None else index
        if (
            not 0 <= place < MAX_OPCODES
        ):  # a pickle counts from 0; other numbers can be chosen so that a dict becomes slow
            raise ValueError("no place that a pickle has")
        self.memo[place] = self.stack[-1]

    def tuple_of(self, count: int) -> None:
        self.push(tuple([self.stack.pop() for _ in range(count)][::-1]))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list | Record):
            raise ValueError("appends to no list")
        (target if isinstance(target, list) else target.items).extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        pairs = zip(items[::2], items[1::2], strict=True)
        if isinstance(target, dict):
            target.update({dict_key(key, self.ledger): value for key, value in pairs})
        elif isinstance(target, Record):
            target.items.extend(Entry(key, value) for key, value in pairs)
        else:
            raise ValueError("sets items of no dict")

    def dict_since_mark(self) -> None:
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def name(self, module: Any, name: Any) -> Name:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name is no text")
        return self.names.get((module, name)) or self.new_name(module, name)

    def new_name(self, module: str, name: str) -> Name:
        found = self.names[module, name] = Name(module, name)
        if len(self.names) > MAX_NAMES or len(str(found)) > MAX_KEY:
            raise RefusedFileError("it refers to more classes and functions than any model needs")
        return found

    def make(self, arguments: Any, function: Any) -> None:
        """Stand in for a call of a function or the making of an object: the same in torch's files."""
        if isinstance(function, Record):
            self.ledger.object_to("its pickle calls something that it made itself")
            function = function.name
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise ValueError("calls what can't be called")
        if rebuild := REBUILT.get(str(function)):
            try:
                self.push(rebuild(self.ledger, *arguments))
                return
            except UNLIKE_TORCH:
                self.ledger.object_to(f"its {function} is not called as torch calls it")
        self.records += 1
        self.push(Record(function, arguments))

    def make_since_mark(self, function: Any = None) -> None:
        arguments = self.since_mark()
        self.make(tuple(arguments[function is None :]), function or arguments[0])

    def build(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, Record) and target.state is None:
            target.state = state
        elif not (isinstance(target, dict) and isinstance(state, dict) and set(state) <= {"_metadata"}):
            self.ledger.object_to("its pickle changes the attributes of something that is not a layer")

    def persistent(self, identity: Any) -> None:
        try:
            found = saved_object(identity)
        except UNLIKE_TORCH:
            self.ledger.object_to("a storage in it is not described as torch describes one")
            found = identity
        if isinstance(found, Storage) and self.storages.setdefault(found.key, found) != found:
            self.ledger.object_to("two tensors in it describe the same numbers differently")
        self.push(found)


Act = Callable[[Pickle, Any], Any]
_LITERALS = """
    INT BININT BININT1 BININT2 LONG LONG1 BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
"""
_ACTS: Mapping[str, Act] = {
    **dict.fromkeys(_LITERALS.split(), Pickle.push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), Pickle.push_text),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Pickle.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda pickle, index: pickle.push(pickle.memo[index])),
    **dict.fromkeys(("PROTO", "FRAME"), lambda pickle, _: None),  # they say how the rest is written
    "NONE": lambda pickle, _: pickle.push(None),
    "NEWTRUE": lambda pickle, _: pickle.push(True),
    "NEWFALSE": lambda pickle, _: pickle.push(False),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda pickle, _: pickle.push([])),
    "EMPTY_DICT": lambda pickle, _: pickle.push({}),
    "EMPTY_TUPLE": lambda pickle, _: pickle.push(()),
    "MARK": lambda pickle, _: pickle.mark(),
    "LIST": lambda pickle, _: pickle.push(pickle.since_mark()),
    "DICT": lambda pickle, _: pickle.dict_since_mark(),
    "TUPLE": lambda pickle, _: pickle.push(tuple(pickle.since_mark())),
    "TUPLE1": lambda pickle, _: pickle.tuple_of(1),
    "TUPLE2": lambda pickle, _: pickle.tuple_of(2),
    "TUPLE3": lambda pickle, _: pickle.tuple_of(3),
    "APPEND": lambda pickle, _: pickle.append([pickle.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda pickle, _: pickle.append(pickle.since_mark())),
    "SETITEM": lambda pickle, _: pickle.set_items([pickle.stack.pop(-2), pickle.stack.pop()]),
    "SETITEMS": lambda pickle, _: pickle.set_items(pickle.since_mark()),
    "GLOBAL": lambda pickle, names: pickle.push(pickle.name(*names.split(" ", 1))),
    "STACK_GLOBAL": lambda pickle, _: pickle.push(pickle.name(pickle.stack.pop(-2), pickle.stack.pop())),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda pickle, _: pickle.make(pickle.stack.pop(), pickle.stack.pop())),
    "BUILD": lambda pickle, _: pickle.build(pickle.stack.pop()),
    "BINPERSID": lambda pickle, _: pickle.persistent(pickle.stack.pop()),
}
_OF_NO_MODEL: Mapping[str, Act] = {  # torch itself does not read these
    **dict.fromkeys(("LONG4", "FLOAT"), Pickle.push),
    "POP": lambda pickle, _: pickle.stack.pop(),
    "POP_MARK": lambda pickle, _: pickle.since_mark(),
    "DUP": lambda pickle, _: pickle.push(pickle.stack[-1]),
    "FROZENSET": lambda pickle, _: pickle.push(pickle.since_mark()),
    "INST": lambda pickle, names: pickle.make_since_mark(pickle.name(*names.split(" ", 1))),
    "OBJ": lambda pickle, _: pickle.make_since_mark(),
    "NEWOBJ_EX": lambda pickle, _: pickle.make((pickle.stack.pop(-2), pickle.stack.pop()), pickle.stack.pop()),
}


def _noted(name: str, act: Act) -> Act:
    def act_and_object(pickle: Pickle, argument: Any) -> None:
        pickle.ledger.object_to(
            f"its pickle uses the instruction {name}, which no saved model needs; save the state_dict alone"
        )
        act(pickle, argument)

    return act_and_object


_CODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_READ = {**_ACTS, **{name: _noted(name, act) for name, act in _OF_NO_MODEL.items()}}
_INSTRUCTIONS: Mapping[bytes, tuple[Callable[[io.BytesIO], Any] | None, Act]] = {
    code: (opcode.arg.reader if opcode.arg else None, _READ[opcode.name])
    for code, opcode in _CODES.items()
    if opcode.name in _READ
}
