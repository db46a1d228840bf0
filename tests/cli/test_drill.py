"""The crash drill as a command: what it says when it is interrupted, and what it leaves alone."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from select import select
from typing import Any

import pytest

from fashion_core.resume import drill
from fashion_core.runs import metrics, processes
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, printed
from tests.support.processes import ROOT, wait_until
from tests.support.runs import epoch_row, new_run, set_finished, set_running, set_worker


@pytest.fixture
def run(store: RunStore) -> Iterator[Run]:
    """A run with a process that stands for its worker, resumed from a checkpoint that is gone."""
    other = new_run(store, seed=99)
    run = store.create(other.record.config, other.record.environment, Parent(run=other.id, epoch=0))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        set_worker(run, processes.identify(process.pid))
        yield run
        process.kill()


@pytest.fixture(autouse=True)
def heeds_interrupts() -> Iterator[None]:
    """A shell's background job ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def at_once(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run continues at once, and waits for the only slot."""
    monkeypatch.setattr(drill, "LOST_SECONDS", 0.0)
    set_running(new_run(store, seed=98))


def once(condition: Callable[[], object], act: Callable[[], object]) -> threading.Thread:
    def wait() -> None:
        wait_until(condition, "its turn")
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupted_before_it_continues_the_run_says_that_it_is_lost(run: Run, capsys: Capture) -> None:
    thread = once(lambda: drill.is_pending(run), interrupt)
    error = printed(capsys, "drill", run.id, status=130)[1]
    thread.join()
    assert f"Run {run.id} is lost; continue it with `python -m fashion_core continue {run.id}`." in error


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_interrupted_while_it_follows_the_run_stops_nothing(run: Run) -> None:
    command = [sys.executable, "-m", "fashion_core", "drill", run.id]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as following:
        assert following.stdout
        assert following.stdout.readline().startswith(f"run {run.id} in ")
        epochs = count(1)
        while not select([following.stdout], [], [], 0.2)[0]:  # until it tells of one: then it follows
            metrics.append_row(run.metrics_path, epoch_row(next(epochs)))
        following.send_signal(signal.SIGINT)
        error = following.communicate(timeout=60)[1]
    assert f"Training goes on without this command, in {run.id};" in error
    assert (following.returncode, run.state()) == (130, "queued")


@pytest.mark.usefixtures("at_once")
def test_run_without_a_twin_is_told_why(run: Run, capsys: Capture) -> None:
    thread = once(lambda: run.state() == "queued", lambda: set_finished(run))
    error = printed(capsys, "drill", run.id, status=1)[1]
    thread.join()
    assert "no undisturbed twin to compare with: the checkpoint that it was resumed from is gone" in error
