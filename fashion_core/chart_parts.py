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


def themed_axis(**settings: Any) -> alt.Axis:
    """An axis whose words are read in light and in dark."""
    return alt.Axis(labelColor=MUTED, titleColor=MUTED, **settings)


def haloed(base: alt.Chart, **style: Any) -> list[alt.Chart]:
    """Text that stays readable where lines cross it."""
    return [base.mark_text(stroke=PAPER, strokeWidth=4, strokeJoin="round", **style), base.mark_text(**style)]
