"""What the charts of the Predict page encode, where everything stands, and what a click gives."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fashion_core.charts import base, evaluation, predictions
from fashion_core.charts import evaluation_tables as tables
from fashion_core.charts import gallery as gallery_chart
from fashion_core.config import CLASS_NAMES
from fashion_core.inference import scores
from fashion_core.inference.scores import Array
from tests.support.charts import (
    FAMILY,
    FOUR,
    PIXELS,
    SHIRT,
    T_SHIRT,
    THEME,
    answers_from,
    as_sent,
    contrast,
    drawing,
    fields,
    history,
    layers,
    row,
    tuples,
)

MIXED = answers_from(*[(6, 6, 0.9)] * 6, *[(6, 0, 0.8)] * 3, (6, 4, 0.4), *[(0, 0, 0.95)] * 9, (0, 6, 0.5))


def confusion(chosen: tuple[int, int] | None = None) -> Any:
    return evaluation.confusion_chart(
        tables.confusion_frame(scores.confusion_matrix(MIXED), CLASS_NAMES), CLASS_NAMES, chosen
    )


def gallery(chosen: int | None = None) -> Any:
    return gallery_chart.gallery_chart(tables.gallery_frame([2, 1, 0], PIXELS, FOUR), chosen)


def bars(**models: Array) -> Any:
    return predictions.probabilities_chart(tables.probabilities_frame(models, CLASS_NAMES, SHIRT))


ALL: dict[str, Callable[[], Any]] = {
    "confusion": confusion,
    "classes": lambda: evaluation.class_chart(tables.class_frame(scores.class_scores(MIXED), CLASS_NAMES)),
    "reliability": lambda: evaluation.reliability_chart(tables.reliability_frame(scores.calibration(MIXED))),
    "one model": lambda: bars(m=row((T_SHIRT, 0.8))),
    "two models": lambda: bars(a=row((T_SHIRT, 0.8)), b=row((SHIRT, 0.6))),
    "histories": lambda: predictions.history_chart(tables.history_frame(FAMILY, CLASS_NAMES, SHIRT)),
    "gallery": gallery,
    "gallery of two": lambda: gallery_chart.gallery_chart(tables.gallery_frame([2, 1], PIXELS, FOUR, FOUR)),
}


chosen_one = pytest.mark.parametrize(("chart", "chosen", "name"), [(confusion, (6, 0), "cell"), (gallery, 1, "image")])


def drawn(name: str) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    return drawing(ALL[name]())


def filters(layer: dict[str, Any]) -> list[str]:
    return [step["filter"] for step in layer.get("transform", []) if "filter" in step]


def calculations(layer: dict[str, Any]) -> dict[str, str]:
    return {step["as"]: step["calculate"] for step in layer.get("transform", []) if "calculate" in step}


def test_rows_of_the_matrix_are_true_classes_and_columns_predicted_ones_and_all_but_empty_cells_have_a_count() -> None:
    spec, rows = drawn("confusion")
    for layer in spec["layer"]:
        assert fields(layer, "x", "y") == ("predicted_name", "true_name")
        for channel, title in (("x", "taken for"), ("y", "true class")):
            assert layer["encoding"][channel]["sort"] == list(CLASS_NAMES)
            assert layer["encoding"][channel]["axis"]["title"] == title
    (counts,) = layers(spec, "text")
    assert fields(counts, "text") == ("count",)
    assert filters(counts) == ["datum.count > 0"]
    assert len(rows["cells"]) == 100
    assert spec["height"] == 340


def test_mistakes_alone_have_a_colour_on_which_counts_are_read_and_right_answers_a_frame() -> None:
    spec, _ = drawn("confusion")
    (colored,) = [layer for layer in spec["layer"] if "color" in layer["encoding"]]
    assert filters(colored) == ["!datum.right && datum.count > 0"]
    assert fields(colored, "opacity") == ("share",)
    frame = next(layer for layer in layers(spec, "rect") if filters(layer) == ["datum.right"])
    assert frame["mark"]["fill"] is None
    most = colored["encoding"]["opacity"]["scale"]["range"][1]["expr"]
    dark, light = map(float, re.findall(r"\d\.\d+", most.split("?")[1]))
    on_dark, on_light = re.findall("#[0-9A-F]{6}", str(base.INK.expr))
    for scheme, share, ink in (("dark", dark, on_dark), ("light", light, on_light)):
        paper, color = THEME[scheme]["backgroundColor"], THEME[scheme]["chartCategoricalColors"][1]
        assert contrast(blended(color, paper, share), ink) >= 4.5


def blended(color: str, paper: str, share: float) -> str:
    pairs = [(int(color[at : at + 2], 16), int(paper[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * one + (1 - share) * other):02X}" for one, other in pairs)


@pytest.mark.parametrize(
    ("chart", "name", "given"),
    [(confusion, evaluation.CELL, ["true", "predicted", "at"]), (gallery, gallery_chart.IMAGE, ["index", "at"])],
    ids=["cell", "image"],
)
def test_a_click_gives_what_is_there(chart: Callable[[], Any], name: str, given: list[str]) -> None:
    spec, _ = drawing(chart())
    (click,) = [param for param in spec["params"] if param["name"] == name]
    assert click["select"]["fields"] == given
    assert click["views"] == [spec["layer"][-1]["name"]]
    assert filters(spec["layer"][-1]) == []
    assert calculations(spec["layer"][-1])["at"] == "now()"


@chosen_one
def test_what_is_chosen_is_framed(chart: Callable[[Any], Any], chosen: Any, name: str) -> None:
    spec, rows = drawing(chart(chosen))
    (framed,) = [layer for layer in layers(spec, "rect") if filters(layer) == ["datum.chosen"]]
    assert framed["mark"]["stroke"] == base.INK.to_dict()
    frame = rows[f"{name}s"]
    (found,) = frame[frame["chosen"]].to_dict("records")
    assert (found["true"], found["predicted"]) == chosen if name == "cell" else found["index"] == chosen
    assert not drawing(chart(None))[1][f"{name}s"]["chosen"].any()


@chosen_one
def test_a_choice_changes_the_rows_alone(chart: Callable[[Any], Any], chosen: Any, name: str) -> None:
    before, after = as_sent(chart(None), chart(chosen), on_select="rerun", selection_mode=name)
    assert (before.id, before.spec) == (after.id, after.spec)
    assert before.datasets[0].data.data != after.datasets[0].data.data


def test_a_class_has_a_dot_of_its_own_shape_for_precision_and_for_recall() -> None:
    spec, rows = drawn("classes")
    line, dots, words = spec["layer"]
    assert dots["transform"][0] == {"fold": ["precision", "recall"], "as": ["kind", "score"]}
    assert dots["encoding"]["shape"]["scale"] == {"domain": ["precision", "recall"], "range": ["circle", "diamond"]}
    assert fields(line, "x", "x2") == ("precision", "recall")
    assert "format(datum.f1, '.1%')" in calculations(words)["words"]
    (frame,) = rows.values()
    assert dots["encoding"]["y"]["sort"] == list(frame["class"])
    assert dots["encoding"]["x"]["axis"]["format"] == ".0%"


def test_each_class_of_two_models_stands_in_one_order_on_one_axis() -> None:
    good = answers_from(*[(6, 6, 0.9)] * 6, *[(6, 0, 0.8)] * 3, *[(0, 0, 0.95)] * 9, (0, 6, 0.5))
    worse = answers_from(*[(6, 6, 0.9)] * 9, *[(0, 6, 0.8)] * 9, (0, 0, 0.4))
    compared = [tables.class_frame(scores.class_scores(one), CLASS_NAMES) for one in (good, worse)]
    assert list(compared[0]["class"]) != list(compared[1]["class"])
    specs = [drawing(evaluation.class_chart(rows, compared))[0] for rows in compared]
    order, scale = (specs[0]["layer"][1]["encoding"][axis][key] for axis, key in (("y", "sort"), ("x", "scale")))
    assert order == list(compared[0]["class"])
    assert scale["domain"] == [0.1, 1.0]
    assert specs[0] == specs[1]


def test_reliability_is_a_bar_a_bin_with_a_gap_to_its_confidence_and_its_count_below() -> None:
    spec, rows = drawn("reliability")
    counts, bar, gap, _ = layers(spec, "rect")
    for channel, title in (("x", "confidence"), ("y", "accuracy")):
        assert bar["encoding"][channel]["title"] == title
        assert bar["encoding"][channel]["axis"]["format"] == ".0%"
    assert bar["encoding"]["x"]["scale"]["domain"] == [0, 1]
    assert bar["encoding"]["y"]["axis"]["values"] == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert fields(bar, "y", "y2") == ("least", "zero")
    assert fields(gap, "y", "y2") == ("accuracy", "confidence")
    assert "strokeDash" in gap["mark"]
    bins = rows["bins"].dropna()
    assert (bins["least"] == np.minimum(bins["accuracy"], bins["confidence"])).all()
    (top,) = layers(spec, "rule")
    assert fields(top, "x", "x2", "y") == ("low", "high", "accuracy")
    (line,) = layers(spec, "line", "diagonal")
    assert tuples(rows["diagonal"], *fields(line, "x", "y")) == [(0.0, 0.0), (1.0, 1.0)]
    bins = rows["bins"]
    assert fields(counts, "y", "y2") == ("counted", "floor")
    assert len(bins) == 15
    height = bins["counted"] - bins["floor"]
    assert (height / height.max()).tolist() == pytest.approx((bins["count"] / bins["count"].max()).tolist())
    assert bins["counted"].max() < 0
    assert bins["floor"].iloc[0] == counts["encoding"]["y"]["scale"]["domain"][0]


def test_a_bar_is_as_long_as_its_probability_and_ends_with_it_in_percent() -> None:
    spec, rows = drawn("one model")
    bar = layers(spec, "rect")[1]
    assert fields(bar, "x", "x2") == ("probability", "zero")
    assert bar["encoding"]["x"]["scale"]["domain"] == [0, 1]
    bars = rows["bars"].set_index("class")["text"]
    assert (bars["T-shirt/top"], bars["Shirt"]) == ("80.0%  ✗ predicted", "2.2%  ◆ true class")
    assert fields(layers(spec, "text")[1], "text") == ("text",)
    (condition,) = bar["encoding"]["opacity"]["condition"]
    assert (condition["test"], condition["value"]) == ("datum.predicted", 1)
    for words in layers(spec, "text"):
        assert words["mark"]["fontWeight"] == {"expr": "datum.words !== '' ? 'bold' : 'normal'"}


def test_two_models_have_bars_one_above_the_other_that_do_not_touch_those_of_other_classes() -> None:
    spec, rows = drawn("two models")
    bars = rows["bars"]
    ordered = bars.sort_values("top")
    assert list(ordered["number"]) == [0, 1] * 10
    assert (ordered["top"].iloc[1:].to_numpy() > ordered["bottom"].iloc[:-1].to_numpy()).all()
    assert bars["top"].min() >= 0
    assert bars["bottom"].max() <= spec["height"]
    assert layers(spec, "rect")[1]["encoding"]["color"]["field"] == "number"
    assert (bars["middle"] == bars.groupby("class")["y"].transform("mean")).all()
    assert predictions.models_key("one", "other") == ":blue[■] upper bar: one · :orange[■] lower bar: other"


def test_panels_stand_one_below_another_share_the_epochs_and_say_where_a_run_was_resumed() -> None:
    spec, rows = drawn("histories")
    panels = rows["parts"].groupby("panel").agg({"ceiling": "max", "floor": "min", "top": "min", "bottom": "max"})
    assert (panels["top"] == panels["ceiling"]).all()
    assert (panels["bottom"] == panels["floor"]).all()
    assert (panels["ceiling"].iloc[1:].to_numpy() > panels["floor"].iloc[:-1].to_numpy()).all()
    assert panels["floor"].max() < spec["height"]
    (area,) = layers(spec, "area")
    assert fields(area, "x", "y", "y2", "color", "detail") == ("epoch", "top", "bottom", "place", "run")
    on_epochs = [layer["encoding"]["x"] for layer in spec["layer"] if layer["encoding"]["x"].get("field") == "epoch"]
    assert len(on_epochs) >= 5
    assert all(x["axis"]["format"] == "d" and x["title"].startswith("epoch") for x in on_epochs)
    assert "resolve" not in spec
    assert tuples(rows["branches"], "run", "epoch") == [("child", 1), ("grandchild", 3)]
    rule, word = [layer for layer in spec["layer"] if layer["data"]["name"] == "branches"]
    assert fields(rule, "x", "y", "y2") == ("epoch", "ceiling", "floor")
    assert "strokeDash" in rule["mark"]
    assert calculations(word)["word"] == "'resumed at epoch ' + datum.epoch"


def test_a_run_of_one_checkpoint_is_a_broad_bar() -> None:
    alone = history("alone", {4: row((SHIRT, 0.6))})
    spec, rows = drawing(predictions.history_chart(tables.history_frame([FAMILY[1], alone], CLASS_NAMES)))
    assert rows["parts"].groupby("run")["single"].first().to_dict() == {"alone": True, "base": False}
    bars = layers(spec, "rule")[0]
    assert bars["mark"]["strokeWidth"]["expr"].startswith("datum.single ? 12")
    assert fields(bars, "x", "y", "y2") == ("epoch", "top", "bottom")


def test_the_key_names_each_series_in_its_colour_says_which_is_true_and_others_are_grey() -> None:
    spec, rows = drawn("histories")
    assert list(rows["key"]["text"]) == ["Shirt, true class", "T-shirt/top", "Coat", "other classes"]
    square, word = [layer for layer in spec["layer"] if layer["data"]["name"] == "key"]
    assert fields(word, "text") == ("text",)
    assert "width < 560 ? 3 : 5" in calculations(square)["y"]
    for layer in (square, *layers(spec, "area")):
        color = layer["encoding"]["color"]
        assert color["scale"] == {"domain": [0, 1, 2, 3]}
        assert color["condition"] == {"test": "datum.place === 4", "value": {"expr": str(base.MUTED.expr)}}


def test_a_name_stands_in_the_area_where_it_is_widest_and_turns_inwards_at_the_ends() -> None:
    _, rows = drawn("histories")
    base = rows["labels"].query("run == 'base'").set_index("series")
    assert (base.loc["T-shirt/top", "align"], base.loc["Shirt", "align"]) == ("left", "right")
    part = base.loc["T-shirt/top"]
    assert part["y"] == (part["top"] + part["bottom"]) / 2
    assert (rows["labels"]["bottom"] - rows["labels"]["top"] >= 16).all()


def test_many_runs_have_lower_panels() -> None:
    runs = [history(f"r{number}", {0: row((SHIRT, 0.5))}) for number in range(12)]
    few, many = (predictions.history_chart(tables.history_frame(runs[:n], CLASS_NAMES)).without_rows() for n in (1, 12))
    assert many["height"] < 12 * few["height"] / 2


@pytest.mark.parametrize(("width", "columns"), [(358, 4), (700, 7), (1104, 10), (150, 2)])
def test_columns_follow_the_width(width: int, columns: int) -> None:
    placed = calculations(layers(drawn("gallery")[0], "image")[0])
    names = {"width": width, "floor": math.floor, "clamp": lambda value, low, high: max(low, min(value, high))}

    def at(number: int, column: str) -> float:
        return float(eval(placed[column].replace("datum.number", str(number)), {}, names))

    assert [at(number, "row") for number in (0, columns - 1, columns)] == [0, 0, 1]
    assert at(columns, "x") == at(0, "x") == pytest.approx(width / columns / 2)
    assert at(columns - 1, "right") <= width
    assert at(1, "left") >= at(0, "right")


def test_answers_stand_under_their_picture_in_the_colour_of_right_and_wrong() -> None:
    spec, rows = drawn("gallery")
    (picture,) = layers(spec, "image")
    assert (picture["mark"]["width"], picture["mark"]["height"], picture["mark"]["smooth"]) == (84, 84, False)
    assert fields(picture, "url") == ("image",)
    assert rows["images"]["image"].str.startswith("data:image/png;base64,").all()
    first, second, truth = layers(spec, "text")
    assert [fields(layer, "text") for layer in (first, second, truth)] == [("first",), ("second",), ("truth",)]
    assert first["encoding"]["color"]["field"] == "first_right"
    assert first["encoding"]["color"]["scale"] == {"domain": [True, False]}
    assert first["mark"]["dy"] < second["mark"]["dy"]
    one, two = spec["height"]["step"], drawn("gallery of two")[0]["height"]["step"]
    assert two - one == 15
    assert one >= 84 + 2 * 15


@pytest.mark.parametrize(
    "chart",
    [
        lambda: predictions.history_chart(tables.history_frame([], CLASS_NAMES)),
        lambda: gallery_chart.gallery_chart(tables.gallery_frame([], PIXELS, FOUR)),
    ],
    ids=["histories", "gallery"],
)
def test_empty_frames_draw_no_marks(chart: Callable[[], Any]) -> None:
    _, rows = drawing(chart())
    assert all(frame.empty for frame in rows.values())
