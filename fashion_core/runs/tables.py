"""Runs and their saved files as tidy DataFrames: what tables and charts show."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from cachetools import FIFOCache

from fashion_core.cache import MOST_RUNS, Cache, stamp
from fashion_core.config import TrainConfig
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.runs import metrics, saved_files
from fashion_core.runs.index.row import FIELDS, Row
from fashion_core.runs.run import Run
from fashion_core.runs.saved_files import ListedFile
from fashion_core.runs.schema import FileInfo, Parent, Status, Verification, read_record
from fashion_core.runs.store import RunStore

_STORES = 4

RUN_COLUMNS = (
    "id", "name", "state", "dataset", "model", "epochs", "last_epoch", "last_loss", "best_loss", "accuracy", "created",
    "parent", "tags", "notes", "curve", "repeat", "started", "error",
)  # fmt: skip
SAVED_COLUMNS = (
    "run", "name", "file", "format", "epoch", "loss", "accuracy", "bytes", "created", "best", "resumed", "damage",
    "model", "dataset",
)  # fmt: skip


class _Frames(NamedTuple):
    """The rows of a store's index at one version, and what is shown of them."""

    version: int
    rows: pd.DataFrame
    shown: pd.DataFrame


_Row = dict[str, Any]
_Saved = tuple[Parent | None, list[_Row]]  # what a run was resumed from, and one row per saved file
_run_frames: FIFOCache[Path, _Frames] = FIFOCache(_STORES)
_updating = threading.Lock()
_saved: Cache[_Saved] = Cache(MOST_RUNS)
_saved_frames: Cache[pd.DataFrame] = Cache(_STORES)


def runs_frame(store: RunStore) -> pd.DataFrame:
    """One row per run, the newest first: ``RUN_COLUMNS``.

    ``epochs`` is text ("epoch 1 (2 of 5)": the last one that ended), ``last_epoch`` its number and ``last_loss`` its
    test loss, ``best_loss`` the lowest one, ``accuracy`` (0 to 1) that of the epoch with it: all NaN before the first
    epoch, the losses and the accuracy also where an import had to assume the dataset. ``dataset`` is
    ``RunRecord.images``, ``created`` is UTC, ``parent`` is text: the run and the epoch that it was resumed from,
    ``curve`` the list of its test losses, thinned out, or None of fewer than two, ``repeat`` the group of runs that
    differ in nothing but the seed, of which so many were ``started``. A damaged run has the state "damaged" and says
    why in ``error``.
    """
    store.index.refresh()
    with _updating:
        before = _run_frames.pop(store.root, None) or _Frames(-1, _framed([]), pd.DataFrame())
        frames = _run_frames[store.root] = _up_to_date(store, before)
    return _with_states(store, frames.shown)


def _up_to_date(store: RunStore, before: _Frames) -> _Frames:
    version, changed = store.index.rows_since(before.version)
    if version == before.version:
        return before
    fresh = _framed(changed)
    rows = pd.concat([fresh, before.rows[~before.rows["id"].isin(fresh["id"])]])
    ids = rows["id"].to_numpy(object)
    if len(ids) > len(store.index.ids):
        rows = rows[list(map(store.index.__contains__, ids))]
        ids = rows["id"].to_numpy(object)
    rows = rows.iloc[ids.argsort(kind="stable")[::-1]].reset_index(drop=True)
    return _Frames(version, rows, rows.assign(parent=_parents(store, rows))[list(RUN_COLUMNS)])


def _framed(rows: Sequence[Row]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(FIELDS))
    numbers = ("last_epoch", "last_loss", "best_loss", "accuracy", "started", "created", "parent_epoch")
    words = ("id", "name", "state", "error", "dataset", "model", "epochs", "parent", "notes", "repeat")
    frame = frame.astype({**dict.fromkeys(numbers, "float64"), **dict.fromkeys(words, "str")})
    return frame.assign(created=pd.to_datetime(frame["created"], unit="us", utc=True))


def _parents(store: RunStore, rows: pd.DataFrame) -> "pd.Series[str]":
    """What each run was resumed from, by the name that it has now."""
    resumed = rows[rows["parent"].notna()]
    places = zip(resumed["parent"].to_list(), resumed["parent_epoch"].to_list(), strict=True)
    told = [f"{row.name if (row := store.index.row(run)) else run}, epoch {epoch:.0f}" for run, epoch in places]
    return pd.Series(told, resumed.index, dtype="str").reindex(rows.index)


def _with_states(store: RunStore, frame: pd.DataFrame) -> pd.DataFrame:
    """Ask each time whether a worker still runs."""
    running = frame.index[frame["state"] == "running"]
    states = {at: state for at in running if (state := store.at(frame["id"][at]).state()) != "running"}
    if not states:
        return frame
    frame = frame.copy()
    frame.loc[list(states), "state"] = list(states.values())
    return frame


def numbers_by_dataset(runs: pd.DataFrame) -> pd.DataFrame:
    """The ``best_loss`` and ``accuracy`` of ``runs_frame`` in columns a dataset, whose names end in " " and its name.

    Sorting by one of them ranks only what can be compared.
    """
    datasets = runs["dataset"]
    pairs = ((number, name) for name in sorted(datasets.dropna().unique()) for number in ("best_loss", "accuracy"))
    columns = {f"{number} {name}": runs[number].where(datasets == name) for number, name in pairs}
    return pd.DataFrame(columns, index=runs.index)


@lru_cache(maxsize=MOST_RUNS)
def _saved_paths(run: Run) -> tuple[str, ...]:
    """What ``_read_saved`` reads, the run folder first."""
    return tuple(map(str, (run.path, run.record_path, run.labels_path, run.verification_path, run.checkpoint_folder)))


def saved_frame(store: RunStore, also: Iterable[Run] = ()) -> pd.DataFrame:
    """One row per saved file of the ``newest`` runs and ``also`` of these: ``SAVED_COLUMNS``. No checkpoint is read.

    ``file`` is its path below the run folder, ``best`` marks the whole checkpoint of a run with the lowest loss,
    ``resumed`` counts the runs that were resumed from it, and ``damage`` says why it is known to be damaged. Sizes
    and epochs are Int64, because the info of a damaged file may be missing; ``created`` is UTC.

    A run is read again once a file of it was added, replaced or removed; ``forget_changed`` finds overwritten files.
    """
    runs = {run.id: run for run in store.newest()}
    older = {run.id: run for run in also if run.id not in runs}.values()  # what was resumed from them may be older too
    resumed = [child.record.parent for run in older for child in store.children(run) if child.id not in runs]
    listed = [(run, _saved_paths(run)) for run in (*runs.values(), *older)]
    saved = [_saved.get(paths[0], stamp(*paths), partial(_read_saved, run)) for run, paths in listed]
    return _saved_frames.get(store.root, (saved, resumed), lambda: _saved_frame(saved, resumed))


def forget_changed(store: RunStore, rows: pd.DataFrame) -> bool:
    """Return whether any file in these rows of ``saved_frame`` changed size; the next frame reads its run again."""
    files = zip(rows["run"], rows["file"], rows["bytes"], rows["damage"].isna(), strict=True)
    changed = {run for run, file, size, whole in files if whole and _size_of(f"{store.root}/{run}/{file}") != size}
    for run in changed:
        _saved.forget(f"{store.root}/{run}")
    return bool(changed)


def _size_of(file: str) -> int | None:
    with suppress(OSError):
        return saved_files.size_of(file)
    return None


def is_resumed(saved: pd.DataFrame, run: Run, name: str) -> bool:
    """Whether runs were resumed from this file of a run, by ``saved_frame``, which is faster than reading the runs."""
    return bool(saved["resumed"][(saved["run"] == run.id) & (saved["file"] == name)].any())


def _saved_frame(saved: Sequence[_Saved], elsewhere: Sequence[Parent | None]) -> pd.DataFrame:
    parents = (*(parent for parent, _ in saved), *elsewhere)
    resumed = Counter((parent.run, parent.epoch) for parent in parents if parent)
    frame = pd.DataFrame([row for _, rows in saved for row in rows], columns=list(SAVED_COLUMNS))
    types = {"epoch": "Int64", "bytes": "Int64", "loss": "float64", "accuracy": "float64", "best": "bool"}
    return frame.astype(types).assign(
        created=pd.to_datetime(frame["created"], utc=True),
        resumed=[resumed.get(key, 0) for key in zip(frame["run"], frame["resumed"], strict=True)],
    )


def _read_saved(run: Run) -> _Saved:
    verified, record = Verification(), None
    with suppress(DamagedFileError, DiskError):
        verified = run.verification
    with suppress(DamagedFileError, DiskError):
        record = run.record
    about = {"run": run.id, "name": run.title}
    if record:
        about |= {"model": record.config.model, "dataset": record.images}
    try:
        rows = [row for listed in run.listed() if (row := _saved_row(run, listed, verified, about))]
    except DiskError as error:
        rows = [{**about, "file": run.name_of(error.path), "damage": str(error), "best": False, "resumed": None}]
    competing = [row for row in rows if row["resumed"] is not None and not row["damage"] and row["loss"] is not None]
    if competing:
        min(competing, key=lambda row: float(row["loss"]))["best"] = True
    return record.parent if record else None, rows


def _saved_row(run: Run, listed: ListedFile, verified: Verification, about: dict[str, str]) -> _Row | None:
    """None for a file that was deleted after it was listed; ``resumed`` is the epoch that runs resume from."""
    info: FileInfo | None = None
    try:
        if listed.bytes is not None:
            info = read_record(f"{run.path}/{listed.name}.json", FileInfo)
        damage = saved_files.damage_of(listed.name, listed.bytes, info, verified)
    except (DamagedFileError, DiskError) as error:
        damage = str(error)
    if damage and not run.info_path(run.path / listed.name).exists():
        return None
    known: _Row = {"epoch": listed.epoch}
    if info:  # of pydantic's own time zone pandas would ask for each file's offset
        known = {**vars(info), "created": info.created.astimezone(UTC)}
    return {**about, **known, "file": listed.name, "resumed": listed.epoch, "damage": damage, "best": False}


def epochs_frame(
    rows: Iterable[metrics.Row], config: TrainConfig, saved: Sequence[int], first_epoch: int = 0
) -> pd.DataFrame:
    """One row per finished epoch: ``epoch`` (int64), ``step`` (int64, at its end, counted from this run's start),
    ``metrics.EPOCH_NUMBERS`` (float64), ``checkpoint`` (bool, if on disk).
    """
    ended = [row for row in rows if row["kind"] == "epoch"]
    epochs = np.array([row["epoch"] for row in ended], dtype="int64")
    return pd.DataFrame(
        {
            "epoch": epochs,
            "step": (epochs + 1 - first_epoch) * config.batches_per_epoch,
            **{name: np.array([row[name] for row in ended], dtype="float64") for name in metrics.EPOCH_NUMBERS},
            "checkpoint": np.isin(epochs, saved),
        }
    )


def records_frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The epochs of a run's record: ``epoch`` (int64), ``loss``, ``accuracy`` (float64), ``checkpoint`` (bool)."""
    frame = pd.DataFrame(records, columns=["epoch", "loss", "accuracy", "checkpoint"])
    types = {"epoch": "int64", "loss": "float64", "accuracy": "float64"}
    return frame.astype(types).assign(checkpoint=frame["checkpoint"].notna())


@dataclass(frozen=True)
class Progress:
    """Optimizer steps done and in all, and the seconds left if the rate is known."""

    done: int
    total: int
    seconds_left: float | None

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total)


def progress(config: TrainConfig, status: Status, first_epoch: int = 0) -> Progress:
    total = (config.epochs - first_epoch) * config.batches_per_epoch
    done = max(0, status.epoch - first_epoch) * config.batches_per_epoch + status.batch
    rate = status.images_per_second
    return Progress(done, total, (total - done) * config.batch_size / rate if rate else None)
