"""Runs as tidy DataFrames: what tables and charts show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fashion_core import metrics
from fashion_core.config import TrainConfig
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.records import run_record
from fashion_core.runs import Run, RunStore
from fashion_core.schema import Status

MAX_POINTS = 1500
"""More than a chart has pixels for; each point costs time in the browser."""
_SMOOTHING_BATCHES = 50
_SHORT_EPOCHS = 10

RUN_COLUMNS = (
    "id", "name", "state", "dataset", "model", "epochs", "best_loss", "accuracy", "created", "parent", "tags", "error"
)  # fmt: skip


def runs_frame(store: RunStore) -> pd.DataFrame:
    """A row a run, the newest first: ``RUN_COLUMNS``.

    ``epochs`` is text ("2 of 5"), ``best_loss`` and ``accuracy`` (0 to 1, of the epoch with that loss) are NaN before
    the first epoch, ``created`` is UTC. A damaged run has the state "damaged" and says why in ``error``.
    """
    frame = pd.DataFrame([_run_row(run) for run in store.runs()], columns=list(RUN_COLUMNS))
    return frame.astype({"best_loss": "float64", "accuracy": "float64"}).assign(
        created=pd.to_datetime(frame["created"], utc=True)
    )


def _run_row(run: Run) -> dict[str, Any]:
    try:
        record = run_record(run)
    except (DamagedFileError, DiskError) as error:
        return {"id": run.id, "name": run.id, "state": "damaged", "error": str(error)}
    best: dict[str, Any] = min(record["epochs"], key=lambda epoch: float(epoch["loss"]), default={})
    config = record["config"]
    return {
        **{key: record[key] for key in ("id", "name", "state", "created", "error")},
        **{key: config[key] for key in ("dataset", "model")},
        "epochs": f"{len(record['epochs'])} of {config['epochs']}",
        "best_loss": best.get("loss"),
        "accuracy": best.get("accuracy"),
        "parent": f"{record['parent']['run']} epoch {record['parent']['epoch']}" if record["parent"] else None,
        "tags": list(record["tags"]),
    }


def batches_frame(rows: Iterable[metrics.Row], config: TrainConfig) -> pd.DataFrame:
    """At most ``MAX_POINTS`` batches: ``step`` (int64, from 1), ``loss`` and ``smoothed`` (float64), extremes kept."""
    steps: list[int] = []
    losses: list[float] = []
    for row in rows:
        if row["kind"] == "batch":
            last = row["epoch"] * config.batches_per_epoch + row["batch"] + 1
            steps.extend(range(last - len(row["losses"]) + 1, last + 1))
            losses.extend(row["losses"])
    frame = pd.DataFrame({"step": np.array(steps, dtype="int64"), "loss": np.array(losses, dtype="float64")})
    frame["smoothed"] = frame["loss"].ewm(span=_SMOOTHING_BATCHES).mean()
    return thin_out(frame, MAX_POINTS)


def thin_out(frame: pd.DataFrame, points: int) -> pd.DataFrame:
    """At most ``points`` rows: the lowest and the highest ``loss`` of equal stretches, the first and the last row."""
    if len(frame) <= points:
        return frame
    stretch = np.arange(len(frame)) * (points // 2 - 1) // len(frame)
    by_stretch = frame["loss"].groupby(stretch)
    kept = {0, len(frame) - 1, *by_stretch.idxmin(), *by_stretch.idxmax()}
    return frame.iloc[sorted(kept)]


def epochs_frame(rows: Iterable[metrics.Row], config: TrainConfig, saved: Sequence[int]) -> pd.DataFrame:
    """A row an epoch that has ended: ``epoch`` and ``step`` (int64, where it ended), ``loss`` and ``accuracy`` on the
    test images, ``train_loss``, ``seconds``, ``samples_per_second`` (float64), ``checkpoint`` (bool, it is on disk).
    """
    ended = [row for row in rows if row["kind"] == "epoch"]
    epochs = np.array([row["epoch"] for row in ended], dtype="int64")
    numbers = ("loss", "accuracy", "train_loss", "seconds", "samples_per_second")
    return pd.DataFrame(
        {
            "epoch": epochs,
            "step": (epochs + 1) * config.batches_per_epoch,
            **{name: np.array([row[name] for row in ended], dtype="float64") for name in numbers},
            "checkpoint": np.isin(epochs, saved),
        }
    )


@dataclass(frozen=True)
class Progress:
    """How far a run is: steps done and in all, and the seconds still to go if its rate is known."""

    done: int
    total: int
    seconds_left: float | None

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total)


def progress(config: TrainConfig, status: Status) -> Progress:
    """How far the run with these settings and this status is."""
    total = config.epochs * config.batches_per_epoch
    done = status.epoch * config.batches_per_epoch + status.batch
    rate = status.images_per_second
    left = (total - done) * config.batch_size / rate if rate else None
    return Progress(done, total, left)


def horizon(config: TrainConfig, status: Status) -> int:
    """How many optimizer steps a chart of the run should span: all of a short one; a long one's doubles when full."""
    epochs = _SHORT_EPOCHS
    while epochs < config.epochs and epochs <= status.epoch:
        epochs *= 2
    return min(epochs, config.epochs) * config.batches_per_epoch
