"""How fast many people at once see a live run, and what that costs its training.

Sessions of a real server open the page of a run that really trains, and listen to its live metrics as browsers do.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles

import psutil

from fashion_core.config import parse_config
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from fashion_core.ui.live.snapshot import ACTIVE_SECONDS
from tests.benchmarks import Comparison, disk_folder
from tests.benchmarks.serving import Server, serving
from tests.benchmarks.sessions import Session, open_session
from tests.support.processes import wait_until

ROUNDS = 21
WINDOW_SECONDS = 4.0
FEW, MANY = 20, 40
EPOCHS = 10_000  # more than the benchmark lasts
PATIENCE_SECONDS = 120
ALONE = "train 1,000 images, nobody looks"
"""The reference: with the same sessions open, but silent."""


def run() -> Comparison:
    """On a store of this run alone, on the disk of the working folder; the run is stopped at the end."""
    with disk_folder() as folder:
        store = RunStore(folder / "runs")
        config = parse_config({"name": "watched", "epochs": EPOCHS, "keep": "last", "device": "cpu"})
        trained = queue.start(store, config)
        try:
            with serving(folder, FASHION_RUNS=str(store.root)) as server:
                times = asyncio.run(measured(trained, server))
        finally:
            queue.stop(trained)
            wait_until(lambda: trained.state() not in UNDER_WAY_STATES, "it has stopped", PATIENCE_SECONDS)
    return Comparison("Watch a run that trains", ALONE, times)


async def measured(trained: Run, server: Server) -> dict[str, list[float]]:
    wait_until(lambda: trained.status.epoch >= 1, "its slower first epoch has ended", PATIENCE_SECONDS)
    times: dict[str, list[float]] = {ALONE: []}
    few, times[f"first paint, {FEW} at once"] = await _open(trained, server, FEW)
    async with _listening(few):
        others, times[f"first paint, {MANY - FEW} at once beside {FEW}"] = await _open(trained, server, MANY - FEW)
    for _ in range(ROUNDS):
        times[ALONE].append(await _window(trained))
        for sessions in (few, few + others):
            await _watched_window(trained, server, sessions, times)
    return times


async def _open(trained: Run, server: Server, count: int) -> tuple[list[Session], list[float]]:
    """Open ``count`` pages at once; milliseconds to the first picture of each."""
    opening = (open_session(server.port, "train", {"run": trained.id}, prompt=False) for _ in range(count))
    opened = await asyncio.gather(*opening)
    problems = [problem for _, first in opened for problem in first.problems]
    assert not problems, problems
    return [session for session, _ in opened], [first.seconds * 1000 for _, first in opened]


@asynccontextmanager
async def _listening(sessions: list[Session]) -> AsyncIterator[list[float]]:
    """While these listen: the seconds from each tick of the server's clock to what it brought."""
    heard: list[float] = []

    async def listen(session: Session) -> None:
        async for _ in session.hear():
            heard.append(time.monotonic() % ACTIVE_SECONDS)  # the server ticks by the same clock

    async with asyncio.TaskGroup() as group:
        listeners = [group.create_task(listen(session)) for session in sessions]
        yield heard
        for listener in listeners:
            listener.cancel()


async def _watched_window(trained: Run, server: Server, sessions: list[Session], times: dict[str, list[float]]) -> None:
    """While these watch: how long training and refreshes take, and how long the server computes for a refresh."""
    async with _listening(sessions) as heard:
        await asyncio.sleep(ACTIVE_SECONDS)  # all listen
        computed = _computed(server)
        heard.clear()
        figures = {"train 1,000 images": await _window(trained)}
        assert len(heard) >= len(sessions) * (WINDOW_SECONDS / ACTIVE_SECONDS - 1), "one of them missed some"
        cuts = quantiles(heard, n=20)
        figures["refresh, median"], figures["refresh, p95"] = cuts[9] * 1000, cuts[18] * 1000
        figures["refresh, CPU"] = (_computed(server) - computed) / len(heard) * 1000
    for name, value in figures.items():
        times.setdefault(f"{name}, {len(sessions)} viewers", []).append(value)


def _computed(server: Server) -> float:
    """Seconds of CPU time that the server has taken, in all its threads."""
    return sum(psutil.Process(server.process.pid).cpu_times()[:2])


async def _window(trained: Run) -> float:
    """Milliseconds to train on 1,000 images, by what the run reports four times a second."""
    config, before = trained.record.config, trained.status
    await asyncio.sleep(WINDOW_SECONDS)
    after = trained.status
    batches = (after.epoch - before.epoch) * config.batches_per_epoch + after.batch - before.batch
    return (after.heartbeat - before.heartbeat) / (batches * config.batch_size) * 1e6
