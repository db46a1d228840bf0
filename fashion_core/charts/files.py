"""Saved files as pictures: tidy DataFrames in, a chart out.

A spec names all layers of a file, as many as its maker liked: none is kept.
"""

from typing import Final

import altair as alt
import pandas as pd

from fashion_core.charts.base import ChartSpec, named, written
from fashion_core.charts.chart_parts import FAINT, FITTED, INK, MUTED, PAPER, themed_axis

KINDS: Final = {"weight": "circle", "bias": "diamond", "running_mean": "triangle-up", "running_var": "triangle-down"}
"""What a layer's tensors are called, in the order of the theme's colours, and the shape of each."""
_SIGNS: Final = {"circle": "●", "diamond": "◆", "triangle-up": "▲", "triangle-down": "▼"}
_ROW: Final = 18  # pixels
_NAME_WIDTH: Final = 150  # pixels of the longest layer name that is shown whole
_TEXT_WIDTH: Final = 64  # pixels right of the longest bar


def bars(rows: pd.DataFrame, series: tuple[str, str], title: str) -> ChartSpec:
    """A bar a row from the top down: a filled part, then a hollow one, then the size in words.

    Args:
        rows: `layer` (str, the row's name), `first` and `second` (int64, bytes), `text` (str).
        series: what the filled and the hollow part are called.
        title: of the x axis, which counts in the unit that suits the longest bar.
    """
    size, unit = max((pair for pair in _UNITS if pair[0] <= _longest(rows)), default=_UNITS[0])
    spec = _bars_spec(tuple(dict.fromkeys(rows["layer"])), series, f"{title} ({unit})")
    return ChartSpec(spec, {"parts": _parts(rows, series, size)}, _height(len(rows)))


def _bars_spec(names: tuple[str, ...], series: tuple[str, str], title: str) -> str:
    scale = alt.Scale(range=[0, alt.ExprRef(f"max(width - {_TEXT_WIDTH}, 40)")], nice=False)
    x = alt.X("start:Q", title=title, scale=scale, axis=themed_axis(tickCount=4, grid=False, format="~f"))
    base = named("parts").encode(_name_axis(names), x)
    shade = alt.when(alt.datum.part == series[0]).then(alt.value(1)).otherwise(alt.value(0.12))
    scale = alt.Scale(domain=list(series))
    fill, stroke = alt.Fill("part:N", scale=scale, legend=None), alt.Stroke("part:N", scale=scale, legend=None)
    parts = base.transform_filter(alt.datum.bytes > 0)
    drawn = parts.mark_bar(strokeWidth=1.5).encode(alt.X2("end"), fill, stroke, fillOpacity=shade, tooltip=_TOOLTIP)
    total = base.transform_filter(alt.datum.part == series[1]).encode(alt.X("end:Q"), text="text:N")
    words = total.mark_text(align="left", dx=6, fontSize=12, color=INK, aria=False)
    return written([drawn, words], autosize=FITTED)


_TOOLTIP: Final = [
    alt.Tooltip("layer:N", title=" "),
    alt.Tooltip("part:N", title="part"),
    alt.Tooltip("bytes:Q", format=","),
]


_UNITS: Final = [(1, "bytes"), (10**3, "kB"), (10**6, "MB")]


def _longest(rows: pd.DataFrame) -> int:
    return int((rows["first"] + rows["second"]).max()) if len(rows) else 0


def _parts(rows: pd.DataFrame, series: tuple[str, str], size: int) -> pd.DataFrame:
    """Two rows a bar, each from its start to its end in units of this size."""
    first = rows.assign(part=series[0], bytes=rows["first"], start=0.0, end=rows["first"] / size)
    second = rows.assign(part=series[1], bytes=rows["second"], start=first["end"])
    second["end"] = second["start"] + rows["second"] / size
    return pd.concat([first, second])[["layer", "part", "bytes", "start", "end", "text"]]


def weight_change_chart(rows: pd.DataFrame) -> ChartSpec:
    """A row a layer from the top down, a mark a tensor: how far it moved, in percent of its former length.

    Args:
        rows: `tensor` and `layer` (str), `kind` (str, one of `KINDS`), `change` (float64).
    """
    spec = _movement_spec(tuple(dict.fromkeys(rows["layer"])))
    return ChartSpec(spec, {"tensors": rows}, _height(rows["layer"].nunique()))


def _movement_spec(names: tuple[str, ...]) -> str:
    axis = themed_axis(tickCount=alt.ExprRef("clamp(floor(width / 70), 2, 8)"), gridColor=FAINT, gridOpacity=0.5)
    x = alt.X("change:Q", title="relative L2 change (%)", scale=alt.Scale(zero=True, nice=True), axis=axis)
    base = named("tensors").encode(_name_axis(names), x)
    line = base.mark_rule(color=MUTED, strokeWidth=1, aria=False).encode(alt.X("lowest:Q"), alt.X2("highest"))
    line = line.transform_aggregate(lowest="min(change)", highest="max(change)", groupby=["layer"])
    tooltip = [alt.Tooltip("tensor:N"), alt.Tooltip("change:Q", title="change (%)", format=".3f")]
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())), legend=None)
    color = alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS)), legend=None)
    marks = base.mark_point(filled=True, size=80, opacity=1, stroke=PAPER, strokeWidth=0.5)
    return written([line, marks.encode(shape, color, tooltip=tooltip)], autosize=FITTED)


def weight_change_key(rows: pd.DataFrame) -> str:
    """What the marks of `weight_change_chart` mean, for the caption above it."""
    kinds = set(rows["kind"])
    return " · ".join(f"{_SIGNS[shape]} {kind}" for kind, shape in KINDS.items() if kind in kinds)


_ALL_NAMES: Final = {"labelOverlap": False, "labelFlush": False}


def _name_axis(names: tuple[str, ...]) -> alt.Y:
    axis = themed_axis(labelLimit=_NAME_WIDTH, domain=False, ticks=False, labelPadding=6, grid=False, **_ALL_NAMES)
    return alt.Y("layer:N", title=None, sort=list(names), axis=axis)


def _height(rows: int) -> int:
    return max(rows, 1) * _ROW
