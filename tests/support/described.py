"""Random changes of files that are described rather than used: odd keys, cycles, every dtype, other containers.

``python -m tests.support.described [--count 100000] [--seed 0]`` prints what came of them, the slowest and the largest.
"""

import argparse
import io
import json
import pickletools
import random
import re
import struct
import tempfile
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from fashion_core.errors import DiskError, RefusedFileError
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from tests.hostile.building import archive, members_of, saved
from tests.support.audited import high_water
from tests.support.mutations import changed

SECONDS, BYTES = 1.0, 200_000_000
Mutate = Callable[[random.Random], bytes]
_PICKLE, _DEFLATED = "archive/data.pkl", 8


class Part:
    """A setting that knows the settings it stands in, of a class that no reader knows."""

    def __init__(self, parent: "Part | None" = None) -> None:
        self.parent, self.parts = parent, {"lr": 0.1}


def tensors() -> dict[str, Tensor]:
    """One of every kind that torch saves."""
    names = "float8_e4m3fn float8_e5m2 uint16 uint32 uint64 complex32 complex64 float16 bfloat16 int8 bool bits8"
    tied = torch.arange(12.0)
    found = {name: torch.zeros(16, dtype=torch.uint8).view(getattr(torch, name)) for name in names.split()}
    found |= {"tied": tied, "again": tied, "view": tied[2:8], "expanded": torch.zeros(1).expand(500)}
    found |= {"sparse": torch.eye(3).to_sparse(), "rows": torch.eye(3).to_sparse_csr(), "empty": torch.empty(0, 3)}
    found["meta"] = torch.empty(3, 4, device="meta")
    found["quantized"] = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    parameter = nn.Parameter(torch.ones(2))
    parameter.note = "an attribute"  # type: ignore[attr-defined]
    return {**found, "parameter": parameter}


def contents() -> dict[str, Any]:
    inner: list[Any] = [1.5]
    inner.append(inner)
    part = Part()
    part.parts["child"] = Part(part)  # type: ignore[assignment]
    values = [b"abc", bytearray(b"x"), 1j, {1, 2}, defaultdict(list, a=[1]), Counter("aab"), 2**90, None, True, ()]
    keys = {0: 0, 2**50: 1, (1, 2): 2, None: 3, b"k": 4, 1.5: 5, True: 6, "k" * 2000: 7}
    return {
        "keys": {"epoch": 3, "keys": keys, "state_dict": {"weight": torch.ones(2, 2)}},
        "cycles": {"list": inner, "part": part, "twice": [inner, inner], "state_dict": OrderedDict(w=torch.ones(3))},
        "dtypes": tensors(),
        "values": {"values": values, "history": [index / 7 for index in range(300)], "loss": torch.tensor(0.5)},
        "module": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)),
    }


def files() -> dict[str, bytes]:
    """Good files, each of which is described."""
    found = {}
    for name, content in contents().items():
        found[name] = saved(content)
        found[f"{name}, before torch 1.6"] = saved(content, _use_new_zipfile_serialization=False)
        for protocol in (1, 4):
            found[f"{name}, protocol {protocol}"] = saved(content, pickle_protocol=protocol)
    found["compressed"] = archive(members_of(found["keys"]), _DEFLATED)
    found["big-endian"] = archive({**members_of(found["keys"]), "archive/byteorder": b"big"})
    plain = {name: tensor for name, tensor in tensors().items() if re.match(r"float|uint|bf|int|bool|complex64", name)}
    found["safetensors"] = safetensors.torch.save(plain)
    return found


def anywhere(data: bytes, generator: random.Random) -> bytes:
    """Other bytes somewhere, or a file that is cut off or goes on."""
    if generator.random() < 0.1:
        return data[: generator.randrange(len(data))] + generator.randbytes(generator.choice((0, 9)))
    written = bytearray(data)
    for place, new in changed(data, generator.randrange(len(data)), generator):
        written[place : place + len(new)] = new
    return bytes(written)


def instructions(data: bytes) -> list[bytes]:
    """The first pickle in these bytes, instruction by instruction."""
    stream = io.BytesIO(data)
    places = [place for _, _, place in pickletools.genops(stream) if place is not None]
    return [data[start:end] for start, end in pairwise([*places, stream.tell()])]


def other_instructions(pickle: bytes, generator: random.Random) -> bytes:
    """Some instructions taken out, repeated, moved, changed, or some of any kind put in."""
    steps = instructions(pickle)
    for _ in range(generator.choice((1, 1, 2, 4))):
        place, other = (generator.randrange(1, len(steps)) for _ in "12")
        length = generator.choice((1, 1, 2, 8, 40))
        match generator.randrange(6):
            case 0:
                del steps[place : place + length]
            case 1:
                steps[place:place] = steps[other : other + length]
            case 2:
                steps[place], steps[other] = steps[other], steps[place]
            case 3:
                steps[place:place] = [generator.choice(_FRAGMENTS)] * generator.choice((1, 1, 3, 1000))
            case 4:
                steps[place] = steps[place][:1] + generator.randbytes(len(steps[place]) - 1)
            case _:
                steps = [_renamed(step, generator) for step in steps]
    return b"".join(steps) or b"N."


_FRAGMENTS = [
    *(opcode.code.encode("latin-1") for opcode in pickletools.opcodes if opcode.arg is None),
    b"K\x01", b"J\xff\xff\xff\xff", b"\x8a\x09" + bytes(8) + b"\x7f", b"G\x7f\xf8" + bytes(6), b"U\x02\xff\xfe",
    b"h\x00", b"h\x05", b"q\x05", b"I01\n", b"F1e400\n", b"S'x'\n", b"cbuiltins\nset\n", b"]q\x06h\x06a",
    b"}q\x07h\x07h\x07s",
    b"ctorch\nUntypedStorage\n", b"c__main__\nThing\n)\x81q\x08h\x08b", b"((NtN(dt", b"N\x85\x85\x85",
]  # fmt: skip


def _renamed(step: bytes, generator: random.Random) -> bytes:
    """Another storage, function or dtype in one of eight names."""
    if generator.random() > 0.12 or step[:1] != b"c":
        return step
    names = "FloatStorage ByteStorage UntypedStorage QInt8Storage ComplexFloatStorage uint16 float8_e5m2 Size device"
    rebuilt = "tensor_v2 tensor_v3 qtensor sparse_tensor parameter meta_tensor_no_storage wrapper_subclass"
    name = generator.choice(
        [f"torch\n{name}" for name in names.split()] + [f"torch._utils\n_rebuild_{name}" for name in rebuilt.split()]
    )
    return b"c" + name.encode() + b"\n"


def other_header(data: bytes, generator: random.Random) -> bytes:
    """A safetensors file with another description."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    names = list(header)
    entry = header[generator.choice(names)]
    strange = ["F8_E8M0", "F4", "C64", "BOOL", "F64", -1, 2**63, [], [2**40] * 3, None, "x", {"a": 1}, [0, 8], 1.5]
    entry[generator.choice(["dtype", "shape", "data_offsets", "more"])] = generator.choice(strange)
    if generator.random() < 0.3:
        header[generator.choice(["", "\x1b[2J", "k" * 3000, "__metadata__"])] = generator.choice([entry, {}, 5])
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + data[8 + length :]


def ways(data: bytes) -> list[Mutate]:
    """How this file is changed: anywhere, and in its description with checksums that are right again."""
    found: list[Mutate] = [partial(anywhere, data)]
    if data.startswith(b"PK"):
        members = members_of(data)
        members.pop("archive/.data/serialization_id", None)
        found += [partial(_zipped_again, members, change) for change in (other_instructions, anywhere)] * 2
    elif data[8:9] == b"{":
        found.append(partial(other_header, data))
    else:
        stream = io.BytesIO(data)
        for _ in range(3):  # magic number, protocol, system
            list(pickletools.genops(stream))
        before, rest = data[: stream.tell()], data[stream.tell() :]
        length = sum(map(len, instructions(rest)))
        found += [partial(_between, before, rest[:length], rest[length:])] * 2
    return found


def _zipped_again(members: dict[str, bytes], change: Callable[..., bytes], generator: random.Random) -> bytes:
    return archive({**members, _PICKLE: change(members[_PICKLE], generator)})


def _between(before: bytes, pickle: bytes, after: bytes, generator: random.Random) -> bytes:
    return before + other_instructions(pickle, generator) + after


@dataclass
class Result:
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")


def outcome(path: Path) -> str:
    """What inspecting and loading say. Raises what is no sentence."""
    try:
        json.dumps(asdict(inspect(path)), allow_nan=False)
        said = "described"
    except (RefusedFileError, DiskError):
        said = "refused"
    try:
        load(path)
    except (RefusedFileError, DiskError):
        return said
    return "loaded"


def mutations(seed: int) -> Iterator[tuple[str, bytes]]:
    """Endless, each with a name that finds it again."""
    bases = [(name, ways(data)) for name, data in files().items()]
    number = 0
    while True:
        generator = random.Random(f"{seed} {number}")
        name, changes = generator.choice(bases)
        yield f"{name}, seed {seed}, mutation {number}", generator.choice(changes)(generator)
        number += 1


def run(folder: Path, count: int, seed: int) -> Result:
    """Inspect and load each. Raises what is no sentence, with a note that names the mutation."""
    result, path = Result(), folder / "file"
    clear = Path("/proc/self/clear_refs")
    for (name, data), _ in zip(mutations(seed), range(count), strict=False):
        path.write_bytes(data)
        if clear.exists():
            clear.write_text("5")
        before, began = high_water(), time.process_time()
        try:
            result.outcomes[outcome(path)] += 1
        except Exception as error:
            error.add_note(name)
            raise
        result.slowest = max(result.slowest, (time.process_time() - began, name))
        result.largest = max(result.largest, (high_water() - before, name))
    return result


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.support.described")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), options.count, options.seed)
    found = ", ".join(f"{count:,} {outcome}" for outcome, count in result.outcomes.most_common())
    print(f"{options.count:,} mutations: {found}; {time.perf_counter() - began:.0f} s")
    print(f"slowest: {result.slowest[0]:.3f} s ({result.slowest[1]})")
    print(f"largest: {result.largest[0]:,} bytes ({result.largest[1]})")


if __name__ == "__main__":
    main()
