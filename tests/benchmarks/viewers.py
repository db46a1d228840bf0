"""How fast a live run is seen by many at once, and what that costs its training.

Sessions of a real server open the page of a run that really trains, and ask for its refreshes as browsers do: by a
timer, whatever became of the refresh before.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import psutil

from fashion_core import jobs
from fashion_core.config import parse_config
from fashion_core.run_folders import Run
from fashion_core.runs import RunStore
from fashion_core.schema import UNDER_WAY_STATES

from . import Comparison
from .serving import serving
from .sessions import Session, open_session

ROUNDS = 11
WINDOW_SECONDS = 4.0
FEW, MANY = 20, 40
EPOCHS = 10_000  # more than the benchmark lasts
PATIENCE_SECONDS = 120
ALONE = "train 1,000 images, nobody looks"
"""The reference: with the same sessions open, but silent."""


@dataclass
class Viewers:
    """Open pages, of which the first ``looking`` refresh; ``latencies`` are seconds since each refresh was due."""

    sessions: list[Session] = field(default_factory=list)
    looking: int = 0
    latencies: list[float] = field(default_factory=list)

    async def watch(self, number: int) -> None:
        """Refresh one page by its timer, each page at its own time of the second."""
        fragment = self.sessions[number].fragment
        assert fragment, "the page of a run refreshes itself"
        due = time.perf_counter() + fragment[1] * (number * 0.618 % 1)
        while True:
            await asyncio.sleep(due - time.perf_counter())
            if number < self.looking:
                ran = await self.sessions[number].refresh()
                assert not ran.problems, ran.problems
                self.latencies.append(time.perf_counter() - due)
            due = max(due + fragment[1], time.perf_counter())


def run() -> Comparison:
    """On a store of this run alone, on the disk of the working folder; the run is stopped at the end."""
    with TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder:
        store = RunStore(Path(folder, "runs"))
        config = parse_config({"name": "watched", "epochs": EPOCHS, "keep": "last"})
        trained = jobs.start(store, config)
        try:
            with serving(Path(folder), FASHION_RUNS=str(store.root)) as server:
                times = asyncio.run(measured(trained, server.port, psutil.Process(server.process.pid)))
        finally:
            jobs.stop(trained)
            _wait_for_end(trained)
    return Comparison("Watch a run that trains", ALONE, times)


def _wait_for_end(trained: Run) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while trained.state() in UNDER_WAY_STATES:
        assert time.monotonic() < deadline, f"it did not stop within {PATIENCE_SECONDS} s"
        time.sleep(0.05)


async def _wait_for_first_epoch(trained: Run) -> None:
    """It is slower than those that are measured."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while trained.status.epoch < 1:
        assert trained.state() in UNDER_WAY_STATES, f"it is {trained.state()}: {trained.log_tail(5)}"
        assert time.monotonic() < deadline, f"it trained no epoch within {PATIENCE_SECONDS} s"
        await asyncio.sleep(0.1)


async def measured(trained: Run, port: int, server: psutil.Process) -> dict[str, list[float]]:
    await _wait_for_first_epoch(trained)
    viewers = Viewers()
    times: dict[str, list[float]] = {ALONE: []}
    async with asyncio.TaskGroup() as group:
        watching = []
        for count in (FEW, MANY):
            before = len(viewers.sessions)
            opened = await asyncio.gather(*(_open(trained, port) for _ in range(count - before)))
            viewers.sessions += [session for session, _ in opened]
            times[f"first paint, {count - before} at once beside {before}"] = [seconds * 1000 for _, seconds in opened]
            watching += [group.create_task(viewers.watch(number)) for number in range(before, count)]
            viewers.looking = count
        for _ in range(ROUNDS):
            for count in (0, FEW, MANY):
                await _window(trained, viewers, count, server, times)
        for task in watching:
            task.cancel()
    return times


async def _open(trained: Run, port: int) -> tuple[Session, float]:
    session, first = await open_session(port, "train", {"run": trained.id}, prompt=False)
    assert not first.problems, first.problems
    return session, first.seconds


async def _window(
    trained: Run, viewers: Viewers, looking: int, server: psutil.Process, times: dict[str, list[float]]
) -> None:
    """So many look for a while: how long training and refreshes take, and how long the server computes for them."""
    viewers.looking = looking
    await asyncio.sleep(1)  # those who stop looking finish
    viewers.latencies = []
    (images, began), worked = _images(trained), _computed(server)
    await asyncio.sleep(WINDOW_SECONDS)
    (last_images, ended), worked = _images(trained), _computed(server) - worked
    name = f"train 1,000 images, {looking} look" if looking else ALONE
    times.setdefault(name, []).append((ended - began) / (last_images - images) * 1e6)
    if looking:
        cuts = quantiles(viewers.latencies, n=20)
        times.setdefault(f"refresh of {looking}, median", []).append(cuts[9] * 1000)
        times.setdefault(f"refresh of {looking}, p95", []).append(cuts[18] * 1000)
        times.setdefault(f"refresh of {looking}, CPU", []).append(worked / len(viewers.latencies) * 1000)


def _images(trained: Run) -> tuple[int, float]:
    """How many images it has trained on, and when it said so: its position is up to 0.25 s old."""
    status, config = trained.status, trained.record.config
    return (status.epoch * config.batches_per_epoch + status.batch) * config.batch_size, status.heartbeat


def _computed(server: psutil.Process) -> float:
    """Seconds of CPU time, of all its threads."""
    spent = server.cpu_times()
    return spent.user + spent.system
