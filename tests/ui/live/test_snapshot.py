"""What a page that watches a run shows, and when it has to run again."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from fashion_core import files
from fashion_core.runs import metrics, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import LoadCheck
from fashion_core.runs.store import RunStore
from fashion_core.ui.live import snapshot
from tests.support.runs import batch_row, config, epoch_row, new_run, resume, set_running, set_state, train


@pytest.fixture
def run(store: RunStore) -> Run:
    run = new_run(store, train_images=64 * 4, batch_size=64, epochs=40)
    set_running(run)
    return run


LOADED = LoadCheck(
    loss_last=0.5, loss_check=0.5, accuracy=0.8, standard_error=0.01, comparable=True, optimizer="loaded"
).model_dump(mode="json")


def change(run: Run, **values: Any) -> None:
    run.write_status(run.status.model_copy(update=values))


@pytest.mark.parametrize(
    ("values", "before", "after"),
    [
        ({"phase": "starting"}, 0.25, 0.25),
        ({"phase": "loading"}, 0.25, 0.25),
        ({"phase": "training"}, 0.25, 1.0),
        ({"state": "queued"}, 1.0, 1.0),
        ({"state": "stopped"}, 3.0, 3.0),
    ],
)
def test_snapshots_come_more_often_before_the_first_loss(
    store: RunStore, run: Run, values: dict[str, str], before: float, after: float
) -> None:
    change(run, **values)
    assert snapshot.take(store, run).seconds == before
    metrics.append_row(run.metrics_path, batch_row(0, 0, [4.0]))
    assert snapshot.take(store, run).seconds == after


def test_page_stays_while_only_numbers_and_rows_change(store: RunStore, run: Run) -> None:
    metrics.append_row(run.metrics_path, batch_row(0, 3, [4.0, 3.0]))
    metrics.append_row(run.metrics_path, epoch_row(0))
    before = snapshot.take(store, run)
    metrics.append_row(run.metrics_path, batch_row(1, 3, [2.0, 1.0]))
    metrics.append_row(run.metrics_path, epoch_row(1))
    change(run, batch=4, images_per_second=100.0, phase="testing")
    after = snapshot.take(store, run)
    assert after.drawn == before.drawn
    assert (after.numbers, after.body()) != (before.numbers, before.body())


def damage_metrics(run: Run) -> None:
    with run.metrics_path.open("a") as file:
        file.write("{damaged}\n")


@pytest.mark.parametrize(
    "happen",
    [
        lambda run: change(run, state="failed"),
        lambda run: change(run, error="the disk is full."),
        damage_metrics,
        lambda run: files.write_json(run.load_check_path, LOADED),
        lambda run: run.log_path.write_text("a warning\n"),
        lambda run: metrics.append_row(run.metrics_path, epoch_row(0)),
    ],
    ids=["state", "error", "damaged rows", "checkpoint loaded", "log", "first epoch"],
)
def test_page_runs_again_once_more_than_numbers_changed(
    store: RunStore, run: Run, happen: Callable[[Run], None]
) -> None:
    metrics.append_row(run.metrics_path, batch_row(0, 1, [4.0, 3.0]))
    before = snapshot.take(store, run).drawn
    happen(run)
    assert snapshot.take(store, run).drawn != before


def test_axes_of_a_long_run_go_to_its_end_from_the_first_batch_on(store: RunStore, run: Run) -> None:
    for epoch in (0, 10, 39):
        change(run, epoch=epoch)
        found = snapshot.take(store, run)
        assert '"domain": [0, 160]' in found.losses.spec
        assert found.accuracy.frames["room"][["first", "last"]].iloc[0].tolist() == [0, 39]


def test_page_of_an_ended_run_runs_again_while_its_parent_goes_on(store: RunStore) -> None:
    parent = new_run(store, epochs=1)
    train(parent)
    child = resume(store, parent, 0, additional=1)
    set_state(child, "finished")
    before = snapshot.take(store, child).drawn
    checkpoint = parent.file_info(parent.checkpoint_path(0))
    assert checkpoint
    shutil.copy(parent.checkpoint_path(0), parent.checkpoint_path(1))
    parent.write_info(parent.checkpoint_path(1), checkpoint.model_copy(update={"epoch": 1}))
    assert snapshot.take(store, child).drawn != before


def test_three_losses_of_a_resumed_run_cost_no_second_reading_of_its_metrics(store: RunStore) -> None:
    parent = new_run(store, epochs=1)
    train(parent)
    run = resume(store, parent, 0)
    files.write_json(run.load_check_path, LOADED)
    many = [batch_row(1, batch, [1.0] * 10) for batch in range(9, 20_000, 10)]
    run.metrics_path.write_text("".join(f"{json.dumps(row)}\n" for row in many))
    snapshot.take(store, run)
    before = psutil.Process().io_counters().read_chars
    paired = {"loss": 0.25, "difference": -0.25, "standard_error": 0.01}
    metrics.append_row(run.metrics_path, {**epoch_row(1), **paired})
    numbers = snapshot.take(store, run).numbers
    assert psutil.Process().io_counters().read_chars - before < run.metrics_path.stat().st_size / 2
    assert "↓ 50.0%, lower" in numbers


def test_body_has_the_rows_of_both_charts_and_gaps_where_a_loss_is_not_finite(store: RunStore, run: Run) -> None:
    metrics.append_row(run.metrics_path, batch_row(0, 2, [4.0, float("nan"), float("inf")]))
    metrics.append_row(run.metrics_path, epoch_row(0))
    body = json.loads(snapshot.take(store, run).body())
    assert body["drawn"] == snapshot.take(store, run).drawn
    batches = body["losses"]["batches"]
    assert batches["columns"][:2] == ["step", "loss"]
    assert [row[:2] for row in batches["data"]] == [[1, 4.0], [2, None], [3, None]]
    assert body["accuracy"]["epochs"]["data"]


def test_run_repeated_with_other_seeds_has_their_mean_and_follows_them(store: RunStore, run: Run) -> None:
    set_running(run)
    first, second = queue.start_seeds(store, config(epochs=2), 2)
    metrics.append_row(first.metrics_path, epoch_row(0) | {"loss": 0.4})
    before = snapshot.take(store, first)
    assert "mean of 2 seeds" in before.numbers
    metrics.append_row(second.metrics_path, epoch_row(0) | {"loss": 0.42})
    after = snapshot.take(store, first)
    assert "0.4100" in after.numbers
    assert "± 0.1271" in after.numbers
    assert [len(chart.frames["seeds"]) for chart in (after.losses, after.accuracy)] == [1, 1]
    set_state(second, "stopped")
    assert snapshot.take(store, first).drawn != after.drawn
    assert "seeds" not in snapshot.take(store, run).losses.frames
