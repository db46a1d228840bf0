"""Chart of whether resuming helped: each resumed run beside the loss of its checkpoint.

Answers differ in colour and in shape: the theme's first colour and an arrow left for lower, its second and an
arrow right for higher, grey and a dot for a change within noise. Grey with its arrow is one that is not counted.
"""

from functools import lru_cache, partial
from typing import Any, Final

import altair as alt
import pandas as pd

from fashion_core.charts import base, texts
from fashion_core.resume.labels import label_pixels, loss_text
from fashion_core.resume.texts import NOT_COUNTED

# the selection in this chart and in `branch_chart`: a click gives `[{"run": id, …}]`, one beside the marks `{}`
FOCUS: Final = "focus"
TALLEST: Final = 700  # pixels of a chart that is seen whole: a taller one has its axis above, and scrolls
AXIS_HEIGHT: Final = 80  # pixels of an x axis with a title of one line, and of the page's margin below it
BEYOND: Final = 4.0  # times the highest `loss_last`: a loss above that is drawn at the edge
LEAST: Final = 1e-4  # the lowest loss with a place of its own on a logarithmic axis

_ROW: Final = 18  # pixels
_HEADING: Final = 26  # pixels, with the gap above it
_AXIS: Final = AXIS_HEIGHT + 16  # pixels: its title has two lines
_FADED: Final = 0.2

_INDENT: Final = 12  # pixels of a label below its heading
_PHONE: Final = "width < 400"
_PERCENT: Final = "clamp(width / 6, 54, 62)"  # pixels of the column right of them
_NOW: Final = "clamp(width / 11, 30, 38)"  # pixels beside the outermost arrow, for its loss
_LAST_TEXT: Final = 17  # half of the pixels of "0.412"
_HEADING_WIDTH: Final = "length(datum.group) * 6.9"


def comparison_chart(frame: pd.DataFrame, focus: str | None) -> base.ChartSpec:
    """One group a checkpoint: its `loss_last`, and an arrow from there to the loss of each run resumed from it.

    All rows are of one dataset. Each loss stands at its arrow's head. The axis is logarithmic: equally long arrows mean
    equal percentages, and losses a factor of 100 apart stay readable.
    A loss of more than `BEYOND` times the highest `loss_last` is drawn at the edge, with a double arrow.
    Groups and rows stand in the order of `resume.tables.compared_frame`. All runs but the one with the id ``focus``
    fade; if there is no such run, none does.
    """
    rows = _placed(emphasised(frame, focus))
    groups = rows.drop_duplicates("number").assign(bottom=rows.groupby("number")["bottom"].max().to_numpy())
    groups = groups.assign(text=groups["loss_last"].map(loss_text))[["group", "drawn_last", "top", "bottom", "text"]]
    height = _ROW * len(rows) + _HEADING * len(groups) + _AXIS
    spec = _spec(height > TALLEST, label_pixels(frame["label"]), label_pixels(frame["group"]))
    return base.ChartSpec(spec, {"rows": rows, "groups": groups}, height)


def emphasised(frame: pd.DataFrame, focus: str | None) -> pd.DataFrame:
    """Add `focused` (bool) and `strength` (0 to 1, how opaque the run is drawn)."""
    focused = frame["run"] == focus
    strength = focused.map({True: 1.0, False: _FADED if focused.any() else 1.0}).astype("float64")
    return frame.assign(focused=focused, strength=strength)


def _placed(frame: pd.DataFrame) -> pd.DataFrame:
    """Add `number` (of the checkpoint, from 0), and `top`, `y` and `bottom` (pixels from the top of the chart).

    Also the arrow's `drawn_last`, `drawn_now`, `mark` (its shape) and `text`, and `band`, where the noise band begins:
    one that reaches zero has no place on a logarithmic axis, so it begins at half of `loss_last` or higher.
    """
    number = frame.groupby(["parent", "epoch", "group"], sort=False).ngroup()
    top = _ROW * pd.Series(range(len(frame)), index=frame.index) + _HEADING * (number + 1)
    last = frame["loss_last"].clip(lower=LEAST)
    edge = BEYOND * last.max()
    beyond = ~(frame["loss_now"] <= edge)
    now = frame["loss_now"].clip(lower=LEAST).mask(beyond, edge)
    mark = answer_mark(frame).mask(beyond, "beyond the axis")
    drawn = {"drawn_last": last, "drawn_now": now, "mark": mark, "band": frame["low"].clip(lower=last / 2)}
    text = frame["loss_now"].map(loss_text)
    return frame.assign(number=number, top=top, y=top + _ROW / 2, bottom=top + _ROW, text=text, **drawn)


@lru_cache(maxsize=32)
def _spec(tall: bool, labels: int, headings: int) -> str:
    gutter = f"min(max({labels + 2 * _INDENT}, min({headings + 2 * _LAST_TEXT}, width * 0.32)), width / 2)"
    ticks, orient = base.tick_count(60, 4, 8, "(width - 260)"), "top" if tall else "bottom"
    ends = [alt.ExprRef(f"{gutter} + {_NOW}"), alt.ExprRef(f"width - {_PERCENT} - {_NOW}")]
    scale = alt.Scale(type="log", nice=False, padding=2, range=ends)
    title = [texts.TEST_LOSS_PER_IMAGE, texts.EQUAL_LENGTHS]
    axis = loss_axis("x", logarithmic=True, tickCount=ticks, orient=orient)
    x = partial(alt.X, title=title, scale=scale, axis=axis)
    marks = _marks(x("drawn_last:Q"), x("drawn_now:Q"), x("band:Q"))
    return base.layered([*marks, *_group_texts(), *_rows(gutter)])


def loss_axis(scale: str, logarithmic: bool, **settings: Any) -> alt.Axis:
    """An axis of losses; a logarithmic one labels 1, 2 and 5 beyond a factor of ten, powers of ten beyond a hundred."""
    label, grid = "format(datum.value, '~g')", 0.6
    shown: dict[str, Any] = {"labelExpr": label, "gridOpacity": grid, "gridColor": base.FAINT}
    if logarithmic:
        span = f"domain('{scale}')[1] / domain('{scale}')[0]"
        digit = "round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"
        between = f"{span} > 100 && {digit} > 1 || {span} > 10 && indexof([1, 2, 5], {digit}) < 0"
        shown["labelExpr"] = f"{between} ? '' : {label}"
        shown["gridOpacity"] = {"condition": {"test": between, "value": grid / 3}, "value": grid}
    return base.themed_axis(labelOverlap="greedy", labelFlush=False, **shown, **base.BARE, **settings)


STRENGTH: Final = alt.Opacity("strength:Q", scale=None, legend=None)
_SHAPES: Final = {
    "lower": "triangle-left",
    "within noise": "circle",
    "same as the parent": "circle",
    "higher": "triangle-right",
    "beyond the axis": "M-1,-0.9L0,0L-1,0.9Z M0,-0.9L1,0L0,0.9Z",
}


def answer_mark(frame: pd.DataFrame) -> "pd.Series[str]":
    """The shape of each `answer`, which one that is not counted shares with one that is."""
    return frame["answer"].str.removesuffix(NOT_COUNTED)


def answer_color() -> alt.Color:
    """The theme's first two colours for lower and higher, grey for within noise and for what is not counted."""
    neither = {"test": "datum.answer !== 'lower' && datum.answer !== 'higher'", "value": {"expr": str(base.MUTED.expr)}}
    return alt.Color("answer:N", scale=alt.Scale(domain=["lower", "higher"]), legend=None, condition=neither)


def _marks(last: alt.X, now: alt.X, noise: alt.X) -> list[alt.Chart]:
    """The noise band, the rule of `loss_last`, and arrows whose points are at the loss, smaller on a phone."""
    rows, groups = base.named("rows"), base.named("groups")
    size, towards_last = f"({_PHONE} ? 56 : 90)", "(datum.mark === 'lower' ? 1 : datum.mark === 'higher' ? -1 : 0)"
    back = alt.ExprRef(f"{towards_last} * sqrt({size}) * sqrt(3) / 4")  # half the height of such a triangle
    band = rows.mark_rect(color=base.MUTED, opacity=0.2, aria=False)
    rule = groups.mark_rule(strokeWidth=2.5, strokeCap="round", color=base.INK, aria=False)
    shaft = rows.mark_rule(strokeWidth=3, aria=False).encode(last, alt.X2("drawn_now"))
    tip = rows.mark_point(filled=True, size=alt.ExprRef(size), xOffset=back, aria=False)
    tip = tip.encode(now, base.shapes("mark", _SHAPES))
    return [
        band.encode(noise, alt.X2("high"), base.pixels("top"), alt.Y2("bottom")),
        rule.encode(last, base.pixels("top"), alt.Y2("bottom")),
        *(mark.encode(base.pixels("y"), answer_color(), STRENGTH) for mark in (shaft, tip)),
        _losses_now(now),
    ]


def _losses_now(now: alt.X) -> alt.Chart:
    """Each loss beyond its arrow's head, on the side away from `loss_last`."""
    left, size = "datum.drawn_now < datum.drawn_last", alt.ExprRef(f"{_PHONE} ? 10 : 11")
    align, dx = alt.ExprRef(f"{left} ? 'right' : 'left'"), alt.ExprRef(f"{left} ? -7 : 7")
    text = base.named("rows").mark_text(align=align, dx=dx, fontSize=size, color=base.INK)
    losses: alt.Chart = text.encode(now, base.pixels("y"), STRENGTH, text="text:N")
    return losses


def _group_texts() -> list[alt.Chart]:
    """The heading, and `loss_last` above its rule, or at the right edge where the heading leaves no room for it."""
    style: dict[str, Any] = {"baseline": "bottom", "dy": -3, "fontSize": 12, "color": base.INK}
    last = "scale('x', datum.drawn_last)"
    x = alt.ExprRef(f"{last} - {_LAST_TEXT} > {_HEADING_WIDTH} ? {last} : width - {_LAST_TEXT}")
    limit = alt.ExprRef(f"width - {3 * _LAST_TEXT}")
    groups = base.named("groups").encode(base.pixels("top"))
    loss, heading = groups.mark_text(**style), groups.mark_text(align="left", fontWeight=700, limit=limit, **style)
    return [loss.encode(x=alt.value(x), text="text:N"), heading.encode(x=alt.value(0), text="group:N")]


_TOOLTIP: Final = [
    *base.tips({"name": texts.RUN, "changed": texts.CHANGED, "group": texts.RESUMED_FROM}),
    *base.tips({"loss_last:.4f": texts.LOSS_LAST, "loss_now:.4f": texts.LOSS_NOW, "now_epoch:d": texts.AFTER_EPOCH}),
    *base.tips({"percent": texts.CHANGE, "answer": texts.ANSWER}),
    *base.tips({"low:.4f": texts.NOISE_FROM, "high:.4f": texts.NOISE_TO}),
    *base.tips({"state": texts.STATE, "verdict": texts.VERDICT}),
]


def _rows(gutter: str) -> list[alt.Chart]:
    """Label and change, and invisible hover and click targets: tooltip, shade, and the row's run on a click."""
    size, limit = alt.ExprRef(f"{_PHONE} ? 11 : 12"), alt.ExprRef(f"{gutter} - {_INDENT}")
    color = alt.ExprRef(f"datum.focused ? ({base.INK.expr}) : ({base.MUTED.expr})")
    rows, right = base.named("rows").encode(base.pixels("y")), alt.value(alt.ExprRef("width"))
    label = rows.mark_text(align="left", fontSize=size, limit=limit, color=color)
    percent = rows.mark_text(align="right", fontSize=12, fontWeight=700).encode(answer_color(), STRENGTH)
    hover, shade = base.hover_shade(0.12, "run")
    area = base.dated(base.named("rows")).mark_rect(color=base.MUTED, cursor="pointer")
    area = area.encode(base.pixels("top"), alt.Y2("bottom"), opacity=shade, tooltip=_TOOLTIP)
    return [
        label.encode(x=alt.value(_INDENT), text="label:N"),
        percent.encode(x=right, text="percent:N"),
        base.hits(area, clicked(), hover, x=alt.value(0), x2=alt.value("width")),
    ]


def clicked() -> alt.Parameter:
    """The selection of one run, in `dated` rows."""
    return alt.selection_point(name=FOCUS, fields=["run", "at"])
