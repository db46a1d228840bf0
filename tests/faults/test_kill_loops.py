"""SIGKILL at random moments of a worker, each followed by Continue: nothing listed is damaged, nothing is lost."""

import os
import random
import signal
import sys
import time
from collections import Counter

import pytest

from fashion_core.runs import metrics, processes
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.faults.lives import ASKED, Tally, assert_listed_are_whole, assert_same_end, start_worker
from tests.faults.workers import At, Note, Nursery, Order
from tests.support.processes import wait_for_end, wait_until, worker_is_gone
from tests.support.runs import another

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and kills what Linux alone forks")
MOMENTS = ("starting", "training", "testing", "testing", "saving")
"""The phase that a worker reports when it is killed from outside."""
PHASES = ("start", "batches", "evaluation", "position", "checkpoint", "final files")


def phase_of(run: Run) -> str:
    status = run.status
    rows = metrics.read_epochs(run.metrics_path)
    if status.phase in (None, "starting", "loading"):
        return "start"
    if status.phase == "saving":
        return "final files"
    if status.phase == "testing" and (not rows or rows[-1]["epoch"] < status.epoch):
        return "evaluation"
    names = {path.name for path in run.checkpoint_folder.iterdir()}
    half_saved = {name for name in names if name.isdecimal() and f"{name}.json" not in names}
    return "checkpoint" if half_saved or list(run.checkpoint_folder.glob(".tmp-*")) else "batches"


TOLD = {"partial": "position", "checkpoint": "checkpoint", "model": "final files", "ask stop": "batches"}
"""The phase to which an operation belongs whose label has this in it."""


def noted(store: RunStore, forked: Nursery, straight: Run) -> dict[str, int]:
    """How often a worker performs each operation but reading in one life: stopped twice in an epoch, then ended."""
    run, found, notes = another(store, straight), Counter[str](), store.root.with_name("notes")
    for stop_at in (3, 3, 0):
        forked.live(run, Note(run.path, stop_at, notes))
        found |= Counter(notes.read_text().splitlines())
        notes.unlink()
    assert run.state() == "finished", run.log_tail(20)
    return {label: times for label, times in found.items() if not label.startswith("open")}


class Loop:
    def __init__(self, store: RunStore, forked: Nursery, straight: Run) -> None:
        self.store, self.forked, self.straight = store, forked, straight
        self.run = another(store, straight)
        self.saved: list[int] = []
        self.listed, self.ended = 0, 0
        self.phases, self.labels = Counter[str](), Counter[str]()

    def kill_at(self, label: str, times: int) -> None:
        stop_at = 2 if label == "unlink stop" else 0
        if "partial" in label or label == "write new metrics.jsonl":
            self.live(Order(self.run.path, random.randint(2, ASKED)))  # it leaves rows and a position
        if "partial" in label:
            stop_at = random.choice((0, 2)) if label.startswith("unlink") else random.randint(2, ASKED)
        self.live(At(self.run.path, stop_at, label, random.choice((1, random.randint(1, times)))))
        if self.forked.was_killed:
            self.labels[label] += 1
            self.phases[next((phase for part, phase in TOLD.items() if part in label), None) or phase_of(self.run)] += 1

    def kill_at_last(self, label: str) -> None:
        """Unless there was such a kill: the runs before had come too far, or not far enough."""
        for _ in range(20):
            if not self.labels[label]:
                self.end()
                self.kill_at(label, 1)

    def kill_in(self, phase: str) -> None:
        """One life that ends a random time after the worker has reported this phase."""
        start_worker(self.store, self.run)
        gone = self.forked.latest
        wait_until(lambda: self.run.status.phase == phase or not gone.is_alive(), f"{phase} or the end")
        time.sleep(random.uniform(0, 0.04))  # the random moment
        self.forked.kill()
        if self.forked.was_killed:
            self.phases[phase_of(self.run)] += 1
        self.look()

    def live(self, order: Order) -> None:
        self.forked.live(self.run, order)
        self.look()

    def end(self) -> None:
        if self.run.state() != "queued":
            self.live(Order(self.run.path))

    def look(self) -> None:
        run = self.run
        assert run.state() in ("lost", "stopped", "finished"), (run.state(), run.log_tail(20))
        self.listed += assert_listed_are_whole(run)
        assert max(run.epochs_saved(), default=-1) >= max(self.saved, default=-1), "a saved checkpoint is gone"
        self.saved = run.epochs_saved()
        if run.state() == "finished":
            assert_same_end(run, self.straight)
            self.store.delete(run)
            self.run, self.saved, self.ended = another(self.store, self.straight), [], self.ended + 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_at_each_operation_and_at_random_moments(
    store: RunStore, forked: Nursery, straight: Run, tally: Tally
) -> None:
    """Kill a worker at each operation in turn, and at a random time of each phase that it reports."""
    labels, loop = noted(store, forked, straight), Loop(store, forked, straight)
    aims = [*labels, *[*MOMENTS, "ask stop"] * tally.rounds(1, len(labels) // 8)]
    aims_left = random.sample(aims, len(aims))  # in another order each time: earlier lives decide what is left to do
    while aims_left and loop.phases.total() < tally.rounds(len(aims), 260):
        aim = aims_left.pop()
        if aim in labels:
            loop.kill_at(aim, labels[aim])
        else:
            loop.kill_in(aim)
        if tally.full and not aims_left:
            aims_left = random.sample(aims, len(aims))
    for label in labels:
        loop.kill_at_last(label)
    for _ in range(20):
        if not loop.phases["evaluation"]:
            loop.kill_in("testing")
    loop.end()
    hit = ", ".join(f"{loop.phases[phase]} {phase}" for phase in PHASES)
    tally.survived(
        f"{loop.phases.total()} kills ({hit}) at each of {len(labels)} kinds of file operations: {loop.listed} listed "
        f"files, 0 damaged; {loop.ended} runs, all ended as the undisturbed one; 0 temporary files"
    )
    assert all(loop.phases[phase] for phase in PHASES), loop.phases
    assert [label for label in labels if not loop.labels[label]] == []


@pytest.mark.slow
def test_kills_of_workers_with_their_whole_start(store: RunStore, straight: Run, tally: Tally) -> None:
    """``queue.start`` as it is: the process imports torch, and is killed between its first moment and its last."""
    wanted, kills, ended, listed, phases = tally.rounds(2, 40), 0, 0, 0, Counter[str]()
    run = another(store, straight)
    while kills < wanted or run.state() != "queued":
        worker, in_training = start_worker(store, run), kills % 2 == 1
        if in_training:
            wait_until(lambda: run.status.phase == "training" or worker_is_gone(run), "it trains")  # noqa: B023
        if kills < wanted:
            time.sleep(random.uniform(0, 0.3 if in_training else 2))  # the random moment
            if processes.is_alive(worker):
                os.kill(worker.pid, signal.SIGKILL)
        wait_for_end(run)
        listed += assert_listed_are_whole(run)
        if run.state() == "lost":
            kills += 1
            phases[phase_of(run)] += 1
        else:
            assert_same_end(run, straight)
            run, ended = another(store, straight), ended + 1
    hit = ", ".join(f"{count} {phase}" for phase, count in phases.items())
    tally.survived(
        f"{kills} kills of workers with their whole start ({hit}): {listed} listed files, 0 damaged; "
        f"{ended} runs, all ended as the undisturbed one"
    )
