"""Draw a chart as a picture without a browser, as a page draws it in the light theme."""

import base64
import json
from typing import Any, Final

import vl_convert

from fashion_core.charts.base import ChartSpec

WIDE, CARD, NARROW = 1040, 760, 340  # pixels: a line on a screen or on paper, in a model card, and on a phone
_FONT: Final = "Arial, Helvetica, Liberation Sans, sans-serif"  # is on every machine: a file can't ask for another
_TEXT, _GRID, _PAPER = "#4B5563", "#E5E7EB", "#FFFFFF"
CATEGORY: Final = ["#0072B2", "#B84808", "#1A9C80", "#7A1466", "#3D3510", "#4A26E0"]
"""The theme's ``chartCategoricalColors``, which a page would give to the chart."""

# What Streamlit adds to a chart, in pixels and for a light theme.
_CONFIG: Final[dict[str, Any]] = {
    "font": _FONT,
    "background": _PAPER,
    "fieldTitle": "verbal",
    "autosize": {"type": "fit", "contains": "padding"},
    "axis": {
        "labelFontSize": 12, "labelFontWeight": 400, "titleFontWeight": 400, "titleFontSize": 14, "labelColor": _TEXT,
        "titleColor": _TEXT, "ticks": False, "gridColor": _GRID, "domain": False, "domainWidth": 1,
        "domainColor": _GRID, "labelFlush": True, "labelFlushOffset": 1, "labelBound": False, "labelLimit": 100,
        "titlePadding": 16, "labelPadding": 16, "labelSeparation": 4, "labelOverlap": True,
    },
    "legend": {
        "labelFontSize": 14, "labelFontWeight": 400, "labelColor": _TEXT, "titleFontSize": 14, "titleFontWeight": 400,
        "titleColor": _TEXT, "titlePadding": 8, "labelPadding": 16, "columnPadding": 8, "rowPadding": 4, "padding": 8,
        "symbolStrokeWidth": 4,
    },
    "range": {"category": CATEGORY},
    "view": {"strokeWidth": 0, "stroke": "transparent", "continuousHeight": 350, "continuousWidth": 400},
    "mark": {"color": CATEGORY[0]},
    "axisDiscrete": {"grid": False},
    "axisXPoint": {"grid": False},
    "axisXBand": {"grid": False},
}  # fmt: skip
_WHOLE: Final = "datum.value % 1 ? '' : datum.label"
_AXIS_WIDTH, _NAME_WIDTH = 80, 260  # pixels: left of a chart, and of a name in its legend
_SCALE: Final = 2  # pixels of a PNG for one of the chart


def svg(chart: ChartSpec, width: int) -> str:
    return vl_convert.vegalite_to_svg(_spec(chart, width), config=_CONFIG)


def png(chart: ChartSpec, width: int) -> bytes:
    return vl_convert.vegalite_to_png(_spec(chart, width), config=_CONFIG, scale=_SCALE)


def svg_address(chart: ChartSpec, width: int) -> str:
    """The picture itself as the address of an image, in which no name can become more than text."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(chart, width).encode()).decode()}"


def _spec(chart: ChartSpec, width: int) -> str:
    spec = chart.to_plain_dict()
    for layer in spec["layer"]:
        for channel in layer.get("encoding", {}).values():
            axis = channel.get("axis") if isinstance(channel, dict) else None
            if axis and "tickMinStep" in axis:  # which vl-convert's Vega oversteps on an axis of two epochs
                axis.setdefault("labelExpr", _WHOLE)
            legend = channel.get("legend") if isinstance(channel, dict) else None
            if legend and "columns" in legend:  # Vega makes room for those of a chart without its axis
                legend["columns"] = max(1, (width - _AXIS_WIDTH) // _NAME_WIDTH)
    return json.dumps({**spec, "width": width})
