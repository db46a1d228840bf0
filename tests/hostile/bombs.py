"""Small files that would take gigabytes or minutes."""

import pickle
import struct
from collections.abc import Callable, Iterator
from functools import partial

from tests.hostile.building import Case, real_file, torch_file, weight_file
from tests.hostile.gadgets import legacy_file, legacy_parts
from tests.hostile.layers import LINEAR
from tests.hostile.opcodes import call, get, listed, mapping, named, number, put, sequence, storage, tensor, text, whole

_real = partial(real_file, "checkpoint")


def sizes() -> Iterator[Case]:
    two_gigabytes = struct.pack("<Q", 2 << 30)
    opcodes = {"BYTEARRAY8": b"\x96", "BINBYTES8": b"\x8e", "BINUNICODE8": b"\x8d", "FRAME": b"\x95"}
    for name, opcode in opcodes.items():
        for size, length in (("2 GB", two_gigabytes), ("2^64 - 1", b"\xff" * 8)):
            yield f"{name} of {size}", partial(_real, opcode + length + b"xx")
    yield "BINBYTES of 4 GB", partial(_real, b"B\xff\xff\xff\xffxx")
    yield "BINUNICODE of 4 GB", partial(_real, b"X\xff\xff\xff\xffxx")
    yield "LONG4 of 2 GB", partial(_real, b"\x8b\xff\xff\xff\x7fxx")
    yield "LONG4 of a negative size", partial(_real, b"\x8b\xff\xff\xff\xffxx")
    yield "LONG4 of 800,000 bytes", partial(_real, b"\x8b" + struct.pack("<i", 800_000) + b"\x7f" * 800_000)
    yield "LONG of 900,000 digits", partial(_real, b"L" + b"9" * 900_000 + b"L\n")
    yield "INT of 900,000 digits", partial(_real, b"I" + b"9" * 900_000 + b"\n")
    yield "FLOAT of 900,000 digits", partial(_real, b"F" + b"9" * 900_000 + b"\n")
    yield "pickle of 20 MB", partial(_real, text("x" * 20_000_000))
    yield "bytearray called", partial(_real, call(named("builtins", "bytearray"), number(2 << 30)))
    yield "bytes called", partial(_real, call(named("builtins", "bytes"), number(2 << 30)))
    billion = call(named("builtins", "range"), number(10**9))
    yield "range called", partial(_real, call(named("builtins", "list"), billion))
    yield "LONG_BINPUT of 2^32", partial(_real, text("x") + put(2**32 - 1) + get(0))
    huge = number(2**47)
    yield "storage of 2^47 numbers", partial(weight_file, tensor(storage(numel=huge), shape=huge + b"\x85"))
    yield "storage of 2^47 numbers and no tensor", partial(_real, storage(key="77", numel=huge))
    yield "storage of 2^100 numbers", partial(weight_file, tensor(storage(numel=number(2**100))))
    stretched = tensor(shape=number(10**12) + b"\x85", stride=b"K\x00\x85")
    yield "tensor of 1e12 numbers by stride 0", partial(weight_file, stretched)
    two = number(10**6) * 2 + b"\x86"
    yield "tensor of 1e12 numbers in two dimensions", partial(weight_file, tensor(shape=two, stride=b"K\x00K\x00\x86"))
    ones = sequence(*[b"K\x01"] * 50)
    yield "tensor of 2^47 dimensions", partial(weight_file, tensor(shape=ones, stride=ones))
    yield "tensors that share numbers 2,000 times", partial(_views, 2000)
    yield "tensors that span all numbers 2,000 times", partial(_views, 2000, numel=2)
    nothing = listed(tensor(shape=b"K\x00\x85") + put(5), get(5) * 10_000)
    yield "tensors of nothing, 10,000", partial(torch_file, whole(nothing))


def _views(count: int, numel: int = 1_000_000) -> bytes:
    """Each tensor claims all of one storage of 4 MB, or its first and its last number."""
    shape, step = number(numel) + b"\x85", number(999_999 // (numel - 1)) + b"\x85"
    kept = tensor(storage(numel=number(1_000_000)), shape=shape, stride=step) + put(5)
    return torch_file(whole(listed(kept, get(5) * count)), {"5": bytes(4_000_000)})


def loops() -> Iterator[Case]:
    yield "a million nested lists", partial(_real, b"]" * 1_000_000)
    yield "half a million nested lists, closed", partial(_real, b"]" * 500_000 + b"a" * 499_999)
    yield "30,000 nested lists, closed", partial(_real, b"]" * 29_000 + b"a" * 28_999)
    yield "20,000 nested tuples", partial(_real, b")" + b"\x85" * 20_000)
    yield "20,000 nested dicts", partial(_real, (b"}" + text("k")) * 20_000 + b"N" + b"s" * 20_000)
    yield "a million marks", partial(_real, b"(" * 1_000_000)
    yield "a million numbers", partial(_real, listed(b"K\x01" * 450_000))
    yield "a list doubled 60 times", partial(_real, _doubled(60))
    yield "a list doubled 18 times", partial(_real, _doubled(18))
    yield "a list of itself", partial(_real, b"]" + put(9) + get(9) * 3 + b"aaa")
    yield "a long text as keys", partial(_real, mapping({}) + text("x" * 500_000) + b"Ns")
    yield "a few bytes that burn years", partial(_real, _burning())
    yield "torch.device joined", partial(_real, _calls(named("torch", "device"), "x" * 100_000, 2000, 2000))
    yield "sets of one long list", partial(_real, _calls(named("builtins", "set"), "x", 20_000, 10_000, inside=True))
    ordered = named("collections", "OrderedDict")
    yield "OrderedDicts of one long list", partial(_real, _calls(ordered, "x", 20_000, 10_000, inside=True))
    yield "frozensets", partial(_real, b"(" + text("a") + b"\x91")
    yield "sizes of one long tuple", partial(_real, _calls(named("torch", "Size"), "x", 20_000, 10_000, inside=True))
    yield "records that share a state", partial(_real, _built(get(9)))
    yield "layers that share their layers", partial(_real, _built(mapping({"_modules": get(9)})))
    yield "15,000 names", partial(_real, listed(*(named("os", f"system{index}") for index in range(15_000))))
    long_name = named("x" * 500_000, "y") + put(9)
    yield "names of 500,000 letters", partial(_real, listed(long_name, listed(get(9) * 390) * 40))
    long_class = whole(named("x" * 500_000, "NeuralNetwork") + b")\x81")
    yield "class of a layer of 500,000 letters", partial(torch_file, long_class, {})


def _doubled(times: int) -> bytes:
    fragment = listed(text("a"))
    for index in range(100, 100 + times):
        fragment = listed(fragment + put(index), get(index))
    return fragment


def _burning() -> bytes:
    """A key that is a tuple of tuples, each one twice the one before: to hash it takes 2^40 steps."""
    key = text("a")
    for index in range(40):
        key += put(index + 100) + get(index + 100) + b"\x86"
    return b"}" + key + b"Ns"


def _calls(function: bytes, value: str, length: int, times: int, inside: bool = False) -> bytes:
    arguments = b"(" + text(value) + put(8) + get(8) * (length - 1) + b"t"
    arguments = arguments + (b"\x85" if inside else b"") + put(9)
    return listed(function + put(10) + arguments, (get(10) + get(9) + b"R") * times)


def _built(state: bytes, times: int = 2000) -> bytes:
    """Records whose state holds one dict of 2,000 texts, or is that dict."""
    function = named("torch", "device") + put(10)
    shared = b"}" + put(9) + b"(" + text("x") + put(8) + get(8)
    shared += b"".join(number(key) + get(8) for key in range(times)) + b"u"
    return listed(function, shared, (get(10) + b")R" + state + b"b") * times)


def names() -> Iterator[Case]:
    """Names that grow, in weights and in models."""
    yield "tensors under names of 64,000 letters", partial(_deep_names, 60, 1000)
    yield "weights with 2,000 prefixes", lambda: torch_file(whole(mapping({"module." * 140 + "w": tensor()})))
    yield "weights with a prefix for each of 9,000", partial(_many_prefixed, 9000)
    yield "a key of a million letters", lambda: torch_file(whole(mapping({"x" * 900_000: tensor()})))
    yield "buffers that hide each other", partial(_hiding, 8000)
    huge = b"".join(number((2**61 - 1) * key) + b"N" for key in range(5000))
    yield "keys that are huge numbers", partial(_real, b"}(" + huge + b"u")
    yield "keys that are tuples", partial(_real, b"}" + sequence(b"K\x01", b"K\x02") + b"Ns")
    yield "keys that are floats", partial(_real, b"}" + b"G" + struct.pack(">d", 0.5) + b"Ns")
    yield "keys that are lists", partial(_real, b"}]Ns")
    yield "keys that are tensors", partial(_real, b"}" + tensor() + b"Ns")


def _deep_names(depth: int, letters: int) -> bytes:
    kept = listed(tensor() + put(5), get(5) * 1500)
    nested = (b"}" + text("x" * letters)) * depth + kept + b"s" * depth
    return torch_file(whole(nested))


def _many_prefixed(count: int) -> bytes:
    items = b"".join(text("module." * 100 + str(index)) + get(5) for index in range(count))
    return torch_file(whole(b"}(" + text("module." * 100 + "w") + tensor() + put(5) + items + b"u"))


def _hiding(count: int) -> bytes:
    """A layer with as many buffers as names of buffers that are not saved."""
    names = b"".join(text(str(index)) for index in range(count))
    buffers = b"}(" + b"".join(text(f"b{index}") + b"N" for index in range(count)) + b"u"
    state = mapping({"training": b"\x89", "_buffers": buffers, "_non_persistent_buffers_set": listed(names)})
    return torch_file(whole(LINEAR + b")\x81" + state + b"b"), {})


def before_torch_1_6() -> Iterator[Case]:
    parts = legacy_parts
    long = b"]" * 10_000
    yield "five long pickles", lambda: legacy_file({n: parts()[n][:2] + long + parts()[n][2:] for n in range(5)})
    changes: dict[str, Callable[[list[str]], object]] = {
        "keys that are numbers": lambda keys: [int(key) for key in keys],
        "keys that are lists": lambda keys: [[key] for key in keys],
        "keys given twice": lambda keys: [*keys, keys[0]],
        "keys in another order": lambda keys: keys[::-1],
        "keys that are no list": lambda keys: keys[0],
    }
    for name, change in changes.items():
        yield name, partial(_with_keys, change)
    long_texts = listed(text("x" * 400_000) + put(9), get(9) * 3000)
    yield "keys of long texts", lambda: legacy_file({4: whole(listed(long_texts))})
    yield "numbers of another count", lambda: legacy_file({5: struct.pack("<q", 5) + parts()[5][8:]})
    yield "numbers of a negative count", lambda: legacy_file({5: struct.pack("<q", -4) + parts()[5][8:]})
    yield "numbers cut off", lambda: legacy_file({5: parts()[5][:-1]})
    yield "bytes behind the numbers", lambda: legacy_file({5: parts()[5] + b"x"})
    yield "a pickle behind the numbers", lambda: legacy_file({5: parts()[5] + b"\x80\x02cos\nsystem\n)R."})
    yield "another magic number", lambda: legacy_file({0: pickle.dumps(1, 2)})
    yield "another protocol", lambda: legacy_file({1: pickle.dumps(1002, 2)})
    yield "a big-endian machine", lambda: legacy_file({2: pickle.dumps({"little_endian": False}, 2)})
    yield "a magic number alone", lambda: parts()[0]
    yield "no numbers", lambda: legacy_file({5: b""})


def _with_keys(change: Callable[[list[str]], object]) -> bytes:
    return legacy_file({4: pickle.dumps(change(pickle.loads(legacy_parts()[4])), 2)})


def harmless() -> Iterator[Case]:
    """What stays within the limits: it may be loaded, but has to cost as little as what is refused."""
    yield "59,000 dicts", partial(_real, listed(b"}" * 59_000))
    yield "a long text 20,000 times", partial(_real, listed(text("x" * 500_000) + put(9), get(9) * 20_000))
    long_bytes = b"B" + struct.pack("<I", 500_000) + bytes(500_000)
    yield "long bytes 20,000 times", partial(_real, listed(long_bytes + put(9), get(9) * 20_000))
    for bits in (8, 16):
        keys = (b"J" + struct.pack("<i", key << bits) + b"N" for key in range(19_000))
        yield f"keys that are alike in {bits} bits", partial(_real, b"}(" + b"".join(keys) + b"u")
    yield "half a million digits", partial(_real, text("9" * 500_000))


FAMILIES = (sizes, loops, names, before_torch_1_6)
