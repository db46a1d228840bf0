"""Image files of given pixels."""

import io
import struct
import zlib
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


def cut_out(garment: Pixels, side: int = 280) -> Image.Image:
    """A product photo of a garment from the dataset: dark, and with nothing around it but hidden black."""
    hard = Image.Resampling.NEAREST
    dark = Image.fromarray(255 - garment).resize((side, side), Image.Resampling.BICUBIC)
    seen = Image.fromarray(np.where(garment > 0, 255, 0).astype(np.uint8)).resize((side, side), hard)
    picture = Image.new("LA", (side + 80, side + 120), 0)
    picture.paste(Image.merge("LA", (dark, seen)), (40, 60), seen)
    return picture


def on_white(picture: Image.Image) -> Image.Image:
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, packed: bytes, bits: int = 8, colour: int = 0, *more: bytes) -> bytes:
    """A PNG of any claims, with more chunks before its pixels (PNG specification, section 11.2)."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
