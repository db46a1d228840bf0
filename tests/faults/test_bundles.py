"""SIGKILL while runs are bundled and unbundled: no file and no run that has its name is half-made."""

import multiprocessing
import os
import random
import signal
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fashion_core.bundles import unbundle, write
from fashion_core.files import TEMPORARY_PREFIX
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.runs.verify import verify
from tests.faults.lives import Tally
from tests.faults.operations import Operation, Perform, watched
from tests.support.bundles import bundled, small_run
from tests.support.files import files_below

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads in /proc what a descriptor stands for")
LINE = 5
"""Runs in the bundle, each resumed from the one before."""


@dataclass
class Until:
    """Ends the process at its n-th operation below a folder; 0 for never."""

    left: int

    def __call__(self, operation: Operation, perform: Perform) -> Any:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return perform()


@dataclass(frozen=True)
class Work:
    """What the process that is killed does: bundle all of ``store`` into ``path``, or unbundle that there."""

    store: Path
    path: Path
    bundles: bool
    last: int = 0

    def __call__(self) -> None:
        store = RunStore(self.store)
        below = self.path.parent if self.bundles else self.store
        with watched(below, Until(self.last)) if self.last else nullcontext():
            if self.bundles:
                write.bundle(store, store.runs(), self.path)
            else:
                unbundle.unbundle(store, self.path)


@pytest.fixture(scope="module")
def processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.test_bundles"])
    return context


@pytest.fixture(scope="module")
def line(module_store: RunStore) -> list[Run]:
    runs = [small_run(module_store)]
    for _ in range(LINE - 1):
        runs.append(small_run(module_store, runs[-1]))
    return runs


def ended(processes: Any, work: Work, after: float | None) -> bool:
    """Whether the process was killed: by itself, or from outside after so many seconds."""
    process = processes.Process(target=work)
    process.start()
    if after is not None:
        time.sleep(after)  # the random moment
        process.kill()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return bool(process.exitcode)


def kills(processes: Any, work: Work, count: int) -> Iterator[tuple[int, float | None]]:
    """At operations in turn, and at as many random moments: the number of the operation, or the seconds."""
    ended(processes, replace(work, path=work.path.with_suffix(".warm")) if work.bundles else work, None)
    began = time.monotonic()
    ended(processes, work if work.bundles else replace(work, store=work.store.with_suffix(".warm")), None)
    seconds = time.monotonic() - began
    for number in range(1, count // 2 + 1):
        yield number, None
    for _ in range(count - count // 2):
        yield 0, random.uniform(0, seconds)


@pytest.mark.slow
def test_kills_while_runs_are_bundled(
    module_store: RunStore, line: list[Run], processes: Any, tmp_path: Path, tally: Tally
) -> None:
    """The operations below the folder of the bundle are few, so each of them is the last one several times."""
    before, found, killed = files_below(module_store.root), Counter[str](), 0
    rounds = tally.rounds(16, 200)
    operations = _count_operations(tmp_path, lambda: write.bundle(module_store, line, tmp_path / "counted.zip"))
    for number, after in kills(processes, Work(module_store.root, tmp_path / "first.zip", True), rounds):
        folder = tmp_path / f"{sum(found.values())}"
        folder.mkdir()
        work = Work(module_store.root, folder / "runs.zip", True, number and number % operations + 1)
        killed += ended(processes, work, after)
        names = [path.name for path in folder.iterdir()]
        assert all(name == "runs.zip" or name.startswith(TEMPORARY_PREFIX) for name in names)
        found["whole" if "runs.zip" in names else "none"] += 1
        if "runs.zip" in names:
            with zipfile.ZipFile(work.path) as archive:
                assert archive.testzip() is None
            assert [one.id for one in unbundle.preview(RunStore(folder / "other"), work.path)] == [
                one.id for one in line
            ]
    assert files_below(module_store.root) == before
    assert killed >= rounds // 2
    tally.survived(f"{killed} kills: {found['none']} times no bundle, {found['whole']} times a whole one")


@pytest.mark.slow
def test_kills_while_runs_are_unbundled(line: list[Run], processes: Any, tmp_path: Path, tally: Tally) -> None:
    path = bundled(RunStore(line[0].path.parent), line[-1])
    ids, found, killed = [run.id for run in line], Counter[int](), 0
    rounds, counted = tally.rounds(30, 200), RunStore(tmp_path / "counted")
    operations = _count_operations(counted.root, lambda: unbundle.unbundle(counted, path))
    step = max(1, operations // (rounds // 2))
    for number, after in kills(processes, Work(tmp_path / "first", path, False), rounds):
        store = RunStore(tmp_path / f"{sum(found.values())}")
        late = operations - number + 1 if number <= 2 * LINE else number * step  # each of the last ones
        killed += ended(processes, Work(store.root, path, False, late if number else 0), after)
        there = [run_id for run_id in ids if store.has(run_id)]
        found[len(there)] += 1
        assert there == ids[: len(there)], "a run is there without its parent"
        _assert_whole(store, line, there)
        kept = unbundle.unbundle(store, path)
        assert (kept.there, kept.made) == (tuple(there), tuple(ids[len(there) :]))
    assert killed >= rounds // 2
    between = sum(found[count] for count in range(1, LINE))
    assert between, "none was killed between two renames"
    tally.survived(
        f"{killed} kills: {found[0]} times no run, {between} times some with their parents, {found[LINE]} times all; "
        "each time the same bundle brought the rest"
    )


def _count_operations(below: Path, work: Callable[[], object]) -> int:
    until = Until(0)
    with watched(below, until):
        work()
    return -until.left


def _assert_whole(store: RunStore, line: list[Run], there: list[str]) -> None:
    names = {path.name for path in store.root.iterdir()} if store.root.exists() else set()
    assert all(name in there or name.startswith(".") for name in names)
    for run in (run for run in line if run.id in there):
        own = {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
        kept = {name: (store.root / run.id / name).read_bytes() for name in own if name.name != "lock"}
        assert {name for name in kept if kept[name] != own[name]} <= {Path("status.json")}
    assert all(one.ok for one in verify([store.at(run_id) for run_id in there]))
