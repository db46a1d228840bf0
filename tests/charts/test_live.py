import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest

from fashion_core.charts import live as charts
from tests.support.charts import THEME, as_sent, contrast, fields, layers


def batches(count: int) -> pd.DataFrame:
    steps = range(1, count + 1)
    losses = [2.3 / math.sqrt(step) for step in steps]
    return pd.DataFrame({"step": steps, "loss": losses, "smoothed": losses}).astype({"step": "int64"})


def epochs(count: int, first: int = 0, steps: int = 100) -> pd.DataFrame:
    rows = [
        (first + n, steps * (n + 1), 0.5 / (n + 1), 0.4 / (n + 1), 0.9 - 0.1 / (n + 1), n % 2 == 0)
        for n in range(count)
    ]
    kinds = {"epoch": "int64", "step": "int64", "loss": "float64", "train_loss": "float64", "accuracy": "float64"}
    return pd.DataFrame(rows, columns=[*kinds, "checkpoint"]).astype({**kinds, "checkpoint": "bool"})


def loss_last(loss: float) -> pd.DataFrame:
    return pd.DataFrame({"loss": [loss], "label": [f"loss_last {loss:.3f} · base epoch 4"]})


def seeds() -> pd.DataFrame:
    rows = [(0, 100, 3, 0.5, 0.6, 0.2, 0.9, 0.2), (1, 200, 3, 0.4, 0.01, 0.02, 0.92, 0.01)]
    columns = ["epoch", "step", "seeds", "loss", "loss_interval", "loss_luck", "accuracy", "accuracy_interval"]
    return pd.DataFrame(rows, columns=columns)


def drawing(chart: Any) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    return chart.without_rows(), {name: frame.to_dict("records") for name, frame in chart.frames.items()}


def visible_epochs(chart: Any, width: int) -> list[dict[str, Any]]:
    """The epochs that pass the filter of the epoch labels in a plot of this many pixels."""
    spec, rows = drawing(chart)
    (label,) = layers(spec, "text", "epochs")
    condition = label["transform"][0]["filter"].replace("datum.", "")
    return [row for row in rows["epochs"] if eval(condition, {}, {**row, "width": width})]


def test_a_thin_line_shows_each_batch_and_a_bold_one_the_smoothed_loss_up_to_where_the_run_will_end() -> None:
    spec, rows = drawing(charts.live_chart(batches(10), epochs(0), 3752))
    thin, bold = layers(spec, "line", "batches")
    assert fields(thin, "x", "y") == ("step", "loss")
    assert fields(bold, "x", "y") == ("step", "smoothed")
    assert bold["mark"]["strokeWidth"] >= 2 * thin["mark"]["strokeWidth"]
    assert [layer["encoding"]["x"]["scale"] for layer in (thin, bold)] == [{"domain": [0, 3752], "nice": False}] * 2
    assert [row["step"] for row in rows["batches"]] == list(range(1, 11))


def test_axes_name_what_they_measure() -> None:
    live, _ = drawing(charts.live_chart(batches(10), epochs(1), 500))
    accuracy, _ = drawing(charts.accuracy_chart(epochs(1), range(5)))
    loss, share = layers(live, "line", "batches")[0]["encoding"], layers(accuracy, "point", "epochs")[0]["encoding"]
    assert "step" in loss["x"]["title"]
    assert "cross-entropy" in loss["y"]["title"]
    assert "% of images" in share["y"]["title"]
    assert share["y"]["axis"]["format"] == "%"


def test_a_ring_marks_a_saved_checkpoint_at_the_train_loss_and_a_diamond_each_test_loss() -> None:
    spec, rows = drawing(charts.live_chart(batches(400), epochs(3), 500))
    (ring,), (diamond,) = layers(spec, "point", "saved"), layers(spec, "point", "epochs")
    assert fields(ring, "x", "y") == ("step", "train_loss")
    assert {"fill", "stroke"} <= ring["mark"].keys()
    assert [row["checkpoint"] for row in rows["epochs"]] == [True, False, True]
    assert [row["epoch"] for row in rows["saved"]] == [0, 2]
    assert fields(diamond, "x", "y") == ("step", "loss")
    assert diamond["mark"]["shape"] == "diamond"
    assert all("filter" not in transform for transform in diamond["transform"])


def test_the_newest_smoothed_value_is_written_beside_a_dot() -> None:
    frame = batches(30)
    frame.loc[29, "smoothed"] = 0.31869
    spec, rows = drawing(charts.live_chart(frame, epochs(0), 500))
    (dot,) = layers(spec, "point", "newest")
    text = layers(spec, "text", "newest")[-1]
    assert fields(dot, "x", "y") == ("step", "smoothed")
    assert fields(text, "x", "y", "text") == ("step", "smoothed", "text")
    assert text["mark"]["fontWeight"] == 700
    assert [(row["step"], row["text"]) for row in rows["newest"]] == [(30, "0.319")]


def test_every_epoch_has_a_rule_and_a_label_when_there_is_room() -> None:
    chart = charts.live_chart(batches(300), epochs(3, first=5), 300)
    spec, _ = drawing(chart)
    (rule,), (label,) = layers(spec, "rule", "epochs"), layers(spec, "text", "epochs")
    assert fields(rule, "x") == fields(label, "x") == ("step",)
    assert rule["transform"] == label["transform"]
    assert [row["text"] for row in visible_epochs(chart, 1000)] == ["epoch 5", "epoch 6", "epoch 7"]


@pytest.mark.parametrize(("count", "width"), [(50, 1050), (50, 600), (50, 280), (20, 600)])
def test_labels_of_many_epochs_are_thinned_to_round_numbers_that_do_not_overlap(count: int, width: int) -> None:
    shown = visible_epochs(charts.live_chart(batches(1500), epochs(count), 100 * count), width)
    pixels = [row["step"] / (100 * count) * width for row in shown]
    assert 2 <= len(shown) < count
    assert all(row["epoch"] % 5 == 0 for row in shown)
    assert all(right - left >= 50 for left, right in pairwise(pixels))


def test_label_spacing_counts_the_epochs_still_to_come() -> None:
    shown = visible_epochs(charts.live_chart(batches(1000), epochs(10), 5000), 600)
    assert [row["epoch"] for row in shown] == [0, 5]


def test_the_dashed_line_is_there_only_for_a_resumed_run() -> None:
    fresh, _ = drawing(charts.live_chart(batches(10), epochs(0), 500))
    resumed, rows = drawing(charts.live_chart(batches(10), epochs(0), 500, loss_last(0.412)))
    dashed = [layer for layer in resumed["layer"] if "strokeDash" in layer["mark"]]
    assert not [layer for layer in fresh["layer"] if "strokeDash" in layer["mark"]]
    assert [(layer["mark"]["type"], fields(layer, "y")) for layer in dashed] == [("rule", ("loss",))]
    assert fields(layers(resumed, "text", "loss_last")[-1], "text") == ("label",)
    assert rows["loss_last"][0]["label"] == "loss_last 0.412 · base epoch 4"


def test_the_label_of_the_dashed_line_has_room_and_keeps_clear_of_the_newest_value() -> None:
    newest = batches(10)["smoothed"].iloc[-1]
    above, below, lowest = (
        drawing(charts.live_chart(batches(10), epochs(0), 500, loss_last(loss)))[1]
        for loss in (newest + 0.01, newest - 0.01, 0.5)
    )
    assert above["loss_last"][0]["side"] < 0 < below["loss_last"][0]["side"]
    assert min(row["low"] for row in lowest["room"]) < 0.4


def test_train_has_the_themes_first_colour_and_test_the_second() -> None:
    live = charts.live_chart(batches(10), epochs(2), 500, loss_last(0.4))
    for spec in (live.without_rows(), charts.accuracy_chart(epochs(2), range(5)).without_rows()):
        scales = [layer["encoding"]["color"]["scale"] for layer in spec["layer"] if "color" in layer["encoding"]]
        assert scales
        assert all(scale == {"domain": ["train", "test"]} for scale in scales)


@pytest.mark.parametrize(
    ("mark", "data", "series"),
    [("line", "batches", "train"), ("point", "newest", "train"), ("point", "epochs", "test")],
)
def test_marks_belong_to_the_series_they_show(mark: str, data: str, series: str) -> None:
    spec, _ = drawing(charts.live_chart(batches(10), epochs(2), 500))
    layer = layers(spec, mark, data)[-1]
    assert fields(layer, "color") == ("series",)
    assert layer["transform"] == [{"calculate": f"'{series}'", "as": "series"}]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_can_be_seen_on_their_background(theme: str) -> None:
    paper, colors = THEME[theme]["backgroundColor"], THEME[theme]["chartCategoricalColors"]
    assert min(contrast(color, paper) for color in colors) >= 3
    assert min(contrast(color, paper) for color in colors[: len(charts.SERIES)]) >= 4.5


def test_ink_can_be_read_on_both_backgrounds() -> None:
    spec, _ = drawing(charts.live_chart(batches(10), epochs(2), 500, loss_last(0.4)))
    texts = [layers(spec, "text", data)[-1]["mark"]["color"]["expr"] for data in ("epochs", "loss_last")]
    axis = layers(spec, "line", "batches")[0]["encoding"]["x"]["axis"]
    for expression in [*texts, axis["labelColor"]["expr"], axis["titleColor"]["expr"]]:
        on_dark, on_light = re.findall("#[0-9A-F]{6}", expression)
        assert contrast(on_dark, THEME["dark"]["backgroundColor"]) >= 4.5
        assert contrast(on_light, THEME["light"]["backgroundColor"]) >= 4.5


@pytest.mark.parametrize(
    "chart",
    [
        lambda rows, ends: charts.live_chart(batches(rows), epochs(ends), 5000),
        lambda rows, ends: charts.live_chart(batches(rows), epochs(ends), 5000, loss_last(0.4)),
        lambda rows, ends: charts.accuracy_chart(epochs(ends), range(ends + 10)),
    ],
    ids=["live", "resumed", "accuracy"],
)
def test_the_spec_stays_the_same_while_the_data_grows(chart: Callable[[int, int], Any]) -> None:
    specs = [chart(*sizes).without_rows() for sizes in ((0, 0), (1, 0), (10, 1), (1000, 10))]
    assert specs == [specs[0]] * len(specs)


def test_a_chart_that_was_handed_out_is_not_changed_by_its_reader() -> None:
    charts.live_chart(batches(10), epochs(0), 500).without_rows()["layer"].clear()
    assert charts.live_chart(batches(10), epochs(0), 500).without_rows()["layer"]


def test_streamlit_sends_the_same_spec_with_more_rows() -> None:
    before, after = as_sent(*(charts.live_chart(batches(n), epochs(1 + n // 100), 5000) for n in (10, 1000)))
    assert before.spec == after.spec
    assert [data.name for data in before.datasets] == [data.name for data in after.datasets]
    assert len(after.datasets[0].data.data) > 10 * len(before.datasets[0].data.data)


def test_spec_changes_with_the_first_loss_and_the_first_epoch_alone() -> None:
    life = [(0, 0), (1, 0), (99, 0), (100, 1), (200, 2), (5000, 50)]
    sent = as_sent(*(charts.live_chart(batches(steps), epochs(ended), 5000) for steps, ended in life))
    changed = [at for at, before, after in zip(life[1:], sent, sent[1:], strict=False) if before.spec != after.spec]
    assert changed == [(1, 0), (100, 1)]


@pytest.mark.parametrize(
    ("chart", "room"),
    [
        (lambda: charts.live_chart(batches(0), epochs(0), 500), {"low": 0.0, "high": 1.0}),
        (lambda: charts.accuracy_chart(epochs(0), range(5)), {"low": 0.0, "high": 1.0, "first": 0, "last": 4}),
    ],
)
def test_empty_frames_draw_axes_only(chart: Callable[[], Any], room: dict[str, float]) -> None:
    _, rows = drawing(chart())
    assert {name: data for name, data in rows.items() if data} == {"room": [room]}


def test_losses_that_are_not_finite_leave_a_gap() -> None:
    frame = batches(5)
    frame["loss"] = [1.0, math.inf, -math.inf, math.nan, 2.0]
    frame["smoothed"] = [1.0, 0.5, math.inf, math.nan, math.nan]
    _, rows = drawing(charts.live_chart(frame, epochs(1).assign(loss=math.inf), 500))
    assert [row["loss"] for row in rows["batches"] if not math.isnan(row["loss"])] == [1.0, 2.0]
    assert math.isnan(rows["epochs"][0]["loss"])
    assert [row["text"] for row in rows["newest"]] == ["0.500"]


def test_hovering_names_step_batch_loss_and_smoothed_loss_and_reaches_every_batch_of_a_short_run() -> None:
    spec, rows = drawing(charts.live_chart(batches(1500), epochs(0), 1500))
    (hover,) = layers(spec, "rule", "hover")
    (near,) = spec["params"]
    assert [tip["field"] for tip in hover["encoding"]["tooltip"]] == ["step", "loss", "smoothed"]
    assert near["views"] == [hover["name"]]
    assert near["select"]["nearest"]
    assert hover["encoding"]["opacity"]["condition"][0]["param"] == near["name"]
    assert 290 <= len(rows["hover"]) <= 301
    _, rows = drawing(charts.live_chart(batches(60), epochs(0), 100))
    assert [row["step"] for row in rows["hover"]] == list(range(1, 61))


def test_accuracy_is_a_line_with_a_diamond_an_epoch_and_the_last_value_written() -> None:
    spec, rows = drawing(charts.accuracy_chart(epochs(50, first=5), range(5, 55)))
    (line,), (point,) = layers(spec, "line", "epochs"), layers(spec, "point", "epochs")
    assert fields(line, "x", "y") == fields(point, "x", "y") == ("epoch", "accuracy")
    assert point["mark"]["shape"] == "diamond"
    assert point["encoding"]["x"]["axis"]["tickMinStep"] == 1
    assert [(row["epoch"], row["text"]) for row in rows["newest"]] == [(54, "89.80%")]


def test_the_accuracy_axis_spans_the_epochs_that_the_run_will_train_and_ends_at_one_hundred_percent() -> None:
    spec, rows = drawing(charts.accuracy_chart(epochs(1, first=5).assign(accuracy=1.0), range(5, 10)))
    (room,), (line,) = layers(spec, "rule", "room"), layers(spec, "line", "epochs")
    assert fields(room, "x", "x2") == ("first", "last")
    assert room["encoding"]["x"]["scale"] == line["encoding"]["x"]["scale"]
    assert rows["room"] == [{"low": 0.95, "high": 1.0, "first": 5, "last": 9}]


def test_a_bar_is_the_interval_of_the_mean_over_the_seeds_within_what_is_possible() -> None:
    loss, accuracy = (
        drawing(chart)
        for chart in (
            charts.live_chart(batches(10), epochs(2), 500, seeds=seeds()),
            charts.accuracy_chart(epochs(2), range(5), seeds()),
        )
    )
    for (spec, rows), x, number, ends in (
        (loss, "step", "loss", [(0.0, 1.1), (0.39, 0.41)]),
        (accuracy, "epoch", "accuracy", [(0.7, 1.0), (0.91, 0.93)]),
    ):
        (bar,) = layers(spec, "rule", "seeds")
        (tick,) = layers(spec, "tick", "seeds")
        assert fields(bar, "x", "y", "y2") == (x, "low", "high")
        assert fields(tick, "x", "y") == (x, number)
        assert [(row["low"], row["high"]) for row in rows["seeds"]] == [pytest.approx(pair) for pair in ends]
    assert "seeds" not in charts.live_chart(batches(10), epochs(2), 500).frames
