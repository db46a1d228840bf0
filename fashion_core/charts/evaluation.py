"""How good a model is, as pictures: what it mixes up, how each class fares, and whether it is as sure as it may be."""

from functools import lru_cache
from typing import Any, Final

import altair as alt
import pandas as pd

from fashion_core.charts.base import (
    BARE,
    DARK,
    EVERY_NAME,
    FAINT,
    FITTED,
    GRID,
    INK,
    MUTED,
    PAPER,
    ChartSpec,
    dated,
    hover_shade,
    layered,
    named,
    series_color,
    shapes,
    themed_axis,
    tick_count,
)
from fashion_core.config import CLASS_NAMES

CELL: Final = "cell"
"""The selection in `confusion_chart`: a click gives `[{"true": 6, "predicted": 0, …}]`, one beside the cells `[]`."""

CONFUSION_KEY: Final = (
    "rows: the true class · columns: what it was taken for · framed diagonal: right · "
    "the stronger the colour, the larger the share of the true class"
)
CLASS_KEY: Final = (
    ":blue[●] precision: of the images taken for it, the share that are · :orange[◆] recall: of its images, the share "
    "that are found · F1: their harmonic mean"
)
RELIABILITY_KEY: Final = (
    ":blue[▀] accuracy of the answers that are so sure · :orange[▨] gap to their mean confidence · dashed: as sure as "
    "it may be · below: how many answers are so sure"
)

_CELL: Final = 34  # pixels
_ROW: Final = 26  # pixels
_HEIGHT: Final = 380  # pixels, axes and titles included
_WORDS: Final = 72  # pixels of "F1 100.0%" and a gap


def confusion_chart(rows: pd.DataFrame, chosen: tuple[int, int] | None = None) -> ChartSpec:
    """A count a cell; mistakes alone have a colour, for the right answers would drown them.

    Args:
        rows: as `evaluation_tables.confusion_frame` gives them.
        chosen: the true and the predicted class of the cell that is framed, or None.
    """
    pairs = list(zip(rows["true"], rows["predicted"], strict=True))
    drawn = rows.assign(right=rows["true"] == rows["predicted"], chosen=[pair == chosen for pair in pairs])
    return ChartSpec(_confusion_spec(), {"cells": drawn}, _CELL * len(CLASS_NAMES))


@lru_cache(maxsize=1)
def _confusion_spec() -> str:
    base = named("cells").encode(_class_axis("predicted_name", _PREDICTED), _class_axis("true_name", _TRUE))
    right, wrong = base.transform_filter("datum.right"), base.transform_filter("!datum.right && datum.count > 0")
    most = alt.ExprRef(f"{DARK} ? 0.55 : 0.7")  # ink on it has 4.5:1
    share = alt.Opacity("share:Q", legend=None, scale=alt.Scale(type="sqrt", domainMin=0, range=[0, most]))
    size = alt.ExprRef("width < 330 ? 10 : 13")
    weight = alt.ExprRef("datum.right ? 'bold' : 'normal'")
    counted = base.transform_filter("datum.count > 0")
    frame: dict[str, Any] = {"fill": None, "stroke": INK, "aria": False}
    return layered(
        [
            base.mark_rect(fill=None, stroke=FAINT, strokeWidth=0.5, aria=False),
            wrong.mark_rect(aria=False).encode(series_color("right", [True, False]), share),
            right.mark_rect(fill=None, stroke=MUTED, strokeWidth=1.5, aria=False),
            counted.mark_text(fontSize=size, fontWeight=weight, color=INK, aria=False).encode(text="count:Q"),
            base.transform_filter("datum.chosen").mark_rect(strokeWidth=3, **frame),
            _cell_hits(base),
        ],
        autosize=FITTED,
    )


_TRUE: Final = themed_axis(title="true class", **BARE, **EVERY_NAME)
_PREDICTED: Final = themed_axis(title="taken for", **BARE, labelAngle=-45, **EVERY_NAME)


def _class_axis(column: str, axis: alt.Axis) -> Any:
    channel = alt.X if column == "predicted_name" else alt.Y
    return channel(f"{column}:N", sort=list(CLASS_NAMES), axis=axis)


def _cell_hits(base: alt.Chart) -> alt.Chart:
    """Over each cell what the pointer meets: a tooltip, a shade, and its pair of classes at a click."""
    hover, shade = hover_shade(0.2)
    tooltip = [
        alt.Tooltip("true_name:N", title="true class"),
        alt.Tooltip("predicted_name:N", title="taken for"),
        alt.Tooltip("count:Q", title="images", format=","),
        alt.Tooltip("share:Q", title="of the true class", format=".1%"),
    ]
    hits: alt.Chart = dated(base).mark_rect(color=MUTED, cursor="pointer").properties(name="hits")
    click = alt.selection_point(name=CELL, fields=["true", "predicted", "at"], toggle=False)
    found: alt.Chart = hits.encode(opacity=shade, tooltip=tooltip).add_params(click, hover)
    return found


def class_chart(rows: pd.DataFrame) -> ChartSpec:
    """A line a class, the hardest one on top: precision and recall, and F1 in words.

    Args:
        rows: as `evaluation_tables.class_frame` gives them, in the order of the lines.
    """
    return ChartSpec(_class_spec(tuple(rows["class"])), {"classes": rows}, _ROW * max(len(rows), 1))


@lru_cache(maxsize=64)
def _class_spec(order: tuple[str, ...]) -> str:
    scale = alt.Scale(zero=False, nice=True, padding=8, range=[0, alt.ExprRef(f"max(width - {_WORDS}, 40)")])
    axis = themed_axis(format=".0%", tickCount=tick_count(90, 2, 8), **GRID, **BARE)
    x = alt.X("score:Q", title="share of the images", scale=scale, axis=axis)
    names = themed_axis(**BARE, labelPadding=6, grid=False, **EVERY_NAME)
    base = named("classes").encode(alt.Y("class:N", title=None, sort=list(order), axis=names))
    line = base.mark_rule(color=MUTED, strokeWidth=2, aria=False).encode(alt.X("precision:Q"), alt.X2("recall"))
    kinds: list[str | alt.FieldName] = ["precision", "recall"]
    folded = base.transform_fold(kinds, as_=["kind", "score"]).transform_filter("isValid(datum.score)")
    shape = shapes("kind", {"precision": "circle", "recall": "diamond"})
    dots = folded.mark_point(filled=True, size=100, opacity=1, stroke=PAPER, strokeWidth=0.5)
    words = base.transform_calculate(words="isValid(datum.f1) ? 'F1 ' + format(datum.f1, '.1%') : 'never'")
    words = words.mark_text(align="right", color=INK, fontSize=12, aria=False)
    layers = [
        line,
        dots.encode(x, shape, series_color("kind", kinds), tooltip=_CLASS_TIPS),
        words.encode(x=alt.value(alt.ExprRef("width")), text="words:N"),
    ]
    return layered(layers, autosize=FITTED)


_CLASS_TIPS: Final = [
    alt.Tooltip("class:N", title=" "),
    alt.Tooltip("precision:Q", format=".1%"),
    alt.Tooltip("recall:Q", format=".1%"),
    alt.Tooltip("f1:Q", title="F1", format=".1%"),
    alt.Tooltip("support:Q", title="images", format=","),
]

_FLOOR: Final = -0.3
"""Where the counts stand, below the accuracies on the same axis."""
_TALLEST: Final = 0.22


def reliability_chart(rows: pd.DataFrame) -> ChartSpec:
    """Accuracy by confidence: bars, the gap between the two, the diagonal, and below how many answers there are.

    Guo et al., "On calibration of modern neural networks", ICML 2017, figure 1.

    Args:
        rows: as `evaluation_tables.reliability_frame` gives them.
    """
    high = _FLOOR + _TALLEST * rows["count"] / max(rows["count"].max(), 1)
    drawn = rows.assign(counted=high, floor=_FLOOR, zero=0.0, least=rows[["accuracy", "confidence"]].min(axis=1))
    ends = pd.DataFrame({"low": [0.0, 1.0], "accuracy": [0.0, 1.0]})
    return ChartSpec(_reliability_spec(), {"bins": drawn, "diagonal": ends}, _HEIGHT)


@lru_cache(maxsize=1)
def _reliability_spec() -> str:
    base = named("bins").transform_filter("datum.count > 0").encode(_confidence("low"), alt.X2("high"))
    kind = alt.Scale(domain=["accuracy", "gap"])
    fill, stroke = alt.Fill("kind:N", scale=kind, legend=None), alt.Stroke("kind:N", scale=kind, legend=None)
    right, gap = (base.transform_calculate(kind=f"'{name}'") for name in kind.domain)
    counts = base.mark_rect(color=MUTED, opacity=0.6, stroke=PAPER, strokeWidth=1, aria=False)
    bars = right.mark_rect(stroke=PAPER, strokeWidth=1, aria=False)
    gaps = gap.mark_rect(strokeWidth=1.5, strokeDash=[3, 2], fillOpacity=0.25, aria=False)
    tops = right.mark_rule(strokeWidth=4, aria=False)
    hits = base.mark_rect(opacity=0.001, color=MUTED).encode(y=alt.value(0), y2=alt.value("height"))
    return layered(
        [
            counts.encode(_accuracy("counted"), alt.Y2("floor")),
            bars.encode(_accuracy("least"), alt.Y2("zero"), fill),
            gaps.encode(_accuracy("accuracy"), alt.Y2("confidence"), fill, stroke),
            tops.encode(_accuracy("accuracy"), stroke),
            _diagonal(),
            hits.encode(tooltip=_BIN_TIPS),
        ]
    )


_BIN_TIPS: Final = [
    alt.Tooltip("low:Q", title="sure from", format=".0%"),
    alt.Tooltip("high:Q", title="to", format=".0%"),
    alt.Tooltip("count:Q", title="answers", format=","),
    alt.Tooltip("confidence:Q", title="mean confidence", format=".1%"),
    alt.Tooltip("accuracy:Q", format=".1%"),
]


def _confidence(column: str) -> alt.X:
    ticks = alt.ExprRef("width < 300 ? [0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1]")
    axis = themed_axis(values=ticks, format=".0%", grid=False, **BARE)
    return alt.X(f"{column}:Q", title="confidence", scale=alt.Scale(domain=[0, 1]), axis=axis)


def _accuracy(column: str) -> alt.Y:
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axis = themed_axis(values=ticks, format=".0%", **GRID, **BARE)
    return alt.Y(f"{column}:Q", title="accuracy", scale=alt.Scale(domain=[_FLOOR, 1]), axis=axis)


def _diagonal() -> alt.Chart:
    line: alt.Chart = named("diagonal").mark_line(color=INK, strokeDash=[6, 4], strokeWidth=1.5, aria=False)
    return line.encode(_confidence("low"), _accuracy("accuracy"))
