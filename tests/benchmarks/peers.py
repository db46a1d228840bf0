"""A fifth of an epoch of the tutorial's network by ours, JAX, Keras, Lightning, scikit-learn and the tutorial.

They need what ``tests/benchmarks/peers.txt`` names. Each is in a process of its own, so that none disturbs another.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from fashion_core.errors import FashionError
from tests.benchmarks import Comparison, alternate, peer_epochs
from tests.benchmarks.training import IMAGES, place_to_train

Peer = Callable[[Path, Path], peer_epochs.Epoch]

ROUNDS: Final = 11
NEEDED: Final = ("jax", "keras", "lightning", "sklearn")
JAX: Final = "JAX, compiled, fp32"
PEERS: Final[dict[str, Peer]] = {
    "ours, fp32": partial(peer_epochs.ours, precision="fp32"),
    "ours, bf16": partial(peer_epochs.ours, precision="bf16"),
    JAX: partial(peer_epochs.jax, precision="fp32"),
    "JAX, compiled, bf16": partial(peer_epochs.jax, precision="bf16"),
    "Keras on JAX": peer_epochs.keras,
    "scikit-learn": peer_epochs.scikit_learn,
    "the tutorial's loop": peer_epochs.tutorial,
    "Lightning": peer_epochs.lightning,
}


def run() -> Comparison:
    """With the threads that each chooses. Raises ``FashionError`` where one of them isn't installed."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise FashionError(f"Not installed: {', '.join(missing)}. First: pip install -r tests/benchmarks/peers.txt")
    with ExitStack() as stack:
        folder, which, store = stack.enter_context(place_to_train(IMAGES))
        ways = {name: stack.enter_context(_by_itself(prepare, folder, store.root)) for name, prepare in PEERS.items()}
        return Comparison(f"{IMAGES:,} {which} through the MLP, batch 64", JAX, alternate(ways, ROUNDS))


@contextmanager
def _by_itself(prepare: Peer, folder: Path, runs: Path) -> Iterator[Callable[[], object]]:
    """What has an epoch trained in a process of its own, and waits for it."""
    context, first = get_context("spawn"), (prepare, folder, runs)
    with ProcessPoolExecutor(1, context, initializer=_prepare, initargs=first) as process:
        yield lambda: process.submit(_train).result()


_epochs: list[peer_epochs.Epoch] = []  # of this process


def _prepare(prepare: Peer, folder: Path, runs: Path) -> None:
    _epochs.append(prepare(folder, runs))


def _train() -> None:
    _epochs[0]()
