"""A long night: runs queue and train, people come and go, workers are killed; the server leaks nothing."""

import asyncio
import random
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

import psutil
import pytest

from fashion_core.errors import FashionError
from fashion_core.runs import queue, torch_process
from fashion_core.runs.schema import CONTINUABLE_STATES, UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from tests.benchmarks.memory import WARM_UP_VISITS
from tests.benchmarks.serving import Server
from tests.benchmarks.sessions import Ran, open_session
from tests.benchmarks.stores import fill
from tests.faults.lives import Tally
from tests.support.processes import known_workers, wait_until, workers_of
from tests.support.runs import config

PAGES = ("", "train", "checkpoints", "resume", "lesson")
VIEWERS, QUEUED, KEPT, EPOCHS = 5, 3, 8, 5
SAMPLES = 100
RUN_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{4}")


@dataclass
class Night:
    store: RunStore
    server: Server
    seconds: float
    kill_after: float
    happened: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    is_over: bool = False

    def __post_init__(self) -> None:
        self.process = psutil.Process(self.server.process.pid)

    async def pass_by(self) -> None:
        """Many short visits that only warm up, then all of it at once, until enough has been measured."""
        draws = [random.Random(number) for number in range(VIEWERS)]
        while self.happened["visits"] < WARM_UP_VISITS:
            await asyncio.gather(*(self.visit(draw, refreshes=0) for draw in 2 * draws))  # more at once than later
        self.happened.clear()
        async with asyncio.TaskGroup() as group:
            visitors = [group.create_task(self.keep_visiting(draw)) for draw in draws]
            others = [group.create_task(task) for task in (self.keep_busy(), self.kill_now_and_then())]
            for _ in range(SAMPLES):
                used = self.process.memory_info().rss / 1e6, self.process.num_fds(), self.process.num_threads()
                self.samples.append(used)
                await asyncio.sleep(self.seconds / SAMPLES)
            self.is_over = True
            await asyncio.gather(*visitors)  # who close what they opened, so that the server need not find out
            for task in others:
                task.cancel()

    async def keep_visiting(self, draw: random.Random) -> None:
        while not self.is_over:
            await self.visit(draw, refreshes=draw.randrange(4))

    async def visit(self, draw: random.Random, refreshes: int) -> None:
        """One person: a page, a few refreshes, and away, at times by a broken connection."""
        runs, page = self.store.runs(), draw.choice(PAGES)
        query = {"run": draw.choice(runs).id} if runs and page != "lesson" and draw.random() < 0.7 else {}
        session, ran = await open_session(self.server.port, page, query, prompt=True)
        self.happened["visits"] += 1
        self.note_problems(ran, page)
        for _ in range(refreshes):
            await asyncio.sleep(draw.uniform(0.2, 1.5))
            self.note_problems(await session.stay(), page)
        if draw.random() < 0.5:
            session.connection.transport.abort()
        await session.connection.close()

    def note_problems(self, ran: Ran | None, page: str) -> None:
        for problem in ran.problems if ran else ():
            about = RUN_ID.findall(problem.replace("\\", ""))
            if about and not any(map(self.store.has, about)):
                self.happened["visitors of a deleted run"] += 1
            else:
                self.problems[f"{page or 'overview'}: {problem}"] += 1

    async def keep_busy(self) -> None:
        while True:
            await asyncio.to_thread(self._tend)
            await asyncio.sleep(0.5)

    def _tend(self) -> None:
        runs = self.store.runs()
        for run in runs:
            if run.state() in CONTINUABLE_STATES:
                with suppress(FashionError):  # a visitor's page may have moved the queue on
                    queue.continue_run(self.store, run)
                    self.happened["continued"] += 1
        if len([run for run in runs if run.state() in UNDER_WAY_STATES]) < QUEUED:
            queue.start(self.store, config(epochs=EPOCHS))
            self.happened["runs"] += 1
        for run in [run for run in runs if run.state() == "finished"][KEPT:]:
            self.store.delete(run)

    async def kill_now_and_then(self) -> None:
        draw = random.Random(0)
        while True:
            await asyncio.sleep(draw.uniform(1, 3) * self.kill_after)
            while not (found := workers_of(self.store)):
                await asyncio.sleep(0.2)
            for pid in found:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()
                    self.happened["workers killed"] += 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_piles_up_over_a_long_night(store: RunStore, server: Server, tally: Tally) -> None:
    fill(store, KEPT, EPOCHS)
    torch_process.this_machine()  # or the first run would begin only once a process with torch has told
    night = Night(store, server, tally.rounds(12, 1800), kill_after=tally.rounds(2, 5))
    asyncio.run(night.pass_by())
    assert server.answers()
    assert night.happened["workers killed"]
    assert not night.problems, f"{night.problems}\n{server.log.read_text(errors='replace')[-5000:]}"
    thirds = night.samples[: SAMPLES // 3], night.samples[-SAMPLES // 3 :]
    early, late = ([median(column) for column in zip(*samples, strict=True)] for samples in thirds)
    for run in reversed(queue.under_way(store)):
        with suppress(FashionError):
            queue.stop(run)
    wait_until(lambda: workers_of(store) == known_workers(store) == {}, "all runs have stopped")
    wait_until(lambda: not night.process.net_connections("tcp")[1:], "all visitors are gone")
    children = [child.status() for child in night.process.children()]
    assert len(children) <= 2, f"processes that nobody needs: {children}"
    assert late[0] - early[0] < tally.rounds(20, 40), f"memory grew from {early[0]:.0f} to {late[0]:.0f} MB"
    assert late[1] - early[1] <= 4, f"open files grew from {early[1]} to {late[1]}"
    assert late[2] - early[2] <= 4, f"threads grew from {early[2]} to {late[2]}"
    what = ", ".join(f"{count} {name}" for name, count in sorted(night.happened.items()))
    tally.survived(
        f"{night.seconds / 60:.1f} minutes ({what}): memory {early[0]:.0f} to {late[0]:.0f} MB, "
        f"open files {early[1]:.0f} to {late[1]:.0f}, threads {early[2]:.0f} to {late[2]:.0f}; no process left over"
    )
