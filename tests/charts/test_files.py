import json
from typing import Any

import pandas as pd
import pytest

from fashion_core.charts import base, files
from fashion_core.charts.files import LAYER_COLUMNS, WEIGHT_CHANGE_COLUMNS
from fashion_core.formats.untrusted.state_dict import KNOWN

INKS = ("#F3F4F6", "#1F2937", "#9CA3AF", "#6B7280", "#4B4B46", "#D1D5DB")
SERIES = ("weights", "optimizer")


def layers(*sizes: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame([(name, first, second, f"{first + second} B") for name, first, second in sizes],
                        columns=list(LAYER_COLUMNS))  # fmt: skip


def movements(model: str) -> pd.DataFrame:
    """A row a tensor of this model, each moved by another share."""
    names = [name for name in KNOWN[model] if not name.endswith("num_batches_tracked")]
    rows = [(name, *name.rpartition(".")[::2], 0.1 * number) for number, name in enumerate(names)]
    return pd.DataFrame(rows, columns=list(WEIGHT_CHANGE_COLUMNS))


def drawing(chart: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The spec without its rows, and the rows."""
    (frame,) = chart.frames.values()
    return chart.without_rows(), frame.to_dict("records")


def charts() -> dict[str, Any]:
    return {
        "bars": files.bar_chart(layers(("a", 3_000_000, 6_000_000), ("b", 20_000, 0)), SERIES, "size"),
        "weight_change": files.weight_change_chart(movements("cnn")),
    }


def test_bar_is_filled_then_hollow_and_ends_with_its_size_in_words() -> None:
    spec, rows = drawing(charts()["bars"])
    of_a = [row for row in rows if row["layer"] == "a"]
    assert [(row["part"], row["start"], row["end"]) for row in of_a] == [("weights", 0, 3), ("optimizer", 3, 9)]
    bar, words = spec["layer"]
    assert (bar["mark"]["type"], words["mark"]["type"]) == ("bar", "text")
    opacity = bar["encoding"]["fillOpacity"]
    (filled,) = opacity["condition"]
    assert (filled["value"], filled["test"], opacity["value"]) == (1, "(datum.part === 'weights')", 0.12)
    assert words["encoding"]["x"]["field"] == "end"
    assert words["encoding"]["text"]["field"] == "text"


def test_part_of_no_size_is_not_drawn_but_the_bar_has_its_words() -> None:
    spec, rows = drawing(charts()["bars"])
    bar, words = spec["layer"]
    assert bar["transform"] == [{"filter": "(datum.bytes > 0)"}]
    assert words["transform"] == [{"filter": "(datum.part === 'optimizer')"}]
    assert [row["text"] for row in rows if row["layer"] == "b" and row["part"] == "optimizer"] == ["20000 B"]


@pytest.mark.parametrize(("size", "unit"), [(300, "bytes"), (30_000, "kB"), (3_000_000, "MB"), (5 * 10**9, "MB")])
def test_axis_counts_in_the_unit_of_the_longest_bar(size: int, unit: str) -> None:
    spec, rows = drawing(files.bar_chart(layers(("a", size, 0), ("b", 1, 0)), SERIES, "size"))
    assert spec["layer"][0]["encoding"]["x"]["title"] == f"size ({unit})"
    assert rows[0]["end"] == size / {"bytes": 1, "kB": 1e3, "MB": 1e6}[unit]


def test_rows_stand_in_the_order_of_the_model_and_none_loses_its_name() -> None:
    for chart, order in (
        (charts()["bars"], ["a", "b"]),
        (charts()["weight_change"], list(dict.fromkeys(movements("cnn")["layer"]))),
    ):
        spec, _ = drawing(chart)
        for layer in spec["layer"]:
            assert layer["encoding"]["y"]["sort"] == order
            assert layer["encoding"]["y"]["axis"]["labelOverlap"] is False


@pytest.mark.parametrize(("model", "rows"), [("mlp", 3), ("cnn", 6), ("resnet18", 41)])
def test_chart_is_as_high_as_its_layers_need(model: str, rows: int) -> None:
    spec, _ = drawing(files.weight_change_chart(movements(model)))
    assert spec["height"] == rows * 18
    assert spec["autosize"] == {"type": "fit-x", "contains": "padding"}


def test_each_tensor_is_a_mark_whose_shape_tells_its_kind() -> None:
    spec, rows = drawing(charts()["weight_change"])
    line, marks = spec["layer"]
    assert len(rows) == len(movements("cnn"))
    assert marks["encoding"]["shape"]["scale"]["domain"] == list(files.KINDS)
    assert len(set(marks["encoding"]["shape"]["scale"]["range"])) == len(files.KINDS)
    assert marks["encoding"]["x"]["title"] == "relative L2 change (%)"
    aggregated = line["transform"][0]["aggregate"]
    assert {(part["op"], part["field"]) for part in aggregated} == {("min", "change"), ("max", "change")}


def test_key_names_the_kinds_that_occur() -> None:
    assert files.weight_change_key(movements("mlp")) == "● weight · ◆ bias"
    assert files.weight_change_key(movements("cnn")).endswith("▲ running_mean · ▼ running_var")


@pytest.mark.parametrize("name", ["bars", "weight_change"])
def test_no_colour_is_chosen_here_but_ink_that_follows_the_theme(name: str) -> None:
    spec, _ = drawing(charts()[name])
    text = json.dumps({key: value for key, value in spec.items() if key != "config"})
    for ink in INKS:
        text = text.replace(ink, "")
    assert "#" not in text.replace("$schema", "")
    for layer in spec["layer"]:
        for channel in ("color", "fill", "stroke"):
            assert "range" not in layer["encoding"].get(channel, {}).get("scale", {})


@pytest.mark.parametrize("name", ["bars", "weight_change"])
def test_words_follow_the_background(name: str) -> None:
    spec, _ = drawing(charts()[name])
    for layer in spec["layer"]:
        for channel in ("x", "y"):
            axis = layer["encoding"][channel].get("axis")
            if axis:
                assert axis["labelColor"] == base.MUTED.to_dict()
        if layer["mark"]["type"] == "text":
            assert layer["mark"]["color"] == base.INK.to_dict()


def test_nothing_to_draw_is_an_empty_chart() -> None:
    spec, rows = drawing(files.weight_change_chart(movements("mlp").head(0)))
    assert (spec["height"], rows) == (18, [])
