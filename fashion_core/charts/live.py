"""Charts of a run, whose rows are made anew every second, for viewers in light and in dark, on a laptop and on a phone.

A spec is built once and only its rows change: so texts and the newest value are rows, and whatever depends on the width
is an expression that Vega works out in the browser. Shape and weight tell the series apart without colour.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import altair as alt
import pandas as pd

from fashion_core.charts import base, texts
from fashion_core.resume.comparison import loss_last_of
from fashion_core.resume.labels import loss_text
from fashion_core.runs.loss_curve import RunMetrics, thin_out
from fashion_core.runs.schema import LoadCheck, RunRecord

SERIES: Final = ["train", "test"]  # of every chart here, in the order of the theme's colours
SELECTION: Final = "checkpoint"  # in `chooser_chart`; its points have the field ``epoch`` and that of `dated`

MAX_EPOCHS: Final = 400  # drawn of a long run, including the best and worst of each stretch
_HEIGHT: Final = 320  # pixels, axes and titles included
_LABEL_WIDTH: Final = 56  # pixels that "epoch 49" and a gap take
_ROUND: Final = (1, 5, 20, 100, 500)  # each divides the next, so that thinned labels keep even gaps
_EPOCH_TIPS: Final = [
    *base.tips({"epoch:d": texts.EPOCH, "loss:.4f": texts.TEST_LOSS, "train_loss:.4f": texts.TRAIN_LOSS}),
    *base.tips({"accuracy:.2%": texts.TEST_ACCURACY, "checkpoint": texts.CHECKPOINT_SAVED}),
]


def run_charts(
    record: RunRecord, found: RunMetrics, check: LoadCheck | None, seeds: pd.DataFrame | None
) -> tuple[base.ChartSpec, base.ChartSpec]:
    """Losses and accuracy of a run, both up to its end, so that an axis stays as it is while it trains.

    ``seeds`` are the rows of ``resume.tables.seeds_frame``, or None.
    """
    epochs = thin_out(found.epochs, MAX_EPOCHS)
    dashed = None
    if check:
        label = texts.LOSS_LAST_LINE if check.comparable else texts.LOSS_CHECK_LINE
        label = label.format(loss=loss_text(loss_last_of(check), 4))
        dashed = pd.DataFrame({"loss": [loss_last_of(check)], "label": [label]})
    steps = len(record.span) * record.config.batches_per_epoch
    bars = None if seeds is None else thin_out(seeds, MAX_EPOCHS)
    losses = live_chart(found.batches, epochs, steps, dashed, bars)
    return losses, accuracy_chart(epochs, record.span, bars)


def live_chart(
    batches: pd.DataFrame,
    epochs: pd.DataFrame,
    total_steps: int,
    loss_last: pd.DataFrame | None = None,
    seeds: pd.DataFrame | None = None,
) -> base.ChartSpec:
    """Draw the losses of one run while it trains, or afterwards; a loss that is not finite leaves a gap.

    ``batches`` has one row per batch, in order, at most 1,500: `step` (int64, optimizer steps of this run, from 1),
    `loss` and `smoothed` (float64, cross-entropy). ``epochs`` has one row per ended epoch, in order: `epoch` (int64),
    `step` (int64, where it ended), `loss` (float64, on the test images), `train_loss` (float64), `accuracy` (float64,
    0 to 1, on the test images), `checkpoint` (bool, its file exists). Both may be empty. The x axis ends at
    ``total_steps``. ``loss_last`` has one row with `loss` (float64) and `label` (str), drawn as a dashed line; None if
    nothing was resumed. ``seeds`` has `step`, `loss` and `loss_interval` of the mean over several seeds, or is None.

    Layers without rows are left out of what is sent: while a run trains, that changes with the first loss, with the
    first epoch that ends, its first file and the first mean over seeds; from then on there are only more rows.
    """
    drawn = _finite(batches)
    newest = drawn.dropna(subset=["smoothed"]).tail(1)
    ended = _finite(epochs).assign(
        text=epochs["epoch"].map(lambda epoch: texts.EPOCH_MARK.format(epoch=epoch)).astype(str),
        share=epochs["step"].max() / max(len(epochs), 1) / total_steps,  # of the x axis, for one epoch
        round=epochs["epoch"].map(lambda epoch: max(step for step in _ROUND if epoch % step == 0)),
    )
    frames = {
        "batches": drawn,
        # the first row in each 300th of the x axis: as near as a pointer can tell, and half the work for the browser
        "hover": drawn[(drawn["step"] * 300 // total_steps).diff().ne(0)],
        "epochs": ended,
        "saved": ended[ended["checkpoint"]],
        "newest": newest.assign(text=newest["smoothed"].map(loss_text)),
        "room": _room(newest["smoothed"], 0.05),
    }
    if loss_last is not None:
        line, losses = loss_last["loss"], pd.concat([loss_last["loss"], drawn["loss"]])
        # the label goes to that side of its line where the newest value is not, with an eighth of the axis as room
        side = 12 if (newest["smoothed"] > line.iloc[0]).any() else -12
        label_room = _room(line, max((losses.max() - losses.min()) / 8, 0.05))
        frames |= {"loss_last": loss_last.assign(side=side), "room": pd.concat([frames["room"], label_room])}
    if seeds is not None:
        frames["seeds"] = _bars(seeds, "loss", most=None)
    return base.ChartSpec(_live_spec(total_steps, loss_last is not None, seeds is not None), frames, _HEIGHT)


def accuracy_chart(epochs: pd.DataFrame, span: range, seeds: pd.DataFrame | None = None) -> base.ChartSpec:
    """Draw the test accuracy after each of `live_chart`'s ``epochs``; the x axis covers ``span``, trained or not.

    ``seeds`` has `epoch`, `accuracy` and `accuracy_interval` of the mean over the seeds.
    """
    newest = epochs.tail(1)
    newest = newest.assign(text=newest["accuracy"].map("{:.2%}".format))
    room = _room(newest["accuracy"], 0.05).clip(upper=1.0).assign(first=span[0], last=span[-1])
    frames = {"epochs": epochs, "newest": newest, "room": room}
    if seeds is not None:
        frames["seeds"] = _bars(seeds, "accuracy", most=1.0)
    return base.ChartSpec(_accuracy_spec(seeds is not None), frames, _HEIGHT)


def _bars(seeds: pd.DataFrame, number: str, most: float | None) -> pd.DataFrame:
    """Add `low` and `high`, the ends of the interval: nothing is below 0 or above ``most``."""
    mean, half = seeds[number], seeds[f"{number}_interval"]
    return _finite(seeds.assign(low=(mean - half).clip(lower=0), high=(mean + half).clip(upper=most)))


def _finite(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn infinities into gaps: a single one would ruin the axis."""
    return frame.replace([float("inf"), float("-inf")], float("nan"))


def _room(newest: "pd.Series[float]", around: float) -> pd.DataFrame:
    """The least that the y axis covers: ``around`` on either side of the newest value, or 0 to 1 before the first."""
    if newest.empty:
        return pd.DataFrame({"low": [0.0], "high": [1.0]})
    return pd.DataFrame({"low": (newest - around).clip(lower=0), "high": newest + around})


@lru_cache(maxsize=256)
def _live_spec(total_steps: int, resumed: bool, repeated: bool) -> str:
    x_scale = alt.Scale(domain=[0, total_steps], nice=False)
    axis: dict[str, Any] = {"title": texts.STEP_OF_RUN, "scale": x_scale, "axis": _x_axis(8)}
    start, x = alt.XDatum(0, type="quantitative", **axis), alt.X("step:Q", **axis)  # an axis before the first batch too
    batches = _painted("batches", "train").encode(x)
    newest = _painted("newest", "train").encode(alt.X("step:Q"), _loss("smoothed"))
    line, label = _loss_last() if resumed else ([], [])
    layers = [
        _invisible(_loss("low")).encode(start),
        *_epoch_rules(),
        *(_seed_bars(alt.X("step:Q"), _loss, "loss") if repeated else ()),
        batches.mark_line(strokeWidth=1, opacity=0.3).encode(_loss("loss")),
        batches.mark_line(strokeWidth=2.5).encode(_loss("smoothed")),
        *line,
        newest.mark_point(filled=True, size=90, opacity=1),
        *_value(newest),
        _hover(),
        *_epoch_points(),
        *label,
    ]
    return base.layered(layers)


def _seed_bars(x: alt.X, y: Callable[[str], alt.Y], number: str) -> list[alt.Chart]:
    """The interval of the mean over the seeds after each epoch, behind all else, and a tick at the mean."""
    tip = base.tips({"epoch:d": texts.EPOCH, "seeds:d": texts.SEEDS, f"{number}:.4f": texts.MEAN})
    tip += base.tips({"low:.4f": texts.INTERVAL_FROM, "high:.4f": texts.INTERVAL_TO})
    rows = _painted("seeds", "test").encode(x, tooltip=tip)
    bar = rows.mark_rule(strokeWidth=9, opacity=0.3).encode(y("low"), alt.Y2("high"))
    return [bar, rows.mark_tick(thickness=2, size=18, orient="horizontal").encode(y(number))]


@lru_cache(maxsize=2)
def _accuracy_spec(repeated: bool) -> str:
    epochs = _painted("epochs", "test").encode(_epoch("epoch"), _accuracy("accuracy"))
    points = epochs.mark_point(shape="diamond", filled=True, size=80, opacity=1).encode(tooltip=_EPOCH_TIPS)
    newest = _painted("newest", "test").encode(alt.X("epoch:Q"), _accuracy("accuracy"))
    room = _invisible(_accuracy("low")).encode(_epoch("first"), alt.X2("last"))
    bars = _seed_bars(alt.X("epoch:Q"), _accuracy, "accuracy") if repeated else []
    return base.layered([room, *bars, epochs.mark_line(strokeWidth=2.5), points, *_value(newest)])


def _painted(data: str, series: str) -> alt.Chart:
    """Start a chart in its series' colour: a fixed domain and no range, so that the theme's colours apply."""
    return base.named(data).transform_calculate(series=f"'{series}'").encode(base.series_color("series", SERIES))


def _invisible(y: alt.Y) -> alt.Chart:
    rule: alt.Chart = base.named("room").mark_rule(opacity=0, aria=False)
    return rule.encode(y, alt.Y2("high"))


def _epoch_rules() -> list[alt.Chart]:
    """A rule and its label at the end of an epoch, wherever there is room for the label."""
    room = f"datum.round * datum.share * width >= {_LABEL_WIDTH}"
    epochs = base.named("epochs").transform_filter(room).encode(alt.X("step:Q"))
    text = epochs.mark_text(align="right", baseline="bottom", fontSize=12, color=base.MUTED)
    return [epochs.mark_rule(strokeWidth=1.5, color=base.FAINT), text.encode(text="text:N", y=alt.value(-6))]


def _hover() -> alt.Chart:
    near = alt.selection_point(
        name="near", fields=["step"], nearest=True, on="pointermove", clear="pointerout", empty=False
    )
    tooltip = base.tips({"step:,": texts.STEP, "loss:.4f": texts.BATCH_LOSS, "smoothed:.4f": texts.SMOOTHED_LOSS})
    opacity = alt.when(near).then(alt.value(0.8)).otherwise(alt.value(0))
    rule: alt.Chart = base.named("hover").mark_rule(color=base.MUTED, aria=False).properties(name="hover")
    return rule.encode(alt.X("step:Q"), opacity=opacity, tooltip=tooltip).add_params(near)


def _epoch_points() -> list[alt.Chart]:
    """A ring at the train loss and a diamond at the test loss, both smaller where epochs stand close."""
    size = alt.ExprRef("pow(clamp(datum.share * width * 0.7, 5, 9.5), 2)")
    rings = base.named("saved").encode(_loss("train_loss"))
    rings = rings.mark_point(size=size, strokeWidth=2, stroke=base.INK, fill=base.PAPER, opacity=1)
    diamonds = _painted("epochs", "test").encode(_loss("loss"))
    diamonds = diamonds.mark_point(shape="diamond", filled=True, size=size, opacity=1)
    return [points.encode(alt.X("step:Q"), tooltip=_EPOCH_TIPS) for points in (rings, diamonds)]


def _loss_last() -> tuple[list[alt.Chart], list[alt.Chart]]:
    """The dashed line and, drawn in front of all else, its label."""
    rows = base.named("loss_last").encode(_loss("loss"))
    label = rows.encode(text="label:N", x=alt.value("width"))
    side, limit = alt.ExprRef("datum.side"), alt.ExprRef("width")
    line = rows.mark_rule(strokeDash=[6, 4], strokeWidth=1.5, color=base.INK)
    return [line], base.haloed(label, align="right", dy=side, fontSize=13, limit=limit, color=base.INK)


def _value(newest: alt.Chart) -> list[alt.Chart]:
    return base.haloed(newest.encode(text="text:N"), align="left", dx=10, fontSize=13, fontWeight=700)


def _loss(column: str) -> alt.Y:
    label = "datum.value < 1000 ? datum.label : format(datum.value, '.1e')"
    scale, axis = alt.Scale(zero=False), base.themed_axis(tickCount=5, labelFlush=False, labelExpr=label)
    return alt.Y(f"{column}:Q", title=texts.LOSS_PER_IMAGE, scale=scale, axis=axis)


def _accuracy(column: str) -> alt.Y:
    scale, axis = alt.Scale(zero=False), base.themed_axis(tickCount=5, labelFlush=False, format="%")
    return alt.Y(f"{column}:Q", title=texts.ACCURACY_OF_IMAGES, scale=scale, axis=axis)


def _epoch(column: str, padding: int = 16) -> alt.X:
    scale = alt.Scale(zero=False, nice=False, padding=padding)
    return alt.X(f"{column}:Q", title=texts.EPOCH, scale=scale, axis=_x_axis(12, format="d"))


def _x_axis(ticks: int, **settings: Any) -> alt.Axis:
    """At most this many ticks, fewer where the chart is narrow, and only at whole steps or epochs."""
    return base.themed_axis(tickCount=base.tick_count(65, 2, ticks), tickMinStep=1, grid=False, **settings)


def chooser_chart(epochs: pd.DataFrame, chosen: int) -> base.ChartSpec:
    """The test loss after each epoch: a ring for each saved checkpoint, filled and labelled for the ``chosen`` epoch.

    ``epochs`` has `epoch` (int64), `loss` and `accuracy` (float64, may be NaN), `checkpoint` (bool, its file exists).
    """
    return base.ChartSpec(_chooser_spec(), {"epochs": epochs.assign(chosen=epochs["epoch"] == chosen)}, 220)


@lru_cache(maxsize=1)
def _chooser_spec() -> str:
    axis = base.themed_axis(tickCount=4, format=".3~f", **base.GRID)
    y = alt.Y("loss:Q", title=texts.TEST_LOSS, scale=alt.Scale(zero=False, padding=14), axis=axis)
    epochs = base.named("epochs").encode(_epoch("epoch", padding=20), y)
    click = alt.selection_point(name=SELECTION, fields=["epoch", "at"], on="click", nearest=True, empty=False)
    saved, here = base.dated(epochs).transform_filter("datum.checkpoint"), epochs.transform_filter("datum.chosen")
    rings = saved.mark_point(size=110, strokeWidth=2, stroke=base.INK, fill=base.PAPER, opacity=1, cursor="pointer")
    tips = base.tips({"epoch:d": texts.EPOCH, "loss:.4f": texts.TEST_LOSS, "accuracy:.2%": texts.TEST_ACCURACY})
    rings = rings.encode(tooltip=tips).add_params(click)
    dot = here.mark_point(size=170, filled=True, color=base.INK, opacity=1)
    word = here.transform_calculate(text=base.filled_in(texts.EPOCH_MARK)).encode(text="text:N")
    word = word.mark_text(dy=-16, fontSize=13, fontWeight="bold", color=base.INK)
    return base.layered([epochs.mark_line(strokeWidth=2, color=base.MUTED), rings, dot, word])
