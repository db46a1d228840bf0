"""What several test files share: the command line, runs trained in this process or a worker, and waiting."""

import errno
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import unescape
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.clock import now
from fashion_core.config import TrainConfig, parse_config
from fashion_core.errors import FashionError
from fashion_core.runs import processes, queue
from fashion_core.runs.processes import ProcessId
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, Environment, Status
from fashion_core.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
SHORT: dict[str, Any] = {"train_images": 500, "device": "cpu", "threads": 1}
"""Settings with which an epoch takes a tenth of a second."""


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not so within {seconds} s"
        time.sleep(0.01)


def command_line(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m fashion_core`` with these arguments, to its end."""
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
    """A fresh Python that runs ``code`` to its end."""
    return subprocess.run(
        [sys.executable, *options, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def dashboard(page: str = "overview", /, **query: str) -> AppTest:
    """A visit, not yet run."""
    app = AppTest.from_file(str(ROOT / "pages" / "dashboard.py"), default_timeout=60).switch_page(f"{page}.py")
    for key, value in query.items():
        app.query_params[key] = value
    return app


def config(**changes: Any) -> TrainConfig:
    return parse_config({**SHORT, **changes})


def new_run(store: RunStore, **changes: Any) -> Run:
    """A queued run of a few images that nobody has started."""
    settings = config(**changes)
    environment = Environment(
        python=platform.python_version(),
        torch=metadata.version("torch"),
        device=settings.device,
        threads=settings.threads,
    )
    return store.create(settings, environment)


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file as people do by hand, without a checksum; a value of ``...`` removes the key."""
    value = {**json.loads(path.read_text()), **changes, "crc32": ...}
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not ...}))


def set_running(run: Run) -> None:
    """As a worker would, with this process in its place: it takes a slot."""
    set_worker(run, processes.identify(os.getpid()))


def set_worker(run: Run, process: ProcessId | None, heartbeat: float | None = None) -> None:
    """As this process would while it trains the run; None as the queue does before there is one."""
    changes = {"state": "running", "process": process, "heartbeat": heartbeat or now()}
    run.write_status(run.status.model_copy(update=changes))


def set_state(run: Run, state: str) -> None:
    """As a worker leaves it that has ended."""
    run.write_status(Status.model_validate({**run.status.model_dump(), "state": state, "process": None}))


def sent(app: AppTest) -> str:
    """All words that the browser is sent for a page, those in tables and charts too; not the bar of pages.

    ``str(app.main)`` has the kinds of the elements and none of their texts.
    """
    parts = [proto.SerializeToString() for node in app.main if (proto := getattr(node, "proto", None)) is not None]
    return b"\n".join(parts).decode(errors="replace").replace("\\", "").replace("\u2060", "")


def shown_numbers(app: AppTest) -> dict[str, str]:
    """The numbers of a run on its page, by their labels."""
    (feed,) = app.get("bidi_component")
    html = json.loads(feed.proto.json)["numbers"]
    return {label: unescape(value) for label, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)}


def never() -> bool:
    return False


class After:
    """A ``should_stop`` that says yes the n-th time it is asked; it is asked before each epoch and between batches."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def train(run: Run, should_stop: Callable[[], bool] = never, test_images: int = 0) -> str:
    """Drive the run in this process, measuring on the first so many test images, or on all; gives how it ended."""
    from fashion_core.data import batches
    from fashion_core.training.trainer import Training

    train_half, test_half = batches.load(run.record.config.dataset)
    with run.writing():
        return Training(run, should_stop, (train_half, test_half.first(test_images))).train()


def worker_is_gone(run: Run) -> bool:
    return run.state() not in ("queued", *ACTIVE_STATES)


def waits_for_lock(thread: threading.Thread) -> bool:
    """Whether a thread has tried a lock that is taken, and will try again."""
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
    """The same, as the runs say it themselves."""
    active = [(run, run.status.process) for run in store.runs() if run.state() in ACTIVE_STATES]
    return {process.pid: run.id for run, process in active if process}


def end_workers(store: RunStore) -> None:
    """Kill, by pid, each worker that a test left; the queue first, or it starts more."""
    runs = store.runs() if store.root.is_dir() else []
    for run in runs:
        with suppress(FashionError):
            queue.stop(run)
    for process in [process for run in runs for process in workers(run)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait(10)


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file have been left alone for long, so that what is made from it is kept."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)


@contextmanager
def files_opened() -> Iterator[list[str]]:
    """The paths that are opened while inside; Python never lets go of the hook, so it is told when to rest."""
    opened: list[str] = []
    looking = threading.Event()
    sys.addaudithook(
        lambda event, given: opened.append(str(given[0])) if looking.is_set() and event == "open" else None
    )
    looking.set()
    try:
        yield opened
    finally:
        looking.clear()


def forbid_listing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the system refuse to list this folder, as it would anyone but root."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of this size mounted at ``folder``; skips where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("a full disk needs a tiny tmpfs, and this user may not mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
