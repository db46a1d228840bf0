"""Processes that tests start, watch and end: the command line, a fresh Python, workers."""

import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
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
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not so within {seconds} s"
        time.sleep(0.01)


def command_line(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m fashion_core`` with these arguments to its end."""
    return subprocess.run(
        [sys.executable, "-m", "fashion_core", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def python(
    code: str, *options: str, cwd: Path = ROOT, arguments: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh Python to its end."""
    return subprocess.run(
        [sys.executable, *options, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def worker_is_gone(run: Run) -> bool:
    return run.state() not in ("queued", *ACTIVE_STATES)


def waits_for_lock(thread: threading.Thread) -> bool:
    """Whether a thread has found a lock taken, and will try again."""
    stack = sys._current_frames().get(thread.ident or 0)
    return stack is not None and "time.sleep" in "".join(traceback.format_stack(stack))


def workers(run: Run) -> list[psutil.Process]:
    """The worker processes of this run."""
    command = ["-m", "fashion_core", "worker", run.id]
    return [process for process in psutil.process_iter(["cmdline"]) if (process.info["cmdline"] or [])[1:] == command]


def workers_of(store: RunStore) -> dict[int, str]:
    """The pid of each worker process of this store, and the run it works on."""
    found = {}
    for process in psutil.process_iter(["pid", "cmdline"]):
        command = process.info["cmdline"] or []
        if command[1:4] == ["-m", "fashion_core", "worker"] and store.at(command[4]).path.exists():
            found[process.info["pid"]] = command[4]
    return found


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
    for process in [process for run in runs for process in workers(run)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            wait_until(partial(_has_ended, process), f"worker {process.pid} has ended", 10)


def _has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for_end(run: Run) -> None:
    wait_until(lambda: worker_is_gone(run), f"run {run.id} has ended")


def wait_for_epochs(run: Run, count: int) -> None:
    wait_until(lambda: len(run.epochs_saved()) >= count, f"{count} epochs are saved")
