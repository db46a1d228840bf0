"""SIGTERM, as a preempted machine sends it: the exact position is saved and the worker exits in time."""

import os
import random
import signal
import sys
import time
from collections import Counter
from statistics import median
from typing import Any

import pytest

from fashion_core.formats import save
from fashion_core.runs import metrics, processes
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.faults.lives import Tally, assert_listed_are_whole, assert_same_end, losses, start_worker
from tests.faults.workers import Nursery
from tests.support.processes import wait_for_end, wait_until
from tests.support.runs import another, trained

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks its workers")
LONGER: dict[str, Any] = {"train_images": 3_000, "epochs": 5, "keep": "best and last", "momentum": 0.9}
"""An epoch of 47 batches."""
MOST_SECONDS = {"training": 5.0, "starting": 30.0}
"""From the signal until the worker is gone, its position saved; one that imports torch can react only after that."""


@pytest.fixture(scope="module")
def longer(module_store: RunStore) -> Run:
    return trained(module_store, **LONGER)


class Preemption:
    def __init__(self, store: RunStore, straight: Run) -> None:
        self.store, self.straight = store, straight
        self.run = another(store, self.straight)
        self.rows: list[metrics.Row] = []
        self.seconds: dict[str, list[float]] = {phase: [] for phase in MOST_SECONDS}
        self.outcomes = Counter[str]()

    def terminate(self, moment: float, *, once_it_trains: bool) -> None:
        worker = start_worker(self.store, self.run)
        if once_it_trains:
            wait_until(lambda: self.run.status.phase != "starting" or not processes.is_alive(worker), "it has begun")
        time.sleep(moment)
        phase = "starting" if self.run.status.phase == "starting" else "training"
        is_over = not processes.is_alive(worker)
        if not is_over:
            sent = time.monotonic()
            os.kill(worker.pid, signal.SIGTERM)
            wait_until(lambda: not processes.is_alive(worker), "the worker is gone")
            self.seconds[phase].append(time.monotonic() - sent)
            assert self.seconds[phase][-1] < MOST_SECONDS[phase], phase
        outcome = self.look()
        assert outcome == "at the end" or not is_over, "it was gone before the signal was sent"
        self.outcomes["over before" if is_over else outcome] += 1
        if outcome == "at the end":
            self.run, self.rows = another(self.store, self.straight), []

    def look(self) -> str:
        """Where the signal hit the worker; nothing trained may be lost or trained again."""
        run, rows = self.run, metrics.read_rows(self.run.metrics_path)
        assert_listed_are_whole(run)
        assert rows[: len(self.rows)] == self.rows, "what was trained before has been trained again"
        self.rows = rows
        state = run.state()
        if state == "finished":
            assert_same_end(run, self.straight)
            return "at the end"
        if state == "lost":
            assert run.status.phase == "starting", run.log_tail(20)
            return "before it began"
        assert state == "stopped", run.log_tail(20)
        measured = losses(run)
        assert measured == losses(self.straight)[: len(measured)]
        batches = sum(len(row["losses"]) for row in rows if row["kind"] == "batch")
        epoch, batch = position_of(run)
        assert batches == epoch * run.record.config.batches_per_epoch + batch
        return "inside an epoch" if batch else "between two epochs"

    def end(self) -> None:
        start_worker(self.store, self.run)
        wait_for_end(self.run)
        assert self.look() == "at the end"

    def told(self) -> str:
        hit = ", ".join(f"{count} {where}" for where, count in sorted(self.outcomes.items()))
        took = [
            f"{median(seconds):.2f} s, at most {max(seconds):.2f} s, while {phase}"
            for phase, seconds in self.seconds.items()
            if seconds
        ]
        return f"SIGTERMs ({hit}): no batch lost or trained again; gone after {', after '.join(took)}"


def position_of(run: Run) -> tuple[int, int]:
    """Epoch and batch at which the next worker continues, by what is saved."""
    after = max(run.epochs_saved(), default=-1) + 1
    if run.is_whole(run.partial_path):
        position = save.load_checkpoint(run.partial_path)["position"]
        if position["epoch"] == after:
            return after, position["batch"]
    return after, 0


@pytest.mark.slow
def test_terminated_at_random_moments(store: RunStore, longer: Run, forked: Nursery, tally: Tally) -> None:
    preemption = Preemption(store, longer)
    for _ in range(tally.rounds(15, 85)):
        preemption.terminate(random.uniform(0, 0.5), once_it_trains=True)
    preemption.end()
    tally.survived(preemption.told())
    assert preemption.outcomes["inside an epoch"] > 3


@pytest.mark.slow
def test_terminated_workers_with_their_whole_start(store: RunStore, longer: Run, tally: Tally) -> None:
    preemption = Preemption(store, longer)
    for number in range(tally.rounds(2, 15)):
        once_it_trains = number % 2 == 1
        preemption.terminate(random.uniform(0, 3 if once_it_trains else 0.8), once_it_trains=once_it_trains)
    preemption.end()
    tally.survived(preemption.told())
    assert preemption.seconds["starting"], "none was sent before the training"
