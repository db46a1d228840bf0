"""The losses of a run's batches as a curve that grows: however long the run, it takes the same memory and time."""

from collections.abc import Iterable
from itertools import chain
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fashion_core.config import TrainConfig
from fashion_core.runs import metrics

SMOOTHING_BATCHES: Final = 50
_DECAY: Final = 1 - 2 / (SMOOTHING_BATCHES + 1)
_MOST_POINTS: Final = 1 << 14
"""So many are held; ten times what is drawn, so that what is drawn stays even while the curve grows."""

_Numbers = NDArray[np.float64]


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

    def _smooth(self, losses: _Numbers) -> _Numbers:
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


def _decaying_sums(values: _Numbers, before: float) -> _Numbers:
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
