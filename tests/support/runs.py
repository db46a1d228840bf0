"""Short runs: created, put into a state, trained in this process, resumed; and rows of their metrics."""

import os
import platform
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_core import files
from fashion_core.config import TrainConfig, parse_config
from fashion_core.files import now
from fashion_core.resume import plan
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs import processes
from fashion_core.runs.processes import ProcessId
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, FileInfo, Status
from fashion_core.runs.store import RunStore

if TYPE_CHECKING:  # most of the tests need no torch
    from fashion_core.training.trainer import Trainer

SHORT: dict[str, Any] = {"train_images": 500, "device": "cpu", "threads": 1}
"""Settings with which an epoch takes a tenth of a second."""
MKL = os.environ.get("MKL_CBWR")
"""In which order MKL adds in the tests' own process."""
ELSEWHERE = ProcessId(host="node7", boot="another boot", pid=1, started=1.0)
"""A worker on another machine."""
OTHER_SHA256 = f"1a2b3c4d{'0' * 56}"


def config(**changes: Any) -> TrainConfig:
    return parse_config({**SHORT, **changes})


def new_run(store: RunStore, **changes: Any) -> Run:
    settings = config(**changes)
    python, torch = platform.python_version(), metadata.version("torch")
    device, threads = settings.device, settings.threads
    return store.create(settings, Environment(python=python, torch=torch, device=device, threads=threads, mkl=MKL))


def another(store: RunStore, run: Run) -> Run:
    return store.create(run.record.config, run.record.environment)


def on_other_images(run: Run) -> Run:
    """The same run, as a version wrote it whose dataset of that name has other images."""
    run.record_path.write_text(run.record.model_copy(update={"dataset_sha256": OTHER_SHA256}).model_dump_json())
    return run


def copied(run: Run, store: RunStore) -> Run:
    """The same run in another store, to change or delete there: faster than to train it again."""
    return Run(shutil.copytree(run.path, store.root / run.id))


def set_running(run: Run) -> None:
    """As a worker would, with this process as the worker: it takes a slot."""
    set_worker(run, processes.identify(os.getpid()))


def set_worker(run: Run, process: ProcessId | None, heartbeat: float | None = None) -> None:
    """As a worker with this process ID would while it trains; None as the queue does before a worker exists."""
    running = {"state": "running", "process": process, "heartbeat": heartbeat or now()}
    run.write_status(run.status.model_copy(update=running))


def set_state(run: Run, state: str) -> None:
    """As a worker that has ended leaves it."""
    run.write_status(Status.model_validate({**run.status.model_dump(), "state": state, "process": None}))


def never() -> bool:
    return False


def save_file(run: Run, file: Path, loss: float | None = 1.0, content: bytes = b"content") -> None:
    epoch, digest = run.epoch_of(file), files.write_bytes(file, content)
    known: dict[str, Any] = {"format": "checkpoint" if epoch is not None else "weights", "epoch": epoch or 0}
    known |= {"loss": loss, "accuracy": 0.5, "seconds": 0.1, "created": datetime.now(UTC), "why": "epoch"}
    run.write_info(file, FileInfo(sha256=digest.sha256, bytes=digest.bytes, **known))


class After:
    """A ``should_stop`` that is True from the n-th call on; training asks before each epoch and between batches."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


FEW = 200
"""Test images that tell one state from another; measuring on all takes five times as long as a short epoch."""


def train(run: Run, should_stop: Callable[[], bool] = never, test_images: int = 0) -> str:
    """Train the run in this process, measuring on the first test images (0: all); return how it ended."""
    with run.writing():
        return trainer(run, should_stop, test_images).train()


def trainer(run: Run, should_stop: Callable[[], bool] = never, test_images: int = 0) -> "Trainer":
    from fashion_core.training.trainer import Trainer

    train_half, test_half = _images(run.record.config.dataset, os.environ.get("FASHION_DATA"))
    return Trainer(run, should_stop, (train_half, test_half.first(test_images)))


@cache
def _images(dataset: str, _folder: str | None) -> Any:
    from fashion_core.data import batches

    return batches.load(dataset)


def resume(store: RunStore, parent: Run, epoch: int, additional: int | None = None, **overrides: Any) -> Run:
    more = plan.planned_epochs(parent, epoch) if additional is None else additional
    return plan.create(store, parent, [ResumeRequest(epoch, more, overrides)])[0]


def on_real_data(store: RunStore, run: Run) -> Run:
    """A run on Fashion-MNIST that holds the whole model of this one."""
    real = store.create(run.record.config.model_copy(update={"dataset": "fashion-mnist"}), run.record.environment)
    info = run.file_info(run.model_path)
    assert info is not None
    real.model_path.write_bytes(run.model_path.read_bytes())
    real.write_info(real.model_path, info)
    return real


def save_again(run: Run, epoch: int, content: dict[str, Any]) -> None:
    """Put another checkpoint in the place of one, with facts that are true of it."""
    path = run.checkpoint_path(epoch)
    facts = run.file_info(path)
    assert facts is not None
    import torch

    torch.save(content, path)
    digest = files.digest_of(path)
    run.write_info(path, facts.model_copy(update={"sha256": digest.sha256, "bytes": digest.bytes}))


def batch_row(epoch: int, last: int, losses: list[float]) -> dict[str, Any]:
    return {"kind": "batch", "epoch": epoch, "batch": last, "losses": losses, "images_per_second": 1.0, "time": 0.0}


def epoch_row(epoch: int) -> dict[str, Any]:
    numbers = ("loss", "accuracy", "train_loss", "seconds", "samples_per_second")
    return {"kind": "epoch", "epoch": epoch, **dict.fromkeys(numbers, 1.0)}


def set_finished(run: Run) -> None:
    with run.writing():
        run.write_status(run.status.model_copy(update={"state": "finished", "epoch": run.record.config.epochs}))


def finish(run: Run) -> Run:
    train(run)
    set_finished(run)
    return run


def trained(store: RunStore, **changes: Any) -> Run:
    return finish(new_run(store, **changes))
