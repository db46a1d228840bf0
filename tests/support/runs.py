"""Short runs: made, put into a state, trained in this process, resumed; and rows of their metrics."""

import os
import platform
import shutil
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

from fashion_core.config import TrainConfig, parse_config
from fashion_core.files import now
from fashion_core.resume import plan, resumptions
from fashion_core.resume.resumptions import ResumeRequest
from fashion_core.runs import processes
from fashion_core.runs.processes import ProcessId
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, Status
from fashion_core.runs.store import RunStore

SHORT: dict[str, Any] = {"train_images": 500, "device": "cpu", "threads": 1}
"""Settings with which an epoch takes a tenth of a second."""


def config(**changes: Any) -> TrainConfig:
    return parse_config({**SHORT, **changes})


def new_run(store: RunStore, **changes: Any) -> Run:
    """A queued run of a few images that nobody has started."""
    settings = config(**changes)
    environment = Environment(
        python=platform.python_version(),
        torch=metadata.version("torch"),
        device=settings.device,
        threads=settings.threads,
    )
    return store.create(settings, environment)


def copied(run: Run, store: RunStore) -> Run:
    """The same run in another store, to change or delete there: faster than to train it again."""
    return Run(shutil.copytree(run.path, store.root / run.id))


def set_running(run: Run) -> None:
    """As a worker would, with this process in its place: it takes a slot."""
    set_worker(run, processes.identify(os.getpid()))


def set_worker(run: Run, process: ProcessId | None, heartbeat: float | None = None) -> None:
    """As this process would while it trains the run; None as the queue does before there is one."""
    changes = {"state": "running", "process": process, "heartbeat": heartbeat or now()}
    run.write_status(run.status.model_copy(update=changes))


def set_state(run: Run, state: str) -> None:
    """As a worker leaves it that has ended."""
    run.write_status(Status.model_validate({**run.status.model_dump(), "state": state, "process": None}))


def never() -> bool:
    return False


class After:
    """A ``should_stop`` that says yes the n-th time it is asked; it is asked before each epoch and between batches."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def train(run: Run, should_stop: Callable[[], bool] = never, test_images: int = 0) -> str:
    """Drive the run in this process, measuring on the first so many test images, or on all; gives how it ended."""
    from fashion_core.training.trainer import Trainer

    train_half, test_half = _images(run.record.config.dataset, os.environ.get("FASHION_DATA"))
    with run.writing():
        return Trainer(run, should_stop, (train_half, test_half.first(test_images))).train()


@cache
def _images(dataset: str, _folder: str | None) -> Any:
    """Both halves of the images in this folder, read and checked once."""
    from fashion_core.data import batches

    return batches.load(dataset)


def resume(store: RunStore, parent: Run, epoch: int, additional: int | None = None, **overrides: Any) -> Run:
    """A queued child of the parent's checkpoint; by default it finishes what the parent had planned."""
    more = plan.planned_epochs(parent, epoch) if additional is None else additional
    return resumptions.create(store, parent, [ResumeRequest(epoch, more, overrides)])[0]


def batch_row(epoch: int, last: int, losses: list[float]) -> dict[str, Any]:
    return {"kind": "batch", "epoch": epoch, "batch": last, "losses": losses, "images_per_second": 1.0, "time": 0.0}


def epoch_row(epoch: int) -> dict[str, Any]:
    numbers = ("loss", "accuracy", "train_loss", "seconds", "samples_per_second")
    return {"kind": "epoch", "epoch": epoch, **dict.fromkeys(numbers, 1.0)}


def trained(store: RunStore, **changes: Any) -> Run:
    """A run that was trained to its end in this process."""
    run = new_run(store, **changes)
    train(run)
    with run.writing():
        run.write_status(run.status.model_copy(update={"state": "finished"}))
    return run
