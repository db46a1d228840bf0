"""Charts of how good a model is: what it confuses, how each class scores, and whether its confidence is justified."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import altair as alt
import pandas as pd

from fashion_core.charts import base, texts

# the selection in `confusion_chart`: a click gives `[{"true": 6, "predicted": 0, …}]`, one beside the cells `[]`
CELL: Final = "cell"

_CELL: Final = 34  # pixels
_MATRIX: Final = 720  # pixels of one whose cells are too many for their counts to be read
_ROW: Final = 26  # pixels
_HEIGHT: Final = 380  # pixels, axes and titles included
_WORDS: Final = 72  # pixels of "F1 100.0%" and a gap
_FLOOR: Final = -0.3  # where the counts stand, below the accuracies on the same axis
_TALLEST: Final = 0.22  # of the counts


def confusion_chart(
    rows: pd.DataFrame, classes: Sequence[str], chosen: tuple[int, int] | None = None
) -> base.ChartSpec:
    """One count per cell; only mistakes are coloured, because the right answers would drown them out.

    Of many classes the counts are in the tooltips alone, and names stand where there is room.
    The rows are those of `evaluation_tables.confusion_frame`; the cell of the ``chosen`` (true, predicted) is framed.
    """
    pairs = list(zip(rows["true"], rows["predicted"], strict=True))
    drawn = rows.assign(right=rows["true"] == rows["predicted"], chosen=[pair == chosen for pair in pairs])
    height = _CELL * len(classes) if len(classes) <= base.FEW_CLASSES else _MATRIX
    return base.ChartSpec(_confusion_spec(tuple(classes)), {"cells": drawn}, height)


@lru_cache(maxsize=8)
def _confusion_spec(classes: tuple[str, ...]) -> str:
    order, few = list(classes), len(classes) <= base.FEW_CLASSES
    bare = {**base.BARE, **(base.EVERY_NAME if few else {"labelLimit": 90})}
    x = alt.X("predicted_name:N", sort=order, axis=base.themed_axis(title=texts.TAKEN_FOR, labelAngle=-45, **bare))
    y = alt.Y("true_name:N", sort=order, axis=base.themed_axis(title=texts.TRUE_CLASS, **bare))
    cells = base.named("cells").encode(x, y)
    right, wrong = cells.transform_filter("datum.right"), cells.transform_filter("!datum.right && datum.count > 0")
    most = alt.ExprRef(f"{base.DARK} ? 0.55 : 0.7")  # ink on it has 4.5:1
    share = alt.Opacity("share:Q", legend=None, scale=alt.Scale(type="sqrt", domainMin=0, range=[0, most]))
    size, weight = alt.ExprRef("width < 330 ? 10 : 13"), alt.ExprRef("datum.right ? 'bold' : 'normal'")
    count = cells.mark_text(fontSize=size, fontWeight=weight, color=base.INK, aria=False)
    outline: dict[str, Any] = {"fill": None, "aria": False}
    layers = [
        cells.mark_rect(stroke=base.FAINT, strokeWidth=0.5, **outline),
        wrong.mark_rect(aria=False).encode(base.series_color("right", [True, False]), share),
        right.mark_rect(stroke=base.MUTED, strokeWidth=1.5, **outline),
        *([count.transform_filter("datum.count > 0").encode(text="count:Q")] if few else []),
        cells.transform_filter("datum.chosen").mark_rect(strokeWidth=3, stroke=base.INK, **outline),
        _cell_hits(cells),
    ]
    return base.layered(layers, autosize=base.FITTED)


def _cell_hits(cells: alt.Chart) -> alt.Chart:
    """Invisible hover and click targets over each cell: tooltip, shade, and the pair of classes on a click."""
    hover, shade = base.hover_shade(0.2)
    names = {"true_name": texts.TRUE_CLASS, "predicted_name": texts.TAKEN_FOR}
    tips = base.tips({**names, "count:,": texts.IMAGES, "share:.1%": texts.SHARE_OF_TRUE_CLASS})
    click = alt.selection_point(name=CELL, fields=["true", "predicted", "at"], toggle=False)
    hits = base.dated(cells).mark_rect(color=base.MUTED, cursor="pointer")
    return base.hits(hits, click, hover, opacity=shade, tooltip=tips)


def class_chart(rows: pd.DataFrame, compared: Sequence[pd.DataFrame] = ()) -> base.ChartSpec:
    """One line per row of `evaluation_tables.class_frame`, in its order: precision and recall, and F1 in words.

    Charts of models that are ``compared`` have the order of the first of them, and an axis for the scores of all.
    """
    shown = pd.concat(compared or [rows])
    spec = _class_spec(tuple(shown["class"].unique()), *_ends(shown))
    return base.ChartSpec(spec, {"classes": rows}, _ROW * max(len(rows), 1))


def _ends(rows: pd.DataFrame) -> tuple[float, float]:
    """The lowest and the highest score; of none, a whole axis."""
    found = pd.concat([rows["precision"], rows["recall"]]).dropna()
    return (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)


@lru_cache(maxsize=64)
def _class_spec(order: tuple[str, ...], low: float, high: float) -> str:
    scale = alt.Scale(domain=[low, high], nice=True, padding=8, range=[0, alt.ExprRef(f"max(width - {_WORDS}, 40)")])
    axis = base.themed_axis(format=".0%", tickCount=base.tick_count(90, 2, 8), **base.GRID, **base.BARE)
    x = alt.X("score:Q", title=texts.SHARE_OF_IMAGES, scale=scale, axis=axis)
    names = base.themed_axis(**base.BARE, labelPadding=6, grid=False, **base.EVERY_NAME)
    classes = base.named("classes").encode(alt.Y("class:N", title=None, sort=list(order), axis=names))
    line = classes.mark_rule(color=base.MUTED, strokeWidth=2, aria=False)
    kinds: list[str | alt.FieldName] = ["precision", "recall"]
    folded = classes.transform_fold(kinds, as_=["kind", "score"]).transform_filter("isValid(datum.score)")
    dots = folded.mark_point(filled=True, size=100, opacity=1, stroke=base.PAPER, strokeWidth=0.5)
    shape = base.shapes("kind", {"precision": "circle", "recall": "diamond"})
    found = f"isValid(datum.f1) ? {base.filled_in(texts.F1_FOUND)} : {texts.NEVER_PREDICTED!r}"
    words = classes.transform_calculate(words=found).mark_text(align="right", color=base.INK, fontSize=12, aria=False)
    scores = {"precision:.1%": texts.PRECISION, "recall:.1%": texts.RECALL, "f1:.1%": texts.F1}
    tips = base.tips({"class": " ", **scores, "support:,": texts.IMAGES})
    layers = [
        line.encode(alt.X("precision:Q"), alt.X2("recall")),
        dots.encode(x, shape, base.series_color("kind", kinds), tooltip=tips),
        words.encode(x=alt.value(alt.ExprRef("width")), text="words:N"),
    ]
    return base.layered(layers, autosize=base.FITTED)


def reliability_chart(rows: pd.DataFrame) -> base.ChartSpec:
    """Accuracy by confidence, from `evaluation_tables.reliability_frame`; below, how many answers there are.

    Guo et al., "On calibration of modern neural networks", ICML 2017, figure 1.
    """
    high = _FLOOR + _TALLEST * rows["count"] / max(rows["count"].max(), 1)
    drawn = rows.assign(counted=high, floor=_FLOOR, zero=0.0, least=rows[["accuracy", "confidence"]].min(axis=1))
    ends = pd.DataFrame({"low": [0.0, 1.0], "accuracy": [0.0, 1.0]})
    return base.ChartSpec(_reliability_spec(), {"bins": drawn, "diagonal": ends}, _HEIGHT)


@lru_cache(maxsize=1)
def _reliability_spec() -> str:
    ticks = alt.ExprRef("width < 300 ? [0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1]")
    axis = base.themed_axis(values=ticks, format=".0%", grid=False, **base.BARE)
    confidence = alt.X("low:Q", title=texts.CONFIDENCE, scale=alt.Scale(domain=[0, 1]), axis=axis)
    answers = base.named("bins").transform_filter("datum.count > 0").encode(confidence, alt.X2("high"))
    kind = alt.Scale(domain=["accuracy", "gap"])
    fill, stroke = alt.Fill("kind:N", scale=kind, legend=None), alt.Stroke("kind:N", scale=kind, legend=None)
    right, gap = (answers.transform_calculate(kind=f"'{name}'") for name in kind.domain)
    edge: dict[str, Any] = {"stroke": base.PAPER, "strokeWidth": 1, "aria": False}
    gaps = gap.mark_rect(strokeWidth=1.5, strokeDash=[3, 2], fillOpacity=0.25, aria=False)
    hits = answers.mark_rect(opacity=0.001, color=base.MUTED).encode(y=alt.value(0), y2=alt.value("height"))
    diagonal = base.named("diagonal").mark_line(color=base.INK, strokeDash=[6, 4], strokeWidth=1.5, aria=False)
    bounds = {"low:.0%": texts.CONFIDENCE_FROM, "high:.0%": texts.CONFIDENCE_TO}
    means = {"confidence:.1%": texts.MEAN_CONFIDENCE, "accuracy:.1%": texts.ACCURACY}
    layers = [
        answers.mark_rect(color=base.MUTED, opacity=0.6, **edge).encode(_accuracy("counted"), alt.Y2("floor")),
        right.mark_rect(**edge).encode(_accuracy("least"), alt.Y2("zero"), fill),
        gaps.encode(_accuracy("accuracy"), alt.Y2("confidence"), fill, stroke),
        right.mark_rule(strokeWidth=4, aria=False).encode(_accuracy("accuracy"), stroke),
        diagonal.encode(confidence, _accuracy("accuracy")),
        hits.encode(tooltip=base.tips({**bounds, "count:,": texts.ANSWERS, **means})),
    ]
    return base.layered(layers)


def _accuracy(column: str) -> alt.Y:
    axis = base.themed_axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], format=".0%", **base.GRID, **base.BARE)
    return alt.Y(f"{column}:Q", title=texts.ACCURACY, scale=alt.Scale(domain=[_FLOOR, 1]), axis=axis)
