"""Test images as pictures that a chart can draw."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image


def thumbnail(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> str:
    """A data URI of a PNG with a pixel a pixel: what draws it enlarges it without smoothing.

    Args:
        pixels: (28, 28) uint8, 0 is black.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
