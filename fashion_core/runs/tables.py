"""Runs as tidy DataFrames: what tables and charts show."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from fashion_core.cache import MOST_RUNS, FileCache, LatestCache
from fashion_core.config import TrainConfig
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.runs import metrics, run_files
from fashion_core.runs.run import Run
from fashion_core.runs.run_files import Listed
from fashion_core.runs.schema import FileInfo, Parent, RunRecord, Status, Verification
from fashion_core.runs.store import RunStore, epoch_records

_STORES = 4
_SHORT_EPOCHS = 10
_IMPORTED = "imported"

RUN_COLUMNS = (
    "id", "name", "state", "dataset", "model", "epochs", "best_loss", "accuracy", "created", "parent", "tags", "error"
)  # fmt: skip
SAVED_COLUMNS = (
    "run", "name", "file", "format", "epoch", "loss", "accuracy", "bytes", "created", "best", "resumed", "damage",
    "model", "dataset",
)  # fmt: skip

_RunRow = dict[str, Any]
_run_rows: FileCache[tuple[_RunRow, Status | None]] = FileCache(MOST_RUNS)
_imported: FileCache[_RunRow] = FileCache(MOST_RUNS)
_run_frames: LatestCache[pd.DataFrame] = LatestCache(_STORES)
_saved: FileCache["_Saved"] = FileCache(MOST_RUNS)
_saved_frames: LatestCache[pd.DataFrame] = LatestCache(_STORES)


def runs_frame(store: RunStore) -> pd.DataFrame:
    """A row a run, the newest first: ``RUN_COLUMNS``.

    ``epochs`` is text ("2 of 5"), ``best_loss`` and ``accuracy`` (0 to 1, of the epoch with that loss) are NaN before
    the first epoch, ``created`` is UTC, ``parent`` is text: the run and the epoch that it was resumed from. A damaged
    run has the state "damaged" and says why in ``error``.
    """
    rows = [_run_row(run) for run in store.runs()]
    return _run_frames.get(store.root, rows, lambda: _runs_frame(rows))


def _runs_frame(rows: Sequence[_RunRow]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(RUN_COLUMNS))
    names = dict(zip(frame["id"], frame["name"], strict=True))
    return frame.astype({"best_loss": "float64", "accuracy": "float64"}).assign(
        created=pd.to_datetime(frame["created"], utc=True),
        parent=frame["parent"].map(lambda at: f"{names.get(at.run, at.run)}, epoch {at.epoch}", na_action="ignore"),
    )


def _run_row(run: Run) -> _RunRow:
    """What is on the disk is read when it changes; whether a worker is still there is asked each time."""
    row, status = _run_rows.get(run.path, _row_files(run), lambda: _read_run_row(run))
    if status and status.state == "running":
        row = {**row, "state": run.state(status)}
    if row.get("epochs") == _IMPORTED:
        row = {**row, **_imported.get(run.path, (run.checkpoint_folder,), lambda: _read_imported(run))}
    return row


@lru_cache(maxsize=MOST_RUNS)
def _row_files(run: Run) -> tuple[str, ...]:
    """What ``_read_run_row`` reads, by name: to make one of a ``Path`` takes a tenth of the time of the look."""
    return tuple(map(str, (run.record_path, run.labels_path, run.status_path, run.metrics_path)))


def _read_run_row(run: Run) -> tuple[_RunRow, Status | None]:
    try:
        record, labels, status = run.record, run.labels, run.status
        epochs = [] if record.source else metrics.read_epochs(run.metrics_path)
    except (DamagedFileError, DiskError) as error:
        return {"id": run.id, "name": run.id, "state": "damaged", "error": str(error)}, None
    return {
        "id": run.id,
        "name": labels.name,
        "state": status.state,
        "dataset": record.config.dataset,
        "model": record.config.model,
        "epochs": _epochs_text(record, len(epochs)),
        **_best(epochs),
        "created": record.created,
        "parent": record.parent,
        "tags": list(labels.tags),
        "error": status.error,
    }, status


def _read_imported(run: Run) -> _RunRow:
    """What the checkpoint of an imported run says of itself, if it is still there."""
    try:
        return _best(epoch_records(run))
    except (DamagedFileError, DiskError) as error:
        return {"state": "damaged", "error": str(error)}


def _best(epochs: Sequence[Mapping[str, Any]]) -> _RunRow:
    measured = [epoch for epoch in epochs if epoch["loss"] is not None]
    best: Mapping[str, Any] = min(measured, key=lambda epoch: float(epoch["loss"]), default={})
    return {"best_loss": best.get("loss"), "accuracy": best.get("accuracy")}


def _epochs_text(record: RunRecord, ended: int) -> str:
    """How many of its epochs a run has trained; an imported one has trained none here."""
    return _IMPORTED if record.source else f"{ended} of {record.config.epochs - record.first_epoch}"


@dataclass(frozen=True)
class _Saved:
    """What one run adds to the frame: the checkpoint that it was resumed from, and a row a saved file of its own."""

    parent: Parent | None
    rows: tuple[dict[str, Any], ...]


def saved_frame(store: RunStore) -> pd.DataFrame:
    """A row a saved file, the newest run's first: ``SAVED_COLUMNS``. Only JSON is read, never a checkpoint.

    ``file`` is its path below the run folder, ``best`` marks the whole checkpoint of a run with the lowest loss,
    ``resumed`` counts the runs that were resumed from it, and ``damage`` says why it is known not to be whole. Sizes
    and epochs are Int64, for the facts of a damaged file may be missing; ``created`` is UTC.

    A run is read again once a file of it was added, replaced or removed; ``forget_changed`` finds those that were
    written over in place.
    """
    saved = [_saved_of(run) for run in store.runs()]
    return _saved_frames.get(store.root, saved, lambda: _saved_frame(saved))


def forget_changed(store: RunStore, rows: pd.DataFrame) -> bool:
    """Whether a file of these rows of ``saved_frame`` was written over since, which its size tells; then its run is
    read again by the next one.
    """
    told = zip(rows["run"], rows["file"], rows["bytes"], rows["damage"].isna(), strict=True)
    changed = {run for run, file, size, whole in told if whole and _size_of(f"{store.root}/{run}/{file}") != size}
    for run in changed:
        _saved.forget(store.root / run)
    return bool(changed)


def is_resumed(saved: pd.DataFrame, run: Run, name: str) -> bool:
    """Whether, by ``saved_frame``, runs were resumed from this file of a run; to ask the runs takes longer."""
    return bool(saved["resumed"][(saved["run"] == run.id) & (saved["file"] == name)].any())


def _size_of(file: str) -> int | None:
    """By its name: to make a ``Path`` of it takes as long as the look."""
    with suppress(OSError):
        return run_files.size_of(file)
    return None


def _saved_frame(saved: Sequence[_Saved]) -> pd.DataFrame:
    resumed = Counter((one.parent.run, one.parent.epoch) for one in saved if one.parent)
    frame = pd.DataFrame([row for one in saved for row in one.rows], columns=list(SAVED_COLUMNS))
    types = {"epoch": "Int64", "bytes": "Int64", "loss": "float64", "accuracy": "float64", "best": "bool"}
    return frame.astype(types).assign(
        created=pd.to_datetime(frame["created"], utc=True),
        resumed=[resumed.get(key, 0) for key in zip(frame["run"], frame["resumed"], strict=True)],
    )


def _saved_of(run: Run) -> _Saved:
    read_from = (run.path, run.record_path, run.labels_path, run.verification_path, run.checkpoint_folder)
    return _saved.get(run.path, read_from, lambda: _read_saved(run))


def _read_saved(run: Run) -> _Saved:
    marks, record = Verification(), None
    with suppress(DamagedFileError, DiskError):
        marks = run.verification
    with suppress(DamagedFileError, DiskError):
        record = run.record
    about = {"run": run.id, "name": run.title}
    if record:
        about |= {"model": record.config.model, "dataset": record.config.dataset}
    try:
        rows = [row for listed in run.listed() if (row := _saved_row(run, listed, marks, about))]
    except DiskError as error:
        rows = [{**about, "file": run.name_of(error.path), "damage": str(error), "best": False, "resumed": None}]
    competing = [row for row in rows if row["resumed"] is not None and not row["damage"] and row["loss"] is not None]
    if competing:
        min(competing, key=lambda row: float(row["loss"]))["best"] = True
    return _Saved(record.parent if record else None, tuple(rows))


def _saved_row(run: Run, listed: Listed, marks: Verification, about: dict[str, str]) -> dict[str, Any] | None:
    """Nothing for a file that was deleted after it was listed; ``resumed`` is the epoch that runs go on from."""
    facts: FileInfo | None = None
    try:
        facts = run.info_of(listed)
        damage = run.damage_of(listed, facts, marks)
    except (DamagedFileError, DiskError) as error:
        damage = str(error)
    if damage and not run.info_path(run.path / listed.name).exists():
        return None
    known: dict[str, Any] = {"epoch": listed.epoch}
    if facts:  # of pydantic's own time zone pandas would ask for each file's offset
        known = {**vars(facts), "created": facts.created.astimezone(UTC)}
    return {**about, **known, "file": listed.name, "resumed": listed.epoch, "damage": damage, "best": False}


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
    done = max(0, status.epoch - first_epoch) * config.batches_per_epoch + status.batch
    rate = status.images_per_second
    left = (total - done) * config.batch_size / rate if rate else None
    return Progress(done, total, left)


def horizon(config: TrainConfig, status: Status, first_epoch: int = 0) -> range:
    """The epochs that a chart of the run should span: all of a short one; a long one's doubles when full."""
    epochs, planned = _SHORT_EPOCHS, config.epochs - first_epoch
    while epochs < planned and epochs <= status.epoch - first_epoch:
        epochs *= 2
    return range(first_epoch, first_epoch + min(epochs, planned))
