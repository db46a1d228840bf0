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
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import CONTINUABLE_STATES, UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from tests.benchmarks.memory import WARM_UP_VISITS
from tests.benchmarks.serving import Server
from tests.benchmarks.sessions import Ran, open_session
from tests.faults.lives import Tally
from tests.support.processes import known_workers, wait_until, workers, workers_of
from tests.support.runs import config

PAGES = ("", "train", "checkpoints", "resume", "lesson")
VIEWERS, QUEUED, KEPT = 5, 3, 8
SAMPLES = 100
RUN_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{4}")


@dataclass
class Night:
    """What happened, and what the server used meanwhile; ``seconds`` count from the end of the warm-up."""

    store: RunStore
    server: Server
    seconds: float
    happened: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.server.process.pid)

    async def pass_by(self) -> None:
        """All of it at once, until enough has been measured."""
        visitors = [self.visit(random.Random(number)) for number in range(VIEWERS)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(task) for task in [*visitors, self.keep_busy(), self.kill_now_and_then()]]
            await self.sample()
            for task in tasks:
                task.cancel()

    async def visit(self, draw: random.Random) -> None:
        """One person after another: a page, a few refreshes, and away, at times by a broken connection."""
        while True:
            runs = self.store.runs()
            query = {"run": draw.choice(runs).id} if runs and draw.random() < 0.7 else {}
            page = draw.choice(PAGES)
            session, ran = await open_session(self.server.port, page, {} if page == "lesson" else query, prompt=True)
            self.happened["visits"] += 1
            self.note_problems(ran, page)
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(draw.uniform(0.2, 1.5))
                if later := await session.stay():
                    self.note_problems(later, page)
            if draw.random() < 0.5:
                session.connection.transport.abort()
            await session.connection.close()

    def note_problems(self, ran: Ran, page: str) -> None:
        """Count the errors that a page showed; only deleted runs are expected."""
        for problem in ran.problems:
            about = RUN_ID.findall(problem.replace("\\", ""))
            if about and not any(map(self.store.has, about)):
                self.happened["visitors of a deleted run"] += 1
            else:
                self.problems[f"{page or 'overview'}: {problem}"] += 1

    async def keep_busy(self) -> None:
        """Let runs queue, finish and be deleted."""
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
            queue.start(self.store, config(epochs=5))
            self.happened["runs"] += 1
        for run in [run for run in runs if run.state() == "finished"][KEPT:]:
            self.store.delete(run)

    async def kill_now_and_then(self) -> None:
        draw = random.Random(0)
        while True:
            await asyncio.sleep(draw.uniform(5, 15))
            for pid in workers_of(self.store):
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()
                    self.happened["workers killed"] += 1

    async def sample(self) -> None:
        while self.happened["visits"] < WARM_UP_VISITS:
            await asyncio.sleep(0.1)
        for _ in range(SAMPLES):
            self.samples.append(self.measured())
            await asyncio.sleep(self.seconds / SAMPLES)

    def measured(self) -> tuple[float, int, int]:
        """Megabytes, open files and threads of the server."""
        return self.process.memory_info().rss / 1e6, self.process.num_fds(), self.process.num_threads()


def end(store: RunStore, run: Run) -> None:
    with suppress(FashionError):
        queue.stop(run)
    wait_until(lambda: run.state() not in UNDER_WAY_STATES and workers(run) == [], "it has stopped")


def middle(samples: list[tuple[float, int, int]]) -> list[float]:
    return [median(column) for column in zip(*samples, strict=True)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_piles_up_over_a_long_night(store: RunStore, server: Server, tally: Tally) -> None:
    night = Night(store, server, tally.rounds(60, 1800))
    asyncio.run(night.pass_by())
    assert server.answers()
    assert not night.problems, f"{night.problems}\n{server.log.read_text(errors='replace')[-5000:]}"
    early, late = middle(night.samples[: SAMPLES // 3]), middle(night.samples[-SAMPLES // 3 :])
    for run in reversed(store.runs()):
        end(store, run)
    wait_until(lambda: not night.process.net_connections("tcp")[1:], "all visitors are gone", 60)
    assert workers_of(store) == known_workers(store) == {}
    children = [child.status() for child in night.process.children()]
    assert len(children) <= 2, f"processes that nobody needs: {children}"
    assert late[0] - early[0] < 40, f"memory grew from {early[0]:.0f} to {late[0]:.0f} MB"
    assert late[1] - early[1] <= 4, f"open files grew from {early[1]} to {late[1]}"
    assert late[2] - early[2] <= 4, f"threads grew from {early[2]} to {late[2]}"
    what = ", ".join(f"{count} {name}" for name, count in sorted(night.happened.items()))
    tally.survived(
        f"{night.seconds / 60:.0f} minutes ({what}): memory {early[0]:.0f} to {late[0]:.0f} MB, "
        f"open files {early[1]:.0f} to {late[1]:.0f}, threads {early[2]:.0f} to {late[2]:.0f}; no process left over"
    )
