"""From the click on Start to the first loss: on the disk, and on the page where it was pressed.

A real worker on the tutorial's settings, a real server, and a session that hears live metrics as a browser does.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import aclosing, suppress
from pathlib import Path

from fashion_core.config import DATASET_LABELS, parse_config
from fashion_core.data import batches, fashion_mnist
from fashion_core.errors import RunStateError
from fashion_core.runs import processes, queue, torch_process
from fashion_core.runs.schema import UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.benchmarks.serving import serving
from tests.benchmarks.sessions import Session, open_session

ROUNDS = 7
TORCH = "python -c 'import torch'"
NO_LOSS = "<dt>Training loss, smoothed</dt><dd>–</dd>"
_PATIENCE_SECONDS = 60


def run() -> Comparison:
    """In a server that has started a run before, and in one where this is the first."""
    dataset = "fashion-mnist" if fashion_mnist.are_present() else "synthetic"
    batches.load(dataset)  # draws and keeps the garments where they are the dataset
    with disk_folder() as folder:
        store = RunStore(folder / "runs")
        os.environ["FASHION_RUNS"] = str(store.root)

        def start() -> None:
            wait_for(queue.start(store, parse_config({"dataset": dataset})).metrics_path)

        def first_start() -> None:
            torch_process._asked_machine.cache_clear()
            start()

        with serving(folder) as server, asyncio.Runner() as runner:
            visitor = Visitor(server.port, dataset)
            runner.run(visitor.open_form())

            def end_and_open() -> None:
                end(store)
                runner.run(visitor.open_form())

            ways = {
                TORCH: lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True),
                "start to first row": start,
                "the same, before the server knows its machine": first_start,
                "click to first loss on the page": lambda: runner.run(visitor.start_and_see()),
            }
            times = alternate(ways, ROUNDS, between=end_and_open)
            runner.run(visitor.leave())
    return Comparison(f"Starting the MLP on {dataset}", TORCH, times)


class Visitor:
    """Somebody with the form of the Train page open."""

    def __init__(self, port: int, dataset: str) -> None:
        self._port, self._choices = port, {"Dataset": DATASET_LABELS[dataset]}
        self._session: Session | None = None

    async def open_form(self) -> None:
        """In a new session, before the click."""
        await self.leave()
        self._session, _ = await open_session(self._port, "train", {}, prompt=False)

    async def leave(self) -> None:
        if self._session:
            await self._session.connection.close()

    async def start_and_see(self) -> None:
        """Press Start, and listen until the page hears of a loss."""
        assert self._session
        async with asyncio.timeout(_PATIENCE_SECONDS):
            seen = await self._session.press("Start", self._choices)
            while NO_LOSS in self._session.live_metrics["numbers"] and await self._outdated():
                assert not seen.problems, seen.problems
                seen = await self._session.run()

    async def _outdated(self) -> bool:
        """Whether the page has to run again before it hears of a loss."""
        assert self._session
        drawn = self._session.live_metrics["drawn"]
        async with aclosing(self._session.hear()) as live_metrics:
            async for heard in live_metrics:
                if not heard:  # nothing has changed
                    continue
                told = json.loads(heard)
                if told["drawn"] != drawn:
                    return True
                if NO_LOSS not in told["numbers"]:
                    return False
        return True


def wait_for(path: Path) -> None:
    """Until the file holds something."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, f"nothing in {path} after {_PATIENCE_SECONDS} s"
        time.sleep(0.005)


def end(store: RunStore) -> None:
    """Stop what was started, and wait until its process is gone: it writes into the folder until then."""
    for run in store.runs() if store.root.exists() else []:
        process = run.status.process
        if run.state() in UNDER_WAY_STATES:
            with suppress(RunStateError):  # it has come to its end by itself
                queue.stop(run)
        while process and processes.is_alive(process):
            time.sleep(0.01)
