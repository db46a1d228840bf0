"""What it costs to list many runs of 20 checkpoints, from the disk and again, beside plain reading of their JSON."""

import gc
from collections.abc import Callable

from fashion_core import cache
from fashion_core.runs import queue, saved_files, schema, tables
from fashion_core.runs import store as runs
from fashion_core.runs.index.index import index_of
from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.benchmarks.stores import fill

RUNS, EPOCHS = 1000, 20
ROUNDS = 7


def read(store: RunStore, *names: str) -> None:
    for name in names:
        for path in store.root.glob(f"*/{name}"):
            path.read_bytes()


def cold(way: Callable[[], object]) -> Callable[[], object]:
    """As after the start of a server: nothing is cached."""

    def forgotten() -> object:
        runs._run_at.cache_clear()
        index_of.cache_clear()
        tables._saved_paths.cache_clear()
        for module in (saved_files, schema, runs, tables):
            for value in vars(module).values():
                if isinstance(value, cache.Cache):
                    value.clear()
        return way()

    return forgotten


def run(runs: int = RUNS, epochs: int = EPOCHS) -> Comparison:
    """The system has all files in memory; *cold* means that this process has read none."""
    gc.collect()
    gc.freeze()  # as a server does when it starts: looking for garbage among what it imported takes longer than to list
    with disk_folder() as folder:
        store = RunStore(folder)
        fill(store, runs, epochs)
        # what is warm has to follow what reads the same files: the next cold way forgets them
        ways: dict[str, Callable[[], object]] = {
            "read the JSON of runs": lambda: read(store, "run.json", "labels.json", "status.json", "metrics.jsonl"),
            "runs, cold": cold(lambda: tables.runs_frame(store)),
            "runs, warm": lambda: tables.runs_frame(store),
            "what is under way, warm": lambda: queue.under_way(store),
            "the queue, warm": lambda: queue.advance(store),
            "read the JSON of checkpoints": lambda: read(store, "model_save/*.json"),
            "saved files, cold": cold(lambda: tables.saved_frame(store)),
            "saved files, warm": lambda: tables.saved_frame(store),
        }
        title = f"List {runs:,} runs of {epochs} checkpoints"
        return Comparison(title, "read the JSON of runs", alternate(ways, ROUNDS))
