"""Training beside other busy processes: automatic threads, one, and as many as there are cores, with the best as 1.

A short epoch of each, in turn: of the MLP and the CNN, in fp32 and, where the CPU has instructions for it, in bf16.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from statistics import median
from typing import Any, Final

from fashion_core.runs.processes import child_environment
from tests.benchmarks import Comparison, alternate

ROUNDS: Final = 7
IMAGES: Final = {"mlp": 12_000, "cnn": 1_200}
COMPANY: Final = {"alone": 0, "one busy": 1, "two busy": 2}
BEST: Final = "the better of the fixed numbers"
_BUSY: Final = "while True: pass"


def run() -> Comparison:
    os.environ.update(child_environment())  # as a worker has it, before torch is imported
    import torch

    from fashion_core.devices import has_bf16
    from tests.benchmarks.training import our_epoch, place_to_train

    most = torch.get_num_threads()
    precisions = ("fp32", "bf16") if has_bf16(torch.device("cpu")) else ("fp32",)
    ratios: dict[str, list[float]] = {BEST: [1.0] * ROUNDS}
    with ExitStack() as places:
        for model, images in IMAGES.items():
            folder, _, store = places.enter_context(place_to_train(images))

            def epoch(threads: int, **settings: Any) -> Callable[[], None]:
                train = our_epoch(store, folder, train_images=images, threads=threads, **settings)  # noqa: B023

                def with_threads() -> None:
                    torch.set_num_threads(threads or most)
                    train()

                return with_threads

            for precision, (company, processes) in product(precisions, COMPANY.items()):
                with busy(processes):  # a number of threads that stays is chosen there too
                    ways = {name: epoch(threads, model=model, precision=precision) for name, threads in ways_of(most)}
                    ratios |= in_proportion(f"{model} {precision}, {company}", alternate(ways, ROUNDS))
    return Comparison(f"A short epoch with up to {most} threads", BEST, ratios, unit="")


def ways_of(most: int) -> list[tuple[str, int]]:
    return [("automatic", 0), ("1 thread", 1), (f"{most} threads", most)]


def in_proportion(cell: str, times: dict[str, list[float]]) -> dict[str, list[float]]:
    best = min(median(values) for name, values in times.items() if name != "automatic")
    return {f"{cell}, {name}": [value / best for value in values] for name, values in times.items()}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes compute inside the block, for no purpose."""
    with ExitStack() as others:
        for _ in range(count):
            other = others.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
            others.callback(other.kill)
        yield
