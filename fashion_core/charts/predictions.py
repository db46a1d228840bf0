"""What models say about one image, as pictures."""

from functools import lru_cache
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from fashion_core.charts.base import (
    BARE,
    EPOCH_TIP,
    EPOCHS_TITLE,
    FAINT,
    FITTED,
    INK,
    MUTED,
    ChartSpec,
    epoch_axis,
    haloed,
    layered,
    named,
    pixels,
    series_color,
)
from fashion_core.config import CLASS_NAMES

HISTORY_KEY: Final = (
    "the height of a colour: the probability of its class · upright lines: checkpoints · "
    "dashed: the checkpoint that was resumed"
)
"""What the marks of `history_chart` mean, for the caption above it."""

_BARS: Final = {1: 26, 2: 38}  # pixels of a class, by the number of models
_BAR: Final = 16  # pixels
_NAMES: Final = 84  # pixels of the longest class name and a gap
_WORDS: Final = 128  # pixels of "100.0%  ✗ predicted" and a gap
_SERIES: Final = 4  # named ones; the next place is that of the other classes


def probabilities_chart(rows: pd.DataFrame) -> ChartSpec:
    """A bar a class, in the order of the classes: a class keeps its place from image to image.

    The predicted class has the full colour and a sign with its word, the true class a sign with its word. Of two models
    the first has the upper bar of each class.

    Args:
        rows: as `evaluation_tables.probabilities_frame` gives them.
    """
    models = int(rows["number"].nunique())
    percents = rows["probability"].map("{:.1%}".format)
    step = _BARS[models]
    middle = rows["label"] * step + step / 2
    y = middle + (rows["number"] - (models - 1) / 2) * (_BAR + 1)
    placed = rows.assign(
        text=percents + "  " + rows["words"], middle=middle, y=y, top=y - _BAR / 2, bottom=y + _BAR / 2
    )
    return ChartSpec(_bars_spec(), {"bars": placed}, len(CLASS_NAMES) * step)


def models_key(first: str, second: str) -> str:
    """Which of two models has which bar, for the caption above `probabilities_chart`; names are put in as they are."""
    return f":blue[■] upper bar: {first} · :orange[■] lower bar: {second}"


@lru_cache(maxsize=1)
def _bars_spec() -> str:
    base = named("bars")
    ends = [alt.ExprRef(f"{_NAMES}"), alt.ExprRef(f"max(width - {_WORDS}, {_NAMES + 40})")]
    x = alt.X("probability:Q", scale=alt.Scale(domain=[0, 1], range=ends), axis=None)
    shade = alt.when("datum.predicted").then(alt.value(1)).otherwise(alt.value(0.5))
    marked = "datum.words !== ''"
    weight, ink = alt.ExprRef(f"{marked} ? 'bold' : 'normal'"), alt.ExprRef(f"{marked} ? ({INK.expr}) : ({MUTED.expr})")
    tall: dict[str, Any] = {"y": pixels("top"), "y2": alt.Y2("bottom")}
    track = base.mark_rect(color=FAINT, opacity=0.35, aria=False).encode(
        x=alt.value(ends[0]), x2=alt.value(ends[1]), **tall
    )
    bar = base.transform_calculate(zero="0").mark_rect()
    name = base.transform_filter("datum.number === 0").mark_text(
        align="right", dx=-8, fontSize=12, fontWeight=weight, color=ink, aria=False
    )
    words = base.mark_text(align="left", dx=6, fontSize=12, fontWeight=weight, color=ink, aria=False)
    return layered(
        [
            track,
            bar.encode(x, series_color("number", [0, 1]), alt.X2("zero"), opacity=shade, tooltip=_BAR_TIPS, **tall),
            name.encode(pixels("middle"), x=alt.value(ends[0]), text="class:N"),
            words.encode(x, pixels("y"), text="text:N"),
        ],
        autosize=FITTED,
    )


_BAR_TIPS: Final = [
    alt.Tooltip("class:N", title=" "),
    alt.Tooltip("model:N"),
    alt.Tooltip("probability:Q", format=".3%"),
]


_KEY: Final = 40  # pixels of two lines
_HEADING: Final = 30  # pixels, with the gap above it
_WORD: Final = 16  # pixels, between heading and panel, of the word above a rule
_AXIS: Final = 70  # pixels, and the page's margin below it
_LABEL: Final = 16  # pixels that a name needs
_GUTTER: Final = 40  # pixels of "100%"


def history_chart(rows: pd.DataFrame) -> ChartSpec:
    """One image through the checkpoints of runs: a panel a run, its classes stacked to 100% at each epoch.

    Args:
        rows: as `evaluation_tables.history_frame` gives them.
    """
    panels = int(rows["panel"].nunique())
    tall = 130 if panels <= 3 else 100 if panels <= 6 else 64
    placed = _placed(rows, tall)
    first = placed.drop_duplicates("panel")
    frames = {
        "parts": placed,
        "labels": _labels(placed),
        "headings": first,
        "branches": first[first["branch"].notna()].assign(epoch=first["branch"]),
        "ticks": _ticks(first),
        "key": _key(rows),
    }
    return ChartSpec(_opinion_spec(), frames, _KEY + panels * (tall + _HEADING + _WORD) + _AXIS)


def _placed(rows: pd.DataFrame, tall: int) -> pd.DataFrame:
    """Add `ceiling` and `floor` (of the panel), `top` and `bottom` (of the part), all pixels; `epochs` (of all)."""
    ceiling = _KEY + rows["panel"] * (tall + _HEADING + _WORD) + _HEADING + _WORD
    floor = ceiling + tall
    epochs = rows["epoch"].max() - rows["epoch"].min() + 1 if len(rows) else 1
    return rows.assign(
        ceiling=ceiling,
        floor=floor,
        single=rows.groupby("panel")["epoch"].transform("nunique") == 1,
        top=floor - tall * rows["high"],
        bottom=floor - tall * rows["low"],
        epochs=epochs,
    )


def _labels(parts: pd.DataFrame) -> pd.DataFrame:
    """A row a panel and series, where it is the most probable: `y`, and `align` that keeps it inside the panel."""
    span = parts.groupby("panel")["epoch"].agg(["min", "max"])
    widest = parts.loc[parts.groupby(["panel", "place"])["probability"].idxmax()]
    widest = widest[widest["bottom"] - widest["top"] >= _LABEL].merge(span, left_on="panel", right_index=True)
    length = widest["max"] - widest["min"]
    last = widest["max"] == parts["epoch"].max()
    share = np.where(length > 0, (widest["epoch"] - widest["min"]) / length.clip(lower=1), last)
    align = np.select([share < 0.25, share > 0.75], ["left", "right"], "center")
    return widest.assign(y=(widest["top"] + widest["bottom"]) / 2, align=align, length=length)


def _ticks(panels: pd.DataFrame) -> pd.DataFrame:
    shares = {"100%": panels["ceiling"], "50%": (panels["ceiling"] + panels["floor"]) / 2, "0%": panels["floor"]}
    return pd.concat([pd.DataFrame({"text": text, "y": y}) for text, y in shares.items()])


def _key(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a series, from the bottom of the stack up."""
    series = rows.drop_duplicates("place").sort_values("place")[["place", "series", "truth"]]
    words = series["truth"].map({True: ", true class", False: ""})
    return series.assign(number=range(len(series)), text=series["series"] + words)


@lru_cache(maxsize=1)
def _opinion_spec() -> str:
    return layered([*_panels(), *_areas(), *_names(), *_branches(), *_key_marks()])


def _epoch() -> alt.X:
    axis = epoch_axis("(width - 50)", **BARE, labelPadding=6)
    ends = [alt.ExprRef(f"{_GUTTER + 4}"), alt.ExprRef("width - 6")]
    return alt.X("epoch:Q", title=EPOCHS_TITLE, scale=alt.Scale(zero=False, nice=False, range=ends), axis=axis)


def _color() -> alt.Color:
    """The theme's colours for named classes, grey for the others."""
    others = {"test": f"datum.place === {_SERIES}", "value": {"expr": str(MUTED.expr)}}
    return alt.Color("place:N", scale=alt.Scale(domain=list(range(_SERIES))), legend=None, condition=others)


def _panels() -> list[alt.Chart]:
    """The frame of each panel, its heading, and the shares at its left."""
    across: dict[str, Any] = {"x": alt.value(_GUTTER), "x2": alt.value("width")}
    frame = named("headings").mark_rect(fill=None, stroke=FAINT, aria=False)
    style: dict[str, Any] = {"align": "left", "baseline": "bottom", "dy": -5, "fontSize": 12, "fontWeight": 700}
    heading = named("headings").transform_calculate(y=f"datum.ceiling - (isValid(datum.branch) ? {_WORD} : 0)")
    heading = heading.mark_text(limit=alt.ExprRef("width"), color=INK, **style)
    tick = named("ticks").mark_text(align="right", dx=-6, fontSize=10, color=MUTED, aria=False)
    return [
        frame.encode(pixels("ceiling"), alt.Y2("floor"), **across),
        heading.encode(pixels("y"), x=alt.value(0), text="heading:N"),
        tick.encode(pixels("y"), x=alt.value(_GUTTER), text="text:N"),
    ]


def _areas() -> list[alt.Chart]:
    """What is between the checkpoints, and a bar at each: of a run with one checkpoint, the bar alone."""
    base = named("parts").encode(_epoch(), pixels("top"), _color())
    between = f"({_PLOT} / datum.epochs)"
    area = base.mark_area(opacity=0.7, aria=False).encode(alt.Y2("bottom"), alt.Detail("run:N"))
    bar = base.mark_rule(strokeWidth=alt.ExprRef(f"datum.single ? 12 : clamp({between} * 0.2, 0.5, 3)"), aria=False)
    hits = base.mark_rule(strokeWidth=alt.ExprRef(f"clamp({between}, 2, 40)"), opacity=0.001)
    return [area, bar.encode(alt.Y2("bottom")), hits.encode(alt.Y2("bottom"), tooltip=_PART_TIPS)]


_PLOT: Final = f"(width - {_GUTTER + 10})"
_PART_TIPS: Final = [
    alt.Tooltip("name:N", title="run"),
    EPOCH_TIP,
    alt.Tooltip("series:N", title="class"),
    alt.Tooltip("probability:Q", format=".1%"),
    alt.Tooltip("answer:N", title="predicted"),
]


def _names() -> list[alt.Chart]:
    """Names in the areas that have room for them, and beside the bar of a run with one checkpoint."""
    room = f"datum.length === 0 || datum.length / datum.epochs * {_PLOT} > length(datum.series) * 11"
    side = "(datum.align === 'left' ? 1 : datum.align === 'right' ? -1 : 0) * (datum.length === 0 ? 10 : 6)"
    style: dict[str, Any] = {
        "align": alt.ExprRef("datum.align"),
        "dx": alt.ExprRef(side),
        "fontSize": 12,
        "aria": False,
    }
    base = named("labels").transform_filter(room).encode(_epoch(), pixels("y"), text="series:N")
    return haloed(base, color=INK, **style)


def _branches() -> list[alt.Chart]:
    """A rule at the checkpoint that was resumed, and the word above it."""
    base = named("branches").transform_calculate(word="'resumed at epoch ' + datum.epoch")
    rule = base.mark_rule(color=INK, strokeDash=[4, 3], strokeWidth=1.5, aria=False)
    at = "scale('x', datum.epoch)"
    align = alt.ExprRef(f"{at} < 100 ? 'left' : {at} > width - 60 ? 'right' : 'center'")
    word = base.mark_text(align=align, baseline="bottom", dy=-2, fontSize=11, color=MUTED)
    return [
        rule.encode(_epoch(), pixels("ceiling"), alt.Y2("floor")),
        word.encode(_epoch(), pixels("ceiling"), text="word:N"),
    ]


def _key_marks() -> list[alt.Chart]:
    """The name beside the colour of each series, three in a line on a phone."""
    columns = "(width < 560 ? 3 : 5)"
    x = f"(datum.number % {columns}) * width / {columns}"
    base = named("key").transform_calculate(y=f"8 + floor(datum.number / {columns}) * 18")
    square = base.mark_square(size=100, opacity=1, aria=False).encode(
        pixels("y"), _color(), x=alt.value(alt.ExprRef(f"{x} + 6"))
    )
    limit = alt.ExprRef(f"width / {columns} - 20")
    word = base.mark_text(align="left", fontSize=alt.ExprRef("width < 560 ? 11 : 12"), limit=limit, color=INK)
    return [square, word.encode(pixels("y"), x=alt.value(alt.ExprRef(f"{x} + 16")), text="text:N")]
