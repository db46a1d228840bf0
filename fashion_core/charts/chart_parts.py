"""What every chart is drawn with: ink that follows the reader's theme, axes, and text that stays readable.

No colour is chosen in Python, which cannot see the reader's theme. A series is named, and `chartCategoricalColors` in
`.streamlit/config.toml` paints it; ink follows Vega's `background` signal, for no single grey reaches 4.5:1 on both
white and #1A1A18.
"""

from typing import Any, Final

import altair as alt

DARK: Final = "luminance(background || 'white') < 0.4"
INK: Final = alt.ExprRef(f"{DARK} ? '#F3F4F6' : '#1F2937'")
MUTED: Final = alt.ExprRef(f"{DARK} ? '#9CA3AF' : '#6B7280'")
FAINT: Final = alt.ExprRef(f"{DARK} ? '#4B4B46' : '#D1D5DB'")
PAPER: Final = alt.ExprRef("background || 'white'")

FITTED: Final = alt.AutoSizeParams(type="fit-x", contains="padding")
"""As wide as the page, and as high as its rows and what stands beside them."""


def themed_axis(**settings: Any) -> alt.Axis:
    """An axis whose words are read in light and in dark."""
    return alt.Axis(labelColor=MUTED, titleColor=MUTED, **settings)


def haloed(base: alt.Chart, **style: Any) -> list[alt.Chart]:
    """Text that stays readable where lines cross it."""
    return [base.mark_text(stroke=PAPER, strokeWidth=4, strokeJoin="round", **style), base.mark_text(**style)]


def pixels(column: str) -> alt.Y:
    """A height as it is, not on a scale."""
    return alt.Y(f"{column}:Q", scale=None, axis=None)


def dated(base: alt.Chart) -> alt.Chart:
    """Rows with the time at which they came, `at`, to be one of the fields of a selection.

    A browser tells the page of a selection when it changes, and a change of focus sends new rows: so what was clicked
    once can be clicked again after another one was chosen, here or elsewhere on the page.
    """
    return base.transform_calculate(at="now()")
