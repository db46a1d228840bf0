"""Whose run it is: reused pids, wrong clocks, suspended workers, copied folders."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fashion_core.errors import RunStateError
from fashion_core.files import now
from fashion_core.runs import processes, queue
from fashion_core.runs.processes import SILENCE_SECONDS
from fashion_core.runs.store import RunStore
from fashion_core.ui import run_status
from tests.faults.lives import Tally, assert_same_end, start_worker
from tests.faults.workers import Nursery
from tests.support.processes import python, wait_for_end, wait_for_epochs, wait_until
from tests.support.runs import another, new_run, set_worker, trained

HOUR = 3600.0
LONG = 3_000


def elsewhere() -> processes.ProcessId:
    return processes.identify(os.getpid()).model_copy(update={"boot": "another one"})


@contextmanager
def sleeping() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@contextmanager
def stranger_with_pid(pid: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with this pid, which is free; skip where this user can't choose a pid."""
    for _ in range(50):  # another process may take it first
        try:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        except OSError as error:
            pytest.skip(f"a pid can't be reused on purpose here: {error}")
        with sleeping() as process:
            if process.pid == pid:
                yield process
                return
    pytest.skip("other processes took the pid each time")


@pytest.mark.slow
def test_stranger_with_the_workers_pid_is_left_alone(store: RunStore, forked: Nursery, tally: Tally) -> None:
    run = new_run(store, epochs=1)
    with sleeping() as sleeper:
        set_worker(run, processes.identify(sleeper.pid), now())
    time.sleep(2.5)  # the start times differ
    with stranger_with_pid(sleeper.pid) as stranger:
        assert run.state() == "lost"
        with pytest.raises(RunStateError, match="is lost already"):
            queue.stop(run)
        queue.continue_run(store, run)
        forked.end()
        assert run.state() == "finished"
        store.delete(run)
        assert stranger.poll() is None, "it was signalled"
    tally.survived(
        "a real process with the pid of a dead worker: called lost, continued, deleted; the stranger untouched"
    )


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_that_was_set_changes_no_identity(hours: int, tmp_path: Path) -> None:
    """The kernel recomputes its boot time; the rest of its files stays as it is."""
    system = tmp_path / "proc"
    system.mkdir()
    for entry in Path("/proc").iterdir():
        if entry.name != "stat":
            (system / entry.name).symlink_to(entry)
    is_now = Path("/proc/stat").read_text()
    set_by = re.sub(r"^btime (\d+)", lambda found: f"btime {int(found[1]) + hours * 3600}", is_now, flags=re.MULTILINE)
    (system / "stat").write_text(set_by)
    me = processes.identify(os.getpid())
    looked = python(
        "import psutil, sys; psutil.PROCFS_PATH = sys.argv[1]\n"
        "from fashion_core.runs.processes import ProcessId, is_alive\n"
        "print(is_alive(ProcessId.model_validate_json(sys.argv[2])))",
        arguments=(str(system), me.model_dump_json()),
    )
    assert looked.stdout.strip() == "True", looked.stderr


@pytest.mark.parametrize("wrong_by", [-HOUR, HOUR])
def test_worker_elsewhere_whose_clock_is_wrong_is_running_once_it_was_seen_to_write(
    store: RunStore, wrong_by: float
) -> None:
    run = new_run(store)
    set_worker(run, elsewhere(), now() + wrong_by)
    assert run.state() == "lost"
    for _ in range(3):
        set_worker(run, elsewhere(), now() + wrong_by)
        assert run.state() == "running"


@pytest.mark.parametrize(("age", "state"), [(0, "running"), (SILENCE_SECONDS + 1, "lost"), (-HOUR, "lost")])
def test_worker_elsewhere_is_first_judged_by_its_heartbeat(store: RunStore, age: float, state: str) -> None:
    run = new_run(store)
    set_worker(run, elsewhere(), now() - age)
    assert [run.state(), run.state()] == [state, state]


@pytest.mark.parametrize("age", [HOUR, -HOUR])
def test_worker_that_never_came_is_lost_whatever_the_clock_says(store: RunStore, age: float) -> None:
    run = new_run(store)
    set_worker(run, None, now() - age)
    assert run.state() == "lost"


@pytest.mark.parametrize("wrong_by", [-HOUR, HOUR])
def test_clock_that_jumped_does_not_lose_a_live_run(store: RunStore, wrong_by: float) -> None:
    run = new_run(store)
    set_worker(run, processes.identify(os.getpid()), now() + wrong_by)
    assert run.state() == "running"


@pytest.mark.slow
def test_suspended_worker_is_named_and_goes_on_to_the_same_bits(store: RunStore, forked: Nursery, tally: Tally) -> None:
    straight = trained(store, epochs=30)  # the worker can't be through with them before it is suspended
    run = another(store, straight)
    worker = psutil.Process(start_worker(store, run).pid)
    wait_for_epochs(run, 1)
    worker.suspend()
    wait_until(lambda: worker.status() == psutil.STATUS_STOPPED, "it is suspended")
    waiting = another(store, straight)
    queue.advance(store)
    assert (run.state(), waiting.state()) == ("running", "queued")
    assert f"kill -CONT {worker.pid} " in run_status.whereabouts(store, run)
    with pytest.raises(RunStateError, match="is running"):
        queue.continue_run(store, run)
    with pytest.raises(RunStateError, match="is being worked on"):
        store.delete(run)
    queue.stop(waiting)
    worker.resume()
    forked.end()
    assert_same_end(run, straight)
    tally.survived("a worker suspended by SIGSTOP: still running, named, not started twice; woken, the same bits")


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_folder_copied_to_another_machine_is_a_run_of_its_own(store: RunStore, tmp_path: Path, tally: Tally) -> None:
    """There the worker's boot is unknown, and its last heartbeat is old."""
    run = new_run(store, epochs=LONG)
    start_worker(store, run)
    wait_for_epochs(run, 1)
    copied = RunStore(tmp_path / "copied")
    shutil.copytree(run.path, copied.root / run.id, ignore=shutil.ignore_patterns(".tmp-*"))
    copy = copied.get(run.id)
    set_worker(copy, elsewhere(), now() - SILENCE_SECONDS - 1)
    assert copy.state() == "lost"
    queue.continue_run(copied, copy)
    wait_for_epochs(copy, len(copy.epochs_saved()) + 1)
    queue.stop(copy)
    wait_for_end(copy)
    assert (copy.state(), run.state()) == ("stopped", "running")
    tally.survived(
        "a live run's folder copied to another machine: lost there, continued, stopped; the original trains on"
    )
