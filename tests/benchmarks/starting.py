"""From the click on Train to the first metric row: a real worker on the tutorial's settings."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from fashion_core import data, dataset_files, jobs, processes
from fashion_core.config import parse_config
from fashion_core.errors import RunStateError
from fashion_core.runs import Run, RunStore

from . import Comparison, alternate

ROUNDS = 7
TORCH = "python -c 'import torch'"
_PATIENCE_SECONDS = 60


def run() -> Comparison:
    """In a server that has started a run before, and in one where this is the first."""
    dataset = "fashion-mnist" if dataset_files.are_present() else "synthetic"
    data.load(dataset)  # draws and keeps the garments where they are the dataset
    started: list[Run] = []
    with TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder:
        os.environ["FASHION_RUNS"] = folder
        store = RunStore(Path(folder))

        def start() -> None:
            started.append(jobs.start(store, parse_config({"dataset": dataset})))
            wait_for(started[-1].metrics_path)

        def first_start() -> None:
            jobs._asked_machine.cache_clear()
            start()

        ways = {
            TORCH: lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True),
            "start to first row": start,
            "the same, before the server knows its machine": first_start,
        }
        times = alternate(ways, ROUNDS, between=lambda: end(started))
    return Comparison(f"Starting the MLP on {dataset}", TORCH, times)


def wait_for(path: Path) -> None:
    """Until it holds something."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, f"nothing in {path} after {_PATIENCE_SECONDS} s"
        time.sleep(0.005)


def end(started: list[Run]) -> None:
    """Stop what was started, and wait until its process is gone: it writes into the folder to the last."""
    while started:
        run = started.pop()
        process = run.status.process
        with suppress(RunStateError):  # it has come to its end by itself
            jobs.stop(run)
        while process and processes.is_alive(process):
            time.sleep(0.01)
