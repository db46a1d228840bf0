"""The tree of runs, as a picture."""

from functools import lru_cache
from typing import Any, Final

import altair as alt
import pandas as pd

from fashion_core.charts.base import (
    DARK,
    EPOCH_TIP,
    EPOCHS_TITLE,
    FAINT,
    INK,
    LOSS_TIP,
    MUTED,
    PAPER,
    ChartSpec,
    epoch_axis,
    haloed,
    layered,
    named,
    pixels,
    series_color,
)
from fashion_core.charts.comparison import LEAST
from fashion_core.resume.labels import label_pixels

CHECKPOINT: Final = "checkpoint"
"""The selection: a click on a dot gives `[{"run": id, "epoch": number}]`, one beside the dots `[]`."""

LINEAGE_KEY: Final = (
    "one lane a run · one dot a checkpoint, hollow once it is deleted · a curve leaves at the checkpoint that was "
    "resumed · ring: lowest loss"
)
"""What the marks of `lineage_chart` mean, for the caption above it."""

_LANE: Final = 24  # pixels
_HEADING: Final = 30  # pixels, with the gap above it
_MARGIN: Final = 154  # pixels of legend and axis, and the page's margin
_TALL: Final = 900  # pixels, from which on an axis below is out of sight
_WORST: Final = 10.0  # a loss beyond this has diverged: guessing one of ten classes gives 2.3


def lineage_chart(dots: pd.DataFrame, links: pd.DataFrame) -> ChartSpec:
    """One lane a run, one dot a checkpoint in the colour of its loss, curves where runs were resumed.

    Args:
        dots, links: as `tables.lineage_frame` gives them, or those of some trees only.
    """
    lanes = _lane_pixels(dots)
    placed = _reaching(_placed(dots, lanes))
    frames = {
        "links": _bends(links, lanes),
        "dots": placed,
        "best": placed[placed["best"]],
        "labels": _lifted(placed[placed["label"] != ""], links),
        "headings": placed[placed["heading"] != ""],
    }
    height = lineage_height(dots)
    return ChartSpec(_spec(height > _TALL, label_pixels(dots["label"])), frames, height)


def lineage_height(dots: pd.DataFrame) -> int:
    """Pixels, axis and legend included."""
    return _LANE * dots["lane"].nunique() + _HEADING * dots["tree"].nunique() + _MARGIN


def _lane_pixels(dots: pd.DataFrame) -> "pd.Series[float]":
    """The middle of each lane from the top of the chart, by the lane's number."""
    lanes = dots.drop_duplicates("lane").sort_values("lane").set_index("lane")
    headings = pd.Series(pd.factorize(lanes["tree"])[0] + 1, index=lanes.index)
    return pd.Series(range(len(lanes)), index=lanes.index) * _LANE + headings * _HEADING + _LANE / 2


def _placed(dots: pd.DataFrame, lanes: "pd.Series[float]") -> pd.DataFrame:
    """Add `y`, `top`, `bottom` (pixels), `shade` (the loss as it has a colour), `epochs` (in all) and `checkpoint`."""
    y = dots["lane"].map(lanes)
    shade = dots["loss"].astype("float64").clip(LEAST, _WORST)
    checkpoint = dots["saved"].map({True: "saved", False: "deleted"})
    placed = dots.assign(y=y, top=y - _LANE / 2, bottom=y + _LANE / 2)
    return placed.assign(shade=shade, epochs=dots["epoch"].max() + 1, checkpoint=checkpoint)


def _reaching(dots: pd.DataFrame) -> pd.DataFrame:
    """Add `left` and `right` (epochs): half the way to its neighbours, so that a finger meets a dot."""
    epochs = dots.groupby("run")["epoch"]
    back, on = epochs.diff().fillna(1), -epochs.diff(-1).fillna(-1)
    return dots.assign(left=dots["epoch"] - back / 2, right=dots["epoch"] + on / 2)


def _lifted(last: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Add `lift`: the pixels that a label goes up where a curve leaves at the same dot."""
    left = set(zip(links["lane"], links["epoch"], strict=True))
    lift = [-11 if at in left else 0 for at in zip(last["lane"], last["epoch"], strict=True)]
    return last.assign(lift=lift)


def _bends(links: pd.DataFrame, lanes: "pd.Series[float]") -> pd.DataFrame:
    """Four control points of a curve a link: level where it leaves, upright between, level where it arrives."""
    start, end = links["lane"].map(lanes), links["next_lane"].map(lanes)
    turn = links["epoch"] + (links["next_epoch"] - links["epoch"]) * 0.4
    corners = [(links["epoch"], start), (turn, start), (turn, end), (links["next_epoch"], end)]
    run = links["run"]
    return pd.concat([pd.DataFrame({"run": run, "order": n, "epoch": x, "y": y}) for n, (x, y) in enumerate(corners)])


@lru_cache(maxsize=32)
def _spec(tall: bool, labels: int) -> str:
    room = f"min({labels + 16}, width / 2)"
    epoch, left = (_epoch(column, tall, room) for column in ("epoch", "left"))
    return layered([_links(epoch), _lanes(epoch), *_dots(epoch, room), *_texts(epoch, room), _hits(left)])


def _epoch(column: str, tall: bool, room: str) -> alt.X:
    orient = "top" if tall else "bottom"
    axis = epoch_axis(f"(width - {room})", orient=orient, titleAnchor="start", domainColor=FAINT)
    scale = alt.Scale(zero=False, nice=False, range=[alt.ExprRef("0"), alt.ExprRef(f"width - {room}")])
    return alt.X(f"{column}:Q", title=EPOCHS_TITLE, scale=scale, axis=axis)


def _links(epoch: alt.X) -> alt.Chart:
    line: alt.Chart = named("links").mark_line(interpolate="basis", strokeWidth=2, opacity=0.5, color=MUTED, aria=False)
    return line.encode(epoch, pixels("y"), alt.Detail("run:N"), alt.Order("order:Q"))


def _lanes(epoch: alt.X) -> alt.Chart:
    line: alt.Chart = named("dots").mark_line(strokeWidth=2, opacity=0.6, color=MUTED, aria=False)
    return line.encode(epoch, pixels("y"), alt.Detail("run:N"))


def _dots(epoch: alt.X, room: str) -> list[alt.Chart]:
    """Dots, and round the best one a ring; smaller where epochs stand close."""
    apart = f"(width - {room}) / datum.epochs * 0.7"
    small, large = (alt.ExprRef(f"pow(clamp({apart}, {low}, {high}), 2)") for low, high in ((4, 11), (12, 17)))
    dot: alt.Chart = named("dots").mark_point(
        size=small, stroke=MUTED, strokeWidth=1.2, opacity=1, aria=False, invalid="show"
    )  # a dot whose loss is not known is grey
    return [dot.encode(epoch, pixels("y"), _shade()), *_best(epoch, large)]


def _shade() -> alt.Fill:
    """The colour of the loss: the lowest is furthest from the background. Paper where the checkpoint was deleted."""
    scale = alt.Scale(type="log", scheme="viridis", reverse=alt.ExprRef(DARK))
    legend = alt.Legend(
        title="test loss (cross-entropy, log scale)", orient="top", direction="horizontal", gradientLength=160,
        gradientThickness=10, tickCount=3, format=".2~g", labelColor=MUTED, titleColor=MUTED, titleLimit=300,
    )  # fmt: skip
    deleted = {"test": "!datum.saved", "value": {"expr": str(PAPER.expr)}}
    unknown = {"test": "!isValid(datum.shade)", "value": {"expr": str(MUTED.expr)}}
    return alt.Fill("shade:Q", scale=scale, legend=legend, condition=[deleted, unknown])


def _best(epoch: alt.X, size: alt.ExprRef) -> list[alt.Chart]:
    """A ring and the word, in the theme's second colour."""
    series = alt.Scale(domain=["other", "best"])
    base = named("best").transform_calculate(series="'best'").encode(epoch, pixels("y"))
    ring: alt.Chart = base.mark_point(size=size, strokeWidth=2.5, opacity=1, aria=False)
    word = base.encode(series_color("series", ["other", "best"]), text=alt.value("best"))
    style: dict[str, Any] = {"fontSize": 10, "fontWeight": 700, "dy": -14, "baseline": "middle"}
    return [ring.encode(alt.Stroke("series:N", scale=series, legend=None)), *haloed(word, **style)]


def _texts(epoch: alt.X, room: str) -> list[alt.Chart]:
    """Change and loss at the end of a lane, the name of a tree's first run above its first dot."""
    size, limit, lift = alt.ExprRef("width < 400 ? 11 : 12"), alt.ExprRef(f"{room} - 14"), alt.ExprRef("datum.lift")
    label: alt.Chart = named("labels").mark_text(align="left", dx=14, dy=lift, fontSize=size, limit=limit, color=INK)
    style: dict[str, Any] = {"fontSize": 12, "fontWeight": 700, "limit": alt.ExprRef("width"), "color": INK}
    name: alt.Chart = named("headings").mark_text(align="left", dy=-_LANE / 2 - 2, **style)
    heading = name.encode(pixels("y"), x=alt.value(0), text="heading:N")
    return [label.encode(epoch, pixels("y"), text="label:N"), heading]


def _hits(left: alt.X) -> alt.Chart:
    """Around each dot what the pointer meets: a tooltip, and its checkpoint at a click."""
    tooltip = [
        alt.Tooltip("name:N", title="run"),
        EPOCH_TIP,
        LOSS_TIP,
        alt.Tooltip("checkpoint:N"),
    ]
    base: alt.Chart = (
        named("dots").mark_rect(color=MUTED, cursor="pointer", opacity=0.001, aria=False).properties(name="hits")
    )
    hits = base.encode(left, alt.X2("right"), pixels("top"), alt.Y2("bottom"), tooltip=tooltip)
    found: alt.Chart = hits.add_params(alt.selection_point(name=CHECKPOINT, fields=["run", "epoch"]))
    return found
