"""Chart of several runs' curves over each other."""

from functools import lru_cache
from typing import Any, Final

import altair as alt
import pandas as pd

from fashion_core.charts import base, texts
from fashion_core.charts.comparison import loss_axis

MOST_CURVES: Final = 12  # that can be told apart: two shapes for each of the theme's six colours
_SHAPES: Final = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
_HEIGHT: Final = 345  # pixels, without the legend: the title of the axis is whole in a room too
_LEGEND_ROW: Final = 18  # pixels


def overlay_chart(points: pd.DataFrame) -> base.ChartSpec:
    """Draw one line a run; a click on a name in the legend lets the others fade.

    ``points`` has a row per ended epoch of at most ``MOST_CURVES`` runs of one dataset, in the order of the legend:
    `label` (str, another one for each run), `epoch` (int64, counted from the first run), `loss` and `accuracy`
    (float64). The axis is logarithmic where the losses span more than a factor of three, and says so.
    """
    labels, losses = tuple(points["label"].unique()), points["loss"]
    spec = _spec(labels, bool(losses.max() > 3 * losses.min() > 0))
    return base.ChartSpec(spec, {"points": points}, _HEIGHT + _LEGEND_ROW * -(-len(labels) // 2))


@lru_cache(maxsize=32)
def _spec(labels: tuple[str, ...], logarithmic: bool) -> str:
    scale = alt.Scale(type="log", nice=False, padding=12) if logarithmic else alt.Scale(zero=False, padding=12)
    title = texts.TEST_LOSS_LOGARITHMIC if logarithmic else texts.TEST_LOSS_PER_IMAGE
    y = alt.Y("loss:Q", title=title, scale=scale, axis=loss_axis("y", logarithmic, tickCount=6))
    x_scale = alt.Scale(zero=False, nice=False, padding=10)
    x = alt.X("epoch:Q", title=texts.EPOCH_FROM_FIRST_RUN, scale=x_scale, axis=base.epoch_axis(**base.BARE))
    named = alt.selection_point(name="named", fields=["label"], bind="legend")
    strength = alt.when(named).then(alt.value(1)).otherwise(alt.value(0.15))
    points = base.named("points").encode(x, y, opacity=strength)
    measured = {"epoch:d": texts.EPOCH, "loss:.4f": texts.TEST_LOSS, "accuracy:.2%": texts.TEST_ACCURACY}
    tips = base.tips({"label": texts.RUN, **measured})
    number = list(range(len(labels)))
    shapes = alt.Scale(domain=labels, range=[_SHAPES[(at + at // 6) % 6] for at in number])
    marks = points.mark_point(filled=True, size=60).encode(shape=alt.Shape("label:N", scale=shapes, legend=_legend()))
    color = alt.Color("label:N", scale=alt.Scale(domain=labels), legend=_legend())
    lines = points.mark_line(strokeWidth=2).encode(color=color)
    return base.layered([lines, marks.encode(color=color, tooltip=tips).add_params(named)])


def _legend() -> Any:
    columns = alt.ExprRef("max(1, floor(width / 260))")
    return alt.Legend(title=None, orient="bottom", columns=columns, labelLimit=230, labelColor=base.INK)
