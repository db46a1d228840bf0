"""What those who watch a run share: read once, and always what the files say."""

import pandas as pd
import pytest

from fashion_core.runs import live, metrics, tables
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.runs import batch_row, epoch_row, new_run


@pytest.fixture
def run(store: RunStore) -> Run:
    run = new_run(store, train_images=64 * 4, batch_size=64)
    metrics.append_row(run.metrics_path, batch_row(0, 3, [4.0, 3.0, 2.0, 1.0]))
    return run


def plain(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same by reading all."""
    rows, record = metrics.read_rows(run.metrics_path), run.record
    return live.batches_frame(rows, record.config), tables.epochs_frame(rows, record.config, run.epochs_saved())


def assert_current(run: Run) -> None:
    look = live.read(run)
    for shared, expected in zip((look.batches, look.epochs), plain(run), strict=True):
        pd.testing.assert_frame_equal(shared, expected)


def test_a_look_is_what_the_file_says_as_it_grows(run: Run) -> None:
    assert_current(run)
    metrics.append_row(run.metrics_path, epoch_row(0))
    assert_current(run)
    metrics.append_row(run.metrics_path, batch_row(1, 0, [0.5]))
    assert_current(run)


def test_a_look_follows_a_run_that_goes_back(run: Run) -> None:
    live.read(run)
    metrics.rewind(run.metrics_path, 0, 2)
    assert_current(run)
    metrics.rewind(run.metrics_path, 0, 0)
    assert_current(run)


def test_a_look_sees_a_checkpoint_that_was_deleted(run: Run) -> None:
    metrics.append_row(run.metrics_path, epoch_row(0))
    for path in (run.checkpoint_path(0), run.info_path(run.checkpoint_path(0))):
        path.touch()
    assert live.read(run).epochs["checkpoint"].tolist() == [True]
    run.remove_saved(run.checkpoint_path(0))
    assert live.read(run).epochs["checkpoint"].tolist() == [False]


def test_looks_are_the_same_until_something_changes(run: Run) -> None:
    first = live.read(run)
    assert live.read(Run(run.path)) is first
    metrics.append_row(run.metrics_path, epoch_row(0))
    assert live.read(run).version != first.version


def test_a_run_that_nobody_watches_any_more_is_forgotten(
    store: RunStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_WATCHED", 1)
    first = live.read(run)
    live.read(new_run(store))
    assert live.read(run) is not first
    assert_current(run)


def test_numbers_are_the_newest_and_what_they_gained(run: Run) -> None:
    before = live.read(run).numbers
    assert (before.loss, before.loss_change, before.accuracy, before.seconds) == (None, None, None, 0.0)
    for epoch, (loss, accuracy) in enumerate([(0.75, 0.5), (0.5, 0.625)]):
        metrics.append_row(run.metrics_path, {**epoch_row(epoch), "loss": loss, "accuracy": accuracy, "seconds": 2.0})
    found = live.read(run).numbers
    assert (found.loss, found.loss_change, found.accuracy, found.accuracy_change) == (0.5, -0.25, 0.625, 0.125)
    assert (found.smoothed, found.seconds) == (live.read(run).batches["smoothed"].iloc[-1], 4.0)
