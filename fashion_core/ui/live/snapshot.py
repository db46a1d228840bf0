"""What the page of a run shows of it, renewed about once a second without running the page's script.

Running the script would cost the server 5 ms and more a second for each viewer, taken from training on the same
processor. A snapshot is taken once for all viewers.
"""

import json
from dataclasses import dataclass

import pandas as pd

from fashion_core.cache import Cache, identity
from fashion_core.charts import live as charts
from fashion_core.charts.base import ChartSpec
from fashion_core.resume import repeats
from fashion_core.resume import tables as resume_tables
from fashion_core.resume.answers import answered
from fashion_core.resume.comparison import compare_run
from fashion_core.runs import loss_curve, metrics, tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, State, Status
from fashion_core.runs.store import RunStore
from fashion_core.ui import run_status
from fashion_core.ui.live import metric_tiles

STARTING_SECONDS, ACTIVE_SECONDS, IDLE_SECONDS = 0.25, 1.0, 3.0
_Charts = tuple[ChartSpec, ChartSpec]
_charts: Cache[_Charts] = Cache(64)
_seeds: Cache[pd.DataFrame | None] = Cache(64)


@dataclass(frozen=True)
class Snapshot:
    status: Status
    state: State
    seconds: float  # until the next snapshot; less before the first loss, which people wait for after Start
    numbers: str  # progress and metrics, as HTML
    losses: ChartSpec
    accuracy: ChartSpec
    damaged: int  # how many lines of its metrics can't be read
    drawn: str  # what the rest of the page depends on; a page that was drawn for another value has to run again

    def body(self) -> str:
        rows = f'"losses":{self.losses.rows()},"accuracy":{self.accuracy.rows()}'
        return f'{{"numbers":{json.dumps(self.numbers)},"drawn":{json.dumps(self.drawn)},{rows}}}'


def take(store: RunStore, run: Run) -> Snapshot:
    """Read the run. Raises ``DamagedFileError``, ``DiskError`` or ``RunNotFoundError``."""
    status = run.status
    state = run.state(status)
    found = loss_curve.read(run)
    check = run.load_check
    beside = repeats.runs_beside(store, run)
    version = found.version, check, *(identity(one.metrics_path) for one in beside)
    seeds = _seeds.get(run.path, version, lambda: resume_tables.seeds_beside(store, run, found))
    losses, accuracy = _charts.get(run.path, version, lambda: charts.run_charts(run.record, found, check, seeds))
    is_early = found.latest.smoothed is None or status.phase in ("starting", "loading")
    pace = STARTING_SECONDS if is_early and state == "running" else ACTIVE_SECONDS
    seconds = pace if state in UNDER_WAY_STATES else IDLE_SECONDS
    begun, files = (losses.empty, accuracy.empty), tuple(map(identity, (run.log_path, run.drill_path)))
    depends = state, status.error, check is not None, found.damaged, files, begun
    drawn = repr((*depends, _saved_by_parent(store, run, state), repeats.states_of(beside)))
    numbers = _numbers(store, run, status, state, found, seeds)
    return Snapshot(status, state, seconds, numbers, losses, accuracy, damaged=found.damaged, drawn=drawn)


def _numbers(
    store: RunStore,
    run: Run,
    status: Status,
    state: State,
    found: loss_curve.RunMetrics,
    seeds: pd.DataFrame | None,
) -> str:
    rows = [metric_tiles.run_metrics(run, status, state, found.latest)]
    if run.record.resumption and (compared := compare_run(store, run, found.ended)):
        rows.insert(0, metric_tiles.three_losses(compared))
    if (repeat := run.record.repeat) and seeds is not None:
        beside = [compare_run(store, one) for one in repeats.runs_beside(store, run)]
        change = next((one.over_seeds for one in answered([*filter(None, beside)])), None)
        rows.append(metric_tiles.over_seeds(seeds, repeat.seeds, _states_behind(store, run, seeds), change))
    share = tables.progress(run.record.config, status, run.record.first_epoch).share
    return metric_tiles.progress_and_metrics(run_status.whereabouts(store, run, state), share, rows)


def _states_behind(store: RunStore, run: Run, seeds: pd.DataFrame) -> list[State]:
    """The states of the runs beside this one that have not ended the last epoch of their means."""
    newest = seeds["epoch"].max()
    ended = {one.id: metrics.read_epochs(one.metrics_path)[-1:] for one in repeats.runs_beside(store, run)}
    states = repeats.states_of(repeats.runs_beside(store, run))
    return [state for one, state in states.items() if not (ended[one] and ended[one][0]["epoch"] >= newest)]


def _saved_by_parent(store: RunStore, run: Run, state: State) -> tuple[int, ...] | None:
    """The saved epochs of an ended run's parent, which the bitwise check compares with."""
    parent = run.record.parent
    if parent is None or state in UNDER_WAY_STATES or not store.has(parent.run):
        return None
    return tuple(store.get(parent.run).epochs_saved())
