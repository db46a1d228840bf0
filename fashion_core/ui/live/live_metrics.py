"""What a page that watches a run shows of it, and hears once a second or so without a run of its script.

A run of a script costs a server 5 ms and more a second for each viewer, taken from the training on the same processor.
What is here is made once for all who watch.
"""

import json
from dataclasses import dataclass
from typing import Final

import pandas as pd

from fashion_core.cache import Cache, identity
from fashion_core.charts import live as charts
from fashion_core.charts.base import ChartSpec
from fashion_core.config import TrainConfig
from fashion_core.resume.comparison import compare_run, loss_last_of
from fashion_core.runs import live, tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, LoadCheck, State, Status
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, run_status
from fashion_core.ui.live import metrics

STARTING_SECONDS: Final = 0.25
ACTIVE_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 3.0
MAX_EPOCHS: Final = 400
"""So many epochs of a long run are drawn; the best and the worst of each stretch are among them."""
_charts: Cache[tuple[ChartSpec, ChartSpec]] = Cache(64)


@dataclass(frozen=True)
class LiveMetrics:
    """A run as its page shows it at one time.

    Attributes:
        status, state: the run's.
        seconds: until the next one: few before the first loss, for which whoever has just pressed Start waits.
        numbers: how far the run is and what it measured, as HTML.
        losses, accuracy: the charts.
        damaged: lines of its metrics that can't be read.
        drawn: what the rest of the page depends on: a page that was drawn for another one has to run again.
    """

    status: Status
    state: State
    seconds: float
    numbers: str
    losses: ChartSpec
    accuracy: ChartSpec
    damaged: int
    drawn: str

    def body(self) -> str:
        """What a page takes of it, as JSON."""
        rows = f'"losses":{self.losses.rows()},"accuracy":{self.accuracy.rows()}'
        return f'{{"numbers":{json.dumps(self.numbers)},"drawn":{json.dumps(self.drawn)},{rows}}}'


def read(store: RunStore, run: Run) -> LiveMetrics:
    """The run now. Raises ``DamagedFileError``, ``DiskError`` or ``RunNotFoundError``."""
    status = run.status
    state = run.state(status)
    seen = live.read(run)
    config, check = run.record.config, run.load_check
    span = tables.horizon(config, status, run.record.first_epoch)
    losses, accuracy = _charts.get(run.path, (seen.version, span, check), lambda: _drawn(config, seen, span, check))
    depends = state, status.error, span, check is not None, seen.damaged, identity(run.log_path)
    return LiveMetrics(
        status=status,
        state=state,
        seconds=_pace(status, state, seen.latest),
        numbers=_numbers(store, run, status, state, seen),
        losses=losses,
        accuracy=accuracy,
        damaged=seen.damaged,
        drawn=repr((*depends, _saved_by_parent(store, run, state))),
    )


def _numbers(store: RunStore, run: Run, status: Status, state: State, seen: live.RunMetrics) -> str:
    rows = [metrics.run_metrics(run, status, state, seen.latest)]
    if run.record.resumption and (compared := compare_run(store, run, seen.ended)):
        rows.insert(0, metrics.three_losses(compared))
    share = tables.progress(run.record.config, status, run.record.first_epoch).share
    return metrics.progress_and_metrics(run_status.whereabouts(store, run, state), share, rows)


def _saved_by_parent(store: RunStore, run: Run, state: State) -> tuple[int, ...] | None:
    """The saved epochs of the run that an ended one was resumed from: what its proof stands on."""
    parent = run.record.parent
    if parent is None or state in UNDER_WAY_STATES or not store.has(parent.run):
        return None
    return tuple(store.get(parent.run).epochs_saved())


def _pace(status: Status, state: State, measured: live.LatestMetrics) -> float:
    if state == "running" and (measured.smoothed is None or status.phase in ("starting", "loading")):
        return STARTING_SECONDS
    return ACTIVE_SECONDS if state in UNDER_WAY_STATES else IDLE_SECONDS


def _drawn(
    config: TrainConfig, seen: live.RunMetrics, span: range, check: LoadCheck | None
) -> tuple[ChartSpec, ChartSpec]:
    epochs = live.thin_out(seen.epochs, MAX_EPOCHS)
    losses = charts.live_chart(seen.batches, epochs, len(span) * config.batches_per_epoch, _loss_last(check))
    return losses, charts.accuracy_chart(epochs, span)


def _loss_last(check: LoadCheck | None) -> pd.DataFrame | None:
    """The dashed line of a resumed run: where its checkpoint stood."""
    if check is None:
        return None
    what = "loss_last of the checkpoint" if check.comparable else "loss right after loading"
    label = f"{what}: {common.loss_text(loss_last_of(check))}"
    return pd.DataFrame({"loss": [loss_last_of(check)], "label": [label]})
