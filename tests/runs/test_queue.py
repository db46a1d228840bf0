"""Workers and their queue: real processes that are started, stopped, killed and pressed on by many at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from fashion_core import devices
from fashion_core.errors import ConfigError, DataError, DeviceError, RunStateError
from fashion_core.runs import metrics, processes, queue, torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import State, Status
from fashion_core.runs.store import RunStore
from fashion_core.training import worker
from tests.faults.lives import assert_same_end
from tests.faults.workers import Nursery
from tests.support.files import small_disk
from tests.support.processes import (
    ROOT,
    wait_for_end,
    wait_for_epochs,
    wait_until,
    waits_for_lock,
    workers,
)
from tests.support.runs import config, new_run, on_other_images, set_running, set_state, set_worker, trained

LONG = 3_000  # epochs that nobody waits for


def start(store: RunStore, **changes: object) -> Run:
    return queue.start(store, config(**changes))


def kill(run: Run, how: signal.Signals = signal.SIGKILL) -> None:
    assert run.status.process is not None
    os.kill(run.status.process.pid, how)


def finish(store: RunStore, run: Run) -> None:
    queue.continue_run(store, run)
    wait_for_end(run)
    assert run.state() == "finished"


@pytest.mark.slow
def test_machine_is_asked_once_by_the_server_or_by_whoever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_process._machine.clear()
    torch_process.ask_early.cache_clear()
    ask, asked = processes.ask, []

    def note(*command: str) -> dict[str, Any]:
        asked.append(command)
        return ask(*command)

    monkeypatch.setattr(processes, "ask", note)
    torch_process.ask_early()
    assert torch_process.this_machine() is torch_process.this_machine()
    assert asked == [("devices",)]


def test_environment_records_what_auto_means() -> None:
    environment, here = torch_process.environment_for(config(device="auto", threads=0)), devices.describe()
    assert environment.device == here["automatic"]
    assert environment.processor == here["devices"][environment.device]
    assert environment.threads == torch_process.this_machine().threads >= 1
    assert environment.torch == torch.__version__.partition("+")[0] or environment.torch == torch.__version__


def test_environment_names_the_processor_of_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    here = torch_process.Machine("cuda:0", {"cuda:0": "a GPU", "cpu": "a CPU"}, [], threads=2, cpus=2)
    monkeypatch.setattr(torch_process, "this_machine", lambda: here)
    found = {
        device: torch_process.environment_for(config(device=device)) for device in ("auto", "cuda", "cuda:0", "cpu")
    }
    processors = {device: environment.processor for device, environment in found.items()}
    assert processors == {"auto": "a GPU", "cuda": "a GPU", "cuda:0": "a GPU", "cpu": "a CPU"}
    resumed = torch_process.environment_to_resume(found["cpu"], config(device="auto"))
    assert (resumed.device, resumed.processor) == ("cpu", "a CPU")


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [({"threads": 0}, True), ({"threads": 2}, False), ({"threads": 0, "device": "cuda"}, False)],
)
def test_worker_may_choose_its_threads_on_a_cpu_where_nobody_has(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], is_open: bool
) -> None:
    here = torch_process.Machine(
        "cuda:0", {"cuda:0": "a GPU", "cpu": "a CPU"}, [], threads=2, cpus=2, mkl="AUTO,STRICT"
    )
    monkeypatch.setattr(torch_process, "this_machine", lambda: here)
    environment = torch_process.environment_for(config(**settings))
    assert (environment.threads_open, environment.mkl) == (is_open, "AUTO,STRICT")
    assert not torch_process.environment_to_resume(environment, config(**settings)).threads_open
    monkeypatch.setattr(torch_process, "this_machine", lambda: replace(here, threads=1))
    assert not torch_process.environment_for(config(**settings)).threads_open


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"device": "cuda:77"}, DeviceError),
        ({"device": "cpu", "processes": 64}, DeviceError),
        ({"dataset": "fashion-mnist"}, DataError),
    ],
)
def test_what_can_not_train_is_refused_unwritten(store: RunStore, changes: dict[str, object], kind: Any) -> None:
    with pytest.raises(kind):
        start(store, **changes)
    assert not store.root.exists()


@pytest.mark.parametrize("slots", ["0", "-1", "many", "2.0", "9" * 5000])
def test_bad_number_of_slots_is_refused(store: RunStore, monkeypatch: pytest.MonkeyPatch, slots: str) -> None:
    monkeypatch.setenv("FASHION_SLOTS", slots)
    with pytest.raises(ConfigError, match="FASHION_SLOTS should be a whole number"):
        start(store)
    assert not store.root.exists()


@pytest.mark.parametrize("value", ["", " "])
def test_slots_set_to_nothing_are_not_set(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FASHION_SLOTS", value)
    assert queue.slots() == 1


def test_runs_wait_while_the_slot_is_taken_in_the_order_in_which_they_came(store: RunStore) -> None:
    set_running(new_run(store))
    runs = [start(store) for _ in range(3)]
    assert [(run.state(), workers(run), queue.queue_position(store, run)) for run in runs] == [
        ("queued", [], position) for position in range(3)
    ]
    queue.stop(runs[0])
    assert (runs[0].state(), runs[0].stop_path.exists()) == ("stopped", False)
    queue.continue_run(store, runs[0])
    assert [queue.queue_position(store, run) for run in runs] == [2, 0, 1]


def test_free_slots_go_to_those_who_waited_longest(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = new_run(store)
    set_running(busy)
    first, second, third = (start(store, epochs=LONG) for _ in range(3))
    monkeypatch.setenv("FASHION_SLOTS", "2")
    set_state(busy, "finished")
    queue.advance(store)
    assert [run.state() for run in (first, second, third)] == ["running", "running", "queued"]


@pytest.mark.slow
def test_worker_that_ends_starts_the_next_of_the_queue(store: RunStore) -> None:
    """Nobody else does: this test only looks."""
    first, second = start(store, epochs=1), start(store, epochs=1)
    assert (first.state(), second.state()) == ("running", "queued")
    wait_for_end(second)
    assert (first.state(), second.state()) == ("finished", "finished")
    times = [[row["time"] for row in metrics.read_rows(run.metrics_path)] for run in (first, second)]
    assert max(times[0]) < min(times[1])


def test_process_that_is_suspended_at_the_queue_holds_nobody_up(store: RunStore) -> None:
    run = new_run(store)
    with FileLock(store.root / ".queue.lock"):
        began = time.monotonic()
        queue.advance(store, patience=0.1)
        assert time.monotonic() - began < 5
        assert run.state() == "queued"
    queue.advance(store)
    assert run.state() == "running"


def test_lost_run_does_not_keep_its_slot(store: RunStore) -> None:
    lost = new_run(store)
    set_worker(lost, processes.identify(os.getpid()).model_copy(update={"pid": 2**22 - 3}))
    run = start(store, epochs=LONG)
    assert (lost.state(), run.state()) == ("lost", "running")


@pytest.mark.parametrize("damage", ["{", None], ids=["torn", "missing"])
def test_damaged_run_does_not_hold_up_the_others(store: RunStore, damage: str | None) -> None:
    damaged = new_run(store)
    damaged.status_path.unlink()
    if damage:
        damaged.status_path.write_text(damage)
    run = start(store, epochs=LONG)
    assert (run.state(), queue.queue_position(store, run)) == ("running", 0)


def test_run_that_begins_while_it_is_stopped_stops_too(store: RunStore) -> None:
    """Its worker takes the lock between the look at the status and the stop, and keeps it."""
    run = new_run(store)
    stopping = threading.Thread(target=queue.stop, args=(Run(run.path),))
    with run.writing():
        stopping.start()
        wait_until(lambda: waits_for_lock(stopping), "it has seen a queued run")
        set_running(run)
        stopping.join(20)
        assert run.state() == "stopping"


@pytest.mark.parametrize("state", ["stopped", "finished", "failed"])
def test_run_that_has_ended_can_not_be_stopped(store: RunStore, state: str) -> None:
    run = new_run(store)
    set_state(run, state)
    with pytest.raises(RunStateError, match=f"is {state} already"):
        queue.stop(run)
    assert not run.stop_path.exists()


@pytest.mark.parametrize("state", ["queued", "finished"])
def test_only_what_was_interrupted_can_go_on(store: RunStore, state: str) -> None:
    run = new_run(store)
    set_state(run, state)
    with pytest.raises(RunStateError, match=f"is {state}; only a stopped, failed or lost run can continue"):
        queue.continue_run(store, run)


def test_running_run_can_not_go_on_and_says_so_at_once(store: RunStore) -> None:
    run = new_run(store)
    set_running(run)
    with run.writing(), pytest.raises(RunStateError, match="is running; only"):
        queue.continue_run(store, Run(run.path))


@pytest.fixture(scope="module")
def straight(module_store: RunStore) -> Run:
    return trained(module_store, epochs=12)


@pytest.mark.slow
def test_stopped_worker_continues_to_the_same_bits(store: RunStore, straight: Run, forked: Nursery) -> None:
    run = start(store, epochs=12)
    wait_for_epochs(run, 1)
    queue.stop(run)
    forked.end()
    assert (run.state(), run.stop_path.exists()) == ("stopped", False)
    assert len(run.epochs_saved()) < 12, "it ended before it was stopped"
    finish(store, run)
    assert_same_end(run, straight)


@pytest.mark.usefixtures("forked")
def test_killed_worker_is_lost_at_once_and_continues_to_the_same_bits(store: RunStore, straight: Run) -> None:
    run = start(store, epochs=12)
    wait_for_epochs(run, 1)
    kill(run)
    wait_until(lambda: run.state() == "lost", "it is lost", seconds=2)
    saved = run.epochs_saved()
    assert 1 <= len(saved) < 12
    assert all(run.is_whole(run.checkpoint_path(epoch)) for epoch in saved)
    before = run.checkpoint_path(saved[0]).stat().st_mtime_ns
    finish(store, run)
    assert run.checkpoint_path(saved[0]).stat().st_mtime_ns == before, "it began again"
    assert_same_end(run, straight)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_terminated_worker_saves_its_position(store: RunStore) -> None:
    run = start(store, epochs=LONG)
    wait_for_epochs(run, 1)
    kill(run, signal.SIGTERM)
    wait_for_end(run)
    assert run.state() == "stopped"


@pytest.mark.slow
def test_training_outlives_the_process_that_started_it(store: RunStore) -> None:
    """And the whole group of processes that it belonged to, as when a terminal is closed."""
    starter = subprocess.Popen(
        [sys.executable, "-m", "fashion_core", "train", "--epochs", str(LONG), "--train-images", "500"],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: store.runs() and store.runs()[0].epochs_saved(), "it trains")
    finally:
        os.killpg(starter.pid, signal.SIGKILL)
        starter.wait()
    run = store.runs()[0]
    wait_for_epochs(run, len(run.epochs_saved()) + 2)
    assert run.state() == "running"


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_failed_worker_leaves_its_sentence(store: RunStore) -> None:
    run = start(store, learning_rate=1e9)
    wait_for_end(run)
    state, error, diverged = run.status.state, str(run.status.error), run.status.diverged
    assert (state, error.startswith("the loss became "), diverged) == ("failed", True, True)
    wait_until(lambda: run.log_tail(50) == f"fashion_core: {error}", "the log says the same")


@pytest.mark.parametrize("state", ["queued", "stopped", "finished"])
def test_worker_leaves_alone_what_was_not_given_to_it(store: RunStore, state: str) -> None:
    run = new_run(store)
    set_state(run, state)
    before = run.status
    worker.work(run)
    assert (run.status, run.epochs_saved()) == (before, [])


def test_worker_removes_what_was_left_but_nothing_that_others_are_writing(store: RunStore) -> None:
    run = on_other_images(new_run(store))  # it ends as soon as it has begun
    set_running(run)
    theirs = [run.path / f".tmp-{name}-0000000a" for name in ("drill.json", "labels.json", "verified.json")]
    for path in (*theirs, run.path / ".tmp-status.json-0000000a"):
        path.touch()
    with pytest.raises(DataError):
        worker.work(run)
    assert sorted(run.path.glob(".tmp-*")) == theirs


def test_continue_pressed_while_another_takes_effect_is_refused(store: RunStore) -> None:
    run = new_run(store)
    set_state(run, "stopped")
    problems: list[str] = []

    def continue_run() -> None:
        try:
            queue.continue_run(store, Run(run.path))
        except RunStateError as error:
            problems.append(str(error))

    second = threading.Thread(target=continue_run)
    with run.writing():
        second.start()
        wait_until(lambda: waits_for_lock(second), "it has seen a stopped run")
        set_running(run)
    second.join()
    assert problems == [f"Run {run.id} is running; only a stopped, failed or lost run can continue."]
    assert run.state() == "running"


@pytest.mark.slow
def test_eight_who_press_continue_at_once_start_one_worker(store: RunStore) -> None:
    run, begin = new_run(store, epochs=LONG), threading.Barrier(8)
    set_state(run, "stopped")

    def press(_: int) -> bool:
        begin.wait()
        try:
            queue.continue_run(store, Run(run.path))
        except RunStateError:
            return False
        return True

    with ThreadPoolExecutor(8) as hands:
        assert sum(hands.map(press, range(8))) == 1
    assert len(workers(run)) == 1
    wait_for_epochs(run, 2)
    assert run.state() == "running"


class LookedAtBefore(Run):
    """Its state is first what it was a moment ago."""

    def state(self, status: Status | None = None) -> State:
        self.state = super().state  # type: ignore[method-assign]
        return "running"


def test_stop_pressed_as_the_run_ends_leaves_no_stop_file(store: RunStore) -> None:
    run = new_run(store)
    set_state(run, "finished")
    queue.stop(LookedAtBefore(run.path))
    assert not run.stop_path.exists()


def test_continue_after_the_dataset_is_gone_is_refused_and_changes_nothing(store: RunStore) -> None:
    run = new_run(store, dataset="fashion-mnist")
    set_state(run, "stopped")
    with pytest.raises(DataError):
        queue.continue_run(store, run)
    assert run.state() == "stopped"


def test_run_that_was_begun_on_other_images_is_trained_no_further(store: RunStore) -> None:
    run = on_other_images(new_run(store))
    set_state(run, "stopped")
    told = r"was begun on synthetic garments \(images 1a2b3c4d\); the images here are others, so it can't continue"
    with pytest.raises(DataError, match=told):
        queue.continue_run(store, run)
    assert (run.state(), run.status.continued) == ("stopped", 0)
    set_worker(run, None)  # as the queue does if another version had queued it
    with pytest.raises(DataError, match=told):
        worker.work(run)
    assert (run.state(), run.epochs_saved()) == ("failed", [])


def test_run_that_can_not_start_fails_and_the_next_one_starts(store: RunStore) -> None:
    broken, sound = new_run(store), new_run(store)
    broken.log_path.mkdir()
    queue.advance(store)
    assert broken.state() == "failed"
    assert "train.log can't be used" in str(broken.status.error)
    assert sound.state() == "running"


def test_run_that_diverged_and_then_can_not_start_fails_for_that_alone(store: RunStore) -> None:
    run = new_run(store)
    run.write_status(run.status.model_copy(update={"state": "failed", "diverged": True}))
    run.log_path.mkdir()
    queue.continue_run(store, run)
    assert (run.state(), run.status.diverged) == ("failed", False)


def test_queued_run_on_a_full_disk_starts_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        full = RunStore(disk / "runs")
        monkeypatch.setenv("FASHION_RUNS", str(full.root))
        run = new_run(full)
        (full.root / ".queue.lock").touch()
        with suppress(OSError):
            (disk / "filling").write_bytes(bytes(64 << 10))
        for _ in range(3):
            queue.advance(full)
        assert (workers(run), run.state()) == ([], "queued")


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_run_with_a_damaged_status_goes_on(store: RunStore) -> None:
    run = new_run(store)
    run.status_path.write_text("{")
    finish(store, run)
    assert run.status.error is None
