"""The loss curve of a run as the chooser of one of its checkpoints."""

from typing import Final

import altair as alt
import pandas as pd

from fashion_core.chart_parts import FAINT, INK, MUTED, PAPER, themed_axis

SELECTION: Final = "checkpoint"
"""The name of the selection; its points have the field ``epoch``."""

_HEIGHT: Final = 220  # pixels, axes and titles included
_TOOLTIP: Final = [
    alt.Tooltip("epoch:Q", format="d"),
    alt.Tooltip("loss:Q", title="test loss", format=".4f"),
    alt.Tooltip("accuracy:Q", title="test accuracy", format=".2%"),
]


def chooser_chart(epochs: pd.DataFrame, chosen: int) -> alt.LayerChart:
    """The test loss after each epoch: a ring where a checkpoint is saved, a filled one with its word at the chosen.

    Args:
        epochs: `epoch` (int64), `loss` and `accuracy` (float64, may be NaN), `checkpoint` (bool, its file exists).
        chosen: the epoch that is chosen.
    """
    ticks = alt.ExprRef("clamp(floor(width / 65), 2, 12)")
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(zero=False, nice=False, padding=20),
        axis=themed_axis(tickCount=ticks, tickMinStep=1, grid=False, format="d"),
    )
    scale, axis = (
        alt.Scale(zero=False, padding=14),
        themed_axis(tickCount=4, format=".3~f", gridColor=FAINT, gridOpacity=0.5),
    )
    y = alt.Y("loss:Q", title="test loss", scale=scale, axis=axis)
    base = alt.Chart(epochs).encode(x, y)
    click = alt.selection_point(name=SELECTION, fields=["epoch"], on="click", nearest=True, empty=False)
    saved = base.transform_filter("datum.checkpoint")
    rings = saved.mark_point(size=110, strokeWidth=2, stroke=INK, fill=PAPER, opacity=1, cursor="pointer")
    here = base.transform_filter(f"datum.epoch === {chosen}")
    dot = here.mark_point(size=170, filled=True, color=INK, opacity=1)
    word = here.mark_text(dy=-16, fontSize=13, fontWeight="bold", color=INK).encode(text=alt.value(f"epoch {chosen}"))
    line = base.mark_line(strokeWidth=2, color=MUTED)
    layers = [line, rings.encode(tooltip=_TOOLTIP).add_params(click), dot, word]
    return alt.LayerChart(layer=layers, height=_HEIGHT)
