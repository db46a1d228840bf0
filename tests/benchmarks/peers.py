"""A fifth of an epoch of the tutorial's network: ours, JAX, Keras, Lightning, scikit-learn and the tutorial's loop.

They need what ``tests/benchmarks/peers.txt`` names. Each is in a process of its own, as it is for whoever uses it.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from unittest.mock import patch

from fashion_core.errors import FashionError
from fashion_core.runs.processes import KEEP_FREED_BLOCKS, child_environment
from tests.benchmarks import Comparison, alternate, peer_epochs

ROUNDS: Final = 11
IMAGES: Final = 187 * peer_epochs.BATCH  # full batches alone: a compiled epoch takes no other
NEEDED: Final = ("jax", "keras", "lightning", "sklearn")
JAX: Final = "JAX, compiled epoch, fp32"
PEERS: Final[dict[str, Callable[[Path], peer_epochs.Epoch]]] = {
    JAX: partial(peer_epochs.jax_epoch, precision="fp32"),
    "JAX, compiled epoch, bf16": partial(peer_epochs.jax_epoch, precision="bf16"),
    "Keras on JAX, fp32": peer_epochs.keras_epoch,
    "scikit-learn, fp32": peer_epochs.scikit_learn_epoch,
    "the tutorial's loop, fp32": peer_epochs.tutorial_epoch,
    "Lightning, fp32": peer_epochs.lightning_epoch,
}


def run() -> Comparison:
    """With the threads that each chooses. Raises ``FashionError`` where one of them isn't installed."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        install = ".venv/bin/pip install -r tests/benchmarks/peers.txt"
        raise FashionError(f"Not installed: {', '.join(missing)}. First: {install}")
    from tests.benchmarks.training import place_to_train

    worker = {**child_environment(), **KEEP_FREED_BLOCKS}
    with ExitStack() as stack:
        folder, which, store = stack.enter_context(place_to_train(IMAGES))
        ways: dict[str, Callable[[], object]] = {}
        for precision in ("fp32", "bf16"):
            ours = partial(peer_epochs.our_epoch, runs=store.root, train_images=IMAGES, precision=precision)
            ways[f"ours, {precision}"] = stack.enter_context(_by_itself(ours, folder, worker))
        for name, prepare in PEERS.items():
            ways[name] = stack.enter_context(_by_itself(prepare, folder, {}))
        title = f"{IMAGES:,} {which} through the MLP, batch {peer_epochs.BATCH}"
        return Comparison(title, JAX, alternate(ways, ROUNDS))


@contextmanager
def _by_itself(
    prepare: Callable[[Path], peer_epochs.Epoch], folder: Path, environment: dict[str, str]
) -> Iterator[Callable[[], object]]:
    """What has an epoch trained in a process of its own, and waits for it."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(prepare, folder)) as process:
        with patch.dict(os.environ, environment):
            process.submit(os.getpid).result()  # it begins
        yield lambda: process.submit(_train).result()


_epochs: list[peer_epochs.Epoch] = []  # of this process


def _prepare(prepare: Callable[[Path], peer_epochs.Epoch], folder: Path) -> None:
    _epochs.append(prepare(folder))


def _train() -> None:
    _epochs[0]()
