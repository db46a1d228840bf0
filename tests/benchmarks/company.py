"""Training alone and beside other busy processes: automatic threads, and each fixed number, with the best as 1.

A short epoch of each, in turn: of every model, in fp32 and, where the CPU has instructions for it, in bf16.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

from fashion_core.runs.processes import child_environment
from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, alternate

ROUNDS: Final = 7
IMAGES: Final = {"mlp": 12_000, "cnn": 1_200, "resnet18": 320}
COMPANY: Final = {"alone": 0, "one busy": 1, "two busy": 2}
BEST: Final = "the best of the fixed numbers"
AUTOMATIC: Final = "automatic"
_BUSY: Final = "while True: pass"


def run() -> Comparison:
    os.environ.update(child_environment())  # as a worker has it, before torch is imported
    import torch

    from fashion_core.devices import has_bf16
    from fashion_core.training.threads import candidates
    from tests.benchmarks.training import THREADS, place_to_train

    numbers = {AUTOMATIC: 0, **{f"threads: {count}": count for count in candidates(THREADS)}}
    precisions = ("fp32", "bf16") if has_bf16(torch.device("cpu")) else ("fp32",)
    ratios: dict[str, list[float]] = {BEST: [1.0] * ROUNDS}
    with ExitStack() as places:
        for model, images in IMAGES.items():
            folder, _, store = places.enter_context(place_to_train(images))
            for precision, (company, processes) in product(precisions, COMPANY.items()):
                settings = {"model": model, "train_images": images, "precision": precision}
                with busy(processes):  # a number of threads that stays is chosen there too
                    ways = {name: epoch(threads, store, folder, **settings) for name, threads in numbers.items()}
                    ratios |= in_proportion(f"{model} {precision}, {company}", alternate(ways, ROUNDS))
    return Comparison(f"A short epoch with up to {THREADS} threads", BEST, ratios, unit="")


def epoch(threads: int, store: RunStore, folder: Path, **settings: Any) -> Callable[[], None]:
    """One with this number of threads, or with automatic ones where it is 0."""
    import torch

    from tests.benchmarks.training import THREADS, our_epoch

    train = our_epoch(store, folder, threads=threads, **settings)

    def with_threads() -> None:
        torch.set_num_threads(threads or THREADS)
        train()

    return with_threads


def in_proportion(cell: str, times: dict[str, list[float]]) -> dict[str, list[float]]:
    """Each round's times beside those of the number that is best by its median."""
    best = min((median(values), name) for name, values in times.items() if name != AUTOMATIC)[1]
    return {
        f"{cell}, {name}": [value / beside for value, beside in zip(values, times[best], strict=True)]
        for name, values in times.items()
    }


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes compute inside the block, for no purpose."""
    with ExitStack() as others:
        for _ in range(count):
            other = others.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
            others.callback(other.kill)
        yield
