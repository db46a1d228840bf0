"""Disk errors: the run fails with a sentence that says what to do, loses nothing, and continues afterwards."""

import errno
import os
import random
import resource
import shutil
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fashion_core.errors import DiskError
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.faults.lives import ASKED, Tally, assert_listed_are_whole, assert_same_end
from tests.faults.operations import Operation, Perform
from tests.faults.workers import At, Note, Nursery, Order
from tests.support.files import small_disk
from tests.support.runs import another

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and forks its workers")
WHAT_TO_DO = {
    errno.ENOSPC: "the disk is full; free some space there and try again",
    errno.EIO: "check that it is healthy and connected, then try again",
    errno.EACCES: "change its permissions or choose another place",
    errno.EFBIG: "choose another disk or raise `ulimit -f`",
    errno.EROFS: "choose another folder, or make that disk writable and try again",
}
CHANGING = ("create", "write", "truncate", "rename", "unlink", "mkdir", "rmdir")
GOES_ON = {"mkdir folder", "open run.json", "open status.json", "open labels.json", "open metrics.jsonl"}
"""What need not succeed: the folder of the lock is there already, and whoever looks for the children of a run, or for
the next one in the queue, looks at all that lists show of it, and passes over a run that can't be read.
"""
MEGABYTE = 1 << 20
TRIES = 20


@dataclass
class ReadOnly(Order):
    """From the n-th operation that changes something on, nothing can be changed any more."""

    nth: int = 1
    error: ClassVar[int] = errno.EROFS
    refused: ClassVar[tuple[str, ...]] = CHANGING
    spared: ClassVar[str] = ""

    def on(self, operation: Operation, perform: Perform) -> Any:
        self.nth -= operation.kind in CHANGING
        if self.nth <= 0 and operation.kind in self.refused and operation.path.name != self.spared:
            raise OSError(self.error, os.strerror(self.error), str(operation.path))
        return perform()


@dataclass
class Full(ReadOnly):
    """From then on no block is free, whatever is deleted. Existing files can be overwritten."""

    error, refused, spared = errno.ENOSPC, ("create", "mkdir", "write"), "status.json"


@dataclass
class Limit(Order):
    """The system lets no file of this worker grow beyond ``largest`` bytes."""

    largest: int = 0

    def on(self, operation: Operation, perform: Perform) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.largest, resource.RLIM_INFINITY))
        return perform()


class Trial:
    """A stopped run with a checkpoint and a position: each worker that continues a copy of it meets one error."""

    def __init__(self, store: RunStore, forked: Nursery, straight: Run) -> None:
        self.forked, self.straight, self.folder = forked, straight, store.root.with_name("copies")
        self.run = another(store, straight)
        forked.live(self.run, Order(self.run.path, ASKED + 4))
        assert self.run.state() == "stopped"
        assert self.run.is_whole(self.run.partial_path)
        assert self.run.epochs_saved() == [0]

    def copy(self) -> Run:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.run.path, self.folder / self.run.id)
        return RunStore(self.folder).get(self.run.id)

    def operations(self, stop_at: int) -> list[tuple[str, int]]:
        run, notes = self.copy(), self.folder / "notes"
        self.forked.live(run, Note(run.path, stop_at, notes))
        seen, found = Counter[str](), []
        for label in notes.read_text().splitlines():
            if not label.startswith("ask"):
                seen[label] += 1
                found.append((label, seen[label]))
        return found

    def refuse(self, error: int, label: str, nth: int, stop_at: int) -> bool:
        run = self.copy()
        order = At(run.path, stop_at, label, nth, error)
        self.forked.live(run, order)
        if not order.mark.exists():
            assert run.state() in ("stopped", "finished")
            return False
        if label == "open lock":  # a worker without it writes no status, and its log says why
            assert run.state() == "lost"
            assert_says_what_to_do(run, run.log_tail(1).removeprefix("fashion_core: "), error)
        elif label not in GOES_ON or run.state() == "failed":
            assert run.state() == "failed", (label, nth, run.state(), run.log_tail(20))
            assert_says_what_to_do(run, str(run.status.error), error)
        self.assert_goes_on(run)
        return True

    def assert_goes_on(self, run: Run) -> None:
        """To the same end, from whatever is there now; nothing listed before is damaged or missing."""
        assert_listed_are_whole(run)
        assert run.epochs_saved(), "the last good checkpoint is gone"
        if run.state() != "finished":
            self.forked.live(run)
        assert_same_end(run, self.straight)


def assert_says_what_to_do(run: Run, sentence: str, error: int) -> None:
    where, _, rest = sentence.partition(" can't be used: ")
    assert Path(where).is_relative_to(run.path), sentence
    assert rest.endswith(f"{WHAT_TO_DO[error]}."), sentence


class Refusals:
    """Which operations were refused to workers, with which error, and which still have to be."""

    def __init__(self, trial: Trial, full: bool) -> None:
        self.trial, self.full, self.errors = trial, full, cycle(WHAT_TO_DO)
        self.wanted: dict[str, tuple[int, list[int]]] = {}
        self.met, self.labels = Counter[int](), Counter[str]()

    def refuse(self, error: int, label: str, nth: int, stop_at: int) -> None:
        if self.trial.refuse(error, label, nth, stop_at):
            self.met[error] += 1
            self.labels[label] += 1

    def refuse_all(self, stop_at: int) -> None:
        """Of a worker that is stopped there: one of each kind that was not refused yet.

        In full each operation with one error in turn, and each kind of operation with all.
        """
        operations = self.trial.operations(stop_at)
        for label in dict.fromkeys(label for label, _ in operations):
            if self.labels[label] and not self.full:
                continue
            times = [nth for other, nth in operations if other == label]
            self.wanted.setdefault(label, (stop_at, []))[1].extend(times)
            for error in WHAT_TO_DO if self.full else [next(self.errors)]:
                self.refuse(error, label, random.choice(times), stop_at)
        for label, nth in operations if self.full else []:
            self.refuse(next(self.errors), label, nth, stop_at)

    def refuse_missed(self) -> None:
        """Try again what a worker did not reach: no two workers do the same at the same time."""
        for label, (stop_at, times) in self.wanted.items():
            for _ in range(TRIES):
                if not self.labels[label]:
                    self.refuse(next(self.errors), label, random.choice(times), stop_at)


@pytest.fixture
def trial(store: RunStore, forked: Nursery, straight: Run) -> Trial:
    return Trial(store, forked, straight)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_error_at_each_operation(trial: Trial, tally: Tally) -> None:
    """Of a worker that continues to the end, and of one that is stopped again in the same epoch."""
    refusals = Refusals(trial, tally.full)
    for stop_at in (0, 2):
        refusals.refuse_all(stop_at)
    refusals.refuse_missed()
    counts = ", ".join(f"{refusals.met[error]} {errno.errorcode[error]}" for error in WHAT_TO_DO)
    tally.survived(
        f"{counts} at {len(refusals.labels)} kinds of file operations: each run failed with what to do about which "
        f"file (without its lock: lost, the log says it), 0 listed files damaged, all went on to the same end"
    )
    assert all(refusals.met[error] for error in WHAT_TO_DO)
    assert [label for label in refusals.wanted if not refusals.labels[label]] == []


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "state"), [(Full, "failed"), (ReadOnly, "lost")], ids=["full", "read-only"])
def test_disk_that_is_refusing_from_one_moment_on(trial: Trial, tally: Tally, kind: type[ReadOnly], state: str) -> None:
    """On a full disk the failure replaces the old status; on a read-only one it is only printed."""
    changes = sum(label.startswith(CHANGING) for label, _ in trial.operations(0))
    tries = tally.rounds(2, 60)
    for _ in range(tries):
        run = trial.copy()
        trial.forked.live(run, kind(run.path, nth=random.randint(2, changes // 2)))
        assert run.state() == state, run.log_tail(20)
        assert WHAT_TO_DO[kind.error] in (str(run.status.error) if state == "failed" else run.log_tail(200))
        trial.assert_goes_on(run)
    name = errno.errorcode[kind.error]
    tally.survived(f"{tries} disks with {name} from one moment on: {state}, 0 damaged, all went on to the same end")


@pytest.mark.slow
def test_full_disk_at_a_random_size(straight: Run, forked: Nursery, tmp_path: Path, tally: Tally) -> None:
    """A real disk. Continue fails again while it is full; once there is room, the run continues."""
    tries = tally.rounds(2, 40)
    for _ in range(tries):
        with small_disk(tmp_path / "disk", 24 << 10) as disk:
            full = RunStore(disk / "runs")
            run = another(full, straight)
            others, room = disk / "others", random.randint(MEGABYTE // 10, 10 * MEGABYTE)
            with others.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - room)
            forked.live(run)
            assert run.state() == "failed", run.log_tail(20)
            assert_says_what_to_do(run, str(run.status.error), errno.ENOSPC)
            assert_listed_are_whole(run)
            with suppress(DiskError):
                forked.live(run)
            assert run.state() == "failed", run.log_tail(20)
            saved = run.epochs_saved()
            assert_listed_are_whole(run)
            others.unlink()
            forked.live(run)
            assert saved == [] or max(saved) <= max(run.epochs_saved())
            assert_same_end(run, straight)
    tally.survived(
        f"{tries} real disks that became full: failed with what to do, 0 damaged, all went on to the same end"
    )


@pytest.mark.slow
def test_limit_of_a_file_at_a_random_size(trial: Trial, tally: Tally) -> None:
    """``ulimit -f``, a real EFBIG in the middle of a checkpoint."""
    tries = tally.rounds(1, 30)
    for _ in range(tries):
        run = trial.copy()
        trial.forked.live(run, Limit(run.path, largest=random.randint(MEGABYTE // 10, 2 * MEGABYTE)))
        assert run.state() == "failed", run.log_tail(20)
        assert_says_what_to_do(run, str(run.status.error), errno.EFBIG)
        trial.assert_goes_on(run)
    tally.survived(f"{tries} files that may not become that large: failed with what to do, all went on to the same end")
