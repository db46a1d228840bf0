"""A run's live metrics: read once for everyone, always what the file says; their curve bounded, extremes kept."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_core.cache import Cache
from fashion_core.config import TrainConfig
from fashion_core.runs import loss_curve, metrics, tables
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.runs import batch_row, config, epoch_row, new_run

SETTINGS = config(dataset="fashion-mnist", train_images=0, batch_size=1)
LONG = 100_000


def curve_of(*parts: list[metrics.Row], settings: TrainConfig = SETTINGS) -> pd.DataFrame:
    curve = loss_curve.LossCurve(settings, 0)
    for part in parts:
        curve.add(part)
    return curve.frame


@pytest.fixture
def run(store: RunStore) -> Run:
    run = new_run(store, train_images=64 * 4, batch_size=64)
    metrics.append_row(run.metrics_path, batch_row(0, 3, [4.0, 3.0, 2.0, 1.0]))
    return run


def assert_current(run: Run) -> None:
    """As if all were read at once."""
    rows, record, look = metrics.read_rows(run.metrics_path), run.record, loss_curve.read(run)
    batches = loss_curve.thin_out(curve_of(rows, settings=record.config), loss_curve.MAX_POINTS)
    pd.testing.assert_frame_equal(look.batches, batches)
    pd.testing.assert_frame_equal(look.epochs, tables.epochs_frame(rows, record.config, run.epochs_saved()))


def test_a_look_is_what_the_file_says_as_it_grows_and_goes_back(run: Run) -> None:
    assert_current(run)
    metrics.append_row(run.metrics_path, epoch_row(0))
    assert_current(run)
    metrics.append_row(run.metrics_path, batch_row(1, 0, [0.5]))
    assert_current(run)
    metrics.rewind(run.metrics_path, 0, 2)
    assert_current(run)
    metrics.rewind(run.metrics_path, 0, 0)
    assert_current(run)


def test_a_look_sees_a_checkpoint_that_was_deleted(run: Run) -> None:
    metrics.append_row(run.metrics_path, epoch_row(0))
    for path in (run.checkpoint_path(0), run.info_path(run.checkpoint_path(0))):
        path.touch()
    assert loss_curve.read(run).epochs["checkpoint"].tolist() == [True]
    run.remove_saved(run.checkpoint_path(0))
    assert loss_curve.read(run).epochs["checkpoint"].tolist() == [False]


def test_looks_are_the_same_until_something_changes(run: Run) -> None:
    first = loss_curve.read(run)
    assert loss_curve.read(Run(run.path)) is first
    metrics.append_row(run.metrics_path, epoch_row(0))
    assert loss_curve.read(run).version != first.version


def test_a_run_unwatched_for_long_is_forgotten(store: RunStore, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_curve, "_watched", Cache(1))
    first = loss_curve.read(run)
    loss_curve.read(new_run(store))
    assert loss_curve.read(run) is not first
    assert_current(run)


def test_numbers_are_the_newest_and_what_they_gained(run: Run) -> None:
    before = loss_curve.read(run).latest
    assert (before.loss, before.loss_change, before.accuracy) == (None, None, None)
    for epoch, (loss, accuracy) in enumerate([(0.75, 0.5), (0.5, 0.625)]):
        metrics.append_row(run.metrics_path, {**epoch_row(epoch), "loss": loss, "accuracy": accuracy, "seconds": 2.0})
    found = loss_curve.read(run).latest
    assert (found.loss, found.loss_change, found.accuracy, found.accuracy_change) == (0.5, -0.25, 0.625, 0.125)
    assert (found.smoothed, found.seconds) == (loss_curve.read(run).batches["smoothed"].iloc[-1], 4.0)


def test_time_trained_counts_the_epoch_in_progress_whether_or_not_it_was_stopped(store: RunStore) -> None:
    run = new_run(store, train_images=100, batch_size=64)
    for epoch in (0, 1):
        metrics.append_row(run.metrics_path, {**batch_row(epoch, 0, [4.0]), "images_per_second": 32.0})
        assert loss_curve.read(run).latest.seconds == 5.0 * epoch + 2.0
        metrics.append_row(run.metrics_path, {**batch_row(epoch, 1, [3.0]), "images_per_second": 12.0})
        assert loss_curve.read(run).latest.seconds == 5.0 * epoch + 5.0, "the last batch has 36 images"
        metrics.append_row(run.metrics_path, {**epoch_row(epoch), "seconds": 5.0})
        assert loss_curve.read(run).latest.seconds == 5.0 * epoch + 5.0
    metrics.append_row(run.metrics_path, {**batch_row(2, 0, [4.0]), "images_per_second": None})
    assert loss_curve.read(run).latest.seconds == 10.0, "of what diverged no rate is known"
    metrics.rewind(run.metrics_path, 1, 1)
    assert loss_curve.read(run).latest.seconds == 7.0


def rows_of(losses: list[float], counts: list[int]) -> list[metrics.Row]:
    ends = np.cumsum(counts)
    return [
        {"kind": "batch", "epoch": 0, "batch": int(end) - 1, "losses": losses[end - count : end]}
        for count, end in zip(counts, ends, strict=True)
    ]


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=30), at=st.integers(0, 30))
def test_a_curve_that_comes_in_parts_is_the_same(counts: list[int], at: int) -> None:
    losses = list(np.random.default_rng(0).uniform(1, 2, sum(counts)))
    rows = rows_of(losses, counts)
    pd.testing.assert_frame_equal(curve_of(rows[:at], rows[at:]), curve_of(rows))


def test_smoothed_loss_is_the_exponential_mean_of_all_before() -> None:
    losses = list(np.random.default_rng(0).normal(1, 0.1, 5000))
    frame = curve_of(*([row] for row in rows_of(losses, [50] * 100)))
    expected = pd.Series(losses).ewm(span=loss_curve.SMOOTHING_BATCHES).mean()
    np.testing.assert_allclose(frame["smoothed"], expected, rtol=1e-12)


@pytest.mark.parametrize("part", [94, LONG])
def test_a_long_curve_is_bounded_and_keeps_its_extremes_and_ends(part: int) -> None:
    losses = np.random.default_rng(0).uniform(1, 2, LONG)
    losses[12_345], losses[65_432] = 9.0, 0.1
    rows = rows_of(list(losses), [*[part] * (LONG // part), *([LONG % part] if LONG % part else [])])
    frame = curve_of(*([row] for row in rows))
    assert len(frame) <= loss_curve._MOST_HELD
    assert frame["step"].iloc[[0, -1]].tolist() == [1, LONG]
    assert frame["step"].is_monotonic_increasing
    assert frame["loss"].agg(["min", "max"]).tolist() == [0.1, 9.0]
    assert (frame["loss"] == losses[frame["step"] - 1]).all()


@pytest.mark.slow
def test_a_long_curves_beginning_is_as_dense_as_its_end() -> None:
    losses = list(np.random.default_rng(0).uniform(1, 2, 4 * LONG))
    frame = curve_of(*([row] for row in rows_of(losses, [100] * (4 * LONG // 100))))
    first, middle = (frame["step"].between(low, low + LONG).sum() for low in (0, 2 * LONG))
    assert first == pytest.approx(middle, rel=0.1)


def test_steps_count_from_one_through_all_epochs() -> None:
    rows = [batch_row(0, 1, [3.0, 2.0]), batch_row(0, 2, [1.5]), epoch_row(0), batch_row(1, 0, [1.0])]
    assert curve_of([epoch_row(0)]).empty
    frame = curve_of(rows, settings=config(train_images=192, batch_size=64))
    assert list(frame["step"]) == [1, 2, 3, 4]
    assert list(frame["loss"]) == [3.0, 2.0, 1.5, 1.0]


def test_thinned_curve_keeps_its_extremes_and_ends() -> None:
    losses = np.random.default_rng(0).uniform(1, 2, 10_000)
    losses[1234], losses[6543] = 9.0, 0.1
    whole = pd.DataFrame({"step": np.arange(1, 10_001), "loss": losses})
    frame = loss_curve.thin_out(whole, loss_curve.MAX_POINTS)
    assert loss_curve.MAX_POINTS / 2 < len(frame) <= loss_curve.MAX_POINTS
    assert {9.0, 0.1} <= set(frame["loss"])
    assert list(frame["step"].iloc[[0, -1]]) == [1, 10_000]
    assert frame["step"].is_monotonic_increasing
    assert loss_curve.thin_out(frame, len(frame)) is frame
