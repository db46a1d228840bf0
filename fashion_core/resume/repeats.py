"""Runs that differ in nothing but the seed: the mean of what they measured, and how far the seed alone moves it."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Final

import numpy as np

from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.resume import texts
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import CONTINUABLE_STATES, State
from fashion_core.runs.store import RunStore

LUCK: Final = 2.0  # standard deviations: about 95 % of single seeds are as near to the mean
_CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class OverSeeds:
    """One number over several seeds."""

    seeds: int  # that were measured
    mean: float
    interval: float  # half of the 95 % confidence interval of the mean
    luck: float  # how far the seed alone moves the number: ``LUCK`` standard deviations


def over_seeds(values: Sequence[float]) -> OverSeeds | None:
    """None of fewer than two values: they don't tell how far the seed moves them."""
    count = len(values)
    if count < 2:
        return None
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return OverSeeds(count, mean, half_interval(count) * deviation, LUCK * deviation)


def seeds_text(count: int, started: int, others: Iterable[State]) -> str:
    """How many of the seeds that were started count, and how those ended that never will: "4 of 5 seeds (1 failed)"."""
    if count >= started:
        return texts.SEEDS.format(count=count)
    states = Counter(sorted(state for state in others if state in CONTINUABLE_STATES))
    ended = ", ".join(texts.ENDED.format(count=number, state=state) for state, number in states.items())
    return (texts.SOME_SEEDS_ENDED if ended else texts.SOME_SEEDS).format(count=count, started=started, ended=ended)


@cache
def half_interval(count: int) -> float:
    """Half of the 95 % confidence interval of a mean of ``count`` values, in standard deviations: by Student's t."""
    from scipy.special import stdtrit  # takes a fifth of a second, which only those who repeat should wait for

    return float(stdtrit(count - 1, (1 + _CONFIDENCE) / 2) / math.sqrt(count))


def runs_beside(store: RunStore, run: Run) -> tuple[Run, ...]:
    """The runs of its group by seed, itself among them; none if it is alone, or all others were deleted.

    Losses of different images have no mean.
    """
    record, found = run.record, []
    if record.repeat:
        store.index.refresh(statuses=True)
        for other in map(store.at, store.index.found_by(record.repeat.group)):
            with suppress(DamagedFileError, DiskError):
                repeat = other.record.repeat
                if repeat and repeat.group == record.repeat.group and other.record.images == record.images:
                    found.append((repeat.index, other))
    return tuple(other for _, other in sorted(found, key=itemgetter(0))) if len(found) > 1 else ()


def states_of(runs: Sequence[Run]) -> dict[str, State]:
    """The state of each run by its id, without those that can't be read or were deleted meanwhile."""
    found = {}
    for run in runs:
        with suppress(DamagedFileError, DiskError):
            found[run.id] = run.state()
    return found


@dataclass(frozen=True)
class FinalMeans:
    """Over the seeds of a group that have finished: the test loss and accuracy of their last epoch."""

    loss: OverSeeds
    accuracy: OverSeeds
    started: int
    others: tuple[State, ...]  # the states of those that have not finished

    @property
    def seeds(self) -> str:
        return seeds_text(self.loss.seeds, self.started, self.others)


def final_means(runs: Sequence[Run], started: int) -> FinalMeans | None:
    """None until two have finished; runs that can't be read or were deleted meanwhile don't count."""
    rows: list[metrics.Row] = []
    states = states_of(runs)
    for run in runs:
        if states.get(run.id) == "finished":
            with suppress(DiskError):
                rows += metrics.read_epochs(run.metrics_path)[-1:]
    loss, accuracy = (over_seeds([row[number] for row in rows]) for number in ("loss", "accuracy"))
    others = tuple(state for state in states.values() if state != "finished")
    return FinalMeans(loss, accuracy, started, others) if loss and accuracy else None
