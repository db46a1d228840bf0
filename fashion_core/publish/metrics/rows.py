"""A table of what runs measured: a row for each optimizer step, and one for each epoch that has ended."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple

from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import RunRecord
from fashion_core.runs.store import RunStore


class Row(NamedTuple):
    """What one step or one epoch measured; None where it does not measure that."""

    run: str
    name: str
    parent: str | None  # the run that it was resumed from
    parent_epoch: int | None
    kind: Literal["step", "epoch"]
    step: int  # optimizer steps that the weights have behind them, those of the parents too
    epoch: int
    time: float  # seconds since 1970: when it was noted, for steps a few times a second
    train_loss: float | None
    test_loss: float | None
    accuracy: float | None
    learning_rate: float | None  # of that step; of an epoch's last one
    images_per_second: float | None


COLUMNS = tuple(Row.__annotations__)


class Point(NamedTuple):
    """One number of a curve, as TensorBoard and MLflow take it."""

    tag: str
    step: int
    time: float
    value: float


CURVES = ("train_loss", "test_loss", "accuracy", "learning_rate", "images_per_second")
_BY_STEP, _BY_STEP_TOO = ("train_loss", "learning_rate"), ("test_loss", "accuracy")  # of a step, and of an epoch


def lost_parents(store: RunStore, runs: Sequence[Run]) -> dict[str, str]:
    """By run, the parent that is no longer here: its steps are counted as if they had been of this run's batch size."""
    parents = ((run.id, run.record.parent) for run in runs)
    return {run: parent.run for run, parent in parents if parent and not store.has(parent.run)}


def steps_before(store: RunStore, run: Run) -> int:
    """How many optimizer steps the weights had behind them where the run began.

    Of a parent that is gone nobody knows the batch size: its epochs count as this one's would.
    """
    oldest, steps = run.record, 0
    for at in store.ancestors(run):
        oldest = store.at(at.run).record
        steps += (at.epoch + 1 - oldest.first_epoch) * oldest.config.batches_per_epoch
    return steps + oldest.first_epoch * oldest.config.batches_per_epoch


def read(store: RunStore, run: Run) -> Iterator[Row]:
    """The rows of a run in the order in which they were measured, read piece by piece; ``check`` tells of the others.

    Raises ``DamagedFileError`` or ``DiskError``.
    """
    record, title, before = run.record, run.title, steps_before(store, run)
    for row in _imported(run) if record.source else _measured(run):
        yield from _rows(record, title, before, row)


def check(run: Run) -> None:
    """Read all rows, piece by piece. Raises ``DamagedFileError`` if ``read`` skips any of them, ``DiskError``."""
    follower, rows, read = metrics.Follower(run.metrics_path), 0, 0
    for row in chain.from_iterable(follower.new_rows()):
        rows, read = rows + 1, read + _can_be_read(run.record, row)
    rows += follower.damaged + (follower.torn and run.ended_cleanly())
    if read < rows:
        raise metrics.skipped(run.metrics_path, rows - read, rows)


def _measured(run: Run) -> Iterator[metrics.Row]:
    for row in chain.from_iterable(metrics.Follower(run.metrics_path).new_rows()):
        if _can_be_read(run.record, row):
            yield row


def _can_be_read(record: RunRecord, row: metrics.Row) -> bool:
    written = metrics.as_written(row)
    return written is not None and written.epoch >= record.first_epoch


def _imported(run: Run) -> Iterator[metrics.Row]:
    """An import has no metrics but what is known of its file."""
    for epoch in run.epochs_saved():
        if info := run.file_info(run.checkpoint_path(epoch)):
            measured = {"loss": info.loss, "accuracy": info.accuracy, "time": info.created.timestamp()}
            yield {"kind": "epoch", "epoch": epoch, **measured}


def _rows(record: RunRecord, title: str, before: int, row: metrics.Row) -> Iterator[Row]:
    config, epoch, parent = record.config, row["epoch"], record.parent
    whose = record.id, title, parent.run if parent else None, parent.epoch if parent else None
    done = before + (epoch - record.first_epoch) * config.batches_per_epoch  # steps before this epoch
    began, time = epoch * config.batches_per_epoch, row.get("time") or record.created.timestamp()
    if row["kind"] == "batch":
        rate = row.get("images_per_second")
        for batch, loss in enumerate(row["losses"], row["batch"] + 1 - len(row["losses"])):
            step, learning_rate = done + batch + 1, config.learning_rate_at(began + batch)
            yield Row(*whose, "step", step, epoch, time, loss, None, None, learning_rate, rate)
        return
    last = None if record.source else config.learning_rate_at(began + config.batches_per_epoch - 1)
    losses, accuracy, rate = (row.get("train_loss"), row["loss"]), row["accuracy"], row.get("samples_per_second")
    yield Row(*whose, "epoch", done + config.batches_per_epoch, epoch, time, *losses, accuracy, last, rate)


def points(rows: Iterator[Row]) -> Iterator[Point]:
    """The numbers of the rows as points of curves: those of ``step/`` over steps, those of ``epoch/`` over epochs.

    What an epoch measured on the test images stands in both.
    """
    for row in rows:
        for name in CURVES:
            value = getattr(row, name)
            if value is None:
                continue
            if row.kind == "epoch":
                yield Point(f"epoch/{name}", row.epoch, row.time, value)
            if name in (_BY_STEP if row.kind == "step" else _BY_STEP_TOO):
                yield Point(f"step/{name}", row.step, row.time, value)


def hyperparameters(run: Run) -> dict[str, str | int | float]:
    """The settings, what the run was resumed from and what it computed with: the same names for every run."""
    record = run.record
    settings = record.config.model_dump(exclude={"name"})
    parent = f"epoch {record.parent.epoch} of {record.parent.run}" if record.parent else "none"
    known = {"images": record.images, "parent": parent, "torch": record.environment.torch}
    return {**settings, "threads": record.environment.threads, "device": record.environment.device, **known}
