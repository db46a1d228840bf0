"""How fast a live run is seen by many at once, and what that costs its training.

Sessions of a real server open the page of a run that really trains, and ask for its refreshes as browsers do: by a
timer, whatever became of the refresh before. The same with a page of one word tells what of that is Streamlit's.
"""

import asyncio
import time
from contextlib import AbstractContextManager
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
from .serving import Server, serving
from .sessions import Session, open_session

ROUNDS = 11
WINDOW_SECONDS = 4.0
FEW, MANY = 20, 40
EPOCHS = 10_000  # more than the benchmark lasts
PATIENCE_SECONDS = 120
ALONE = "train 1,000 images, nobody looks"
"""The reference: with the same sessions open, but silent."""
ONE_WORD = """import streamlit as st

st.fragment(lambda: st.write("word"), run_every=1.0)()
"""
"""The least that a Streamlit page that refreshes itself can be: what it costs, no page can be without."""


@dataclass
class Audience:
    """Open pages of one server, of which the first ``looking`` refresh.

    Attributes:
        name: what they are called in the table.
        latencies: seconds since each refresh was due.
        timers: what refreshes the pages.
    """

    name: str
    server: Server
    page: str = ""
    query: dict[str, str] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    looking: int = 0
    latencies: list[float] = field(default_factory=list)
    timers: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self, count: int, group: asyncio.TaskGroup) -> list[float]:
        """Open so many more pages at once, which refresh from then on; milliseconds to the first picture of each."""
        opening = (open_session(self.server.port, self.page, self.query, prompt=False) for _ in range(count))
        opened = await asyncio.gather(*opening)
        problems = [problem for _, first in opened for problem in first.problems]
        assert not problems, problems
        for session, _ in opened:
            self.timers.append(group.create_task(self.watch(len(self.sessions))))
            self.sessions.append(session)
        self.looking = len(self.sessions)
        return [first.seconds * 1000 for _, first in opened]

    async def watch(self, number: int) -> None:
        """Refresh one page by its timer, each page at its own time of the second."""
        fragment = self.sessions[number].fragment
        assert fragment, "the page refreshes itself"
        due = time.perf_counter() + fragment[1] * (number * 0.618 % 1)
        while True:
            await asyncio.sleep(due - time.perf_counter())
            if number < self.looking:
                ran = await self.sessions[number].refresh()
                assert not ran.problems, ran.problems
                self.latencies.append(time.perf_counter() - due)
            due = max(due + fragment[1], time.perf_counter())

    def close(self) -> None:
        """Let no page refresh any more."""
        for timer in self.timers:
            timer.cancel()

    def computed(self) -> float:
        """Seconds of CPU time that the server has taken, in all its threads."""
        spent = psutil.Process(self.server.process.pid).cpu_times()
        return spent.user + spent.system


def run() -> Comparison:
    """On a store of this run alone, on the disk of the working folder; the run is stopped at the end."""
    with TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder:
        store = RunStore(Path(folder, "runs"))
        config = parse_config({"name": "watched", "epochs": EPOCHS, "keep": "last"})
        trained = jobs.start(store, config)
        try:
            with serving(Path(folder), FASHION_RUNS=str(store.root)) as ours, _serving_one_word(Path(folder)) as bare:
                viewers = Audience("viewers", ours, "train", {"run": trained.id})
                times = asyncio.run(measured(trained, viewers, Audience("viewers of one word", bare)))
        finally:
            jobs.stop(trained)
            _wait_for_end(trained)
    return Comparison("Watch a run that trains", ALONE, times)


def _serving_one_word(folder: Path) -> AbstractContextManager[Server]:
    page = folder / "one word" / "page.py"  # in a folder of its own, as each server keeps its log
    page.parent.mkdir()
    page.write_text(ONE_WORD)
    return serving(page.parent, app=str(page))


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


async def measured(trained: Run, viewers: Audience, bare: Audience) -> dict[str, list[float]]:
    """Each figure's values, in ms, by its name."""
    await _wait_for_first_epoch(trained)
    times: dict[str, list[float]] = {ALONE: []}
    async with asyncio.TaskGroup() as group:
        times[f"first paint, {FEW} at once"] = await viewers.open(FEW, group)
        times[f"first paint, {MANY - FEW} at once beside {FEW}"] = await viewers.open(MANY - FEW, group)
        await bare.open(FEW, group)
        for _ in range(ROUNDS):
            await _silence(viewers, bare)
            times[ALONE].append(await _window(trained))
            for audience, looking in ((bare, FEW), (viewers, FEW), (viewers, MANY)):
                await _silence(viewers, bare)
                await _watched_window(trained, audience, looking, times)
        viewers.close()
        bare.close()
    return times


async def _silence(*audiences: Audience) -> None:
    """Nobody looks, and those who did finish."""
    for audience in audiences:
        audience.looking = 0
    await asyncio.sleep(1)


async def _watched_window(trained: Run, audience: Audience, looking: int, times: dict[str, list[float]]) -> None:
    """So many look for a while: how long training and refreshes take, and how long the server computes for them."""
    audience.looking = looking
    audience.latencies, computed = [], audience.computed()
    name = f"{looking} {audience.name}"
    times.setdefault(f"train 1,000 images, {name}", []).append(await _window(trained))
    cuts = quantiles(audience.latencies, n=20)
    times.setdefault(f"refresh of {name}, median", []).append(cuts[9] * 1000)
    times.setdefault(f"refresh of {name}, p95", []).append(cuts[18] * 1000)
    cost = (audience.computed() - computed) / len(audience.latencies)
    times.setdefault(f"refresh of {name}, CPU", []).append(cost * 1000)


async def _window(trained: Run) -> float:
    """How many ms 1,000 images take."""
    images, began = _images(trained)
    await asyncio.sleep(WINDOW_SECONDS)
    last_images, ended = _images(trained)
    return (ended - began) / (last_images - images) * 1e6


def _images(trained: Run) -> tuple[int, float]:
    """How many images it has trained on, and when it said so: its position is up to 0.25 s old."""
    status, config = trained.status, trained.record.config
    return (status.epoch * config.batches_per_epoch + status.batch) * config.batch_size, status.heartbeat
