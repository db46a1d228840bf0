"""The metrics of a run, computed once for all its viewers; only appended rows are read."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fashion_core.cache import Cache
from fashion_core.config import TrainConfig
from fashion_core.runs import metrics, tables
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.schema import RunRecord

MAX_POINTS = 1500  # more than a chart has pixels for; each point costs time in the browser
SMOOTHING_BATCHES: Final = 50
_DECAY: Final = 1 - 2 / (SMOOTHING_BATCHES + 1)
_MOST_HELD: Final = 1 << 14  # points of a curve in memory: ten times what is drawn, so that those stay evenly spaced
CURVE_COLUMNS: Final = ("epoch", "loss", "accuracy", "dataset", "label")
_CURVE_POINTS: Final = 200
_watched: Cache["_Watched"] = Cache(64)  # up to a megabyte each; an evicted one is read again from its beginning

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LatestMetrics:
    """The newest value of each metric, its change since the epoch before, and the seconds of training so far."""

    smoothed: float | None
    loss: float | None
    loss_change: float | None
    accuracy: float | None
    accuracy_change: float | None
    seconds: float
    rates: Sequence[float]  # images a second, of each epoch


@dataclass(frozen=True)
class RunMetrics:
    batches: pd.DataFrame  # at most ``MAX_POINTS`` rows of ``LossCurve.frame``
    epochs: pd.DataFrame  # as ``tables.epochs_frame`` gives them
    ended: Sequence[metrics.Row]  # the rows of the epochs as they were read
    version: tuple[object, ...]  # metrics with the same one are the same
    damaged: int  # lines of the file that can't be read
    unfinished_seconds: float  # of training since the last epoch that ended

    @cached_property
    def latest(self) -> LatestMetrics:
        loss, accuracy = self.epochs["loss"], self.epochs["accuracy"]
        return LatestMetrics(
            smoothed=_last(self.batches["smoothed"]),
            loss=_last(loss),
            loss_change=_last(loss.diff().iloc[1:]),
            accuracy=_last(accuracy),
            accuracy_change=_last(accuracy.diff().iloc[1:]),
            seconds=float(self.epochs["seconds"].sum() + self.unfinished_seconds),
            rates=[row["samples_per_second"] for row in self.ended],
        )


def _last(values: "pd.Series[float]") -> float | None:
    return None if values.empty else float(values.iloc[-1])


def read(run: Run) -> RunMetrics:
    return _watched.get(str(run.path), None, lambda: _Watched(run)).read()


class _Watched:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._follower = metrics.Follower(run.metrics_path)
        self._reading = threading.Lock()
        self._latest: RunMetrics | None = None
        self._begin(run.record)

    def _begin(self, record: RunRecord) -> None:
        self._curve = LossCurve(record.config, record.first_epoch)
        self._restarts, self._rows = self._follower.restarts, 0
        self._ended: list[metrics.Row] = []
        self._unfinished_seconds = 0.0

    def read(self) -> RunMetrics:
        """Read what was appended; concurrent threads wait and then find it read."""
        with self._reading:
            record = self._run.record  # before any row is taken: where this raises, none is lost
            for rows in chain(self._follower.new_rows(), [[]]):  # a deleted file gives no rows, but a restart
                if self._restarts != self._follower.restarts:
                    self._begin(record)
                self._rows += len(rows)
                self._curve.add(rows)
                self._ended += [row for row in rows if row["kind"] == "epoch"]
                self._unfinished_seconds = _unfinished_seconds(rows, record.config, self._unfinished_seconds)
            saved = tuple(self._run.epochs_saved())
            damaged = self._follower.damaged + (self._follower.torn and self._run.ended_cleanly())
            version = (id(self), self._restarts, self._rows, damaged, saved)
            if self._latest is None or self._latest.version != version:
                batches = thin_out(self._curve.frame, MAX_POINTS)
                epochs = tables.epochs_frame(self._ended, record.config, saved, record.first_epoch)
                ended, seconds = tuple(self._ended), self._unfinished_seconds
                self._latest = RunMetrics(batches, epochs, ended, version, damaged, seconds)
            return self._latest


def _unfinished_seconds(rows: Sequence[metrics.Row], config: TrainConfig, before: float) -> float:
    """Seconds of training since the last epoch that ended, by the rate of each row; ``before`` up to these rows."""
    seconds = 0.0
    for row in reversed(rows):
        if row["kind"] == "epoch":
            return seconds
        if rate := row.get("images_per_second"):
            end = min((row["batch"] + 1) * config.batch_size, config.images_per_epoch)
            seconds += (end - (row["batch"] + 1 - len(row["losses"])) * config.batch_size) / rate
    return before + seconds


class LossCurve:
    """Loss and smoothed loss by optimizer step; however long the run, it takes the same memory and time.

    Where there are too many points, the lowest and the highest of each ``width`` steps stay. A point that has stayed
    once stays until the width doubles, so that a long curve loses no more of its beginning than of its end.
    ``frame`` has ``step`` (int64, from 1 at this run's start), ``loss``, ``smoothed`` (float64); its ends stay.
    """

    def __init__(self, config: TrainConfig, first_epoch: int) -> None:
        self._batches_per_epoch, self._first_epoch = config.batches_per_epoch, first_epoch
        self.frame = pd.DataFrame({"step": np.empty(0, "int64"), "loss": np.empty(0), "smoothed": np.empty(0)})
        self._sums = np.zeros(2)
        self._width = 1

    def add(self, rows: Iterable[metrics.Row]) -> None:
        """Add batch rows in order; skip rows that are out of order."""
        found = [row for row in rows if row["kind"] == "batch" and row["losses"]]
        if not found:
            return
        counts = np.array([len(row["losses"]) for row in found])
        lasts = np.array([(row["epoch"] - self._first_epoch) * self._batches_per_epoch + row["batch"] for row in found])
        ends = counts.cumsum()
        steps = np.arange(ends[-1]) + np.repeat(lasts + 2 - ends, counts)
        losses = np.fromiter(chain.from_iterable(row["losses"] for row in found), "float64", ends[-1])
        added = pd.DataFrame({"step": steps, "loss": losses, "smoothed": self._smooth(losses)})
        frame = pd.concat([self.frame, added], ignore_index=True)
        if len(frame) > _MOST_HELD:
            steps = frame["step"].to_numpy()
            while 2 * (steps[-1] - steps[0]) / self._width > _MOST_HELD / 2:
                self._width *= 2
            frame = frame.iloc[_extremes(frame["loss"], steps // self._width)].reset_index(drop=True)
        self.frame = frame

    def _smooth(self, losses: _Floats) -> _Floats:
        """The exponentially weighted mean of all losses so far: each weighs ``_DECAY`` times the one after it."""
        weighed = _decaying_sums(losses, self._sums[0])
        weights = _decaying_sums(np.ones_like(losses), self._sums[1])
        self._sums = np.array([weighed[-1], weights[-1]])
        return weighed / weights


def _decaying_sums(values: _Floats, before: float) -> _Floats:
    """Running sums: each is ``_DECAY`` times the previous sum plus the value."""
    scaled = pd.Series(np.concatenate([[before * (1 - _DECAY)], values])).ewm(alpha=1 - _DECAY, adjust=False).mean()
    return scaled.to_numpy()[1:] / (1 - _DECAY)


def thin_out(frame: pd.DataFrame, points: int, x: str = "step") -> pd.DataFrame:
    """Keep at most ``points`` rows: the first, the last, and the extremes of ``loss`` in equal stretches of ``x``."""
    if len(frame) <= points:
        return frame
    places = frame[x].to_numpy() - frame[x].iloc[0]
    return frame.iloc[_extremes(frame["loss"], places * (points // 2 - 1) // (places[-1] + 1))].reset_index(drop=True)


def _extremes(losses: "pd.Series[float]", stretch: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of the lowest and the highest loss of each stretch, numbered in order, and of the two ends."""
    order = np.lexsort((losses.fillna(np.inf).to_numpy(), stretch))
    begins = np.flatnonzero(np.diff(stretch[order], prepend=stretch[order[0]] - 1))
    ends = np.append(begins[1:], len(losses)) - 1
    return np.unique(np.concatenate([[0, len(losses) - 1], order[begins], order[ends]]))


def curve_frame(run: Run, label: str) -> pd.DataFrame:
    """One row per ended epoch with a loss, thinned out: ``CURVE_COLUMNS``; ``dataset`` is ``RunRecord.images``.

    Raises ``DamagedFileError``, ``DiskError``.
    """
    types = {"epoch": "int64", "loss": "float64", "accuracy": "float64"}
    records = pd.DataFrame(epoch_records(run), columns=list(types)).astype(types).dropna(subset=["loss"])
    return thin_out(records, _CURVE_POINTS, x="epoch").assign(dataset=run.record.images, label=label)


def joined(curves: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several ``curve_frame``s as one; of none, an empty one."""
    return pd.concat([curve for curve in curves if len(curve)] or [pd.DataFrame(columns=list(CURVE_COLUMNS))])


def unique_titles(runs: Iterable[Run]) -> dict[Run, str]:
    """The name of each run, with the end of its id where others have it too."""
    titles = {run: run.title for run in runs}
    often = Counter(titles.values())
    return {run: title if often[title] == 1 else f"{title} {run.id[-4:]}" for run, title in titles.items()}
