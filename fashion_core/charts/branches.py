"""Chart of where each resumed run branched off from its parent."""

from functools import lru_cache
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from fashion_core.charts import base, comparison, texts
from fashion_core.charts.comparison import BEYOND, LEAST, STRENGTH, answer_color, answer_mark
from fashion_core.errors import cut_middle

LEAST_HEIGHT: Final = 440  # pixels, axes and titles included
_NAME: Final = 14  # pixels
_LONGEST_NAME: Final = 28  # characters
_PARENTS: Final = 5  # of more, only that of the run in focus is named: where they begin is no room for all names
_CROWD: Final = 30  # curves from which on they are drawn thin


def branch_chart(frame: pd.DataFrame, focus: str | None, height: int = LEAST_HEIGHT) -> base.ChartSpec:
    """The test loss of each epoch: parents thin and grey, resumed runs in the colour of the answer, from an open ring.

    The axis is logarithmic where the losses span more than a factor of three, and says so. A loss of more than
    `BEYOND` times what parents and `loss_last` reach runs along the upper edge. A click on a parent gives its id.
    The rows are those of `resume.tables.branches_frame`; the resumed run with the id ``focus`` has its full strength
    and its name, and so has its parent. Of others a tooltip tells the name, where they are many.
    """
    crowd = bool(frame["run"].nunique() > _CROWD)
    curves = _styled(comparison.emphasised(frame, focus), crowd)
    size = max(LEAST_HEIGHT, min(height, comparison.TALLEST))
    resumed = curves[curves["role"] == "resumed"]
    logarithmic = bool(curves["drawn"].max() > 3 * curves["drawn"].min())
    ends = resumed.drop_duplicates("run", keep="last")
    frames = {
        "curves": curves,
        "points": ends if crowd else curves,
        "loss_last": resumed.drop_duplicates("run").drop_duplicates(["epoch", "drawn"], keep="last"),
        "ends": ends.assign(mark=answer_mark(ends)),
        "names": _names(curves, logarithmic, size - comparison.AXIS_HEIGHT),
    }
    return base.ChartSpec(_spec(logarithmic), frames, size)


def _styled(frame: pd.DataFrame, crowd: bool) -> pd.DataFrame:
    """Add `drawn`, the loss on the axis (NaN where it is not finite), `weight` (pixels) and `named` (its parent too).

    The focus is drawn last.
    """
    finite = frame["loss"].where(np.isfinite(frame["loss"]))
    parent, focused = frame["role"] == "parent", frame["focused"]
    named = focused | frame["run"].isin(frame.loc[focused, "parent"])
    drawn = finite.clip(LEAST, BEYOND * finite[~frame.duplicated("run") | parent].max())
    weight = focused.map({True: 3.5, False: 1.5 if crowd else 2.5}).mask(parent, 1.5)
    strength = (frame["strength"] * (0.6 if crowd else 1.0)).mask(named | (parent & ~crowd), 1.0)
    answer = frame["answer"].fillna("–")  # a parent has none, which its tooltip would call null
    styled = frame.assign(drawn=drawn, weight=weight, strength=strength, named=named, answer=answer)
    return styled.sort_values("focused", kind="stable")


def _names(curves: pd.DataFrame, logarithmic: bool, plot: int) -> pd.DataFrame:
    """`text` and where it stands: of a parent at its first point, of the run in focus at its last.

    ``plot`` is the height of the plot in pixels, `dy` the pixels from the point to where a name overlaps no other.
    """
    parent, focused = curves["role"] == "parent", curves["focused"]
    few = curves.loc[parent, "run"].nunique() <= _PARENTS
    first = curves[~focused & (curves["named"] | (parent & few))].drop_duplicates("run")
    first = first.sort_values("drawn", ascending=False).assign(align="left")
    # Without a focus a row too, but no name: a layer without rows is left out, and a click would draw the chart anew.
    last = curves.tail(1).assign(align="right", dy=_NAME, name=curves["name"].where(focused, ""))
    # on the side from which no curve of its own comes
    last["dy"] = last["dy"].mask(answer_mark(last) == "higher", -_NAME)
    bounds = curves["drawn"].max(), curves["drawn"].min(), first["drawn"]
    high, low, own = map(np.log, bounds) if logarithmic else bounds
    pixels = (high - own) / max(high - low, LEAST) * plot
    names = pd.concat([first.assign(dy=_apart(list(pixels - _NAME / 2)) - pixels), last])
    return names.assign(text=[cut_middle(name, _LONGEST_NAME) for name in names["name"]])


def _apart(middles: list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Where names have room that belong at these pixels, from the top down."""
    for index in reversed(range(len(middles) - 1)):  # upwards, where no curve runs
        middles[index] = min(middles[index], middles[index + 1] - _NAME)
    top = 0.0
    for index, pixel in enumerate(middles):  # as far as there is room
        middles[index] = max(pixel, top)
        top = middles[index] + _NAME
    return np.array(middles, dtype="float64")


_SHAPES: Final = {
    "lower": "triangle-down",
    "within noise": "circle",
    "same as the parent": "circle",
    "higher": "triangle-up",
}


@lru_cache(maxsize=2)
def _spec(logarithmic: bool) -> str:
    x_scale = alt.Scale(zero=False, nice=False, padding=10)
    x = alt.X("epoch:Q", title=texts.EPOCH_FROM_FIRST_RUN, scale=x_scale, axis=base.epoch_axis(**base.BARE))
    y_scale = alt.Scale(type="log") if logarithmic else alt.Scale(zero=False)
    y_scale.nice, y_scale.padding = False, 12
    title = texts.TEST_LOSS_LOGARITHMIC if logarithmic else texts.TEST_LOSS_PER_IMAGE
    y = alt.Y("drawn:Q", title=title, scale=y_scale, axis=comparison.loss_axis("y", logarithmic, tickCount=6))
    return base.layered([layer.encode(x, y) for layer in (*_lines(), *_points())])


def _lines() -> list[alt.Chart]:
    style: dict[str, Any] = {"baseline": "middle", "dx": 6, "fontSize": 12, "align": alt.ExprRef("datum.align")}
    color = alt.ExprRef(f"datum.focused ? ({base.INK.expr}) : ({base.MUTED.expr})")
    names = base.haloed(base.named("names").encode(text="text:N"), dy=alt.ExprRef("datum.dy"), color=color, **style)
    width = alt.StrokeWidth("weight:Q", scale=None, legend=None)
    curves = base.named("curves").mark_line(aria=False).encode(STRENGTH, width, alt.Detail("run:N"), answer_color())
    return [curves, *names]


def _points() -> list[alt.Chart]:
    """A ring where a run was resumed, the mark of its answer where it ended, and invisible hover targets."""
    ring: dict[str, Any] = {"strokeWidth": 2, "stroke": base.INK, "fill": base.PAPER}
    end = base.named("ends").mark_point(filled=True, size=80, aria=False)
    unseen: dict[str, Any] = {"opacity": 0.001, "cursor": "pointer", "aria": False}
    line = base.dated(base.named("curves")).mark_line(strokeWidth=12, **unseen).encode(alt.Detail("run:N"))
    point = base.dated(base.named("points")).mark_point(filled=True, size=120, **unseen)
    answer = {"role": texts.CURVE_OF, "answer": texts.ANSWER}
    measured = {"epoch:d": texts.EPOCH, "loss:.4f": texts.TEST_LOSS}
    return [
        base.named("loss_last").mark_point(size=50, aria=False, **ring).encode(STRENGTH),
        end.encode(base.shapes("mark", _SHAPES), answer_color(), STRENGTH),
        base.hits(line, comparison.clicked(), tooltip=base.tips({"name": texts.RUN, **answer})),
        point.encode(tooltip=base.tips({"name": texts.RUN, **measured, **answer})),
    ]
