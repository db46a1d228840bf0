"""Figures beside their references, taken in the same run: ``python -m tests.benchmarks NAME [--json]``."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory


@dataclass(frozen=True)
class Comparison:
    """Several ways to do one thing, measured in turn.

    Attributes:
        title: what is done.
        reference: the way that the others are compared with.
        milliseconds: each way's times, a value a round, or figures in another ``unit``.
    """

    title: str
    reference: str
    milliseconds: dict[str, list[float]]
    unit: str = "ms"


@contextmanager
def disk_folder() -> Iterator[Path]:
    """A temporary folder on the disk of the working folder; the system's own may lie in memory."""
    with TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder:
        yield Path(folder)


def alternate(
    ways: Mapping[str, Callable[[], object]], rounds: int, between: Callable[[], object] = lambda: None
) -> dict[str, list[float]]:
    """Time each way once a round, in milliseconds, so that a busy machine slows them all; a first round warms up.

    ``between`` runs after each timing and is not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append((time.perf_counter() - began) * 1000)
            between()
    return {name: values[1:] for name, values in times.items()}
