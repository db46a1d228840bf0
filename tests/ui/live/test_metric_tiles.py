"""The numbers of a run in words: which way each went, and whether that is good."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fashion_core.resume.comparison import Compared, LossNow
from fashion_core.resume.repeats import over_seeds
from fashion_core.resume.tables import seeds_frame
from fashion_core.runs.loss_curve import LatestMetrics
from fashion_core.runs.schema import Change, LoadCheck, State
from fashion_core.runs.store import RunStore
from fashion_core.ui.live import metric_tiles
from fashion_core.ui.live.metric_tiles import Meaning, Metric
from tests.support.runs import config, epoch_row, new_run

NOTHING = LatestMetrics(None, None, None, None, None, 0.0, [])
CHECK = LoadCheck(loss_last=0.5, loss_check=0.5, accuracy=0.8, standard_error=0.01, comparable=True, optimizer="loaded")
ROW = Compared("b", "b", "finished", "synthetic", "a", "a", True, 1, CHECK, None, None, "exact", (), {})


@pytest.mark.parametrize(
    ("change", "of_loss", "of_accuracy"),
    [
        (None, ("", "plain"), ("", "plain")),
        (-0.25, ("↓ 0.2500", "good"), ("↓ 25.00 points", "bad")),
        (0.25, ("↑ 0.2500", "bad"), ("↑ 25.00 points", "good")),
        (0.0, ("0.0000", "plain"), ("0.00 points", "plain")),
    ],
)
def test_less_of_a_loss_and_more_of_an_accuracy_are_good(
    store: RunStore, change: float | None, of_loss: tuple[str, str], of_accuracy: tuple[str, str]
) -> None:
    run = new_run(store)
    known = replace(NOTHING, loss=0.5, loss_change=change, accuracy=0.5, accuracy_change=change)
    _, loss, accuracy, *_ = metric_tiles.run_metrics(run, run.status, "stopped", known)
    assert (loss.label, accuracy.label) == ("Test loss", "Test accuracy")
    assert (loss.value, loss.change, loss.meaning) == ("0.5000", *of_loss)
    assert (accuracy.value, accuracy.change, accuracy.meaning) == ("50.00%", *of_accuracy)


def test_what_is_not_known_yet_is_a_dash(store: RunStore) -> None:
    run = new_run(store)
    assert [metric.value for metric in metric_tiles.run_metrics(run, run.status, "running", NOTHING)] == ["–"] * 5


SLOW = "4,000 at its fastest: other programs may be slowing this run down. "


@pytest.mark.parametrize(
    ("state", "environment", "rates", "said"),
    [
        ("running", {}, (4e3, 1e3, 900.0), f"{SLOW}Close them."),
        ("running", {"threads": 2}, (4e3, 1e3, 900.0), f"{SLOW}Close them, or stop it and resume with one thread."),
        ("running", {}, (1_000.0, 4_000.0, 900.0), ""),
        ("running", {}, (), ""),
        ("stopped", {}, (4_000.0, 1_000.0, 900.0), ""),
        ("running", {"device": "cuda:0"}, (4_000.0, 1_000.0, 900.0), ""),
    ],
)
def test_run_that_others_slow_down_says_what_to_do(
    store: RunStore, state: State, environment: dict[str, Any], rates: Sequence[float], said: str
) -> None:
    """One slow epoch says nothing: the first one of a process has more to do."""
    run = new_run(store, **environment)
    *_, shown, _ = metric_tiles.run_metrics(run, run.status, state, replace(NOTHING, rates=rates))
    assert shown.note == said


@pytest.mark.parametrize(
    ("loss", "standard_error", "said", "meaning"),
    [
        (0.4, 0.001, "↓ 20.0%, lower", "good"),
        (0.6, 0.001, "↑ 20.0%, higher", "bad"),
        (0.6, 1.0, "↑ 20.0%, within noise", "plain"),
    ],
)
def test_loss_now_says_which_way_it_went_and_whether_that_is_noise(
    loss: float, standard_error: float, said: str, meaning: Meaning
) -> None:
    now = LossNow(2, loss, loss - 0.5, standard_error)
    first, latest = metric_tiles.three_losses(replace(ROW, first=now, latest=now))[2:]
    assert (first.change, first.meaning) == (latest.change, latest.meaning) == (said, meaning)


def test_lower_loss_on_another_dataset_is_neither_good_nor_bad() -> None:
    changes = {"dataset": Change(before="fashion-mnist", after="synthetic")}
    (*_, latest) = metric_tiles.three_losses(replace(ROW, latest=LossNow(2, 0.1, -0.4, 0.001), changes=changes))
    assert (latest.change, latest.meaning) == ("↓ 80.0%, lower, not counted", "plain")


def test_loss_right_after_loading_is_told_to_be_equal_or_of_other_images() -> None:
    assert metric_tiles.three_losses(ROW)[1].change == "equal"
    other = CHECK.model_copy(update={"loss_check": 0.6, "comparable": False})
    assert metric_tiles.three_losses(replace(ROW, check=other))[1].change == "other images"


def test_metric_has_its_label_value_change_and_note() -> None:
    said = '<dd class="change good">↓ 0.1</dd><dd class="note">Less is better.</dd>'
    html = Metric("Test loss", "0.5", "↓ 0.1", "good", "Less is better.").html()
    assert html == f"<div><dt>Test loss</dt><dd>0.5</dd>{said}</div>"
    assert Metric("Test loss", "–").html() == "<div><dt>Test loss</dt><dd>–</dd></div>"


def test_bar_has_the_share_and_nothing_in_a_word_is_markup() -> None:
    bad = '"><img src=x onerror=alert(1)>'
    html = metric_tiles.progress_and_metrics(bad, 0.25, [[Metric(bad, bad, bad, note=bad)]])
    assert html.startswith('<progress value="0.2500" aria-label="')
    assert html.count("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;") == 6
    assert bad not in html


def test_means_over_seeds_have_their_interval_and_what_luck_alone_moves() -> None:
    rows = [[epoch_row(0) | {"loss": loss, "accuracy": 1 - loss}] for loss in (0.40, 0.42)]
    change = over_seeds([-0.2, -0.19, -0.21])
    seeds = seeds_frame(rows, config(), 0)
    loss, accuracy, change_shown = metric_tiles.over_seeds(seeds, 3, ["failed"], change)
    assert (loss.value, loss.change) == ("0.4100", "± 0.1271")
    assert loss.note == "95 % interval, 2 of 3 seeds (1 failed) at epoch 0. Seed luck alone moves 0.0283."
    assert (accuracy.value, accuracy.change) == ("59.00%", "± 12.71 points")
    assert (change_shown.value, change_shown.change, change_shown.meaning) == ("−20.0%", "± 2.5 points", "good")
    assert change_shown.note == "Seed luck alone moves 2.0%."
    (unknown,) = metric_tiles.over_seeds(seeds.head(0), 3, [], None)
    assert unknown.value == "–"


def change_shown(changes: list[float]) -> Metric:
    seeds = seeds_frame([[epoch_row(0)]] * 2, config(), 0)
    return metric_tiles.over_seeds(seeds, 2, [], over_seeds(changes))[-1]


def test_interval_of_a_change_has_the_unit_of_the_change() -> None:
    shown = change_shown([12.0, 12.5])
    assert (shown.value, shown.change) == ("×13", "± 3.2")


def test_change_that_the_seeds_can_not_tell_from_none_is_neither_good_nor_bad() -> None:
    for changes, meaning in (([-0.1, 0.1], "plain"), ([0.2, 0.19, 0.21], "bad")):
        assert change_shown(changes).meaning == meaning
