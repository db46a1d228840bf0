"""Charts of what models predict for one image."""

from functools import lru_cache
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from fashion_core.charts import base, texts

_BARS: Final = {1: 26, 2: 38}  # pixels of a class, by the number of models
_BAR: Final = 16  # pixels
_NAMES: Final = 84  # pixels of the longest class name and a gap
_WORDS: Final = 128  # pixels of "100.0%  ✗ predicted" and a gap
_SERIES: Final = 4  # named ones; the next place is that of the other classes

_KEY: Final = 40  # pixels of two lines
_HEADING: Final = 30  # pixels, with the gap above it
_WORD: Final = 16  # pixels, between heading and panel, of the word above a rule
_AXIS: Final = 70  # pixels, and the page's margin below it
_LABEL: Final = 16  # pixels that a name needs
_GUTTER: Final = 40  # pixels of "100%"
_PLOT: Final = f"(width - {_GUTTER + 10})"


def probabilities_chart(rows: pd.DataFrame) -> base.ChartSpec:
    """One bar per class, in class order, so that a class keeps its place from image to image.

    The rows are those of `evaluation_tables.probabilities_frame`. The predicted class has the full colour and a sign
    with its word, the true class a sign with its word. Of two models the first has the upper bar of each class.
    """
    models = int(rows["number"].nunique())
    text = rows["probability"].map("{:.1%}".format) + "  " + rows["words"]
    step = _BARS[models]
    place = rows["label"].rank(method="dense") - 1
    middle = place * step + step / 2
    y = middle + (rows["number"] - (models - 1) / 2) * (_BAR + 1)
    placed = rows.assign(text=text, middle=middle, y=y, top=y - _BAR / 2, bottom=y + _BAR / 2)
    return base.ChartSpec(_bars_spec(), {"bars": placed}, rows["label"].nunique() * step)


def models_key(first: str, second: str) -> str:
    """Which of two models has which bar of `probabilities_chart`; names are put in as they are."""
    return texts.MODELS_KEY.format(first=first, second=second)


@lru_cache(maxsize=1)
def _bars_spec() -> str:
    bars = base.named("bars")
    ends = [alt.ExprRef(f"{_NAMES}"), alt.ExprRef(f"max(width - {_WORDS}, {_NAMES + 40})")]
    x = alt.X("probability:Q", scale=alt.Scale(domain=[0, 1], range=ends), axis=None)
    shade = alt.when("datum.predicted").then(alt.value(1)).otherwise(alt.value(0.5))
    marked = "datum.words !== ''"
    ink = alt.ExprRef(f"{marked} ? ({base.INK.expr}) : ({base.MUTED.expr})")
    style: dict[str, Any] = {"fontSize": 12, "fontWeight": alt.ExprRef(f"{marked} ? 'bold' : 'normal'"), "aria": False}
    tall: dict[str, Any] = {"y": base.pixels("top"), "y2": alt.Y2("bottom")}
    track = bars.mark_rect(color=base.FAINT, opacity=0.35, aria=False)
    bar = bars.transform_calculate(zero="0").mark_rect().encode(x, base.series_color("number", [0, 1]), alt.X2("zero"))
    name = bars.transform_filter("datum.number === 0")
    name = name.mark_text(align="right", dx=-8, limit=_NAMES - 8, color=ink, **style)
    words = bars.mark_text(align="left", dx=6, color=ink, **style)
    tips = base.tips({"class": " ", "model": texts.MODEL, "probability:.3%": texts.PROBABILITY})
    layers = [
        track.encode(x=alt.value(ends[0]), x2=alt.value(ends[1]), **tall),
        bar.encode(opacity=shade, tooltip=tips, **tall),
        name.encode(base.pixels("middle"), x=alt.value(ends[0]), text="class:N"),
        words.encode(x, base.pixels("y"), text="text:N"),
    ]
    return base.layered(layers, autosize=base.FITTED)


def history_chart(rows: pd.DataFrame) -> base.ChartSpec:
    """The rows of `evaluation_tables.history_frame`: one panel per run, its classes stacked to 100% at each epoch."""
    panels = int(rows["panel"].nunique())
    tall = 130 if panels <= 3 else 100 if panels <= 6 else 64
    placed = _placed(rows, tall)
    first = placed.drop_duplicates("panel")
    key = rows[["place", "series", "truth"]].drop_duplicates("place").sort_values("place")
    named = zip(key["series"], key["truth"], strict=True)
    words = [texts.TRUE_CLASS_NAMED.format(name=name) if true else name for name, true in named]
    ceiling, floor = first["ceiling"], first["floor"]
    ticks = {"100%": ceiling, "50%": (ceiling + floor) / 2, "0%": floor}
    frames = {
        "parts": placed,
        "labels": _labels(placed),
        "headings": first,
        "branches": first[first["branch"].notna()].assign(epoch=first["branch"]),
        "ticks": pd.concat([pd.DataFrame({"text": text, "y": y}) for text, y in ticks.items()]),
        "key": key.assign(number=range(len(key)), text=words),
    }
    return base.ChartSpec(_history_spec(), frames, _KEY + panels * (tall + _HEADING + _WORD) + _AXIS)


def _placed(rows: pd.DataFrame, tall: int) -> pd.DataFrame:
    """Add `ceiling` and `floor` (of the panel), `top` and `bottom` (of the part), all pixels; `epochs` (of all)."""
    ceiling = _KEY + rows["panel"] * (tall + _HEADING + _WORD) + _HEADING + _WORD
    floor = ceiling + tall
    return rows.assign(
        ceiling=ceiling,
        floor=floor,
        single=rows.groupby("panel")["epoch"].transform("nunique") == 1,
        top=floor - tall * rows["high"],
        bottom=floor - tall * rows["low"],
        epochs=rows["epoch"].max() - rows["epoch"].min() + 1 if len(rows) else 1,
    )


def _labels(parts: pd.DataFrame) -> pd.DataFrame:
    """One row per panel and series, where it is most probable: `y`, and the `align` that keeps it in the panel."""
    span = parts.groupby("panel")["epoch"].agg(["min", "max"])
    widest = parts.loc[parts.groupby(["panel", "place"])["probability"].idxmax()]
    widest = widest[widest["bottom"] - widest["top"] >= _LABEL].merge(span, left_on="panel", right_index=True)
    length = widest["max"] - widest["min"]
    last = widest["max"] == parts["epoch"].max()
    share = np.where(length > 0, (widest["epoch"] - widest["min"]) / length.clip(lower=1), last)
    align = np.select([share < 0.25, share > 0.75], ["left", "right"], "center")
    return widest.assign(y=(widest["top"] + widest["bottom"]) / 2, align=align, length=length)


@lru_cache(maxsize=1)
def _history_spec() -> str:
    axis = base.epoch_axis("(width - 50)", **base.BARE, labelPadding=6)
    ends = [alt.ExprRef(f"{_GUTTER + 4}"), alt.ExprRef("width - 6")]
    scale = alt.Scale(zero=False, nice=False, range=ends)
    epoch = alt.X("epoch:Q", title=texts.EPOCH_FROM_FIRST_RUN, scale=scale, axis=axis)
    return base.layered([*_panels(), *_areas(epoch), *_names(epoch), *_branches(epoch), *_key_marks()])


def _color() -> alt.Color:
    """The theme's colours for named classes, grey for the others."""
    others = {"test": f"datum.place === {_SERIES}", "value": {"expr": str(base.MUTED.expr)}}
    return alt.Color("place:N", scale=alt.Scale(domain=list(range(_SERIES))), legend=None, condition=others)


def _panels() -> list[alt.Chart]:
    across: dict[str, Any] = {"x": alt.value(_GUTTER), "x2": alt.value("width")}
    frame = base.named("headings").mark_rect(fill=None, stroke=base.FAINT, aria=False)
    style: dict[str, Any] = {"align": "left", "baseline": "bottom", "dy": -5, "fontSize": 12, "fontWeight": 700}
    heading = base.named("headings").transform_calculate(y=f"datum.ceiling - (isValid(datum.branch) ? {_WORD} : 0)")
    heading = heading.mark_text(limit=alt.ExprRef("width"), color=base.INK, **style)
    tick = base.named("ticks").mark_text(align="right", dx=-6, fontSize=10, color=base.MUTED, aria=False)
    return [
        frame.encode(base.pixels("ceiling"), alt.Y2("floor"), **across),
        heading.encode(base.pixels("y"), x=alt.value(0), text="heading:N"),
        tick.encode(base.pixels("y"), x=alt.value(_GUTTER), text="text:N"),
    ]


def _areas(epoch: alt.X) -> list[alt.Chart]:
    """The areas between checkpoints and a bar at each one; for a run with a single checkpoint, only the bar."""
    parts = base.named("parts").encode(epoch, base.pixels("top"), alt.Y2("bottom"), _color())
    between = f"({_PLOT} / datum.epochs)"
    said = {"series": texts.CLASS, "probability:.1%": texts.PROBABILITY, "answer": texts.PREDICTED}
    tips = base.tips({"name": texts.RUN, "epoch:d": texts.EPOCH, **said})
    thin, broad = f"datum.single ? 12 : clamp({between} * 0.2, 0.5, 3)", f"clamp({between}, 2, 40)"
    return [
        parts.mark_area(opacity=0.7, aria=False).encode(alt.Detail("run:N")),
        parts.mark_rule(strokeWidth=alt.ExprRef(thin), aria=False),
        parts.mark_rule(strokeWidth=alt.ExprRef(broad), opacity=0.001).encode(tooltip=tips),
    ]


def _names(epoch: alt.X) -> list[alt.Chart]:
    """Names in the areas that have room for them, and beside the bar of a run with one checkpoint."""
    room = f"datum.length === 0 || datum.length / datum.epochs * {_PLOT} > length(datum.series) * 11"
    side = "(datum.align === 'left' ? 1 : datum.align === 'right' ? -1 : 0) * (datum.length === 0 ? 10 : 6)"
    style: dict[str, Any] = {"align": alt.ExprRef("datum.align"), "dx": alt.ExprRef(side), "fontSize": 12}
    labels = base.named("labels").transform_filter(room).encode(epoch, base.pixels("y"), text="series:N")
    return base.haloed(labels, color=base.INK, aria=False, **style)


def _branches(epoch: alt.X) -> list[alt.Chart]:
    """A rule at the checkpoint that was resumed, and the word above it."""
    at = "scale('x', datum.epoch)"
    align = alt.ExprRef(f"{at} < 100 ? 'left' : {at} > width - 60 ? 'right' : 'center'")
    branches = base.named("branches").transform_calculate(word=base.filled_in(texts.RESUMED_AT_EPOCH))
    branches = branches.encode(epoch, base.pixels("ceiling"))
    rule = branches.mark_rule(color=base.INK, strokeDash=[4, 3], strokeWidth=1.5, aria=False)
    word = branches.mark_text(align=align, baseline="bottom", dy=-2, fontSize=11, color=base.MUTED)
    return [rule.encode(alt.Y2("floor")), word.encode(text="word:N")]


def _key_marks() -> list[alt.Chart]:
    """The name beside the colour of each series, three in a line on a phone."""
    columns = "(width < 560 ? 3 : 5)"
    x = f"(datum.number % {columns}) * width / {columns}"
    key = base.named("key").transform_calculate(y=f"8 + floor(datum.number / {columns}) * 18").encode(base.pixels("y"))
    size, limit = alt.ExprRef("width < 560 ? 11 : 12"), alt.ExprRef(f"width / {columns} - 20")
    square = key.mark_square(size=100, opacity=1, aria=False)
    word = key.mark_text(align="left", fontSize=size, limit=limit, color=base.INK)
    return [
        square.encode(_color(), x=alt.value(alt.ExprRef(f"{x} + 6"))),
        word.encode(x=alt.value(alt.ExprRef(f"{x} + 16")), text="text:N"),
    ]
