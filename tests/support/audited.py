"""Inspect and load hostile files in one fresh process, under an audit hook.

``python -m tests.support.audited FOLDER quick|rest`` prints as JSON the result of each file of that part of the corpus,
of good files, with the rest of heavy harmless ones, and what the hook saw when a gadget was really unpickled.
"""

import ctypes
import gc
import json
import mmap
import os
import pickle
import re
import resource
import signal
import sys
import time
import timeit
import tracemalloc
from collections import deque
from collections.abc import Callable
from pathlib import Path
from pickletools import genops
from typing import Any

import psutil
import torch

from fashion_core.errors import RefusedFileError
from fashion_core.formats.export import as_program
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from tests import hostile
from tests.hostile.building import archive, checkpoint, members_of, mlp, saved

Act = Callable[[Path], object]
Seen = tuple[str | None, list[str], float]
SLOW, LONGEST = 0.1, 5.0
SURELY_BELOW = 40_000_000
"""Less than the limit of the tests by more than the pools of Python's own allocator hold free."""
INSTRUCTIONS = b"}" * 299_000 + b"."
HARMLESS = {"builtins.id", "object.__getattr__", "sys._getframe"}
"""Events of ordinary work that touches nothing outside the process."""
GADGET = b"cbuiltins\neval\n(V1 + 1\ntR."
"""Does no harm when it is unpickled, but what it does is a gadget's work."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
events: list[str] = []
watched: list[str] = []
"""The one path that may be opened for reading while it is watched; empty while nothing is."""


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not watched or event in HARMLESS:
        return
    if event == "open" and str(arguments[0]) == watched[0] and arguments[2] & WRITING == 0:
        return
    events.append(f"{event}{arguments!r}"[:200])


def watching(path: Path, act: Act) -> Seen:
    """What ``act`` objected to, the events meanwhile, and the seconds of processor time."""
    events.clear()
    watched[:] = [str(path)]
    began = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        said = act(path)
    except RefusedFileError as error:
        said = str(error)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (the test shows what came out, whatever it is)
        said = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - began
    signal.setitimer(signal.ITIMER_REAL, 0)
    watched.clear()
    return said if isinstance(said, str) else None, list(events), seconds


def high_water() -> int:
    """Peak memory of this process since it was reset, in bytes; 0 without /proc."""
    return _mark("VmHWM")


def _mark(name: str) -> int:
    status = Path("/proc/self/status")
    found = re.search(rf"{name}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


class _Heap(ctypes.Structure):
    """``struct mallinfo2`` (man 3 mallinfo)."""

    _fields_ = [("others", ctypes.c_size_t * 8), ("fordblks", ctypes.c_size_t), ("keepcost", ctypes.c_size_t)]


def _glibc() -> ctypes.CDLL | None:
    """The C library if it tells how much of its heap is free: glibc since 2.33 does."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2") or not _mark("VmPeak"):
        return None
    libc.mallinfo2.restype = _Heap
    return libc


LIBC = _glibc()


def memory(path: Path, act: Act) -> tuple[Seen, int]:
    """What was seen, and peak growth in bytes: at most what the marks of the process leave possible, else as traced."""
    if LIBC is not None:
        seen, most = _bounded(path, act, LIBC)
        if most < SURELY_BELOW:
            return seen, most
    return _traced(path, act)


def _bounded(path: Path, act: Act, libc: ctypes.CDLL) -> tuple[Seen, int]:
    """An upper bound: the free bytes of the heap, and how far the address space then grows.

    ``VmPeak`` only rises, so an untouched mapping first fills the address space up to it: from there each further
    byte raises it, touched or not.
    """
    libc.malloc_trim(0)
    before = _mark("VmPeak")
    difference = max(mmap.PAGESIZE, before - _mark("VmSize"))
    limit_damage(difference)
    with mmap.mmap(-1, difference, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ):
        free = libc.mallinfo2().fordblks
        seen = watching(path, act)
        return seen, _mark("VmPeak") - before + free


def _traced(path: Path, act: Act) -> tuple[Seen, int]:
    """Peak growth of Python and numpy, or of the process, whichever is larger."""
    limit_damage()
    seen = watching(path, act)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    before = high_water()
    tracemalloc.start()
    watching(path, act)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seen, max(peak, high_water() - before)


def result(name: str, path: Path) -> dict[str, Any]:
    """The results of both readers; a slow one runs twice and the faster time counts, beside the pace then."""
    found: dict[str, Any] = {"name": name}
    for reader, act in READERS.items():
        (said, seen, seconds), peak = memory(path, act)
        if seconds > SLOW:
            seconds = min(seconds, watching(path, act)[2])
        found[reader] = {"said": said, "events": seen, "seconds": seconds, "memory": peak}
        found[reader]["pace"] = pace() if seconds > SLOW else 0.0
    return found


GREEDY: dict[str, Act] = {
    "asked for and never touched": lambda path: len(bytes(60_000_000)),
    "in small objects": lambda path: len([bytes(400) for _ in range(140_000)]),
    "in larger objects": lambda path: len([bytes(5_000) for _ in range(12_000)]),
}
"""What takes 60 MB and says nothing."""
READERS: dict[str, Act] = {"inspect": lambda path: inspect(path).refusal, "load": load}


def pace() -> float:
    """Seconds of processor time to go through as many instructions as a file may have; now, the least of three."""
    return min(timeit.repeat(lambda: deque(genops(INSTRUCTIONS), 0), timer=time.process_time, number=1, repeat=3))


def good_files() -> dict[str, bytes]:
    content = checkpoint()
    return {
        "checkpoint": saved(content),
        "legacy": saved(content, _use_new_zipfile_serialization=False),
        "weights": saved(mlp().state_dict()),
        "model": saved(mlp()),
        "pt2": as_program(mlp(), {}),
        "zipped again": archive(members_of(saved(dict(mlp().state_dict())))),
    }


def limit_damage(besides: int = 0) -> None:
    """End a reader that falls for a bomb before the machine feels it: with a GB more than now, and what is mapped."""
    now = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (now + besides + (1 << 30), resource.RLIM_INFINITY))


def made(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def main(folder: Path, part: str) -> None:
    path, good = folder / "file", good_files()
    for data in good.values():  # what is imported late and cached is so before the watch begins
        for read in READERS.values():
            read(made(path, data))
    gc.collect()
    gc.freeze()  # torch makes each full collection a tenth of a second, whatever causes it
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.addaudithook(audit)
    cases, harmless = (hostile.quick(), ()) if part == "quick" else (hostile.rest(), hostile.harmless())
    answer: dict[str, Any] = {
        "hostile": [result(name, made(path, make())) for name, make in cases],
        "harmless": [result(name, made(path, make())) for name, make in harmless],
        "good": [result(name, made(path, data)) for name, data in good.items()],
    }
    for act in GREEDY.values():
        act(path)  # so that it finds memory which is free again
    answer["greedy"] = {name: memory(path, act)[1] for name, act in GREEDY.items()}
    made(path, GADGET)
    answer["control"] = watching(path, lambda path: pickle.loads(path.read_bytes()))[1]
    print(json.dumps(answer))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2])
