"""From the click on Start to the first loss: on the disk, and on the page where it was pressed.

A real worker on the tutorial's settings, a real server, and a session that hears live metrics as a browser does.
"""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import aclosing

from fashion_core.config import DATASET_LABELS, parse_config
from fashion_core.data import batches, fashion_mnist
from fashion_core.runs import queue, torch_process
from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.benchmarks.serving import serving
from tests.benchmarks.sessions import Session, open_session
from tests.support.processes import end_workers, wait_until

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
            path = queue.start(store, parse_config({"dataset": dataset})).metrics_path
            wait_until(lambda: path.exists() and path.stat().st_size, "the file has a row")

        def first_start() -> None:
            torch_process._machine.clear()
            start()

        with serving(folder) as server, asyncio.Runner() as runner:

            def open_form() -> Session:
                return runner.run(open_session(server.port, "train", {}, prompt=False))[0]

            def end_and_open() -> None:
                end_workers(store)
                runner.run(sessions.pop().connection.close())
                sessions.append(open_form())

            sessions, choices = [open_form()], {"Dataset": DATASET_LABELS[dataset]}
            ways = {
                TORCH: lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True),
                "start to first row": start,
                "the same, before the server knows its machine": first_start,
                "click to first loss on the page": lambda: runner.run(start_and_see(sessions[0], choices)),
            }
            times = alternate(ways, ROUNDS, between=end_and_open)
            runner.run(sessions.pop().connection.close())
    return Comparison(f"Starting the MLP on {dataset}", TORCH, times)


async def start_and_see(session: Session, choices: dict[str, str]) -> None:
    """Press Start on the form of the Train page, and listen until the page hears of a loss."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        seen = await session.press("Start", choices)
        while NO_LOSS in session.live_metrics["numbers"] and await is_outdated(session):
            assert not seen.problems, seen.problems
            seen = await session.run()


async def is_outdated(session: Session) -> bool:
    """Whether the page has to run again before it hears of a loss."""
    drawn = session.live_metrics["drawn"]
    async with aclosing(session.hear()) as live_metrics:
        async for heard in live_metrics:
            if not heard:  # nothing has changed
                continue
            told = json.loads(heard)
            if told["drawn"] != drawn:
                return True
            if NO_LOSS not in told["numbers"]:
                return False
    return True
