"""Processes that tests start, watch and end: the command line, a fresh Python, workers."""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from fashion_core.errors import FashionError
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES
from fashion_core.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[2]


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, f"{what}: not so within {seconds} s"
        time.sleep(max(0.01, 2 * (now - began)))  # looking takes at most a third of a core from what is waited for


def _run(arguments: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def command_line(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return _run(["-m", "fashion_core", *arguments], ROOT, environment)


def python(
    code: str, *options: str, cwd: Path = ROOT, arguments: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    return _run([*options, "-c", code, *arguments], cwd, environment)


def worker_is_gone(run: Run) -> bool:
    return run.state() not in ("queued", *ACTIVE_STATES)


def waits_for_lock(thread: threading.Thread) -> bool:
    """Whether a thread has found a lock taken, and will try again."""
    stack = sys._current_frames().get(thread.ident or 0)
    return stack is not None and "time.sleep" in "".join(traceback.format_stack(stack))


def _all_workers() -> list[tuple[psutil.Process, str]]:
    commands = [(process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [(process, line[4]) for process, line in commands if line[1:4] == ["-m", "fashion_core", "worker"]]


def workers(run: Run) -> list[psutil.Process]:
    return [process for process, run_id in _all_workers() if run_id == run.id]


def workers_of(store: RunStore) -> dict[int, str]:
    return {process.pid: run_id for process, run_id in _all_workers() if store.at(run_id).path.exists()}


def known_workers(store: RunStore) -> dict[int, str]:
    """The same as ``workers_of``, by what the runs' status says."""
    active = [(run, run.status.process) for run in store.runs() if run.state() in ACTIVE_STATES]
    return {process.pid: run.id for run, process in active if process}


def end_workers(store: RunStore) -> None:
    """Kill each worker that a test left, by its pid; the queue first, or it starts more.

    One that a server started stays a zombie for as long as that server does not start another.
    """
    runs = store.runs() if store.root.is_dir() else []
    for run in runs:
        with suppress(FashionError):
            queue.stop(run)
    for pid in workers_of(store) if runs else []:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not runs or not workers_of(store), "no worker is left", 10)


def wait_for_end(run: Run) -> None:
    wait_until(lambda: worker_is_gone(run), f"run {run.id} has ended")


def wait_for_epochs(run: Run, count: int) -> None:
    wait_until(lambda: len(run.epochs_saved()) >= count, f"{count} epochs are saved")
