"""What all who watch a run see of its metrics, made once for them: only what was appended is read."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd

from fashion_core.runs import metrics, tables
from fashion_core.runs.loss_curve import Curve
from fashion_core.runs.run import Run
from fashion_core.runs.schema import RunRecord

_WATCHED: Final = 64
"""Runs whose curves stay in memory, up to a megabyte each; one that comes back is read from its beginning."""
_watched: OrderedDict[str, "_Watched"] = OrderedDict()
_changing = threading.Lock()


@dataclass(frozen=True)
class Numbers:
    """The newest of each, where there is one, and what it gained on the epoch before; ``seconds`` of all epochs."""

    smoothed: float | None
    loss: float | None
    loss_change: float | None
    accuracy: float | None
    accuracy_change: float | None
    seconds: float


@dataclass(frozen=True)
class Look:
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
    def numbers(self) -> Numbers:
        """What stands above the charts."""
        loss, accuracy = self.epochs["loss"], self.epochs["accuracy"]
        smoothed, seconds = _last(self.batches["smoothed"]), float(self.epochs["seconds"].sum())
        return Numbers(smoothed, _last(loss), _change(loss), _last(accuracy), _change(accuracy), seconds)


def _last(values: "pd.Series[float]") -> float | None:
    return None if values.empty else float(values.iloc[-1])


def _change(values: "pd.Series[float]") -> float | None:
    return float(values.iloc[-1] - values.iloc[-2]) if len(values) > 1 else None


def look(run: Run) -> Look:
    """The metrics as they are now. Raises ``DamagedFileError`` or ``DiskError``."""
    with _changing:
        watched = _watched.setdefault(str(run.path), _Watched(run))
        _watched.move_to_end(str(run.path))
        while len(_watched) > _WATCHED:
            _watched.popitem(last=False)
    return watched.look()


def forget() -> None:
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
        self._last: Look | None = None
        self._record: RunRecord

    def look(self) -> Look:
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

    def _make(self, saved: tuple[int, ...], version: tuple[object, ...]) -> Look:
        record = self._record
        batches = tables.thin_out(self._the_curve().frame(), tables.MAX_POINTS)
        epochs = tables.epochs_frame(self._ended, record.config, saved, record.first_epoch)
        return Look(batches, epochs, tuple(self._ended), version, self._damaged())

    def _damaged(self) -> int:
        cut = self._follower.torn and self._run.has_ended_in_order()
        return self._follower.damaged + cut
