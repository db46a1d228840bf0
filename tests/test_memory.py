"""What a server keeps of people who have left: nothing that adds up."""

import asyncio
from pathlib import Path

import psutil
import pytest
from benchmarks.memory import EPOCHS, RUNS, visited
from benchmarks.serving import serving
from benchmarks.stores import fill

from fashion_core.runs import RunStore

VISITS, MOST_MEGABYTES = 400, 20.0


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_visits_leave_nothing_in_the_servers_memory(store: RunStore, tmp_path: Path) -> None:
    """`python -m tests.benchmarks memory` makes 1,000 of them."""
    fill(store, RUNS, EPOCHS)
    with serving(tmp_path, FASHION_RUNS=str(store.root)) as server:
        sizes = asyncio.run(visited(psutil.Process(server.process.pid), server.port, store, VISITS))
    assert sizes[-1] - sizes[0] < MOST_MEGABYTES
