"""How long training waits for a checkpoint that is saved beside the next epoch, beside that epoch."""

import time
from collections.abc import Callable

from fashion_core.config import parse_config
from fashion_core.data import fashion_mnist
from fashion_core.runs.schema import Environment
from fashion_core.runs.store import RunStore
from fashion_core.training.reporting import Position
from fashion_core.training.trainer import Trainer
from tests.benchmarks import Comparison, disk_folder
from tests.benchmarks.training import THREADS

ROUNDS = 9
EPOCH = "an epoch, nothing being saved"


def run() -> Comparison:
    dataset = "fashion-mnist" if fashion_mnist.are_present() else "synthetic"
    environment = Environment(python="3", torch="2", device="cpu", threads=THREADS)
    with disk_folder() as folder:
        store = RunStore(folder)
        trainer = Trainer(store.create(parse_config({"dataset": dataset}), environment), lambda: False)
        with trainer.saver:
            rounds = [one_round(trainer, number) for number in range(ROUNDS + 1)][1:]
        times = {name: [each[name] for each in rounds] for name in rounds[0]}
    return Comparison(f"A checkpoint an epoch of {len(trainer.train_images):,} images", EPOCH, times)


def one_round(trainer: Trainer, number: int) -> dict[str, float]:
    """Two epochs, the second one beside the saving of the first; then a checkpoint that is waited for. In ms."""
    trainer.position = Position(2 * number)
    alone, waited = milliseconds(trainer.train_epoch), milliseconds(trainer.begin_saving)
    trainer.position = Position(2 * number + 1)
    beside, waited_again = milliseconds(trainer.train_epoch), milliseconds(trainer.begin_saving)
    trainer.saver.wait()
    trainer.position = Position(2 * number)
    return {
        EPOCH: alone,
        "an epoch beside the saving": beside,
        "waiting for a checkpoint": (waited + waited_again) / 2,
        "saving one and waiting for it": milliseconds(trainer.begin_saving, trainer.saver.wait),
    }


def milliseconds(*steps: Callable[[], object]) -> float:
    began = time.perf_counter()
    for step in steps:
        step()
    return (time.perf_counter() - began) * 1000
