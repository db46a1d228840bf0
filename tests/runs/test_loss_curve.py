"""The curve of a run's losses: the same however it came, bounded, with every extreme in it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_core.runs import live, metrics
from fashion_core.runs.live import Curve
from tests.support.runs import config

SETTINGS = config(dataset="fashion-mnist", train_images=0, batch_size=1)
LONG = 100_000


def rows_of(losses: list[float], counts: list[int]) -> list[metrics.Row]:
    """These losses of one epoch, so many in each row."""
    ends = np.cumsum(counts)
    return [
        {"kind": "batch", "epoch": 0, "batch": int(end) - 1, "losses": losses[end - count : end]}
        for count, end in zip(counts, ends, strict=True)
    ]


def curve_of(*parts: list[metrics.Row]) -> pd.DataFrame:
    curve = Curve(SETTINGS, 0)
    for part in parts:
        curve.add(part)
    return curve.frame()


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=30), at=st.integers(0, 30))
def test_a_curve_that_comes_in_parts_is_the_same(counts: list[int], at: int) -> None:
    losses = list(np.random.default_rng(0).uniform(1, 2, sum(counts)))
    rows = rows_of(losses, counts)
    pd.testing.assert_frame_equal(curve_of(rows[:at], rows[at:]), curve_of(rows))


def test_smoothed_loss_is_the_exponential_mean_of_all_before() -> None:
    losses = list(np.random.default_rng(0).normal(1, 0.1, 5000))
    frame = curve_of(*([row] for row in rows_of(losses, [50] * 100)))
    expected = pd.Series(losses).ewm(span=live.SMOOTHING_BATCHES).mean()
    np.testing.assert_allclose(frame["smoothed"], expected, rtol=1e-12)


@pytest.mark.parametrize("part", [94, LONG])
def test_a_long_curve_is_bounded_and_keeps_its_extremes_and_ends(part: int) -> None:
    losses = np.random.default_rng(0).uniform(1, 2, LONG)
    losses[12_345], losses[65_432] = 9.0, 0.1
    rows = rows_of(list(losses), [*[part] * (LONG // part), *([LONG % part] if LONG % part else [])])
    frame = curve_of(*([row] for row in rows))
    assert len(frame) <= live._MOST_POINTS
    assert frame["step"].iloc[[0, -1]].tolist() == [1, LONG]
    assert frame["step"].is_monotonic_increasing
    assert frame["loss"].agg(["min", "max"]).tolist() == [0.1, 9.0]
    assert (frame["loss"] == losses[frame["step"] - 1]).all()


def test_a_long_curves_beginning_is_as_dense_as_its_end() -> None:
    losses = list(np.random.default_rng(0).uniform(1, 2, 4 * LONG))
    frame = curve_of(*([row] for row in rows_of(losses, [100] * (4 * LONG // 100))))
    first, middle = (frame["step"].between(low, low + LONG).sum() for low in (0, 2 * LONG))
    assert first == pytest.approx(middle, rel=0.1)


def test_rows_of_epochs_add_no_points() -> None:
    curve = Curve(SETTINGS, 0)
    curve.add([{"kind": "epoch", "epoch": 0, "loss": 1.0}])
    assert curve.frame().empty
