"""Chart of the tree of runs."""

import math
from functools import lru_cache
from typing import Any, Final

import altair as alt
import pandas as pd

from fashion_core.charts import base, texts
from fashion_core.charts.comparison import LEAST
from fashion_core.resume.labels import label_pixels

# the selection: a click on a dot gives `[{"run": id, "epoch": number}]`, one beside the dots `[]`
CHECKPOINT: Final = "checkpoint"

_LANE: Final = 24  # pixels
_HEADING: Final = 30  # pixels, with the gap above it
_MARGIN: Final = 154  # pixels of legend and axis, and the page's margin
_TALL: Final = 900  # pixels, from which on an axis below is out of sight
_WORST: Final = 10.0  # a loss beyond this has diverged: guessing one of ten classes gives 2.3


def lineage_chart(dots: pd.DataFrame, links: pd.DataFrame) -> base.ChartSpec:
    """One lane per run of `tables.part_frames`, one dot per checkpoint in the colour of its loss, curves between.

    Where there are runs of several datasets, each dataset has the whole colour scale to itself.
    """
    first = dots.drop_duplicates("lane").sort_values("lane").set_index("lane")
    headings = pd.Series(pd.factorize(first["tree"])[0] + 1, index=first.index)
    # the middle of each lane in pixels from the top of the chart, by its number
    lanes = pd.Series(range(len(first)), index=first.index) * _LANE + headings * _HEADING + _LANE / 2
    placed = _placed(dots, lanes)
    last, resumed_at = placed[placed["label"] != ""], set(zip(links["lane"], links["epoch"], strict=True))
    lift = [-11 if at in resumed_at else 0 for at in zip(last["lane"], last["epoch"], strict=True)]
    frames = {
        "links": _bends(links, lanes),
        "dots": placed,
        "best": placed[placed["best"]],
        "labels": last.assign(lift=lift),  # pixels that a label goes up where a curve leaves at the same dot
        "headings": placed[placed["heading"] != ""],
    }
    height = _LANE * len(lanes) + _HEADING * dots["tree"].nunique() + _MARGIN
    several = bool(dots["dataset"].nunique() > 1)
    return base.ChartSpec(_spec(height > _TALL, label_pixels(dots["label"]), several), frames, height)


def _placed(dots: pd.DataFrame, lanes: "pd.Series[float]") -> pd.DataFrame:
    """Add `y`, `top`, `bottom` (pixels), `left`, `right` (epochs), `shade` (the loss on the colour scale), `epochs`."""
    y, by_run = dots["lane"].map(lanes), dots.groupby("run")["epoch"]
    return dots.assign(
        y=y,
        top=y - _LANE / 2,
        bottom=y + _LANE / 2,
        left=dots["epoch"] - by_run.diff().fillna(1) / 2,  # halfway to its neighbour, so that a dot is easy to tap
        right=dots["epoch"] - by_run.diff(-1).fillna(-1) / 2,
        shade=_shades(dots),
        epochs=dots["epoch"].max() + 1,
        checkpoint=dots["saved"].map({True: texts.SAVED, False: texts.DELETED}),
    )


def _shades(dots: pd.DataFrame) -> "pd.Series[float]":
    """The loss; of several datasets its place on a log scale from the lowest (1) to the highest (10) of its own.

    That of a dataset with one loss alone is in the middle.
    """
    losses, datasets = dots["loss"].astype("float64").clip(LEAST, _WORST), dots["dataset"]
    if datasets.nunique() < 2:
        return losses
    low, high = (losses.groupby(datasets).transform(end) for end in ("min", "max"))
    above, span = ((loss / low).map(math.log10) for loss in (losses, high))
    return 10 ** (above / span).where((span > 0) | above.isna(), 0.5)


def _bends(links: pd.DataFrame, lanes: "pd.Series[float]") -> pd.DataFrame:
    """Four control points per link: its curve is horizontal at both ends and vertical between."""
    start, end = links["lane"].map(lanes), links["next_lane"].map(lanes)
    turn = links["epoch"] + (links["next_epoch"] - links["epoch"]) * 0.4
    corners = [(links["epoch"], start), (turn, start), (turn, end), (links["next_epoch"], end)]
    run = links["run"]
    return pd.concat([pd.DataFrame({"run": run, "order": n, "epoch": x, "y": y}) for n, (x, y) in enumerate(corners)])


@lru_cache(maxsize=32)
def _spec(tall: bool, labels: int, several: bool) -> str:
    room, orient = f"min({labels + 16}, width / 2)", "top" if tall else "bottom"
    axis = base.epoch_axis(f"(width - {room})", orient=orient, titleAnchor="start", domainColor=base.FAINT)
    scale = alt.Scale(zero=False, nice=False, range=[alt.ExprRef("0"), alt.ExprRef(f"width - {room}")])
    epoch, left = (alt.X(f"{x}:Q", title=texts.EPOCH_FROM_FIRST_RUN, scale=scale, axis=axis) for x in ("epoch", "left"))
    measured = {"epoch:d": texts.EPOCH, "loss:.4f": texts.TEST_LOSS}
    tips = base.tips({"name": texts.RUN, "dataset": texts.DATASET, **measured, "checkpoint": texts.CHECKPOINT})
    area = base.named("dots").mark_rect(color=base.MUTED, cursor="pointer", opacity=0.001, aria=False)
    area = area.encode(left, alt.X2("right"), base.pixels("top"), alt.Y2("bottom"), tooltip=tips)
    hits = base.hits(area, alt.selection_point(name=CHECKPOINT, fields=["run", "epoch"]))
    return base.layered([*_lines(epoch), *_dots(epoch, room, several), *_texts(epoch, room), hits])


def _lines(epoch: alt.X) -> list[alt.Chart]:
    style: dict[str, Any] = {"strokeWidth": 2, "color": base.MUTED, "aria": False}
    link = base.named("links").mark_line(interpolate="basis", opacity=0.5, **style).encode(alt.Order("order:Q"))
    lane = base.named("dots").mark_line(opacity=0.6, **style)
    return [line.encode(epoch, base.pixels("y"), alt.Detail("run:N")) for line in (link, lane)]


def _dots(epoch: alt.X, room: str, several: bool) -> list[alt.Chart]:
    """Dots, and round the best a ring with its word in the theme's second colour; smaller where epochs are close."""
    apart = f"(width - {room}) / datum.epochs * 0.7"
    small, large = (alt.ExprRef(f"pow(clamp({apart}, {low}, {high}), 2)") for low, high in ((4, 11), (12, 17)))
    edge: dict[str, Any] = {"stroke": base.MUTED, "strokeWidth": 1.2}
    # a dot whose loss is not known is grey
    dot = base.named("dots").mark_point(size=small, opacity=1, aria=False, invalid="show", **edge)
    best = base.named("best").transform_calculate(series="'best'").encode(epoch, base.pixels("y"))
    ring = best.mark_point(size=large, strokeWidth=2.5, opacity=1, aria=False)
    series = ["other", "best"]
    word = best.encode(base.series_color("series", series), text=alt.value(texts.BEST))
    return [
        dot.encode(epoch, base.pixels("y"), _shade(several)),
        ring.encode(alt.Stroke("series:N", scale=alt.Scale(domain=series), legend=None)),
        *base.haloed(word, fontSize=10, fontWeight=700, dy=-14, baseline="middle"),
    ]


def _shade(several: bool) -> alt.Fill:
    """The colour of the loss: the lowest contrasts most with the background, in whose colour a deleted one is."""
    scale = alt.Scale(type="log", scheme="viridis", reverse=alt.ExprRef(base.DARK))
    if several:
        scale.domain = [1, 10]
        title, label = texts.TEST_LOSS_OF_DATASETS, f"datum.value < 2 ? {texts.LOWEST!r} : {texts.HIGHEST!r}"
        labels: dict[str, Any] = {"values": [1, 10], "labelExpr": label}
    else:
        title, labels = texts.TEST_LOSS_LOGARITHMIC, {"tickCount": 3, "format": ".2~g"}
    legend = alt.Legend(
        title=title, orient="top", direction="horizontal", gradientLength=160, gradientThickness=10,
        labelColor=base.MUTED, titleColor=base.MUTED, titleLimit=300, **labels,
    )  # fmt: skip
    deleted = {"test": "!datum.saved", "value": {"expr": str(base.PAPER.expr)}}
    unknown = {"test": "!isValid(datum.shade)", "value": {"expr": str(base.MUTED.expr)}}
    return alt.Fill("shade:Q", scale=scale, legend=legend, condition=[deleted, unknown])


def _texts(epoch: alt.X, room: str) -> list[alt.Chart]:
    """Change and loss at the end of a lane, the name of a tree's first run above its first dot."""
    size, limit, lift = alt.ExprRef("width < 400 ? 11 : 12"), alt.ExprRef(f"{room} - 14"), alt.ExprRef("datum.lift")
    style: dict[str, Any] = {"align": "left", "color": base.INK}
    label = base.named("labels").mark_text(dx=14, dy=lift, fontSize=size, limit=limit, **style)
    bold: dict[str, Any] = {"fontSize": 12, "fontWeight": 700, "limit": alt.ExprRef("width")}
    heading = base.named("headings").mark_text(dy=-_LANE / 2 - 2, **bold, **style)
    return [
        label.encode(epoch, base.pixels("y"), text="label:N"),
        heading.encode(base.pixels("y"), x=alt.value(0), text="heading:N"),
    ]
