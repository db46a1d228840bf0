from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import config, new_run

from fashion_core import frames, metrics
from fashion_core.runs import RunStore
from fashion_core.schema import Status

LONG = 40_000


def batch_row(epoch: int, batch: int, losses: list[float]) -> dict[str, Any]:
    return {"kind": "batch", "epoch": epoch, "batch": batch, "losses": losses, "images_per_second": 1.0, "time": 0.0}


def epoch_row(epoch: int, loss: float) -> dict[str, Any]:
    numbers = {"accuracy": 0.5, "train_loss": loss, "seconds": 1.0, "samples_per_second": 500.0}
    return {"kind": "epoch", "epoch": epoch, "loss": loss, **numbers, "time": 0.0}


def status(**changes: Any) -> Status:
    return Status(state="running", queued_at=0, heartbeat=0, **changes)


def test_batches_count_steps_from_one_through_all_epochs() -> None:
    settings = config(train_images=192, batch_size=64)
    rows = [batch_row(0, 1, [3.0, 2.0]), batch_row(0, 2, [1.5]), batch_row(1, 0, [1.0])]
    frame = frames.batches_frame(rows, settings)
    assert list(frame["step"]) == [1, 2, 3, 4]
    assert list(frame["loss"]) == [3.0, 2.0, 1.5, 1.0]


def test_smoothed_loss_lies_between_the_extremes_and_follows() -> None:
    frame = frames.batches_frame([batch_row(0, 199, [2.0] * 100 + [1.0] * 100)], config(train_images=500, batch_size=1))
    assert frame["smoothed"].between(1.0, 2.0).all()
    assert frame["smoothed"].iloc[99] == 2.0
    assert frame["smoothed"].iloc[-1] < 1.1


def test_many_batches_are_thinned_and_keep_their_extremes() -> None:
    losses = np.random.default_rng(0).uniform(1, 2, LONG)
    losses[12_345], losses[23_456] = 9.0, 0.1
    frame = frames.batches_frame(
        [batch_row(0, LONG - 1, list(losses))], config(dataset="fashion-mnist", train_images=0)
    )
    assert len(frame) <= frames.MAX_POINTS
    assert {9.0, 0.1} <= set(frame["loss"])
    assert list(frame["step"].iloc[[0, -1]]) == [1, LONG]
    assert frame["step"].is_monotonic_increasing


def test_no_rows_give_empty_frames_with_their_columns() -> None:
    assert list(frames.batches_frame([], config()).columns) == ["step", "loss", "smoothed"]
    epochs = frames.epochs_frame([], config(), [])
    assert epochs.empty
    assert {"epoch", "step", "loss", "train_loss", "accuracy", "checkpoint"} <= set(epochs.columns)


def test_epochs_say_where_they_ended_and_whether_their_checkpoint_is_there() -> None:
    frame = frames.epochs_frame([epoch_row(0, 2.0), epoch_row(1, 1.0)], config(train_images=128, batch_size=64), [1])
    assert list(frame["step"]) == [2, 4]
    assert list(frame["checkpoint"]) == [False, True]


def test_runs_are_listed_newest_first_with_their_best_epoch(store: RunStore) -> None:
    older, newer = new_run(store, name="older"), new_run(store, name="newer")
    for epoch, loss in enumerate([2.0, 1.0, 1.5]):
        metrics.append_row(older.metrics_path, epoch_row(epoch, loss))
    frame = frames.runs_frame(store)
    assert list(frame["id"]) == [newer.id, older.id]
    assert list(frame["name"]) == ["newer", "older"]
    assert np.isnan(frame["best_loss"].iloc[0])
    assert frame["best_loss"].iloc[1] == 1.0


def test_a_damaged_run_is_listed_and_says_why(store: RunStore) -> None:
    run = new_run(store)
    run.record_path.write_text("{}")
    row = frames.runs_frame(store).iloc[0]
    assert row["state"] == "damaged"
    assert "id is missing" in row["error"]


def test_a_run_without_its_record_is_listed_as_damaged(store: RunStore) -> None:
    new_run(store).record_path.unlink()
    assert frames.runs_frame(store).iloc[0]["state"] == "damaged"


def test_an_empty_store_gives_an_empty_table(store: RunStore) -> None:
    frame = frames.runs_frame(store)
    assert frame.empty
    assert list(frame.columns) == list(frames.RUN_COLUMNS)


def test_progress_and_time_left_follow_from_the_status() -> None:
    settings = config(train_images=640, batch_size=64, epochs=4)
    progress = frames.progress(settings, status(epoch=1, batch=5, images_per_second=64.0))
    assert (progress.done, progress.total, progress.seconds_left) == (15, 40, 25.0)
    assert frames.progress(settings, status()).seconds_left is None


@pytest.mark.parametrize(
    ("epochs", "done", "expected"), [(4, 0, 4), (10, 10, 10), (50, 0, 10), (50, 9, 10), (50, 10, 20), (50, 45, 50)]
)
def test_a_long_runs_chart_doubles_when_it_is_full(epochs: int, done: int, expected: int) -> None:
    settings = config(train_images=64, batch_size=64, epochs=epochs)
    assert frames.horizon(settings, status(epoch=done)) == expected


def test_thinning_leaves_a_short_frame_as_it_is() -> None:
    frame = pd.DataFrame({"step": [1, 2, 3], "loss": [1.0, 2.0, 3.0]})
    assert frames.thin_out(frame, 3) is frame
