"""A picture as the pixels of a dataset: its colours, its size, and how it is made to fit."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fashion_core.config import Fit, Shape

Pixels = NDArray[np.uint8]
_WAY = Image.Resampling.BILINEAR  # with antialiasing, as torchvision's Resize
_COLOURFUL = 16  # levels by which channels differ in a picture that is not grey; JPEG leaves a few in one that is


def on_white(image: Image.Image) -> Image.Image:
    """The picture without transparency, which shows white as most viewers do."""
    if not image.has_transparency_data:
        return image
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def is_coloured(image: Image.Image) -> bool:
    plain = on_white(image)
    if plain.mode != "RGB":
        return False
    pixels = np.asarray(plain)
    return bool((pixels.max(2) - pixels.min(2)).max() > _COLOURFUL)


def as_pixels(image: Image.Image, shape: Shape, fit: Fit) -> Pixels:
    """The picture as (channels, height, width) uint8 of this shape."""
    pixels = np.frombuffer(pixel_bytes(image, shape, fit), np.uint8)
    return pixels.reshape(shape.channels, shape.height, shape.width)


def pixel_bytes(image: Image.Image, shape: Shape, fit: Fit) -> bytes:
    """The same as the bytes of a dataset."""
    plain = on_white(image)
    mode = "L" if shape.channels == 1 else "RGB"
    if plain.mode != mode:
        plain = plain.convert(mode)
    if plain.size != (shape.width, shape.height):
        plain = _fitted(plain, (shape.width, shape.height), fit)
    return plain.tobytes() if shape.channels == 1 else np.asarray(plain).transpose(2, 0, 1).tobytes()


def _fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    if fit == "stretch":
        return image.resize(size, _WAY)
    if fit == "crop":
        return ImageOps.fit(image, size, _WAY)
    inner = ImageOps.contain(image, size, _WAY)
    if inner.size == size:
        return inner
    padded = Image.new(image.mode, size, _border(image))
    padded.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return padded


def _border(image: Image.Image) -> int | tuple[int, ...]:
    """The usual level or colour of the border: bars of it are the least to be seen."""
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    found = np.median(border, axis=0).astype(int)
    return int(found) if found.ndim == 0 else tuple(map(int, found))
