"""Whether a server's memory stays where it is when people come and go: 1,000 connects and disconnects."""

import asyncio
from collections.abc import Iterator

import psutil

from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, disk_folder
from tests.benchmarks.serving import serving
from tests.benchmarks.sessions import open_session
from tests.benchmarks.stores import fill, run_path

VISITS, AT_ONCE, BATCHES = 1000, 10, 10
RUNS, EPOCHS = 50, 20
PAGES = ("", "train", "checkpoints", "resume", "lesson")
WARM_UP_VISITS = 160
"""Streamlit keeps the last 128 sessions of people who have left, each with the three open files of its event loop."""
BEFORE = f"memory after the first {WARM_UP_VISITS} visits"


def run() -> Comparison:
    """Every page in turn, with a run in its address every other time; each visit stays for a while."""
    with disk_folder() as folder:
        store = RunStore(folder / "runs")
        fill(store, RUNS, EPOCHS)
        with serving(folder, FASHION_RUNS=str(store.root)) as server:
            process = psutil.Process(server.process.pid)
            sizes = asyncio.run(visited(process, server.port, store, VISITS))
    after = {f"after {VISITS // BATCHES * number} more": [size] for number, size in enumerate(sizes) if number}
    return Comparison("Resident memory of the server", BEFORE, {BEFORE: sizes[:1], **after}, "MB")


async def visited(process: psutil.Process, port: int, store: RunStore, visits: int) -> list[float]:
    """Megabytes after visits that only warm up, and after each tenth of so many more."""
    sizes = []
    for batch, count in enumerate([WARM_UP_VISITS, *[visits // BATCHES] * BATCHES]):
        numbers = iter(range(batch, batch + count))
        await asyncio.gather(*(visit_each(port, store, numbers) for _ in range(AT_ONCE)))
        sizes.append(process.memory_info().rss / 1e6)
    return sizes


async def visit_each(port: int, store: RunStore, numbers: Iterator[int]) -> None:
    """One visitor after another, beside others who take from the same numbers: nobody waits for the one who stays."""
    for number in numbers:
        await visit(port, store, number)


async def visit(port: int, store: RunStore, number: int) -> None:
    page = PAGES[number % len(PAGES)]
    query = {"run": run_path(store, number % RUNS).name} if number % 2 and page != "lesson" else {}
    session, first = await open_session(port, page, query, prompt=True)
    assert not first.problems, first.problems
    await session.stay()
    await session.connection.close()
