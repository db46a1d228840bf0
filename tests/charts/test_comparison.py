"""What the charts of the Resume page encode, where everything stands, and what a click gives."""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest

from fashion_core.charts import base, texts
from fashion_core.charts import branches as branch_charts
from fashion_core.charts import comparison as resume_charts
from fashion_core.charts import lineage as lineage_charts
from fashion_core.resume.labels import percent
from fashion_core.resume.tables import BRANCH_COLUMNS, COMPARED_COLUMNS, DOT_COLUMNS, LINK_COLUMNS
from tests.support.charts import THEME, as_sent, contrast, drawing, fields, layers, tuples

DATASET = "synthetic garments"
LOSSES = {"lower": 0.4, "within noise": 0.51, "same as the parent": 0.5, "higher": 0.7}


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


def many(runs: int = 150) -> pd.DataFrame:
    return compared(*({"epoch": number // 8, "loss_now": 0.3 + number / 500} for number in range(runs)))


def branches(curves: dict[str, list[float]]) -> pd.DataFrame:
    """A curve a run from epoch 0; those whose names begin with r are resumed ones and begin at epoch 3."""
    rows = [
        (run, f"name of {run}", parent, epoch, loss, *role)
        for run, losses in curves.items()
        for first, parent, *role in [(3, "base", "resumed", "lower") if run[0] == "r" else (0, None, "parent", None)]
        for epoch, loss in enumerate(losses, first)
    ]
    return pd.DataFrame(rows, columns=list(BRANCH_COLUMNS)).astype({"epoch": "int64", "loss": "float64"})


def lineage() -> tuple[pd.DataFrame, pd.DataFrame]:
    """ "base" with a run resumed from its epoch 0 and one from its last; then a tree of one lane."""
    rows = [
        ("base", "base", DATASET, 0, 0.9, True, False, 0, 0, "base", ""),
        ("base", "base", DATASET, 1, 0.8, False, False, 0, 0, "", "0.800"),
        ("late", "late", DATASET, 2, 0.3, True, True, 1, 0, "", "same settings 0.300"),
        ("early", "early", DATASET, 1, 0.7, True, False, 2, 0, "", "lr ÷10 0.700"),
        ("other", "other", DATASET, 0, math.nan, True, False, 3, 1, "other", ""),
    ]
    links = [("late", 1, 0, 2, 1, 0), ("early", 0, 0, 1, 2, 0)]
    return pd.DataFrame(rows, columns=list(DOT_COLUMNS)), pd.DataFrame(links, columns=list(LINK_COLUMNS))


def comparison(frame: pd.DataFrame, focus: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    return drawing(resume_charts.comparison_chart(frame, focus))


def branch(frame: pd.DataFrame, focus: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    return drawing(branch_charts.branch_chart(frame, focus))


def tree(dots: pd.DataFrame) -> tuple[dict[str, Any], Any]:
    return drawing(lineage_charts.lineage_chart(dots, lineage()[1].iloc[:0]))


def layer(spec: dict[str, Any], mark: str, data: str, number: int = 0) -> dict[str, Any]:
    return layers(spec, mark, data)[number]


def answer_shapes(mark: dict[str, Any]) -> list[str]:
    scale = mark["encoding"]["shape"]["scale"]
    return [dict(zip(scale["domain"], scale["range"], strict=True))[answer] for answer in LOSSES]


ONE_OF_EACH = [{"answer": answer, "loss_now": loss, "epoch": 3 * n} for n, (answer, loss) in enumerate(LOSSES.items())]
ALL: dict[str, Callable[[], Any]] = {
    "comparison": lambda: resume_charts.comparison_chart(compared(*ONE_OF_EACH), None),
    "branches": lambda: branch_charts.branch_chart(branches({"base": [0.9, 0.8], "r1": [0.8, 0.7]}), None),
    "lineage": lambda: lineage_charts.lineage_chart(*lineage()),
}
ANSWERED, BRANCHED, TREE = (drawing(chart()) for chart in ALL.values())


def test_an_arrow_leads_from_loss_last_to_the_loss_now_between_a_label_and_a_percentage() -> None:
    spec, rows = ANSWERED
    shaft, tip = layer(spec, "rule", "rows"), layer(spec, "point", "rows")
    assert fields(shaft, "x", "x2", "y") == ("drawn_last", "drawn_now", "y")
    assert fields(tip, "x", "y", "shape") == ("drawn_now", "y", "mark")
    assert tuples(rows["rows"], "drawn_last", "drawn_now") == [(0.5, 0.4), (0.5, 0.51), (0.5, 0.5), (0.5, 0.7)]
    size, moved = tip["mark"]["size"]["expr"], tip["mark"]["xOffset"]["expr"]
    assert re.findall(r"'(\w+)' \? (-?\d+)", moved) == [("lower", "1"), ("higher", "-1")]
    assert moved.endswith(f" * sqrt({size}) * sqrt(3) / 4")  # Vega's triangle, from its middle to its point
    label, percents = (layer(spec, "text", "rows", number) for number in (1, 2))
    assert (*fields(label, "text"), *fields(percents, "text")) == ("label", "percent")
    assert (label["mark"]["align"], percents["mark"]["align"]) == ("left", "right")
    assert percents["encoding"]["x"] == {"value": {"expr": "width"}}


def test_answers_differ_in_shape_colour_and_word() -> None:
    spec, _ = ANSWERED
    tip, percents = layer(spec, "point", "rows"), layer(spec, "text", "rows", 2)
    assert answer_shapes(tip) == ["triangle-left", "circle", "circle", "triangle-right"]
    for color in (tip["encoding"]["color"], percents["encoding"]["color"]):
        assert color["field"] == "answer"
        assert color["scale"] == {"domain": ["lower", "higher"]}
        assert color["condition"] == {
            "test": "datum.answer !== 'lower' && datum.answer !== 'higher'",
            "value": {"expr": str(base.MUTED.expr)},
        }
    tips = {tip["field"] for tip in layer(spec, "rect", "rows", 1)["encoding"]["tooltip"]}
    assert {"answer", "loss_last", "loss_now", "percent", "low", "high", "name", "group", "verdict", "state"} <= tips


def test_a_run_that_is_not_counted_has_the_arrow_of_its_answer_without_its_colour() -> None:
    answers = [f"{answer}, not counted" for answer in LOSSES]
    _, rows = comparison(compared(*({"answer": answer} for answer in answers)))
    assert list(rows["rows"]["mark"]) == list(LOSSES)
    assert list(rows["rows"]["answer"]) == answers  # none is one of the two that have a colour
    _, curves = branch(branches({"r1": [0.8, 0.7]}).assign(answer=answers[0]))
    assert tuples(curves["ends"], "mark", "answer") == [("lower", answers[0])]


def test_a_band_around_loss_last_shows_the_noise_and_ends_before_zero_on_a_log_axis() -> None:
    spec, rows = comparison(compared({}, {"low": 0.45, "high": 0.55}, {"low": -0.3, "high": 1.3}))
    assert fields(layer(spec, "rect", "rows"), "x", "x2", "y", "y2") == ("band", "high", "top", "bottom")
    assert tuples(rows["rows"], "band", "high") == [(0.48, 0.52), (0.45, 0.55), (0.25, 1.3)]
    assert rows["rows"]["low"].iloc[2] == -0.3


def test_a_checkpoint_has_one_loss_last_and_a_heading() -> None:
    spec, rows = comparison(compared({}, {}, {"epoch": 6, "loss_last": 0.31}))
    assert fields(layer(spec, "rule", "groups"), "x", "y", "y2") == ("drawn_last", "top", "bottom")
    assert tuples(rows["groups"], "group", "drawn_last", "text") == [
        ("base · epoch 3", 0.5, "0.500"), ("base · epoch 6", 0.31, "0.310"),
    ]  # fmt: skip
    assert list(rows["groups"]["bottom"] - rows["groups"]["top"]) == [36, 18]
    loss, heading = layer(spec, "text", "groups"), layer(spec, "text", "groups", 1)
    assert fields(loss, "text", "y") == ("text", "top")
    assert fields(heading, "text", "y") == ("group", "top")
    assert heading["mark"]["fontWeight"] == 700


def test_runs_of_one_checkpoint_with_another_loss_last_have_a_rule_of_their_own() -> None:
    _, rows = comparison(compared({}, {"group": "base · epoch 3 · from Fashion-MNIST", "loss_last": 2.0}))
    assert tuples(rows["groups"], "group", "drawn_last", "text") == [
        ("base · epoch 3", 0.5, "0.500"), ("base · epoch 3 · from Fashion-MNIST", 2.0, "2.000"),
    ]  # fmt: skip


@pytest.mark.parametrize(("label", "phone"), [("lr ÷10", 100), ("same settings", 100), ("lr ÷10, → adam +2 (12)", 45)])
def test_labels_and_losses_have_room_on_a_phone_and_arrows_too(label: str, phone: int) -> None:
    ends = layer(comparison(compared({"label": label}))[0], "point", "rows")["encoding"]["x"]["scale"]["range"]
    for width, pixel, loss, least in ((324, 5.4, 30, phone), (540, 6.0, 36, 200)):  # texts are smaller on a phone
        names = {"width": width, "min": min, "max": max, "clamp": lambda x, low, high: max(low, min(x, high))}
        left, right = (float(eval(end["expr"], {}, names)) for end in ends)
        assert 12 + len(label) * pixel <= left - loss
        assert right <= width - 50 - loss  # of the column of percentages
        assert right - left >= least


def test_loss_now_stands_at_the_head_of_its_arrow_on_the_side_away_from_loss_last() -> None:
    spec, rows = comparison(compared({"loss_now": 0.4}, {"loss_now": 0.7}, {"loss_now": 0.5}))
    loss = layer(spec, "text", "rows")
    assert fields(loss, "text", "x", "y", "opacity") == ("text", "drawn_now", "y", "strength")
    assert list(rows["rows"]["text"]) == ["0.400", "0.700", "0.500"]
    left = "datum.drawn_now < datum.drawn_last"
    assert (loss["mark"]["align"]["expr"], loss["mark"]["dx"]["expr"]) == (
        f"{left} ? 'right' : 'left'",
        f"{left} ? -7 : 7",
    )


@pytest.mark.parametrize(
    ("runs", "height", "axis"), [(1, 140, "bottom"), (2, 158, "bottom"), (15, 418, "bottom"), (150, 3290, "top")]
)
def test_nothing_overlaps_and_the_axis_of_a_tall_chart_is_above(runs: int, height: int, axis: str) -> None:
    frame = many(runs)
    spec, rows = comparison(frame)
    bands = sorted([*tuples(rows["rows"], "top", "bottom"), *((top - 26, top) for top in rows["groups"]["top"])])
    assert len(bands) == runs + frame["epoch"].nunique()
    assert bands[0][0] == 0
    assert all(below[0] == above[1] for above, below in pairwise(bands))
    assert spec["height"] == bands[-1][1] + 96 == height
    assert ((rows["rows"]["top"] + rows["rows"]["bottom"]) / 2 == rows["rows"]["y"]).all()
    assert all(layer["encoding"]["y"]["scale"] is None for layer in spec["layer"])
    assert layer(spec, "point", "rows")["encoding"]["x"]["axis"]["orient"] == axis


def test_the_axis_is_logarithmic_says_what_it_measures_and_has_fainter_lines_between_labels() -> None:
    x = layer(ANSWERED[0], "point", "rows")["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert "test loss (cross-entropy, mean per image)" in x["title"]
    assert "log scale" in " ".join(x["title"])
    between, label = x["axis"]["labelExpr"].split(" ? '' : ")
    assert label == "format(datum.value, '~g')"
    assert x["axis"]["gridOpacity"]["condition"]["test"] == between
    assert x["axis"]["gridOpacity"]["condition"]["value"] < x["axis"]["gridOpacity"]["value"]


def test_a_run_that_diverged_is_drawn_at_the_edge_with_a_mark_of_its_own_and_a_loss_of_zero_has_its_place() -> None:
    worse = ({"loss_now": loss, "answer": "higher"} for loss in (9000.0, math.nan))
    spec, rows = comparison(compared({}, *worse, {"loss_now": 0.0}))
    assert tuples(rows["rows"], "drawn_now", "mark", "percent") == [
        (0.4, "lower", "−20.0%"),
        (2.0, "beyond the axis", "×18,000"),
        (2.0, "beyond the axis", "diverged"),
        (resume_charts.LEAST, "lower", "−100.0%"),
    ]
    assert rows["rows"]["loss_now"].iloc[1] == 9000.0
    assert "beyond the axis" in layer(spec, "point", "rows")["encoding"]["shape"]["scale"]["domain"]


def test_the_focused_run_keeps_its_strength_and_the_others_fade() -> None:
    spec, rows = comparison(many(3), "r1")
    assert tuples(rows["rows"], "strength", "focused") == [(0.2, False), (1.0, True), (0.2, False)]
    for mark in (layer(spec, "rule", "rows"), *layers(spec, "text", "rows")[::2]):
        opacity = {"field": "strength", "legend": None, "scale": None, "type": "quantitative"}
        assert mark["encoding"]["opacity"] == opacity


@pytest.mark.parametrize("focus", [None, "a run that is filtered out"])
def test_without_a_focus_all_have_full_strength(focus: str | None) -> None:
    assert set(comparison(many(3), focus)[1]["rows"]["strength"]) == {1.0}
    assert set(branch(branches({"base": [0.9], "r1": [0.8]}), focus)[1]["curves"]["strength"]) == {1.0}


def test_a_click_anywhere_on_a_row_gives_its_run() -> None:
    spec, _ = ANSWERED
    hits = spec["layer"][-1]
    (focus,) = [param for param in spec["params"] if param["name"] == resume_charts.FOCUS]
    assert focus["select"] == {"type": "point", "fields": ["run", "at"]}
    assert focus["views"] == [hits["name"]]
    assert fields(hits, "y", "y2") == ("top", "bottom")
    assert (hits["encoding"]["x"], hits["encoding"]["x2"]) == ({"value": 0}, {"value": "width"})
    assert hits["mark"]["cursor"] == "pointer"


@pytest.mark.parametrize("drawn", [ANSWERED, BRANCHED], ids=["comparison", "branches"])
def test_what_meets_the_pointer_can_be_clicked_again_after_another_one(drawn: tuple[dict[str, Any], Any]) -> None:
    """Vega-Lite lets the pointer through layers with neither a selection nor a tooltip."""
    spec, rows = drawn
    met = [layer for layer in spec["layer"] if "tooltip" in layer["encoding"]]
    assert met
    assert all(layer["transform"] == [{"calculate": "now()", "as": "at"}] for layer in met)
    assert all("run" in rows[layer["data"]["name"]] for layer in met)


def test_focus_and_sorting_change_rows_only_so_that_the_chart_is_not_drawn_anew() -> None:
    frame = many(5)
    curves = branches({"base": [0.9, 0.8], "r1": [0.8], "r2": [0.7]})
    assert comparison(frame)[0] == comparison(frame, "r1")[0] == comparison(frame.iloc[::-1])[0]
    assert branch(curves)[0] == branch(curves, "r1")[0]


def test_streamlit_sends_the_same_spec_after_a_click() -> None:
    charts = [resume_charts.comparison_chart(many(5), focus) for focus in (None, "r1")]
    crowd = branches({f"{kind}{number}": [0.9, 0.8] for kind in "pr" for number in range(40)})
    for both in (charts, [branch_charts.branch_chart(crowd, focus) for focus in (None, "r1")]):
        before, after = as_sent(*both, on_select="rerun", selection_mode="focus")
        assert before.selection_mode == ["focus"]
        assert (before.id, before.spec) == (after.id, after.spec)
        assert before.datasets[0].data.data != after.datasets[0].data.data


def test_a_resumed_curve_has_the_colour_of_its_answer_and_gives_its_run_when_clicked_and_a_parents_is_grey() -> None:
    spec, rows = BRANCHED
    curve = layer(spec, "line", "curves")
    assert fields(curve, "x", "y", "color", "detail", "strokeWidth") == ("epoch", "drawn", "answer", "run", "weight")
    grey = curve["encoding"]["color"]["condition"]
    assert grey["value"] == {"expr": str(base.MUTED.expr)}
    assert grey["test"] == "datum.answer !== 'lower' && datum.answer !== 'higher'"
    parents = rows["curves"][rows["curves"]["role"] == "parent"]
    assert set(parents["answer"]) == {"–"}  # a parent stands behind: it is drawn first
    assert list(rows["curves"]["role"])[: len(parents)] == ["parent"] * len(parents)
    (focus,) = spec["params"]
    hits = next(layer for layer in spec["layer"] if layer.get("name") == focus["views"][0])
    assert focus["name"] == resume_charts.FOCUS
    assert focus["select"] == {"type": "point", "fields": ["run", "at"]}
    assert hits["mark"]["strokeWidth"] >= 10


def test_rings_stand_where_runs_branched_off_and_arrows_where_they_ended() -> None:
    spec, rows = branch(branches({"base": [0.9] * 6, "r1": [0.8, 0.7], "r2": [0.8, 0.6]}))
    assert "fill" in layer(spec, "point", "loss_last")["mark"]
    assert tuples(rows["loss_last"], "epoch", "loss") == [(3, 0.8)]
    assert answer_shapes(layer(spec, "point", "ends")) == ["triangle-down", "circle", "circle", "triangle-up"]
    assert tuples(rows["ends"], "run", "epoch", "loss") == [("r1", 4, 0.7), ("r2", 4, 0.6)]


@pytest.mark.parametrize(("losses", "kind"), [([0.9, 0.4], "linear"), ([0.9, 0.31], "linear"), ([0.9, 0.29], "log")])
def test_branches_are_on_a_log_scale_beyond_a_factor_of_three(losses: list[float], kind: str) -> None:
    encoding = layer(branch(branches({"base": losses, "r1": [losses[0]]}))[0], "line", "curves")["encoding"]
    x, y = encoding["x"], encoding["y"]
    assert y["scale"].get("type", "linear") == kind
    assert ("log scale" in y["title"]) == (kind == "log")
    assert "test loss (cross-entropy" in y["title"]
    assert x["title"] == "epoch (counted from the first run)"
    assert (x["axis"]["tickMinStep"], x["axis"]["format"]) == (1, "d")


def test_the_focused_curve_is_drawn_last_and_bold() -> None:
    curves = branch(branches({"base": [0.9, 0.8], "r1": [0.8, 0.7], "r2": [0.8, 0.6]}), "r1")[1]["curves"]
    assert curves["run"].iloc[-1] == "r1"
    found = curves.drop_duplicates("run").set_index("run")
    assert found.loc["r1", "weight"] > found.loc["r2", "weight"] > found.loc["base", "weight"]
    assert list(found.loc[["base", "r1", "r2"], "strength"]) == [1.0, 1.0, 0.2]


def test_in_a_crowd_all_but_the_focus_and_its_parent_are_faint_rings_too() -> None:
    frame = branches({"base": [0.9], "p0": [0.9], **{f"r{n}": [0.8 + n / 1000, 0.7] for n in range(40)}})
    spec, rows = branch(frame, "r1")
    found = rows["curves"].drop_duplicates("run").set_index("run")["strength"]
    assert list(found[["base", "p0", "r1", "r2"]]) == pytest.approx([1, 0.12, 1, 0.12])
    assert fields(layer(spec, "point", "loss_last"), "opacity") == ("strength",)
    assert rows["loss_last"].set_index("run").loc["r1", "strength"] == 1


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


@pytest.mark.parametrize("starts", [[0.9, 0.9, 0.9], [2.0, 0.91, 0.9], [0.9 + n / 1000 for n in range(5)], [1.0] * 5])
def test_names_of_parents_do_not_stand_on_each_other(starts: list[float]) -> None:
    spec, rows = branch(branches({**{f"p{n}": [start, 0.5] for n, start in enumerate(starts)}, "r1": [0.5]}))
    plot = spec["height"] - resume_charts.AXIS_HEIGHT
    place = math.log if max(starts) > 1.5 else float
    high, low = place(max(starts)), place(0.5)
    names = tuples(rows["names"].query("text != ''"), "drawn", "dy")
    middles = [(high - place(drawn)) / (high - low) * plot + dy for drawn, dy in names]
    assert len(middles) == len(starts)
    assert all(below - above >= 14 - 1e-6 for above, below in pairwise(middles))
    assert middles[0] >= 0
    assert middles[-1] <= plot


def test_names_of_parents_make_way_upwards_where_no_curve_goes() -> None:
    names = branch(branches({"p0": [2.0], "p1": [0.91], "p2": [0.9, 0.5], "r1": [0.5]}))[1]["names"]
    assert list(names["run"].iloc[:3]) == ["p0", "p1", "p2"]
    assert names["dy"].iloc[2] == pytest.approx(-7)
    assert names["dy"].iloc[1] < -14


@pytest.mark.parametrize(("parents", "focus", "named"), [
    (5, None, ["p0", "p1", "p2", "p3", "base"]),
    (5, "r1", ["p0", "p1", "p2", "p3", "base", "r1"]),
    (6, None, []),
    (6, "r1", ["base", "r1"]),
    (60, "r1", ["base", "r1"]),
])  # fmt: skip
def test_of_many_parents_only_the_one_of_the_focus_is_named(parents: int, focus: str | None, named: list[str]) -> None:
    others = {f"p{n}": [0.9 - n / 1000, 0.5] for n in range(parents - 1)}
    _, rows = branch(branches({**others, "base": [0.8, 0.5], "r1": [0.5, 0.4], "r2": [0.5, 0.3]}), focus)
    assert list(filter(None, rows["names"]["text"])) == [f"name of {run}" for run in named]
    tooltip = layer(BRANCHED[0], "line", "curves", 1)["encoding"]["tooltip"]
    assert "name" in [tip["field"] for tip in tooltip]


def test_name_of_the_focus_stands_at_its_end_and_that_of_its_parent_at_its_start_though_it_was_resumed_too() -> None:
    curves = branches({"base": [0.9, 0.8], "r1": [0.8, 0.7], "r2": [0.7, 0.6]})
    curves.loc[curves["run"] == "r2", ["parent", "name"]] = ["r1", "r2 " * 20]
    _, rows = branch(curves.query("role == 'resumed'"), "r2")
    assert tuples(rows["names"], "run", "epoch", "align") == [("r1", 3, "left"), ("r2", 4, "right")]
    assert rows["names"]["dy"].iloc[1] == 14
    above = branch(curves.assign(answer="higher").query("role == 'resumed'"), "r2")[1]["names"]["dy"].iloc[1]
    assert above == -14
    assert len(rows["names"]["text"].iloc[1]) <= 28


def test_both_charts_of_a_dataset_are_as_high_as_each_other_unless_one_has_few_or_very_many_rows() -> None:
    curves = branches({"base": [0.9], "r1": [0.8]})
    heights = [branch_charts.branch_chart(curves, None, height).height for height in (140, 500, 3290)]
    assert heights == [440, 500, resume_charts.TALLEST]


def test_a_dot_is_a_checkpoint_in_the_colour_of_its_loss_hollow_once_deleted_and_the_best_has_a_ring() -> None:
    spec, rows = TREE
    dot = layer(spec, "point", "dots")
    fill = dot["encoding"]["fill"]
    assert fields(dot, "x", "y", "fill") == ("epoch", "y", "shade")
    assert (fill["scale"]["type"], fill["scale"]["scheme"]) == ("log", "viridis")
    assert "background" in fill["scale"]["reverse"]["expr"]
    assert "test loss (cross-entropy" in fill["legend"]["title"]
    assert fill["condition"][0] == {"test": "!datum.saved", "value": {"expr": str(base.PAPER.expr)}}
    assert list(rows["dots"]["checkpoint"]) == ["saved", "deleted", "saved", "saved", "saved"]
    for edge, theme in zip(re.findall("#[0-9A-F]{6}", dot["mark"]["stroke"]["expr"]), ("dark", "light"), strict=True):
        assert contrast(edge, THEME[theme]["backgroundColor"]) >= 3
    ring, word = layer(spec, "point", "best"), layer(spec, "text", "best", 1)
    assert list(rows["best"]["run"]) == ["late"]
    assert "fill" not in ring["encoding"]
    assert ring["encoding"]["stroke"]["scale"] == {"domain": ["other", "best"]}
    assert word["encoding"]["text"] == {"value": "best"}


def test_each_of_several_datasets_has_the_whole_colour_scale() -> None:
    dots = lineage()[0].assign(dataset=["Fashion-MNIST"] * 3 + [DATASET] * 2, loss=[0.9, 0.3, 0.3 * 3**0.5, 0.2, 0.1])
    spec, rows = tree(dots)
    assert list(rows["dots"]["shade"]) == pytest.approx([10, 1, 10**0.5, 10, 1])
    fill = layer(spec, "point", "dots")["encoding"]["fill"]
    assert (fill["scale"]["domain"], fill["legend"]["values"]) == ([1, 10], [1, 10])
    assert "each dataset by itself" in fill["legend"]["title"]
    assert "'lowest' : 'highest'" in fill["legend"]["labelExpr"]
    alone = tree(dots.assign(loss=[0.9, 0.3, 0.5, math.nan, 0.1]))[1]["dots"]
    assert list(alone["shade"].iloc[3:].fillna(0)) == [0, 10**0.5]


def test_lanes_and_headings_have_a_height_of_their_own_and_one_tree_begins_at_the_top() -> None:
    spec, rows = TREE
    y = rows["dots"].groupby("lane")["y"].agg(["min", "max"])
    assert list(y["min"]) == list(y["max"]) == [42, 66, 90, 144]
    assert list(rows["headings"]["heading"]) == ["base", "other"]
    assert spec["height"] == 4 * 24 + 2 * 30 + 154
    spec, rows = tree(lineage()[0].query("tree == 1"))
    assert list(rows["dots"]["y"]) == [42]
    assert spec["height"] == 24 + 30 + 154


def test_a_link_leaves_at_the_parents_dot_where_a_label_makes_way_and_arrives_at_the_childs_first() -> None:
    spec, rows = TREE
    line = layer(spec, "line", "links")
    assert line["mark"]["interpolate"] == "basis"
    assert fields(line, "x", "y", "detail", "order") == ("epoch", "y", "run", "order")
    bend = rows["links"].query("run == 'early'").sort_values("order")
    assert list(bend["epoch"].iloc[[0, -1]]) == [0, 1]
    assert list(bend["y"]) == [42, 42, 90, 90]
    assert tuples(rows["labels"], "run", "lift") == [("base", -11), ("late", 0), ("early", 0)]


def test_a_click_round_a_dot_gives_its_checkpoint() -> None:
    spec, rows = TREE
    (param,) = spec["params"]
    hits = spec["layer"][-1]
    assert param["name"] == lineage_charts.CHECKPOINT
    assert param["select"] == {"type": "point", "fields": ["run", "epoch"]}
    assert param["views"] == [hits["name"]]
    assert fields(hits, "x", "x2", "y", "y2") == ("left", "right", "top", "bottom")
    base = rows["dots"].query("run == 'base'")
    assert tuples(base, "left", "right") == [(-0.5, 0.5), (0.5, 1.5)]
    assert (base["bottom"] - base["top"] == 24).all()


def test_the_dots_of_a_thinned_lane_share_the_room_between_them() -> None:
    _, rows = tree(lineage()[0].iloc[[0, 0, 0]].assign(epoch=[0, 4, 8]))
    assert tuples(rows["dots"], "left", "right") == [(-0.5, 2), (2, 6), (6, 8.5)]


def test_a_loss_that_diverged_does_not_take_the_colours_from_the_others() -> None:
    _, rows = tree(lineage()[0].assign(loss=[9000.0, 0.8, 0.3, 0.0, math.nan]))
    assert list(rows["dots"]["shade"].dropna()) == [10.0, 0.8, 0.3, resume_charts.LEAST]
    assert rows["dots"]["loss"].iloc[0] == 9000.0


@pytest.mark.parametrize(
    "draw",
    [lambda: comparison(compared()), lambda: branch(branches({}), "r1"), lambda: tree(lineage()[0].iloc[:0])],
    ids=ALL,
)
def test_empty_frames_draw_no_marks(draw: Callable[[], Any]) -> None:
    spec, rows = draw()
    assert all(frame.empty for frame in rows.values())
    assert spec["height"] > 0


def test_the_keys_name_what_the_theme_paints() -> None:
    for colors in (THEME["light"], THEME["dark"]):
        assert colors["chartCategoricalColors"][:2] == [colors["blueColor"], colors["orangeColor"]]
        for color in ("blue", "orange"):  # a text may be a shade darker
            assert contrast(colors[f"{color}Color"], colors[f"{color}TextColor"]) < 1.5
    assert ":blue[◀ lower]" in texts.COMPARISON_KEY
    assert ":orange[▶ higher]" in texts.COMPARISON_KEY
