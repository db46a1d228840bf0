"""The position of a training run, and how it reports its progress."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fashion_core.config import TrainConfig
from fashion_core.errors import DivergedError
from fashion_core.files import now
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.training.group import Group

REPORT_SECONDS = 0.25  # between two metric rows, and so between two synchronisations with the device
FIRST_REPORT_SECONDS = 0.05  # to the first row that a process writes: someone has just clicked and is watching


@dataclass
class Position:
    """The next batch, and the running totals of its epoch."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0  # over the images trained on in this epoch
    seconds: float = 0.0  # that they took


@dataclass(frozen=True)
class EpochResult:
    """Test loss and accuracy (0 to 1), mean training loss, seconds of training, and images a second."""

    loss: float
    accuracy: float
    train_loss: float
    seconds: float
    samples_per_second: float


class Reporter:
    """Collects the losses of batches on the device, to be read together once ``is_due``, a few times a second.

    ``report`` is called with the images per second; with ``soon``, the first call comes early. With several processes,
    each loss that is added is this one's part of it.
    """

    def __init__(
        self,
        run: Run,
        config: TrainConfig,
        position: Position,
        report: Callable[[float], None],
        soon: bool,
        group: Group,
    ) -> None:
        self.run, self.config, self.position, self.report, self.group = run, config, position, report, group
        self.losses: list[Tensor] = []
        self.flushed = time.perf_counter()
        self.patience = min(FIRST_REPORT_SECONDS, REPORT_SECONDS) if soon else REPORT_SECONDS

    def add(self, loss: Tensor) -> None:
        """Add the loss of the batch at the position, and advance the position."""
        self.losses.append(loss)
        self.position.batch += 1

    @property
    def is_due(self) -> bool:
        return time.perf_counter() - self.flushed > self.patience

    def flush(self) -> None:
        """Write the collected losses as a metric row and into the status; all processes together.

        Raises ``DivergedError``.
        """
        if not self.losses:
            return
        first, images = self.position.batch - len(self.losses), 0
        losses: list[float] = self.group.sum(torch.stack(self.losses)).tolist()
        self.losses, self.patience = [], REPORT_SECONDS
        for batch, loss in enumerate(losses, first):
            if not math.isfinite(loss):
                self._write_row(first, losses[: batch - first], None)
                raise DivergedError(self.position.epoch, batch, loss)
            size = self.config.images_in_batch(batch)
            self.position.loss_sum += loss * size  # one by one, so that the sum doesn't depend on when it is read
            images += size
        seconds, self.flushed = time.perf_counter() - self.flushed, time.perf_counter()
        self.position.seconds += seconds
        self._write_row(first, losses, images / seconds)
        self.report(images / seconds)

    def _write_row(self, first: int, losses: list[float], rate: float | None) -> None:
        if not losses or not self.group.leads:
            return
        place = {"kind": "batch", "epoch": self.position.epoch, "batch": first + len(losses) - 1}
        measured = {"losses": [float(f"{loss:.6g}") for loss in losses], "images_per_second": rate, "time": now()}
        metrics.append_row(self.run.metrics_path, {**place, **measured})
