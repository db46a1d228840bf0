"""Training that is cut short on purpose, and bitwise comparison of what it wrote."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from tests.support.runs import After

UNLIKE = {"run", "seconds", "samples_per_second", "images_per_second", "time"}
"""Keys that differ from run to run: its id and times."""


class KilledError(BaseException):
    """Ends training at once and leaves the folder as a kill would."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute as a script with one thread does: then equal inputs give equal bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def killed_after(times: int) -> Callable[[], bool]:
    should_stop = After(times)

    def kill() -> bool:
        if should_stop():
            raise KilledError
        return False

    return kill


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(key in UNLIKE or same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def epoch_rows(run: Run) -> list[dict[str, Any]]:
    return [row for row in metrics.read_rows(run.metrics_path) if row["kind"] == "epoch"]
