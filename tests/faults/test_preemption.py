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
from tests.faults.lives import (
    SETTINGS,
    Tally,
    assert_listed_are_whole,
    assert_same_end,
    continue_run,
    losses,
    undisturbed,
)
from tests.faults.workers import Nursery
from tests.support.processes import wait_until
from tests.support.runs import new_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks its workers")
LONGER: dict[str, Any] = {**SETTINGS, "train_images": 3_000, "epochs": 5}
"""An epoch of 47 batches."""
MOST_SECONDS = 5.0
"""From the signal until a worker that trains is gone, its position saved."""
MOST_SECONDS_AT_START = 30.0
"""The same for a worker that still imports torch, and can react only after that."""


class Preemption:
    """One run after another, terminated at random moments and continued until it ends."""

    def __init__(self, store: RunStore) -> None:
        self.store, self.straight = store, undisturbed(store, **LONGER)
        self.run = new_run(store, **LONGER)
        self.rows: list[metrics.Row] = []
        self.seconds: dict[str, list[float]] = {"training": [], "starting": []}
        self.outcomes, self.over_before = Counter[str](), 0

    def terminate(self, moment: float, *, once_it_trains: bool) -> None:
        """Start or continue, and send the signal ``moment`` seconds after the start, or after training has begun."""
        worker = self._start()
        if once_it_trains:
            wait_until(lambda: self.run.status.phase != "starting" or not processes.is_alive(worker), "it has begun")
        time.sleep(moment)
        was_sent = self._send(worker)
        outcome = self.look()
        if was_sent:
            self.outcomes[outcome] += 1
        else:
            self.over_before += 1
            assert outcome == "at the end", "it was gone before the signal was sent"
        if outcome == "at the end":
            self.run, self.rows = new_run(self.store, **LONGER), []

    def _send(self, worker: processes.ProcessId) -> bool:
        """Whether there was a worker to send the signal to; it must exit in time."""
        phase = "starting" if self.run.status.phase == "starting" else "training"
        if not processes.is_alive(worker):
            return False
        sent = time.monotonic()
        os.kill(worker.pid, signal.SIGTERM)
        wait_until(lambda: not processes.is_alive(worker), "the worker is gone")
        took = time.monotonic() - sent
        self.seconds[phase].append(took)
        assert took < (MOST_SECONDS_AT_START if phase == "starting" else MOST_SECONDS), f"{phase}: {took:.1f} s"
        return True

    def _start(self) -> processes.ProcessId:
        continue_run(self.store, self.run)
        worker = self.run.status.process
        assert worker is not None
        return worker

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
        trained = sum(len(row["losses"]) for row in rows if row["kind"] == "batch")
        epoch, batch = position_of(run)
        assert trained == epoch * run.record.config.batches_per_epoch + batch
        return "inside an epoch" if batch else "between two epochs"

    def end(self) -> None:
        worker = self._start()
        wait_until(lambda: not processes.is_alive(worker), "the worker is gone")
        assert self.look() == "at the end"

    def told(self) -> str:
        saved = [f"{self.outcomes[where]} {where}" for where in ("inside an epoch", "between two epochs")]
        others = [f"{self.outcomes[where]} {where}" for where in ("before it began", "at the end")]
        took = [
            f"{median(seconds):.2f} s, at most {max(seconds):.2f} s, while {phase}"
            for phase, seconds in self.seconds.items()
            if seconds
        ]
        return (
            f"{self.outcomes.total()} SIGTERMs: position saved {' and '.join(saved)}; {' and '.join(others)}; no batch "
            f"lost or trained again; gone after {', after '.join(took)}; {self.over_before} more lives had ended before"
        )


def position_of(run: Run) -> tuple[int, int]:
    """Epoch and batch at which the next worker continues, by what is saved."""
    after = max(run.epochs_saved(), default=-1) + 1
    if run.is_whole(run.partial_path):
        position = save.load_checkpoint(run.partial_path)["position"]
        if position["epoch"] == after:
            return after, position["batch"]
    return after, 0


@pytest.mark.slow
def test_terminated_at_random_moments(store: RunStore, forked: Nursery, tally: Tally) -> None:
    preemption = Preemption(store)
    for _ in range(tally.rounds(15, 85)):
        preemption.terminate(random.uniform(0, 0.5), once_it_trains=True)
    preemption.end()
    tally.survived(preemption.told())
    assert preemption.outcomes["inside an epoch"] > 3


@pytest.mark.slow
def test_terminated_workers_with_their_whole_start(store: RunStore, tally: Tally) -> None:
    preemption = Preemption(store)
    for number in range(tally.rounds(2, 15)):
        once_it_trains = number % 2 == 1
        preemption.terminate(random.uniform(0, 3 if once_it_trains else 0.8), once_it_trains=once_it_trains)
    preemption.end()
    tally.survived(preemption.told())
    assert preemption.seconds["starting"], "none was sent before the training"
