"""Runs as tidy DataFrames: what tables and charts show."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_core import metrics
from fashion_core.config import TrainConfig
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.records import run_record
from fashion_core.runs import Run, RunStore
from fashion_core.schema import Facts, Marks, RunRecord, Status

MAX_POINTS = 1500
"""More than a chart has pixels for; each point costs time in the browser."""
_SMOOTHING_BATCHES = 50
_SHORT_EPOCHS = 10

RUN_COLUMNS = (
    "id", "name", "state", "dataset", "model", "epochs", "best_loss", "accuracy", "created", "parent", "tags", "error"
)  # fmt: skip
SAVED_COLUMNS = (
    "run", "name", "file", "format", "epoch", "loss", "accuracy", "bytes", "created", "best", "resumed", "damage",
    "model", "dataset",
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
    measured = [epoch for epoch in record["epochs"] if epoch["loss"] is not None]
    best: dict[str, Any] = min(measured, key=lambda epoch: float(epoch["loss"]), default={})
    config = record["config"]
    return {
        **{key: record[key] for key in ("id", "name", "state", "created", "error")},
        **{key: config[key] for key in ("dataset", "model")},
        "epochs": _epochs_text(record),
        "best_loss": best.get("loss"),
        "accuracy": best.get("accuracy"),
        "parent": f"{record['parent']['run']} epoch {record['parent']['epoch']}" if record["parent"] else None,
        "tags": list(record["tags"]),
    }


def _epochs_text(record: Mapping[str, Any]) -> str:
    """How many of its epochs a run has trained; an imported one has trained none here."""
    if record["source"]:
        return "imported"
    first = record["parent"]["epoch"] + 1 if record["parent"] else 0
    return f"{len(record['epochs'])} of {record['config']['epochs'] - first}"


def saved_frame(store: RunStore) -> pd.DataFrame:
    """A row a saved file, the newest run's first: ``SAVED_COLUMNS``. Only JSON is read, never a checkpoint.

    ``file`` is its path below the run folder, ``best`` marks the whole checkpoint of a run with the lowest loss,
    ``resumed`` counts the runs that were resumed from it, and ``damage`` says why it is known not to be whole. Sizes
    and epochs are Int64, for the facts of a damaged file may be missing; ``created`` is UTC.
    """
    records = [(run, _record_of(run)) for run in store.runs()]
    resumed = Counter((record.parent.run, record.parent.epoch) for _, record in records if record and record.parent)
    rows = [row for run, record in records for row in _saved_rows(run, record, resumed)]
    frame = pd.DataFrame(rows, columns=list(SAVED_COLUMNS))
    types = {"epoch": "Int64", "bytes": "Int64", "loss": "float64", "accuracy": "float64", "best": "bool"}
    return frame.astype(types).assign(created=pd.to_datetime(frame["created"], utc=True))


def _record_of(run: Run) -> RunRecord | None:
    with suppress(DamagedFileError, DiskError):
        return run.record
    return None


def _saved_rows(run: Run, record: RunRecord | None, resumed: Mapping[tuple[str, int], int]) -> list[dict[str, Any]]:
    marks = Marks()
    with suppress(DamagedFileError, DiskError):
        marks = run.marks
    about = {"run": run.id, "name": run.title}
    if record:
        about |= {"model": record.config.model, "dataset": record.config.dataset}
    rows = [{**about, **row} for file in run.saved_files() if (row := _saved_row(run, file, marks, resumed))]
    losses = {index: row["loss"] for index, row in enumerate(rows) if row["competes"]}
    best = min(losses, key=lambda index: float(losses[index]), default=None)
    return [{**row, "best": index == best} for index, row in enumerate(rows)]


def _saved_row(run: Run, file: Path, marks: Marks, resumed: Mapping[tuple[str, int], int]) -> dict[str, Any] | None:
    """Nothing for a file that was deleted after it was listed."""
    facts: Facts | None = None
    try:
        facts = run.facts(file)
        damage = run.damage(file, marks)
    except (DamagedFileError, DiskError, FileNotFoundError) as error:
        damage = str(error)
    if damage and not run.facts_path(file).exists():
        return None
    epoch = run.epoch_of(file)
    known = {name: getattr(facts, name, None) for name in _KNOWN}
    return {
        **known,
        "epoch": facts.epoch if facts else epoch,
        "file": run.name_of(file),
        "resumed": resumed.get((run.id, epoch), 0) if epoch is not None else 0,
        "damage": damage,
        "competes": epoch is not None and damage is None and known["loss"] is not None,
    }


_KNOWN = ("format", "epoch", "loss", "accuracy", "bytes", "created")


def batches_frame(rows: Iterable[metrics.Row], config: TrainConfig, first_epoch: int = 0) -> pd.DataFrame:
    """At most ``MAX_POINTS`` batches: ``step`` (int64), ``loss`` and ``smoothed`` (float64), extremes kept.

    Steps count from 1 at the start of this run, whose first epoch is ``first_epoch``.
    """
    steps: list[int] = []
    losses: list[float] = []
    for row in rows:
        if row["kind"] == "batch":
            last = (row["epoch"] - first_epoch) * config.batches_per_epoch + row["batch"] + 1
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


def epochs_frame(
    rows: Iterable[metrics.Row], config: TrainConfig, saved: Sequence[int], first_epoch: int = 0
) -> pd.DataFrame:
    """A row an epoch that has ended: ``epoch`` and ``step`` (int64, where it ended, as in ``batches_frame``), ``loss``
    and ``accuracy`` on the test images, ``train_loss``, ``seconds``, ``samples_per_second`` (float64), ``checkpoint``
    (bool, it is on disk).
    """
    ended = [row for row in rows if row["kind"] == "epoch"]
    epochs = np.array([row["epoch"] for row in ended], dtype="int64")
    numbers = ("loss", "accuracy", "train_loss", "seconds", "samples_per_second")
    return pd.DataFrame(
        {
            "epoch": epochs,
            "step": (epochs + 1 - first_epoch) * config.batches_per_epoch,
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


def records_frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The epochs of a run's record: ``epoch`` (int64), ``loss``, ``accuracy`` (float64), ``checkpoint`` (bool)."""
    columns = {name: [record[name] for record in records] for name in ("epoch", "loss", "accuracy", "checkpoint")}
    frame = pd.DataFrame(columns).astype({"epoch": "int64", "loss": "float64", "accuracy": "float64"})
    return frame.assign(checkpoint=frame["checkpoint"].notna())


def progress(config: TrainConfig, status: Status, first_epoch: int = 0) -> Progress:
    """How far the run with these settings and this status is."""
    total = (config.epochs - first_epoch) * config.batches_per_epoch
    done = (status.epoch - first_epoch) * config.batches_per_epoch + status.batch
    rate = status.images_per_second
    left = (total - done) * config.batch_size / rate if rate else None
    return Progress(done, total, left)


def horizon(config: TrainConfig, status: Status, first_epoch: int = 0) -> int:
    """How many optimizer steps a chart of the run should span: all of a short one; a long one's doubles when full."""
    epochs, planned = _SHORT_EPOCHS, config.epochs - first_epoch
    while epochs < planned and epochs <= status.epoch - first_epoch:
        epochs *= 2
    return min(epochs, planned) * config.batches_per_epoch
