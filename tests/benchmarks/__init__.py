"""Figures beside their references, taken in the same run: ``python -m tests.benchmarks NAME [--json]``."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Several ways to do one thing, measured in turn.

    Attributes:
        title: what is done.
        reference: the way that the others stand beside.
        milliseconds: each way's times, a value a round; figures in another ``unit`` where that says so.
    """

    title: str
    reference: str
    milliseconds: dict[str, list[float]]
    unit: str = "ms"


def nothing() -> None:
    """What is done between two timings, where there is nothing to do."""


def alternate(
    ways: Mapping[str, Callable[[], object]], rounds: int, between: Callable[[], object] = nothing
) -> dict[str, list[float]]:
    """Time each way once a round, in milliseconds, so that a busy machine slows them all; a round before warms up.

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
