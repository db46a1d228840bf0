"""Images with what a model takes them for, to choose one."""

import base64
import io
from functools import lru_cache
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd
from PIL import Image

from fashion_core.charts.base import (
    FITTED,
    INK,
    MUTED,
    ChartSpec,
    dated,
    hover_shade,
    layered,
    named,
    series_color,
)

IMAGE: Final = "image"
"""The selection in `gallery_chart`: a click gives `[{"index": 4711, …}]`, one beside the images `[]`."""

_PICTURE: Final = 84  # pixels: three for each of the image's
_LINE: Final = 15  # pixels of text
_GAP: Final = 12  # pixels round a cell
_COLUMNS: Final = "clamp(floor(width / 88), 2, 10)"


def gallery_chart(rows: pd.DataFrame, chosen: int | None = None) -> ChartSpec:
    """Images in as many columns as there is room for, under each what it is taken for, and what it is if that is wrong.

    Args:
        rows: as `evaluation_tables.gallery_frame` gives them.
        chosen: the `index` of the image that is framed, or None.
    """
    two = bool((rows["second"] != "").any())
    return ChartSpec(_spec(two), {"images": rows.assign(chosen=rows["index"] == chosen)}, None)


@lru_cache(maxsize=2)
def _spec(two: bool) -> str:
    lines = 3 if two else 2
    step = _PICTURE + lines * _LINE + _GAP
    return layered([_picture(step), *_words(step), _frame(), _hits()], height={"step": step}, autosize=FITTED)


def _images() -> alt.Chart:
    """The images in their cells, of which `x` is the middle."""
    width = f"width / {_COLUMNS}"
    placed = named("images").transform_calculate(
        row=f"floor(datum.number / {_COLUMNS})",
        x=f"(datum.number % {_COLUMNS} + 0.5) * {width}",
        left=f"datum.number % {_COLUMNS} * {width} + 1",
        right=f"(datum.number % {_COLUMNS} + 1) * {width} - 1",
    )
    images: alt.Chart = placed.encode(alt.Y("row:O", axis=None, scale=alt.Scale(padding=0)), _across("x"))
    return images


def _across(column: str) -> alt.X:
    """Pixels, as they are."""
    return alt.X(f"{column}:Q", scale=None, axis=None)


def _picture(step: int) -> alt.Chart:
    middle = -step / 2 + _PICTURE / 2 + 6
    picture: alt.Chart = _images().mark_image(
        width=_PICTURE, height=_PICTURE, yOffset=middle, smooth=False, cursor="pointer", aria=False
    )
    return picture.encode(url="image:N")


def _words(step: int) -> list[alt.Chart]:
    """A line a model in the colour of its answer, and the truth where none of them has it."""
    top = -step / 2 + _PICTURE + 6 + _LINE / 2
    after = f"({top} + (datum.second === '' ? 1 : 2) * {_LINE})"
    lines = [_answer("first", top), _answer("second", top + _LINE)]
    truth = _images().mark_text(dy=alt.ExprRef(after), color=INK, **_TEXT)
    return [*lines, truth.encode(text="truth:N")]


_TEXT: Final[dict[str, Any]] = {"fontSize": alt.ExprRef("width < 400 ? 11 : 12"), "limit": 88, "aria": False}


def _answer(column: str, dy: float) -> alt.Chart:
    text: alt.Chart = _images().mark_text(dy=dy, fontWeight=600, **_TEXT)
    return text.encode(series_color(f"{column}_right", [True, False]), text=f"{column}:N")


def _frame() -> alt.Chart:
    frame: alt.Chart = _images().mark_rect(fill=None, stroke=INK, strokeWidth=2.5, cornerRadius=4, aria=False)
    return frame.transform_filter("datum.chosen").encode(_across("left"), alt.X2("right"))


def _hits() -> alt.Chart:
    """Over each cell what the pointer meets: a shade, and its image at a click."""
    hover, shade = hover_shade(0.15, "index")
    hits: alt.Chart = dated(_images()).mark_rect(color=MUTED, cursor="pointer", cornerRadius=4).properties(name="hits")
    click = alt.selection_point(name=IMAGE, fields=["index", "at"], toggle=False)
    hits = hits.encode(_across("left"), alt.X2("right"), opacity=shade, tooltip=_TOOLTIP, description="description:N")
    found: alt.Chart = hits.add_params(click, hover)
    return found


_TOOLTIP: Final = [alt.Tooltip("description:N", title=" ")]


def thumbnail(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> str:
    """A data URI of a PNG with a pixel a pixel: what draws it enlarges it without smoothing.

    Args:
        pixels: (28, 28) uint8, 0 is black.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
