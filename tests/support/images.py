"""Image files of given pixels."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def stored(pixels: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def enlarged(pixels: Pixels, times: int, way: Image.Resampling = Image.Resampling.BICUBIC) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize([side * times for side in pixels.shape[::-1]], way))


def with_alpha(pixels: Pixels, alpha: Pixels, hidden: int = 0) -> Pixels:
    """(H, W, 4); where nothing of it is seen, the colour is ``hidden``."""
    seen = np.where(alpha > 0, pixels, hidden).astype(np.uint8)
    return np.dstack([seen, seen, seen, alpha])


def transparent(pixels: Pixels, hidden: int = 0) -> Pixels:
    """(H, W, 4), where the garment alone is seen."""
    return with_alpha(pixels, np.where(pixels > 0, 255, 0).astype(np.uint8), hidden)
