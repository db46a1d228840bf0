"""A grid of images with their predicted classes, from which one is chosen."""

import base64
import io
from functools import lru_cache
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd
from PIL import Image

from fashion_core.charts import base

# the selection in `gallery_chart`: a click gives `[{"index": 4711, …}]`, one beside the images `[]`
IMAGE: Final = "image"
_PICTURE: Final = 84  # pixels: three for each of the image's
_LINE: Final = 15  # pixels of text
_GAP: Final = 12  # pixels round a cell
# Vega fits nothing whose height is counted in steps, and would warn of it; here no axis is to be fitted in.
_AS_IT_IS: Final = alt.AutoSizeParams(type="pad", contains="padding")
_COLUMNS: Final = "clamp(floor(width / 88), 2, 10)"
_CELL: Final = {  # of which `x` is the middle
    "row": f"floor(datum.number / {_COLUMNS})",
    "x": f"(datum.number % {_COLUMNS} + 0.5) * width / {_COLUMNS}",
    "left": f"datum.number % {_COLUMNS} * width / {_COLUMNS} + 1",
    "right": f"(datum.number % {_COLUMNS} + 1) * width / {_COLUMNS} - 1",
}


def gallery_chart(rows: pd.DataFrame, chosen: int | None = None) -> base.ChartSpec:
    """Images in as many columns as fit, each above its predicted class and, if that is wrong, its true class.

    The rows are those of `evaluation_tables.gallery_frame`; the image with the ``chosen`` index is framed.
    """
    two = bool((rows["second"] != "").any())
    return base.ChartSpec(_spec(two), {"images": rows.assign(chosen=rows["index"] == chosen)}, None)


@lru_cache(maxsize=2)
def _spec(two: bool) -> str:
    step = _PICTURE + (3 if two else 2) * _LINE + _GAP
    x, y = alt.X("x:Q", scale=None, axis=None), alt.Y("row:O", axis=None, scale=alt.Scale(padding=0))
    images = base.named("images").transform_calculate(**_CELL).encode(x, y)
    layers = [*_pictures(images, -step / 2 + 6), *_frames(images)]
    return base.layered(layers, height={"step": step}, autosize=_AS_IT_IS)


def _pictures(images: alt.Chart, top: float) -> list[alt.Chart]:
    """A picture; under it a line a model in the colour of its answer, and the truth where none of them has it."""
    size: dict[str, Any] = {"width": _PICTURE, "height": _PICTURE}
    picture = images.mark_image(yOffset=top + _PICTURE / 2, smooth=False, cursor="pointer", aria=False, **size)
    line = top + _PICTURE + _LINE / 2
    style: dict[str, Any] = {"fontSize": alt.ExprRef("width < 400 ? 11 : 12"), "limit": 88, "aria": False}
    answers = [
        images.mark_text(dy=dy, fontWeight=600, **style).encode(
            base.series_color(f"{column}_right", [True, False]), text=f"{column}:N"
        )
        for column, dy in (("first", line), ("second", line + _LINE))
    ]
    after = alt.ExprRef(f"({line} + (datum.second === '' ? 1 : 2) * {_LINE})")
    truth = images.mark_text(dy=after, color=base.INK, **style)
    return [picture.encode(url="image:N"), *answers, truth.encode(text="truth:N")]


def _frames(images: alt.Chart) -> list[alt.Chart]:
    """A frame round the chosen image; over each cell what the pointer meets: a shade, and its image at a click."""
    cell = images.encode(alt.X("left:Q", scale=None, axis=None), alt.X2("right"))
    frame = cell.mark_rect(fill=None, stroke=base.INK, strokeWidth=2.5, cornerRadius=4, aria=False)
    hover, shade = base.hover_shade(0.15, "index")
    click = alt.selection_point(name=IMAGE, fields=["index", "at"], toggle=False)
    rows, tips = base.dated(cell), base.tips({"description": " "})
    hits = rows.mark_rect(color=base.MUTED, cursor="pointer", cornerRadius=4).encode(tooltip=tips, opacity=shade)
    return [frame.transform_filter("datum.chosen"), base.hits(hits, click, hover, description="description:N")]


def thumbnail(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> str:
    """A data URI of a PNG of (channels, height, width) uint8, 0 is black; the chart enlarges it without smoothing."""
    file = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
