"""Random changes of good files: whatever is changed, a file is refused in one sentence or gives the same numbers.

``python -m tests.support.mutations [--count 20000] [--seed 0] [FORMAT …]`` prints what came of each format.
"""

import argparse
import io
import itertools
import os
import random
import struct
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fashion_core.config import FASHION
from fashion_core.errors import DiskError, RefusedFileError
from fashion_core.formats import export
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import LoadedModel, load
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.values import tensors_in
from fashion_core.models import build_model
from tests.support.exact import same

Change = tuple[int, bytes]
"""Where in the file, and what is written there."""
CHECKED = ("weights", "model", "checkpoint", "safetensors", "pt2")
"""The formats whose files carry checksums."""


class Subject(NamedTuple):
    """A good file, where its tensors lie (the rest is structure), and what it loads as."""

    data: bytes
    numbers: list[tuple[int, int]]
    loaded: LoadedModel


class Mutation(NamedTuple):
    changes: tuple[Change, ...]
    length: int


def good_file(format: str) -> bytes:
    model = build_model("mlp", seed=3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.ones(2, 1, 28, 28)).sum().backward()
    optimizer.step()
    state = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    if format == "safetensors":
        return export.as_safetensors(LoadedModel(model, "mlp", FASHION, "checkpoint", 7, 0.25, None, {}))
    if format == "pt2":
        return export.as_program(model, {"epoch": "7", "dataset": "synthetic", "pixels": "unit"})
    content: Any = {"epoch": 7, **state, "loss": 0.25}
    if format in ("weights", "model"):
        content = model.state_dict() if format == "weights" else model
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=format != "legacy")
    return buffer.getvalue()


def subject(format: str, path: Path) -> Subject:
    data = good_file(format)
    path.write_bytes(data)
    file = read_saved_file(path)
    spans = {(file.places[tensor.storage.key], tensor.storage.bytes) for tensor in tensors_in(file.content)}
    return Subject(data, sorted(spans), load(path))


def mutations(subject: Subject, generator: random.Random) -> Iterator[Mutation]:
    """Endless: half of them in the structure, half anywhere, a few that swap members."""
    data, swaps = subject.data, list(swapped_members(subject.data))
    while True:
        if swaps and generator.random() < 0.02:
            yield Mutation(generator.choice(swaps), len(data))
        elif generator.random() < 0.05:
            yield truncated(data, generator)
        else:
            place = in_structure(subject, generator) if generator.random() < 0.5 else generator.randrange(len(data))
            yield Mutation(tuple(changed(data, place, generator)), len(data))


def in_structure(subject: Subject, generator: random.Random) -> int:
    """The place of a byte outside every tensor: in the pickle, a header, the directory, a description."""
    gaps, end = [], 0
    for offset, size in [*subject.numbers, (len(subject.data), 0)]:
        gaps += [(end, offset)] if offset > end else []
        end = offset + size
    start, stop = generator.choices(gaps, [stop - start for start, stop in gaps])[0]
    return generator.randrange(start, stop)


def changed(data: bytes, place: int, generator: random.Random) -> Iterator[Change]:
    """A flipped bit most of the time; else other bytes, zeros, or bytes from elsewhere in the file."""
    kind = generator.randrange(8)
    size = min(generator.choice((1, 2, 4, 8, 64)), len(data) - place)
    if kind == 0:
        yield place, generator.randbytes(size)
    elif kind == 1:
        yield place, bytes(size)
    elif kind == 2:
        other = generator.randrange(len(data) - size)
        yield place, data[other : other + size]
    else:
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            yield place, bytes([data[place] ^ 1 << generator.randrange(8)])
            place = min(len(data) - 1, place + generator.randrange(100))


def truncated(data: bytes, generator: random.Random) -> Mutation:
    """Cut off near the end or anywhere, or with bytes appended."""
    kind = generator.randrange(3)
    if kind == 0:
        return Mutation((), generator.randrange(len(data)))
    if kind == 1:
        return Mutation((), len(data) - generator.randrange(1, 200))
    behind = generator.randbytes(generator.randrange(1, 50))
    return Mutation(((len(data), behind),), len(data) + len(behind))


def swapped_members(data: bytes) -> Iterator[tuple[Change, ...]]:
    """Each two members of one size swap their bytes, their names, or their directory entries."""
    if not data.startswith(b"PK"):
        return

    def exchange(one: int, other: int, size: int) -> tuple[Change, Change]:
        return (one, data[other : other + size]), (other, data[one : one + size])

    for one, other in itertools.permutations(_entries(data), 2):
        if one.name < other.name and one.size == other.size and one.size:
            headers = exchange(one.entry + 42, other.entry + 42, 4)
            yield exchange(one.start, other.start, one.size)
            yield headers
            yield exchange(one.entry + 16, other.entry + 16, 4) + headers
            if (size := len(one.name)) == len(other.name):
                in_directory = exchange(one.entry + 46, other.entry + 46, size)
                yield in_directory + exchange(one.header + 30, other.header + 30, size)


class _Entry(NamedTuple):
    """A member: its name, and where its directory entry, its own header and its bytes begin."""

    name: bytes
    entry: int
    header: int
    start: int
    size: int


def _entries(data: bytes) -> list[_Entry]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        place, infos = file.start_dir, file.infolist()
    found = []
    for info in infos:
        name_bytes, extra_bytes = struct.unpack_from("<2H", data, info.header_offset + 26)
        start = info.header_offset + 30 + name_bytes + extra_bytes
        found.append(_Entry(info.filename.encode(), place, info.header_offset, start, info.file_size))
        place += 46 + sum(struct.unpack_from("<3H", data, place + 28))
    return found


def outcome(path: Path, subject: Subject) -> str:
    """``refused`` or ``the same``. Raises ``AssertionError`` if other numbers were loaded, else what is no sentence."""
    try:
        file = read_saved_file(path)
        inspect(path, numbers=False)
        file.check_numbers()
        loaded, expected = load(path), subject.loaded
    except (RefusedFileError, DiskError):
        return "refused"
    assert same(loaded.model.state_dict(), expected.model.state_dict()), "other weights"
    assert (loaded.model_name, loaded.epoch, loaded.loss) == (expected.model_name, expected.epoch, expected.loss)
    assert same(loaded.optimizer_state, expected.optimizer_state), "another state of the optimizer"
    return "the same"


def apply(path: Path, mutation: Mutation) -> None:
    with path.open("r+b", buffering=0) as file:
        for place, written in mutation.changes:
            os.pwrite(file.fileno(), written, place)
        file.truncate(mutation.length)


def undo(path: Path, data: bytes, mutation: Mutation) -> None:
    before = [(place, data[place : place + len(written)]) for place, written in mutation.changes]
    apply(path, Mutation((*before, (mutation.length, data[mutation.length :])), len(data)))


def run(
    format: str, folder: Path, count: int, seed: int, judge: Callable[[Path, Subject], str] = outcome
) -> Counter[str]:
    """How often each outcome occurred. Raises what ``judge`` raises, with a note that names the mutation."""
    path = folder / format
    good = subject(format, path)
    generator, outcomes = random.Random(f"{format} {seed}"), Counter[str]()
    for number, mutation in zip(range(count), mutations(good, generator), strict=False):
        apply(path, mutation)
        try:
            outcomes[judge(path, good)] += 1
        except Exception as error:
            error.add_note(f"{format}, seed {seed}, mutation {number}: {str(mutation)[:300]}")
            raise
        undo(path, good.data, mutation)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.support.mutations")
    parser.add_argument("formats", nargs="*", default=CHECKED, metavar="FORMAT")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for format in options.formats:
            began = time.perf_counter()
            outcomes = run(format, Path(folder), options.count, options.seed)
            found = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
            print(f"{format:12} {options.count:,} mutations: {found}; {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
