"""Processes on this machine: see whether they still run, start one that outlives this one, ask one."""

import errno
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import psutil
from pydantic import BaseModel, ConfigDict

from fashion_core import files
from fashion_core.cache import Cache
from fashion_core.config import IS_INSTALLED, variable
from fashion_core.errors import WorkerError

PACKAGE_PARENT = Path(__file__).resolve().parents[2]
KEEP_FREED_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""For a process that trains: glibc then keeps the memory that a step frees for the next step. Otherwise the system
clears each page of a step's gradients anew: 900 page faults a step of the MLP in bf16. Older versions of glibc refuse
more than 32 MiB for the first. Source: https://man7.org/linux/man-pages/man3/mallopt.3.html"""
TORCHRUN_VARIABLES: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""By these a process knows that torchrun has started it as one of several."""
SILENCE_SECONDS: Final = 60.0  # how long a worker on another machine may write nothing before its run counts as lost
DYING_SECONDS: Final = 5.0  # at most, for a killed process to be gone
_ANSWER_SECONDS: Final = 120
_PROBLEM: Final = "fashion_core: "  # how the command line begins to report a problem that a person can fix
_START_TOLERANCE_SECONDS = 2.0  # Linux may round its boot time, in whole seconds, differently the next time
_heartbeats: Cache[float] = Cache(4096)  # when each worker's heartbeat changed last, on this process's own clock


class ProcessId(BaseModel):
    """One process and no other: a pid is reused, so its start time and the machine's boot go with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    boot: str
    pid: int
    started: float  # seconds since that boot, which a change of the wall clock does not move


@cache
def boot_id() -> str:
    """A text that changes with each boot, and differs between containers: they share the boot but not their pids."""
    if not psutil.LINUX:
        return str(round(psutil.boot_time()))
    boot, pids = f"unknown boot of {platform.node()}", 0
    with suppress(OSError):  # sandboxes may hide it: then a process is known by its pid and its start alone
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip() or boot
    with suppress(OSError):
        pids = Path("/proc/self/ns/pid").stat().st_ino
    return f"{boot} {pids}"


def identify(pid: int) -> ProcessId:
    """The identity of a running process of this machine. Raises ``psutil.NoSuchProcess``."""
    started = psutil.Process(pid).create_time() - psutil.boot_time()
    return ProcessId(host=platform.node(), boot=boot_id(), pid=pid, started=round(started, 2))


def is_alive(process: ProcessId) -> bool:
    """Whether this very process still runs here; a zombie and a later process with its pid don't count."""
    try:
        if process.boot != boot_id() or psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(identify(process.pid).started - process.started) < _START_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return False


def is_suspended(process: ProcessId) -> bool:
    with suppress(psutil.NoSuchProcess):
        return is_alive(process) and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    return False


def kill(process: ProcessId) -> bool:
    """End this very process as a crash would, without a word, and wait until it is gone.

    Return False if it does not run here. Raises ``WorkerError``.
    """
    try:
        found = psutil.Process(process.pid)  # from here on, psutil itself refuses a later process with this pid
        if is_alive(process):
            found.kill()
            deadline = time.monotonic() + DYING_SECONDS
            while is_alive(process) and time.monotonic() < deadline:
                time.sleep(0.01)
            return True
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied as error:
        raise WorkerError(f"The process {process.pid} belongs to another user, who alone may end it.") from error
    return False


def seems_alive(folder: Path, process: ProcessId, heartbeat: float) -> bool:
    """Whether the worker of this run folder still runs: looked up here, by its ``heartbeat`` (s) on another machine."""
    with suppress(psutil.AccessDenied):  # the system hides processes of other users: then by its heartbeat too
        if process.boot == boot_id():
            return is_alive(process)
    # Its clock may be wrong, and the one here may be reset: after the first heartbeat, only its changes count.
    key, age = (folder, process), 0.0
    if key not in _heartbeats:
        age = abs(time.time() - heartbeat)  # one from the future is no better than one as far in the past
    changed = _heartbeats.get(key, heartbeat, lambda: time.monotonic() - age)
    return time.monotonic() - changed < SILENCE_SECONDS


def python_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fashion_core", *arguments]


def child_environment(**changes: str) -> dict[str, str]:
    """This environment, with what any process of this package needs."""
    return {**os.environ, **child_variables(**changes)}


def child_variables(**changes: str) -> dict[str, str]:
    """What a process of this package needs beside its environment: among others, to import it from any folder."""
    search_path = os.pathsep.join(filter(None, [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH")]))
    # Installed, it is found without that: then nothing in the folder that it is started from stands in its place.
    found = {"PYTHONSAFEPATH": "1"} if IS_INSTALLED else {"PYTHONPATH": search_path}
    # Threads that spin long while they wait keep the cores from a browser on the same machine.
    threads = {"GOMP_SPINCOUNT": variable("GOMP_SPINCOUNT") or "10000"}
    # Whatever the encoding here: the log and the answers are read as UTF-8.
    text = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace", "PYTHONUNBUFFERED": "1"}
    return {**threads, **text, **found, **changes}


@contextmanager
def start_errors() -> Iterator[None]:
    """Turn the ``OSError`` of a process that can't be started into a ``WorkerError``."""
    try:
        yield
    except OSError as error:
        reason = files.NO_MORE if error.errno == errno.EAGAIN else error.strerror or str(error)
        raise WorkerError(f"No process can be started: {reason}.") from error


def start_detached(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> ProcessId:
    """Start a process that outlives this one and adds what it prints to ``log``.

    Raises ``DiskError`` about the log, ``WorkerError``.
    """
    with files.disk_errors(log), log.open("ab") as output, start_errors():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    return identify(process.pid)


def ask(*command: str | bytes, root: Path | None = None, seconds: float = _ANSWER_SECONDS) -> dict[str, Any]:
    """Ask a process of its own, which may import torch, of the store in ``root``; ``bytes`` are UTF-8 whatever the
    encoding here.

    Raises ``WorkerError``.
    """
    whole_command = [*python_command(), *command, "--json"]
    variables = child_environment(**({"FASHION_RUNS": str(root)} if root else {}))
    try:
        with start_errors():
            answer = subprocess.run(whole_command, env=variables, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"there was no answer from a process of its own within {seconds:g} s: try again.") from error
    said = answer.stderr.decode(errors="replace").strip()
    last_line = said.rpartition("\n")[2]  # libraries may have warned before it
    if answer.returncode == 1 and last_line.startswith(_PROBLEM):
        raise WorkerError(last_line.removeprefix(_PROBLEM))
    if answer.returncode or not answer.stdout.strip():  # what it runs may have ended it in any way
        told = last_line[-500:] or f"exit status {answer.returncode}"
        raise WorkerError(f"The process that was asked ended without an answer: {told}")
    try:
        value: dict[str, Any] = json.loads(answer.stdout)
    except ValueError as error:
        raise WorkerError("The process that was asked gave no answer that can be read: try again.") from error
    return value
