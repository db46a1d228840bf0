"""What the charts of the Resume page encode, where everything stands, and what a click gives."""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.charts import base
from fashion_core.charts import branches as branch_charts
from fashion_core.charts import comparison as resume_charts
from fashion_core.charts import lineage as lineage_charts
from fashion_core.resume.labels import percent
from fashion_core.resume.tables import BRANCH_COLUMNS, COMPARED_COLUMNS, DOT_COLUMNS, LINK_COLUMNS
from tests.support.charts import THEME, contrast, drawing, fields, layers

ANSWERS = ["lower", "within noise", "same as the parent", "higher"]


def compared(*changes: dict[str, Any]) -> pd.DataFrame:
    """A row a run, "r0" and so on, each resumed from epoch 3 of "base" at a loss of 0.5."""
    rows: list[dict[str, Any]] = []
    for number, change in enumerate(changes):
        row: dict[str, Any] = {
            "run": f"r{number}", "name": f"run {number}", "label": "lr ÷10", "parent": "base", "parent_name": "base",
            "epoch": 3, "loss_last": 0.5, "loss_now": 0.4, "now_epoch": 9, "answer": "lower", "state": "finished",
            "verdict": "exact", "parent_exists": True, **change,
        }  # fmt: skip
        row |= {
            "low": row["loss_last"] - 0.02,
            "high": row["loss_last"] + 0.02,
            "change": row["loss_now"] / row["loss_last"] - 1,
        }
        rows.append({"group": f"base · epoch {row['epoch']}", **row, "percent": percent(row["change"]), **change})
    return pd.DataFrame(rows, columns=list(COMPARED_COLUMNS))


def of_each_answer() -> pd.DataFrame:
    losses = {"lower": 0.4, "within noise": 0.51, "same as the parent": 0.5, "higher": 0.7}
    return compared(
        *({"answer": answer, "loss_now": losses[answer], "epoch": 3 * n} for n, answer in enumerate(ANSWERS))
    )


def many(runs: int = 150) -> pd.DataFrame:
    return compared(*({"epoch": number // 8, "loss_now": 0.3 + number / 500} for number in range(runs)))


def branches(curves: dict[str, list[float]], start: int = 3, answer: str = "lower") -> pd.DataFrame:
    """A curve a run from epoch 0; those whose names begin with r are resumed ones and begin at ``start``."""
    rows = [
        (run, f"name of {run}", epoch + start, loss, "resumed", answer)
        if run[0] == "r"
        else (run, f"name of {run}", epoch, loss, "parent", None)
        for run, losses in curves.items()
        for epoch, loss in enumerate(losses)
    ]
    return pd.DataFrame(rows, columns=list(BRANCH_COLUMNS)).astype({"epoch": "int64", "loss": "float64"})


def lineage() -> tuple[pd.DataFrame, pd.DataFrame]:
    """ "base" with a run resumed from its epoch 0 and one from its last; then a tree of one lane."""
    rows = [
        ("base", "base", 0, 0.9, True, False, 0, 0, "base", ""),
        ("base", "base", 1, 0.8, False, False, 0, 0, "", "0.800"),
        ("late", "late", 2, 0.3, True, True, 1, 0, "", "same settings 0.300"),
        ("early", "early", 1, 0.7, True, False, 2, 0, "", "lr ÷10 0.700"),
        ("other", "other", 0, math.nan, True, False, 3, 1, "other", ""),
    ]
    links = [("late", 1, 0, 2, 1, 0), ("early", 0, 0, 1, 2, 0)]
    return pd.DataFrame(rows, columns=list(DOT_COLUMNS)), pd.DataFrame(links, columns=list(LINK_COLUMNS))


def no_dots() -> tuple[pd.DataFrame, pd.DataFrame]:
    dots, links = lineage()
    return dots.iloc[:0], links.iloc[:0]


def comparison(frame: pd.DataFrame, focus: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    return drawing(resume_charts.comparison_chart(frame, focus))


def branch(frame: pd.DataFrame, focus: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    return drawing(branch_charts.branch_chart(frame, focus))


def layer(spec: dict[str, Any], mark: str, data: str, number: int = 0) -> dict[str, Any]:
    return layers(spec, mark, data)[number]


ALL: dict[str, Callable[[], Any]] = {
    "comparison": lambda: resume_charts.comparison_chart(of_each_answer(), None),
    "branches": lambda: branch_charts.branch_chart(branches({"base": [0.9, 0.8], "r1": [0.8, 0.7]}), None),
    "lineage": lambda: lineage_charts.lineage_chart(*lineage()),
}


def test_an_arrow_leads_from_loss_last_to_the_loss_now() -> None:
    spec, rows = comparison(of_each_answer())
    shaft, tip = layer(spec, "rule", "rows"), layer(spec, "point", "rows")
    assert fields(shaft, "x", "x2", "y") == ("drawn_last", "drawn_now", "y")
    assert fields(tip, "x", "y", "shape") == ("drawn_now", "y", "mark")
    assert list(rows["rows"]["drawn_last"]) == [0.5] * 4
    assert list(rows["rows"]["drawn_now"]) == [0.4, 0.51, 0.5, 0.7]


def test_the_point_of_an_arrow_is_at_the_loss() -> None:
    tip = layer(comparison(of_each_answer())[0], "point", "rows")["mark"]
    size, moved = tip["size"]["expr"], tip["xOffset"]["expr"]
    assert re.findall(r"'(\w+)' \? (-?\d+)", moved) == [("lower", "1"), ("higher", "-1")]
    assert moved.endswith(f" * sqrt({size}) * sqrt(3) / 4")  # Vega's triangle, from its middle to its point


def test_answers_differ_in_shape_colour_and_word() -> None:
    spec, _ = comparison(of_each_answer())
    tip, percents = layer(spec, "point", "rows"), layer(spec, "text", "rows", 1)
    shapes = dict(zip(*(tip["encoding"]["shape"]["scale"][key] for key in ("domain", "range")), strict=True))
    assert [shapes[answer] for answer in ANSWERS] == ["triangle-left", "circle", "circle", "triangle-right"]
    assert fields(tip, "color") == fields(percents, "color") == ("answer",)
    for color in (tip["encoding"]["color"], percents["encoding"]["color"]):
        assert color["scale"] == {"domain": ["lower", "higher"]}
        assert color["condition"] == {
            "test": "datum.answer !== 'lower' && datum.answer !== 'higher'",
            "value": {"expr": str(base.MUTED.expr)},
        }
    tips = [tip["field"] for tip in layer(spec, "rect", "rows", 1)["encoding"]["tooltip"]]
    assert {"answer", "loss_last", "loss_now", "percent", "low", "high", "name", "group", "verdict", "state"} <= set(
        tips
    )


def test_a_band_around_loss_last_shows_the_noise_of_each_row() -> None:
    spec, rows = comparison(compared({}, {"low": 0.45, "high": 0.55}))
    assert fields(layer(spec, "rect", "rows"), "x", "x2", "y", "y2") == ("band", "high", "top", "bottom")
    assert list(rows["rows"][["band", "high"]].itertuples(index=False, name=None)) == [(0.48, 0.52), (0.45, 0.55)]


def test_a_band_that_reaches_zero_does_not_stretch_the_axis_and_the_tooltip_keeps_its_number() -> None:
    _, rows = comparison(compared({"low": -0.3, "high": 1.3}))
    assert rows["rows"].loc[0, ["band", "low"]].to_list() == [0.25, -0.3]


def test_a_checkpoint_has_one_loss_last_and_a_heading() -> None:
    spec, rows = comparison(compared({}, {}, {"epoch": 6, "loss_last": 0.31}))
    assert fields(layer(spec, "rule", "groups"), "x", "y", "y2") == ("drawn_last", "top", "bottom")
    assert list(rows["groups"][["group", "drawn_last", "text"]].itertuples(index=False, name=None)) == [
        ("base · epoch 3", 0.5, "0.500"), ("base · epoch 6", 0.31, "0.310"),
    ]  # fmt: skip
    assert list(rows["groups"]["bottom"] - rows["groups"]["top"]) == [36, 18]
    loss, heading = layer(spec, "text", "groups"), layer(spec, "text", "groups", 1)
    assert fields(loss, "text", "y") == ("text", "top")
    assert fields(heading, "text", "y") == ("group", "top")
    assert heading["mark"]["fontWeight"] == 700


def test_percentages_stand_at_the_right_edge_and_labels_at_the_left() -> None:
    spec, _ = comparison(of_each_answer())
    label, percents = layer(spec, "text", "rows"), layer(spec, "text", "rows", 1)
    assert fields(label, "text") == ("label",)
    assert fields(percents, "text") == ("percent",)
    assert (label["mark"]["align"], percents["mark"]["align"]) == ("left", "right")
    assert percents["encoding"]["x"] == {"value": {"expr": "width"}}


def x_range(spec: dict[str, Any], width: int) -> list[float]:
    """Between which pixels of a plot this wide the losses are."""
    ends = layer(spec, "point", "rows")["encoding"]["x"]["scale"]["range"]
    return [float(eval(end["expr"], {}, {"width": width, "min": min, "max": max})) for end in ends]


@pytest.mark.parametrize("label", ["lr ÷10", "same settings", "lr ÷10, → adam +2 (12)"])
def test_labels_have_room_on_a_phone_and_arrows_too(label: str) -> None:
    spec, _ = comparison(compared({"label": label}))
    for width, pixel in ((324, 5.4), (540, 6.0)):  # of a letter, which is smaller on a phone
        left, right = x_range(spec, width)
        assert 12 + len(label) * pixel <= left
        assert right - left >= 100


@pytest.mark.parametrize("runs", [1, 2, 15, 150])
def test_nothing_stands_on_anything_else(runs: int) -> None:
    frame = many(runs)
    spec, rows = comparison(frame)
    bands = sorted(
        [(row["top"], row["bottom"]) for row in rows["rows"].to_dict("records")]
        + [(row["top"] - 26, row["top"]) for row in rows["groups"].to_dict("records")]
    )
    assert len(bands) == runs + frame["epoch"].nunique()
    assert bands[0][0] == 0
    assert all(below[0] == above[1] for above, below in pairwise(bands))
    assert spec["height"] - bands[-1][1] == 96
    assert ((rows["rows"]["top"] + rows["rows"]["bottom"]) / 2 == rows["rows"]["y"]).all()


def test_rows_are_as_high_for_one_run_as_for_150() -> None:
    heights = [resume_charts.comparison_height(many(runs)) for runs in (1, 2, 150)]
    assert heights[1] - heights[0] == 18
    assert heights[0] < 150
    assert heights[2] == 150 * 18 + 19 * 26 + 96


def test_pixels_are_drawn_as_they_are() -> None:
    spec, _ = comparison(of_each_answer())
    assert all(layer["encoding"]["y"]["scale"] is None for layer in spec["layer"])


def test_the_axis_of_a_tall_chart_is_above_and_that_of_a_small_one_below() -> None:
    sides = [
        layer(comparison(many(runs))[0], "point", "rows")["encoding"]["x"]["axis"]["orient"] for runs in (1, 15, 150)
    ]
    assert sides == ["bottom", "bottom", "top"]


def test_the_axis_is_logarithmic_and_says_what_it_measures() -> None:
    x = layer(comparison(of_each_answer())[0], "point", "rows")["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert "test loss (cross-entropy, mean per image)" in x["title"]
    assert "log scale" in " ".join(x["title"])


def test_lines_between_the_labelled_ones_are_fainter() -> None:
    axis = layer(comparison(of_each_answer())[0], "point", "rows")["encoding"]["x"]["axis"]
    between, label = axis["labelExpr"].split(" ? '' : ")
    assert label == "format(datum.value, '~g')"
    assert axis["gridOpacity"]["condition"]["test"] == between
    assert axis["gridOpacity"]["condition"]["value"] < axis["gridOpacity"]["value"]


def test_a_run_that_diverged_is_drawn_at_the_edge_with_a_mark_of_its_own() -> None:
    frame = compared({}, {"loss_now": 9000.0, "answer": "higher"}, {"loss_now": math.nan, "answer": "higher"})
    spec, rows = comparison(frame)
    assert list(rows["rows"]["drawn_now"]) == [0.4, 2.0, 2.0]
    assert list(rows["rows"]["mark"]) == ["lower", "beyond the axis", "beyond the axis"]
    assert list(rows["rows"]["percent"]) == ["−20.0%", "×18,000", "diverged"]
    assert rows["rows"]["loss_now"].iloc[1] == 9000.0
    assert "beyond the axis" in layer(spec, "point", "rows")["encoding"]["shape"]["scale"]["domain"]


def test_a_loss_of_zero_has_a_place_on_the_axis() -> None:
    _, rows = comparison(compared({"loss_now": 0.0}))
    assert rows["rows"]["drawn_now"].iloc[0] == resume_charts.LEAST


def test_the_focused_run_keeps_its_strength_and_the_others_fade() -> None:
    spec, rows = comparison(many(3), "r1")
    assert list(rows["rows"]["strength"]) == [0.2, 1.0, 0.2]
    assert list(rows["rows"]["focused"]) == [False, True, False]
    for mark in (layer(spec, "rule", "rows"), layer(spec, "point", "rows"), layer(spec, "text", "rows", 1)):
        assert mark["encoding"]["opacity"] == {
            "field": "strength",
            "legend": None,
            "scale": None,
            "type": "quantitative",
        }


@pytest.mark.parametrize("focus", [None, "a run that is filtered out"])
def test_without_a_focus_all_have_full_strength(focus: str | None) -> None:
    assert set(comparison(many(3), focus)[1]["rows"]["strength"]) == {1.0}
    assert set(branch(branches({"base": [0.9], "r1": [0.8]}), focus)[1]["curves"]["strength"]) == {1.0}


def test_a_click_anywhere_on_a_row_gives_its_run() -> None:
    spec, _ = comparison(of_each_answer())
    hits = spec["layer"][-1]
    (focus,) = [param for param in spec["params"] if param["name"] == resume_charts.FOCUS]
    assert focus["select"] == {"type": "point", "fields": ["run", "at"]}
    assert focus["views"] == [hits["name"]]
    assert fields(hits, "y", "y2") == ("top", "bottom")
    assert (hits["encoding"]["x"], hits["encoding"]["x2"]) == ({"value": 0}, {"value": "width"})
    assert hits["mark"]["cursor"] == "pointer"


@pytest.mark.parametrize("name", ["comparison", "branches"])
def test_what_meets_the_pointer_is_dated_so_that_a_run_can_be_clicked_again_after_another_one(name: str) -> None:
    met = [layer for layer in drawing(ALL[name]())[0]["layer"] if "tooltip" in layer["encoding"]]
    assert met
    assert all(layer["transform"] == [{"calculate": "now()", "as": "at"}] for layer in met)


def test_only_what_has_a_run_meets_the_pointer() -> None:
    """Vega-Lite lets the pointer through layers with neither a selection nor a tooltip."""
    spec, rows = comparison(of_each_answer())
    names = {layer["data"]["name"] for layer in spec["layer"] if "tooltip" in layer["encoding"]}
    assert all("run" in rows[name] for name in names)


def test_focus_and_sorting_change_rows_only_so_that_the_chart_is_not_drawn_anew() -> None:
    frame = many(5)
    curves = branches({"base": [0.9, 0.8], "r1": [0.8], "r2": [0.7]})
    assert comparison(frame)[0] == comparison(frame, "r1")[0] == comparison(frame.iloc[::-1])[0]
    assert branch(curves)[0] == branch(curves, "r1")[0]


def test_streamlit_sends_the_same_spec_after_a_click() -> None:
    def page() -> None:
        import streamlit as st

        from fashion_core.charts import comparison as resume_charts

        chart = resume_charts.comparison_chart(st.session_state["frame"], st.session_state["run"])
        st.vega_lite_chart(
            chart.to_dict(), key="comparison", on_select="rerun", selection_mode="focus", alt="comparison"
        )

    app = AppTest.from_function(page)
    app.session_state["frame"], app.session_state["run"] = many(5), None
    before = app.run().get("vega_lite_chart")[0].proto
    app.session_state["run"] = "r1"
    after = app.run().get("vega_lite_chart")[0].proto
    assert before.selection_mode == ["focus"]
    assert (before.id, before.spec) == (after.id, after.spec)
    assert before.datasets[0].data.data != after.datasets[0].data.data


def test_a_resumed_curve_has_the_colour_of_its_answer_and_a_parents_is_thin_grey() -> None:
    spec, _ = branch(branches({"base": [0.9, 0.8], "r1": [0.8, 0.7]}))
    parent, resumed = layer(spec, "line", "curves"), layer(spec, "line", "curves", 1)
    assert (parent["transform"], resumed["transform"]) == (
        [{"filter": "datum.role === 'parent'"}], [{"filter": "datum.role === 'resumed'"}],
    )  # fmt: skip
    assert parent["mark"]["color"] == {"expr": str(base.MUTED.expr)}
    assert fields(resumed, "x", "y", "color", "detail", "strokeWidth") == ("epoch", "drawn", "answer", "run", "weight")


def test_names_of_parents_lie_below_the_curves() -> None:
    spec, _ = branch(branches({"base": [0.9, 0.8], "r1": [0.8, 0.7]}))
    drawn = [layer["data"]["name"] for layer in spec["layer"]]
    assert drawn[: drawn.index("curves")] == ["parents"] * drawn.count("parents")


def test_rings_stand_where_runs_branched_off_and_arrows_where_they_ended() -> None:
    spec, rows = branch(branches({"base": [0.9] * 6, "r1": [0.8, 0.7], "r2": [0.8, 0.6]}))
    ring, end = layer(spec, "point", "loss_last"), layer(spec, "point", "ends")
    assert "fill" in ring["mark"]
    assert list(rows["loss_last"][["epoch", "loss"]].itertuples(index=False, name=None)) == [(3, 0.8)]
    shapes = dict(zip(*(end["encoding"]["shape"]["scale"][key] for key in ("domain", "range")), strict=True))
    assert [shapes[answer] for answer in ANSWERS] == ["triangle-down", "circle", "circle", "triangle-up"]
    assert list(rows["ends"][["run", "epoch", "loss"]].itertuples(index=False, name=None)) == [
        ("r1", 4, 0.7),
        ("r2", 4, 0.6),
    ]


@pytest.mark.parametrize(("losses", "kind"), [([0.9, 0.4], "linear"), ([0.9, 0.31], "linear"), ([0.9, 0.29], "log")])
def test_the_branches_are_on_a_log_scale_where_they_span_more_than_a_factor_of_three(
    losses: list[float], kind: str
) -> None:
    y = layer(branch(branches({"base": losses, "r1": [losses[0]]}))[0], "line", "curves")["encoding"]["y"]
    assert y["scale"].get("type", "linear") == kind
    assert ("log scale" in y["title"]) == (kind == "log")
    assert "test loss (cross-entropy" in y["title"]


def test_epochs_are_whole_numbers_counted_from_the_first_run() -> None:
    x = layer(branch(branches({"base": [0.9], "r1": [0.8]}))[0], "line", "curves")["encoding"]["x"]
    assert x["title"] == "epoch (counted from the first run)"
    assert (x["axis"]["tickMinStep"], x["axis"]["format"]) == (1, "d")


def test_the_focused_curve_is_drawn_last_and_bold() -> None:
    curves = branch(branches({"base": [0.9, 0.8], "r1": [0.8, 0.7], "r2": [0.8, 0.6]}), "r1")[1]["curves"]
    assert curves["run"].iloc[-1] == "r1"
    found = curves.drop_duplicates("run").set_index("run")
    assert found.loc["r1", "weight"] > found.loc["r2", "weight"] > found.loc["base", "weight"]
    assert list(found.loc[["base", "r1", "r2"], "strength"]) == [1.0, 1.0, 0.2]


def test_many_curves_are_thin_and_have_a_tooltip_for_their_last_epoch_only() -> None:
    few, crowd = (branch(branches({f"r{n}": [0.8, 0.7] for n in range(runs)}))[1] for runs in (30, 150))
    assert len(few["points"]) == 60
    assert list(crowd["points"]["epoch"]) == [4] * 150
    assert set(crowd["curves"]["weight"]) == {1.5}
    assert set(few["curves"]["weight"]) == {2.5}


def test_a_curve_that_diverged_runs_along_the_edge() -> None:
    curves = branch(branches({"base": [0.9, 0.5], "r1": [0.5, 7000.0, math.inf]}))[1]["curves"]
    assert list(curves.loc[curves["run"] == "r1", "drawn"].dropna()) == [0.5, 3.6]
    assert curves["loss"].iloc[3] == 7000.0


@pytest.mark.parametrize("starts", [[0.9, 0.9, 0.9], [2.0, 0.91, 0.9], [0.9 + n / 1000 for n in range(12)], [1.0] * 40])
def test_names_of_parents_do_not_stand_on_each_other(starts: list[float]) -> None:
    curves = {f"p{n}": [start, 0.5] for n, start in enumerate(starts)}
    spec, rows = branch(branches({**curves, "r1": [0.5]}))
    plot = spec["height"] - resume_charts.AXIS_HEIGHT
    high, low = max(starts), 0.5
    place = math.log if max(starts) > 1.5 else float
    at = [
        (place(high) - place(name["drawn"])) / (place(high) - place(low)) * plot
        for name in rows["parents"].to_dict("records")
    ]
    middles = [pixel + dy for pixel, dy in zip(at, rows["parents"]["dy"], strict=True)]
    assert len(middles) == min(len(starts), plot // 14)
    assert all(below - above >= 14 - 1e-6 for above, below in pairwise(middles))
    assert middles[0] >= 0
    assert middles[-1] <= plot


def test_names_of_parents_make_way_upwards_where_no_curve_goes() -> None:
    names = branch(branches({"p0": [2.0], "p1": [0.91], "p2": [0.9, 0.5], "r1": [0.5]}))[1]["parents"]
    assert list(names["run"]) == ["p0", "p1", "p2"]
    assert names["dy"].iloc[2] == pytest.approx(-7)
    assert names["dy"].iloc[1] < -14


def test_a_click_on_a_curve_gives_its_run() -> None:
    spec, _ = branch(branches({"base": [0.9], "r1": [0.8]}))
    (focus,) = spec["params"]
    hits = next(layer for layer in spec["layer"] if layer.get("name") == focus["views"][0])
    assert focus["name"] == resume_charts.FOCUS
    assert focus["select"] == {"type": "point", "fields": ["run", "at"]}
    assert hits["mark"]["strokeWidth"] >= 10


def test_a_dot_is_a_checkpoint_in_the_colour_of_its_loss() -> None:
    spec, rows = drawing(ALL["lineage"]())
    fill = layer(spec, "point", "dots")["encoding"]["fill"]
    assert fields(layer(spec, "point", "dots"), "x", "y", "fill") == ("epoch", "y", "shade")
    assert (fill["scale"]["type"], fill["scale"]["scheme"]) == ("log", "viridis")
    assert "background" in fill["scale"]["reverse"]["expr"]
    assert "test loss (cross-entropy" in fill["legend"]["title"]
    assert len(rows["dots"]) == 5


def test_a_deleted_checkpoint_is_hollow_and_says_so() -> None:
    spec, rows = drawing(ALL["lineage"]())
    condition = layer(spec, "point", "dots")["encoding"]["fill"]["condition"]
    assert condition[0] == {"test": "!datum.saved", "value": {"expr": str(base.PAPER.expr)}}
    assert list(rows["dots"]["checkpoint"]) == ["saved", "deleted", "saved", "saved", "saved"]


def test_every_dot_has_an_edge_that_can_be_seen_on_both_backgrounds() -> None:
    stroke = layer(drawing(ALL["lineage"]())[0], "point", "dots")["mark"]["stroke"]
    on_dark, on_light = re.findall("#[0-9A-F]{6}", stroke["expr"])
    assert contrast(on_dark, THEME["dark"]["backgroundColor"]) >= 3
    assert contrast(on_light, THEME["light"]["backgroundColor"]) >= 3


def test_the_best_checkpoint_has_a_ring_and_the_word() -> None:
    spec, rows = drawing(ALL["lineage"]())
    ring, word = layer(spec, "point", "best"), layer(spec, "text", "best", 1)
    assert list(rows["best"]["run"]) == ["late"]
    assert "fill" not in ring["encoding"]
    assert ring["encoding"]["stroke"]["scale"] == {"domain": ["other", "best"]}
    assert word["encoding"]["text"] == {"value": "best"}


def test_lanes_and_headings_have_a_height_of_their_own() -> None:
    spec, rows = drawing(ALL["lineage"]())
    y = rows["dots"].groupby("lane")["y"].agg(["min", "max"])
    assert list(y["min"]) == list(y["max"]) == [42, 66, 90, 144]
    assert list(rows["headings"]["heading"]) == ["base", "other"]
    assert spec["height"] == 4 * 24 + 2 * 30 + 154


def test_a_chart_of_one_tree_begins_at_the_top() -> None:
    dots, links = lineage()
    spec, rows = drawing(lineage_charts.lineage_chart(dots[dots["tree"] == 1], links[links["tree"] == 1]))
    assert list(rows["dots"]["y"]) == [42]
    assert spec["height"] == 24 + 30 + 154


def test_a_link_leaves_at_the_parents_dot_and_arrives_at_the_childs_first() -> None:
    spec, rows = drawing(ALL["lineage"]())
    line = layer(spec, "line", "links")
    assert line["mark"]["interpolate"] == "basis"
    assert fields(line, "x", "y", "detail", "order") == ("epoch", "y", "run", "order")
    bend = rows["links"].query("run == 'early'").sort_values("order")
    assert list(bend["epoch"].iloc[[0, -1]]) == [0, 1]
    assert list(bend["y"]) == [42, 42, 90, 90]


def test_a_label_makes_way_for_a_link_that_leaves_at_its_dot() -> None:
    _, rows = drawing(ALL["lineage"]())
    assert rows["labels"].set_index("run")["lift"].to_dict() == {"base": -11, "late": 0, "early": 0}


def test_a_click_round_a_dot_gives_its_checkpoint() -> None:
    spec, rows = drawing(ALL["lineage"]())
    (param,) = spec["params"]
    hits = spec["layer"][-1]
    assert param["name"] == lineage_charts.CHECKPOINT
    assert param["select"] == {"type": "point", "fields": ["run", "epoch"]}
    assert param["views"] == [hits["name"]]
    assert fields(hits, "x", "x2", "y", "y2") == ("left", "right", "top", "bottom")
    base = rows["dots"].query("run == 'base'")
    assert list(base["left"]) == [-0.5, 0.5]
    assert list(base["right"]) == [0.5, 1.5]
    assert (base["bottom"] - base["top"] == 24).all()


def test_the_dots_of_a_thinned_lane_share_the_room_between_them() -> None:
    dots = lineage()[0].iloc[[0, 0, 0]].assign(epoch=[0, 4, 8])
    _, rows = drawing(lineage_charts.lineage_chart(dots, no_dots()[1]))
    assert list(rows["dots"]["left"]) == [-0.5, 2, 6]
    assert list(rows["dots"]["right"]) == [2, 6, 8.5]


def test_a_loss_that_diverged_does_not_take_the_colours_from_the_others() -> None:
    dots = lineage()[0]
    _, rows = drawing(lineage_charts.lineage_chart(dots.assign(loss=[9000.0, 0.8, 0.3, 0.0, math.nan]), no_dots()[1]))
    assert list(rows["dots"]["shade"].dropna()) == [10.0, 0.8, 0.3, resume_charts.LEAST]
    assert rows["dots"]["loss"].iloc[0] == 9000.0


@pytest.mark.parametrize(
    "chart",
    [
        lambda: resume_charts.comparison_chart(compared(), None),
        lambda: branch_charts.branch_chart(branches({}), "r1"),
        lambda: lineage_charts.lineage_chart(*no_dots()),
    ],
    ids=ALL,
)
def test_empty_frames_draw_no_marks(chart: Callable[[], Any]) -> None:
    spec, rows = drawing(chart())
    assert all(frame.empty for frame in rows.values())
    assert spec["height"] > 0


def test_the_keys_name_what_the_theme_paints() -> None:
    for colors in (THEME["light"], THEME["dark"]):
        assert colors["chartCategoricalColors"][:2] == [colors["blueTextColor"], colors["orangeTextColor"]]
    assert ":blue[◀ lower]" in resume_charts.COMPARISON_KEY
    assert ":orange[▶ higher]" in resume_charts.COMPARISON_KEY
