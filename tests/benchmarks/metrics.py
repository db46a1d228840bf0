"""What a refresh of the live chart costs once a run's metrics have 1,000,000 rows."""

import json

from fashion_core.charts import live as charts
from fashion_core.config import parse_config
from fashion_core.runs import loss_curve, metrics, tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, Parent, Resumption
from fashion_core.runs.store import RunStore
from fashion_core.ui.live import snapshot
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.benchmarks.stores import LOADED, write

ROUNDS = 5
ROWS, LOSSES_A_ROW, ROWS_AN_EPOCH = 1_000_000, 4, 235
"""Batches of 64 of Fashion-MNIST on a slow machine: four in a quarter of a second."""


def row(number: int, run: Run) -> metrics.Row:
    epochs, place = divmod(number, ROWS_AN_EPOCH)
    epoch = run.record.first_epoch + epochs
    if place == ROWS_AN_EPOCH - 1:
        measured = {"loss": 0.5, "accuracy": 0.8, "train_loss": 0.5, "seconds": 60.0, "samples_per_second": 1e3}
        paired = {"difference": 0.0, "standard_error": 0.01} if run.record.parent else {}
        return {"kind": "epoch", "epoch": epoch, **measured, **paired, "time": 0.25 * number}
    losses = [0.5 + number % 97 / 100 + batch / 1000 for batch in range(LOSSES_A_ROW)]
    last = (place + 1) * LOSSES_A_ROW - 1
    return {"kind": "batch", "epoch": epoch, "batch": last, "losses": losses, "images_per_second": 1e3, "time": 0.0}


class Growing:
    """A run whose metrics get one more row before each reading."""

    def __init__(self, store: RunStore, run: Run) -> None:
        self.store, self.run, self.rows = store, run, ROWS
        self.config = run.record.config

    def grow(self) -> None:
        metrics.append_row(self.run.metrics_path, row(self.rows, self.run))
        self.rows += 1

    def refresh(self) -> None:
        """What the server does for all who watch, up to what it sends."""
        self.grow()
        snapshot.take(self.store, self.run).body()

    def first_look(self) -> None:
        loss_curve._watched.clear()
        self.refresh()

    def read_all(self) -> None:
        self.grow()
        rows = metrics.read_rows(self.run.metrics_path)
        curve = loss_curve.LossCurve(self.config, 0)
        curve.add(rows)
        batches = loss_curve.thin_out(curve.frame, loss_curve.MAX_POINTS)
        epochs = loss_curve.thin_out(tables.epochs_frame(rows, self.config, []), charts.MAX_EPOCHS)
        charts.live_chart(batches, epochs, self.config.epochs * self.config.batches_per_epoch).to_dict()
        charts.accuracy_chart(epochs, range(self.config.epochs)).to_dict()


def long_run(store: RunStore, parent: Parent | None) -> Growing:
    config = parse_config({"dataset": "fashion-mnist", "epochs": 10_000, "name": "long"})
    environment = Environment(python="3.11", torch="2.13", device="cpu", threads=2)
    resumption = Resumption(parent_name="parent", changes={}, verdict="exact", reasons=()) if parent else None
    run = store.create(config, environment, parent, resumption=resumption)
    if parent:
        write(run.load_check_path, LOADED)
    with run.metrics_path.open("w") as file:
        file.writelines(f"{json.dumps(row(number, run))}\n" for number in range(ROWS))
    return Growing(store, run)


def run() -> Comparison:
    with disk_folder() as folder:
        store = RunStore(folder)
        first, resumed = long_run(store, None), long_run(store, Parent(run="gone", epoch=0))
        ways = {
            "read every row again": first.read_all,
            "the first look after a start": first.first_look,
            "a refresh": first.refresh,
            "the first look, resumed run": resumed.first_look,
            "a refresh of the resumed run": resumed.refresh,
        }
        return Comparison(f"Live charts of {ROWS:,} rows", "read every row again", alternate(ways, ROUNDS))
