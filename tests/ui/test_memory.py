"""What a server keeps of people who have left: nothing that adds up."""

import asyncio
from pathlib import Path

import psutil
import pytest

from fashion_core.runs.store import RunStore
from tests.benchmarks.memory import EPOCHS, RUNS, visited
from tests.benchmarks.serving import serving
from tests.benchmarks.stores import fill

VISITS, MOST_MEGABYTES = 300, 15.0


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_visits_leave_nothing_in_the_servers_memory(store: RunStore, tmp_path: Path) -> None:
    """`python -m tests.benchmarks memory` makes 1,000 of them."""
    fill(store, RUNS, EPOCHS)
    with serving(tmp_path, FASHION_RUNS=str(store.root)) as server:
        sizes = asyncio.run(visited(psutil.Process(server.process.pid), server.port, store, VISITS))
    assert sizes[-1] - sizes[0] < MOST_MEGABYTES
