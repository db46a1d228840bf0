"""The loss curve of a run as the chooser of one of its checkpoints."""

from functools import lru_cache
from typing import Final

import altair as alt
import pandas as pd

from fashion_core.charts.base import ChartSpec, named, written
from fashion_core.charts.chart_parts import FAINT, INK, MUTED, PAPER, dated, themed_axis

SELECTION: Final = "checkpoint"
"""The name of the selection; its points have the field ``epoch`` and that of `dated`."""

_HEIGHT: Final = 220  # pixels, axes and titles included
_TOOLTIP: Final = [
    alt.Tooltip("epoch:Q", format="d"),
    alt.Tooltip("loss:Q", title="test loss", format=".4f"),
    alt.Tooltip("accuracy:Q", title="test accuracy", format=".2%"),
]


def chooser_chart(epochs: pd.DataFrame, chosen: int) -> ChartSpec:
    """The test loss after each epoch: a ring where a checkpoint is saved, a filled one with its word at the chosen.

    Args:
        epochs: `epoch` (int64), `loss` and `accuracy` (float64, may be NaN), `checkpoint` (bool, its file exists).
        chosen: the epoch that is chosen.
    """
    return ChartSpec(_spec(), {"epochs": epochs.assign(chosen=epochs["epoch"] == chosen)}, _HEIGHT)


@lru_cache(maxsize=1)
def _spec() -> str:
    base = named("epochs").encode(*_axes())
    click = alt.selection_point(name=SELECTION, fields=["epoch", "at"], on="click", nearest=True, empty=False)
    saved, here = dated(base).transform_filter("datum.checkpoint"), base.transform_filter("datum.chosen")
    rings = saved.mark_point(size=110, strokeWidth=2, stroke=INK, fill=PAPER, opacity=1, cursor="pointer")
    dot = here.mark_point(size=170, filled=True, color=INK, opacity=1)
    word = here.transform_calculate(text="'epoch ' + datum.epoch").encode(text="text:N")
    word = word.mark_text(dy=-16, fontSize=13, fontWeight="bold", color=INK)
    line = base.mark_line(strokeWidth=2, color=MUTED)
    return written([line, rings.encode(tooltip=_TOOLTIP).add_params(click), dot, word])


def _axes() -> tuple[alt.X, alt.Y]:
    ticks = alt.ExprRef("clamp(floor(width / 65), 2, 12)")
    along = themed_axis(tickCount=ticks, tickMinStep=1, grid=False, format="d")
    up = themed_axis(tickCount=4, format=".3~f", gridColor=FAINT, gridOpacity=0.5)
    return (
        alt.X("epoch:Q", title="epoch", scale=alt.Scale(zero=False, nice=False, padding=20), axis=along),
        alt.Y("loss:Q", title="test loss", scale=alt.Scale(zero=False, padding=14), axis=up),
    )
