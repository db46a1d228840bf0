"""What it costs to show 150 resumed runs: from the run folders on disk to what the browser is sent."""

from typing import Any

import numpy as np
import pandas as pd

from fashion_core.charts import branches as branch_charts
from fashion_core.charts import comparison, lineage
from fashion_core.config import parse_config
from fashion_core.resume import tables
from fashion_core.resume.answers import sentence
from fashion_core.resume.comparison import Compared, compare
from fashion_core.resume.verdict import changes
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, Parent, Resumption, Status
from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.benchmarks.stores import LOADED, LOSSES_A_ROW, batch_rows, write, write_epochs

ROUNDS = 9
PARENTS, RESUMED, EPOCHS = 5, 150, 20
ROWS_AN_EPOCH = 10
"""938 batches an epoch: Fashion-MNIST in batches of 64, on a machine that takes two seconds for it."""

_ENVIRONMENT = Environment(python="3.12", torch="2.13", device="cpu", threads=2)
_OVERRIDES: list[dict[str, Any]] = [
    {"learning_rate": 1e-4}, {}, {"learning_rate": 1e-2}, {"optimizer": "adam"}, {"batch_size": 32, "momentum": 0.9},
]  # fmt: skip


def made_run(
    store: RunStore,
    losses: list[float],
    parent: Run | None = None,
    epoch: int = 0,
    noise: float = 0.005,
    **settings: Any,
) -> Run:
    """A finished run with these test losses, one an epoch, that nobody trained.

    With a parent it was resumed from that epoch, and ``noise`` is the standard error of its paired differences.
    """
    first = epoch + 1 if parent else 0
    before = parent.record.config if parent else parse_config({})
    config = parse_config({**before.model_dump(), "name": "", **settings, "epochs": max(1, first + len(losses))})
    loss_last = loss_of(parent, epoch) if parent else None
    if parent is None:
        run = store.create(config, _ENVIRONMENT)
    else:
        came_from, different = Parent(run=parent.id, epoch=epoch), changes(parent.record, config)
        resumption = Resumption(parent_name=parent.title, changes=different, verdict="exact", reasons=())
        run = store.create(config, _ENVIRONMENT, came_from, resumption=resumption)
        # right after loading it measured the loss of that epoch, exactly
        write(run.load_check_path, LOADED.model_copy(update={"loss_last": loss_last, "loss_check": loss_last}))
    write_epochs(run, first, losses, loss_last, noise, noisy_batches)
    run.write_status(Status(state="finished", queued_at=0, heartbeat=0))
    return run


def loss_of(run: Run, epoch: int) -> float:
    return next(float(row["loss"]) for row in metrics.read_epochs(run.metrics_path) if row["epoch"] == epoch)


def noisy_batches(epoch: int, loss: float) -> list[dict[str, Any]]:
    """As many rows as the epoch of a real run has, with losses that differ as theirs do."""
    losses = [float(f"{value:.6g}") for value in np.random.default_rng(epoch).normal(loss, 0.1, LOSSES_A_ROW)]
    return batch_rows(epoch, losses, ROWS_AN_EPOCH)


def fill_with_resumed(store: RunStore) -> None:
    random, bases = np.random.default_rng(0), []
    for number in range(PARENTS):
        start = 0.6 + number / 5
        losses = [float(start * (epoch + 1) ** -0.35 * random.normal(1, 0.01)) for epoch in range(EPOCHS)]
        bases.append(made_run(store, losses, name=f"base {number}"))
    for number in range(RESUMED):
        base, epoch = bases[number % PARENTS], (3, 6, 10, 15)[number // PARENTS % 4]
        losses = [float(loss) for loss in loss_of(base, epoch) * np.exp(np.cumsum(random.normal(-0.005, 0.03, EPOCHS)))]
        made_run(store, losses, base, epoch, **_OVERRIDES[number % len(_OVERRIDES)])


def run() -> Comparison:
    """On the disk of the working folder. A click on a row rebuilds both charts; a changed run reads all again."""
    with disk_folder() as folder:
        store = RunStore(folder)
        fill_with_resumed(store)
        rows = compare(store)
        branches = branches_of(store, rows)
        focus = rows[0].run
        ways = {
            "store to comparison": lambda: show_comparison(compare(store), None),
            "store to branches": lambda: branch_charts.branch_chart(branches_of(store, rows), None).to_dict(),
            "store to lineage": lambda: show_lineage(store),
            "rows to comparison, focused": lambda: show_comparison(rows, focus),
            "frame to branches, focused": lambda: branch_charts.branch_chart(branches, focus).to_dict(),
        }
        times = alternate(ways, ROUNDS)
    return Comparison("Show 150 resumed runs of 20 epochs, as the browser gets them", "store to comparison", times)


def branches_of(store: RunStore, rows: list[Compared]) -> pd.DataFrame:
    return tables.branches_frame(rows, tables.losses_of(store, rows))


def show_comparison(rows: list[Compared], focus: str | None) -> tuple[str, dict[str, Any]]:
    frame = tables.compared_frame(rows, latest=True, sort="lineage")
    return sentence(rows), comparison.comparison_chart(frame, focus).to_dict()


def show_lineage(store: RunStore) -> dict[str, Any]:
    trees = [tree for part in tables.lineage_parts(store) for tree in part]
    return lineage.lineage_chart(*tables.part_frames([trees], 0)).to_dict()
