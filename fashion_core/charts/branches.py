"""Chart of where each resumed run branched off from its parent."""

from functools import lru_cache
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from fashion_core.charts import base, comparison
from fashion_core.charts.comparison import BEYOND, LEAST, STRENGTH, answer_color

_HEIGHT: Final = 440  # pixels, axes and titles included
_PLOT: Final = _HEIGHT - comparison.AXIS_HEIGHT
_NAME: Final = 14  # pixels
_CROWD: Final = 30  # curves from which on they are drawn thin


def branch_chart(frame: pd.DataFrame, focus: str | None) -> base.ChartSpec:
    """The test loss of each epoch: parents thin and grey, resumed runs in the colour of the answer, from an open ring.

    The axis is logarithmic where the losses span more than a factor of three, and says so. A loss of more than
    `BEYOND` times what parents and `loss_last` reach runs along the upper edge. A click on a parent gives its id.
    The rows are those of `resume.tables.branches_frame`; the resumed run with the id ``focus`` has its full strength.
    """
    crowd = bool(frame["run"].nunique() > _CROWD)
    curves = _styled(comparison.emphasised(frame, focus), crowd)
    resumed = curves[curves["role"] == "resumed"]
    logarithmic = bool(curves["drawn"].max() > 3 * curves["drawn"].min())
    ends = resumed.drop_duplicates("run", keep="last")
    frames = {
        "curves": curves,
        "points": ends if crowd else curves,
        "loss_last": resumed.drop_duplicates("run").drop_duplicates(["epoch", "drawn"]),
        "ends": ends.assign(mark=ends["answer"]),
        "parents": _names(curves, logarithmic),
    }
    return base.ChartSpec(_spec(logarithmic), frames, _HEIGHT)


def _styled(frame: pd.DataFrame, crowd: bool) -> pd.DataFrame:
    """Add `drawn`, the loss on the axis (NaN where it is not finite), and `weight` (pixels); draw the focus last."""
    finite = frame["loss"].where(np.isfinite(frame["loss"]))
    parent, focused = frame["role"] == "parent", frame["focused"]
    drawn = finite.clip(LEAST, BEYOND * finite[~frame.duplicated("run") | parent].max())
    weight = focused.map({True: 3.5, False: 1.5 if crowd else 2.5}).mask(parent, 1.5)
    strength = (frame["strength"] * (0.6 if crowd else 1.0)).mask(focused | parent, 1.0)
    return frame.assign(drawn=drawn, weight=weight, strength=strength).sort_values("focused", kind="stable")


def _names(curves: pd.DataFrame, logarithmic: bool) -> pd.DataFrame:
    """One row per parent: its first point, and `dy`, the pixels from there to where its name overlaps no other."""
    first = curves[curves["role"] == "parent"].drop_duplicates("run").sort_values("drawn", ascending=False)
    first = first.head(_PLOT // _NAME)
    bounds = curves["drawn"].max(), curves["drawn"].min(), first["drawn"]
    high, low, own = map(np.log, bounds) if logarithmic else bounds
    pixels = (high - own) / max(high - low, LEAST) * _PLOT
    apart, top = list(pixels - _NAME / 2), 0.0
    for index in reversed(range(len(apart) - 1)):  # upwards, where no curve runs
        apart[index] = min(apart[index], apart[index + 1] - _NAME)
    for index, pixel in enumerate(apart):  # as far as there is room
        apart[index] = max(pixel, top)
        top = apart[index] + _NAME
    return first.assign(text=first["name"], dy=np.array(apart, dtype="float64") - pixels)


_SHAPES: Final = {
    "lower": "triangle-down",
    "within noise": "circle",
    "same as the parent": "circle",
    "higher": "triangle-up",
}


@lru_cache(maxsize=2)
def _spec(logarithmic: bool) -> str:
    x_scale = alt.Scale(zero=False, nice=False, padding=10)
    x = alt.X("epoch:Q", title=base.EPOCHS_TITLE, scale=x_scale, axis=base.epoch_axis(**base.BARE))
    y_scale = alt.Scale(type="log") if logarithmic else alt.Scale(zero=False)
    y_scale.nice, y_scale.padding = False, 12
    title = f"test loss (cross-entropy, {'log scale' if logarithmic else 'mean per image'})"
    y = alt.Y("drawn:Q", title=title, scale=y_scale, axis=comparison.loss_axis("y", logarithmic, tickCount=6))
    return base.layered([layer.encode(x, y) for layer in (*_lines(), *_points())])


def _lines() -> list[alt.Chart]:
    style: dict[str, Any] = {"align": "left", "baseline": "middle", "dx": 6, "fontSize": 12, "color": base.MUTED}
    names = base.haloed(base.named("parents").encode(text="text:N"), dy=alt.ExprRef("datum.dy"), **style)
    width = alt.StrokeWidth("weight:Q", scale=None, legend=None)
    curves = base.named("curves").encode(STRENGTH, width, alt.Detail("run:N"))
    parents = curves.transform_filter("datum.role === 'parent'").mark_line(color=base.MUTED, aria=False)
    resumed = curves.transform_filter("datum.role === 'resumed'").mark_line(aria=False)
    return [*names, parents, resumed.encode(answer_color())]


def _points() -> list[alt.Chart]:
    """A ring where a run was resumed, the mark of its answer where it ended, and invisible hover targets."""
    ring: dict[str, Any] = {"strokeWidth": 2, "stroke": base.INK, "fill": base.PAPER, "opacity": 1}
    end = base.named("ends").mark_point(filled=True, size=80, aria=False)
    unseen: dict[str, Any] = {"opacity": 0.001, "cursor": "pointer", "aria": False}
    line = base.dated(base.named("curves")).mark_line(strokeWidth=12, **unseen).encode(alt.Detail("run:N"))
    point = base.dated(base.named("points")).mark_point(filled=True, size=120, **unseen)
    answer, measured = {"role": "curve of", "answer": "answer"}, {"epoch:d": "epoch", "loss:.4f": "test loss"}
    return [
        base.named("loss_last").mark_point(size=50, aria=False, **ring),
        end.encode(base.shapes("mark", _SHAPES), answer_color(), STRENGTH),
        base.hits(line, comparison.clicked(), tooltip=base.tips({"name": "run", **answer})),
        point.encode(tooltip=base.tips({"name": "run", **measured, **answer})),
    ]
