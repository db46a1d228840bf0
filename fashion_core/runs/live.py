"""What all who watch a run see of its metrics, made once for them: only what was appended is read."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fashion_core.config import TrainConfig
from fashion_core.runs import metrics, tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import RunRecord

MAX_POINTS = 1500
"""More than a chart has pixels for; each point costs time in the browser."""
SMOOTHING_BATCHES: Final = 50
_DECAY: Final = 1 - 2 / (SMOOTHING_BATCHES + 1)
_MOST_POINTS: Final = 1 << 14
"""So many are held; ten times what is drawn, so that what is drawn stays even while the curve grows."""

_Floats = NDArray[np.float64]
_WATCHED: Final = 64
"""Runs whose curves stay in memory, up to a megabyte each; one that comes back is read from its beginning."""
_watched: OrderedDict[str, "_Watched"] = OrderedDict()
_changing = threading.Lock()


class Curve:
    """Loss and smoothed loss by optimizer step.

    Where there are too many points, the lowest and the highest of each ``width`` steps stay. A point that has stayed
    once stays until the width doubles, so that a long curve loses no more of its beginning than of its end.
    """

    def __init__(self, config: TrainConfig, first_epoch: int) -> None:
        self._batches_per_epoch, self._first_epoch = config.batches_per_epoch, first_epoch
        self._frame = pd.DataFrame({"step": np.empty(0, "int64"), "loss": np.empty(0), "smoothed": np.empty(0)})
        self._sums = np.zeros(2)
        self._width = 1

    def add(self, rows: Iterable[metrics.Row]) -> None:
        """Take rows of batches in order; others are passed over."""
        found = [row for row in rows if row["kind"] == "batch" and row["losses"]]
        if not found:
            return
        counts = np.array([len(row["losses"]) for row in found])
        lasts = np.array([(row["epoch"] - self._first_epoch) * self._batches_per_epoch + row["batch"] for row in found])
        ends = counts.cumsum()
        steps = np.arange(ends[-1]) + np.repeat(lasts + 2 - ends, counts)
        losses = np.fromiter(chain.from_iterable(row["losses"] for row in found), "float64", ends[-1])
        added = pd.DataFrame({"step": steps, "loss": losses, "smoothed": self._smooth(losses)})
        self._frame = self._thinned(pd.concat([self._frame, added], ignore_index=True))

    def frame(self) -> pd.DataFrame:
        """``step`` (int64, from 1), ``loss`` and ``smoothed`` (float64); the first and the last batch are in it."""
        return self._frame

    def _smooth(self, losses: _Floats) -> _Floats:
        """The mean of all losses so far, each weighing ``_DECAY`` of the one after it."""
        weighed = _decaying_sums(losses, self._sums[0])
        weights = _decaying_sums(np.ones_like(losses), self._sums[1])
        self._sums = np.array([weighed[-1], weights[-1]])
        return weighed / weights

    def _thinned(self, frame: pd.DataFrame) -> pd.DataFrame:
        if len(frame) <= _MOST_POINTS:
            return frame
        span = int(frame["step"].iloc[-1] - frame["step"].iloc[0])
        while 2 * span / self._width > _MOST_POINTS / 2:
            self._width *= 2
        return extremes(frame, frame["step"].to_numpy() // self._width)


def _decaying_sums(values: _Floats, before: float) -> _Floats:
    """Each sum is ``_DECAY`` of the one before and the value."""
    scaled = pd.Series(np.concatenate([[before * (1 - _DECAY)], values])).ewm(alpha=1 - _DECAY, adjust=False).mean()
    return scaled.to_numpy()[1:] / (1 - _DECAY)


def extremes(frame: pd.DataFrame, stretch: NDArray[np.int64]) -> pd.DataFrame:
    """The rows with the lowest and the highest ``loss`` of each stretch, the first and the last row.

    Args:
        stretch: which one each row is in; rising.
    """
    losses = frame["loss"].fillna(np.inf).to_numpy()
    order = np.lexsort((losses, stretch))
    begins = np.flatnonzero(np.diff(stretch[order], prepend=stretch[order[0]] - 1))
    ends = np.append(begins[1:], len(frame)) - 1
    kept = np.unique(np.concatenate([[0, len(frame) - 1], order[begins], order[ends]]))
    return frame.iloc[kept].reset_index(drop=True)


def batches_frame(rows: Iterable[metrics.Row], config: TrainConfig, first_epoch: int = 0) -> pd.DataFrame:
    """At most ``MAX_POINTS`` batches: ``step`` (int64), ``loss`` and ``smoothed`` (float64), extremes kept.

    Steps count from 1 at the start of this run, whose first epoch is ``first_epoch``.
    """
    curve = Curve(config, first_epoch)
    curve.add(rows)
    return thin_out(curve.frame(), MAX_POINTS)


def thin_out(frame: pd.DataFrame, points: int) -> pd.DataFrame:
    """At most ``points`` rows: the lowest and highest ``loss`` of equal stretches of steps, the first and last row."""
    if len(frame) <= points:
        return frame
    steps = frame["step"].to_numpy() - frame["step"].iloc[0]
    return extremes(frame, steps * (points // 2 - 1) // (steps[-1] + 1))


@dataclass(frozen=True)
class LatestMetrics:
    """The newest of each, where there is one, and what it gained on the epoch before; ``seconds`` of all epochs."""

    smoothed: float | None
    loss: float | None
    loss_change: float | None
    accuracy: float | None
    accuracy_change: float | None
    seconds: float


@dataclass(frozen=True)
class LiveMetrics:
    """A run's metrics at one time.

    Attributes:
        batches, epochs: as ``frames.batches_frame`` and ``frames.epochs_frame`` give them.
        ended: the rows of the epochs as they were read.
        version: looks with the same one are the same.
        damaged: lines of the file that can't be read.
    """

    batches: pd.DataFrame
    epochs: pd.DataFrame
    ended: Sequence[metrics.Row]
    version: tuple[object, ...]
    damaged: int

    @cached_property
    def numbers(self) -> LatestMetrics:
        """What stands above the charts."""
        loss, accuracy = self.epochs["loss"], self.epochs["accuracy"]
        smoothed, seconds = _last(self.batches["smoothed"]), float(self.epochs["seconds"].sum())
        return LatestMetrics(smoothed, _last(loss), _change(loss), _last(accuracy), _change(accuracy), seconds)


def _last(values: "pd.Series[float]") -> float | None:
    return None if values.empty else float(values.iloc[-1])


def _change(values: "pd.Series[float]") -> float | None:
    return float(values.iloc[-1] - values.iloc[-2]) if len(values) > 1 else None


def read(run: Run) -> LiveMetrics:
    """The metrics as they are now. Raises ``DamagedFileError`` or ``DiskError``."""
    with _changing:
        watched = _watched.setdefault(str(run.path), _Watched(run))
        _watched.move_to_end(str(run.path))
        while len(_watched) > _WATCHED:
            _watched.popitem(last=False)
    return watched.read()


def clear() -> None:
    """Drop all curves, as if nobody had looked yet."""
    with _changing:
        _watched.clear()


class _Watched:
    """One run, read as far as it had come when somebody looked last."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._follower = metrics.Follower(run.metrics_path)
        self._reading = threading.Lock()
        self._restarts, self._rows = 0, 0
        self._curve: Curve | None = None
        self._ended: list[metrics.Row] = []
        self._last: LiveMetrics | None = None
        self._record: RunRecord

    def read(self) -> LiveMetrics:
        """One who looks reads what is new; whoever comes meanwhile waits and finds it read."""
        with self._reading:
            self._record = self._run.record  # before any row is taken: where this raises, none is lost
            for rows in self._follower.new_rows():
                self._begin_anew_if_needed()
                self._take(rows)
            self._begin_anew_if_needed()
            saved = tuple(self._run.epochs_saved())
            version = (id(self), self._restarts, self._rows, self._damaged(), saved)
            if self._last is None or self._last.version != version:
                self._last = self._make(saved, version)
            return self._last

    def _begin_anew_if_needed(self) -> None:
        if self._restarts != self._follower.restarts:
            self._restarts = self._follower.restarts
            self._curve, self._ended, self._rows = None, [], 0

    def _take(self, rows: list[metrics.Row]) -> None:
        self._rows += len(rows)
        self._the_curve().add(rows)
        self._ended += [row for row in rows if row["kind"] == "epoch"]

    def _the_curve(self) -> Curve:
        if self._curve is None:
            self._curve = Curve(self._record.config, self._record.first_epoch)
        return self._curve

    def _make(self, saved: tuple[int, ...], version: tuple[object, ...]) -> LiveMetrics:
        record = self._record
        batches = thin_out(self._the_curve().frame(), MAX_POINTS)
        epochs = tables.epochs_frame(self._ended, record.config, saved, record.first_epoch)
        return LiveMetrics(batches, epochs, tuple(self._ended), version, self._damaged())

    def _damaged(self) -> int:
        cut = self._follower.torn and self._run.has_ended_in_order()
        return self._follower.damaged + cut
