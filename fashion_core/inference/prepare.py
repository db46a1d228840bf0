"""Make any image look like the training set, step by step: one garment, bright on black, 28 × 28.

The recipe is Fashion-MNIST's own (Xiao, Rasul, Vollgraf, arXiv:1708.07747, section 2): trim the border by its colour,
resize to 28, centre, negate, make grey. An image already in that form passes unchanged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from fashion_core.config import SIDE
from fashion_core.data import pictures
from fashion_core.data.description import BUILT_IN, Description
from fashion_core.data.image_files import open_picture
from fashion_core.data.pictures import Pixels
from fashion_core.errors import ImageError
from fashion_core.inference import segmentation
from fashion_core.inference.segmentation import Grey

Picture = TypeVar("Picture", Image.Image, Grey)
SHOWN_SIDE = 256
THINNEST = 32  # how many times as long as wide a step is shown at most
VISIBLE = 8  # levels between darkest and brightest that a picture needs to show anything
# What a step says of the colour that transparent pixels became, the last where the other one would hide the garment.
_BACKGROUNDS = {
    "white": (
        "on white",
        "transparent pixels became white",
        "transparent pixels became white, because the garment would be invisible on black",
    ),
    "black": (
        "on black",
        "transparent pixels became black",
        "transparent pixels became black, because the garment would be invisible on white",
    ),
}
_FITS = {
    "pad": "the longer side fits, and the rest has the colour of the border",
    "crop": "the shorter side fits, and the rest is cut off",
    "stretch": "both sides were made to fit",
}
_GARMENTS = BUILT_IN["fashion-mnist"]
_NOTHING_SEEN = "No garment was found, because nothing stands out from the border: choose another image."


@dataclass(frozen=True)
class Step:
    """One step, to be shown: ``pixels`` is uint8 (H, W) or (H, W, 3), at most 256 on a side."""

    name: str
    note: str
    pixels: np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Prepared:
    """What a model takes, ``pixels`` (channels, height, width) uint8, and how it was made."""

    pixels: Pixels
    steps: tuple[Step, ...]


def prepare(source: bytes | Path, dataset: Description = _GARMENTS) -> Prepared:
    """An image file, or the bytes of one, as a model takes it that was trained on a dataset.

    Garments are cut out; other pictures are made to fit, as those of their dataset were when it was added. Raises
    ``ImageError`` or ``DiskError``.
    """
    image, note = open_picture(source)
    steps: list[Step] = []
    _show(steps, "original", note, image)
    return _garment(image, steps) if dataset.name in BUILT_IN else _fitted(image, steps, dataset)


def _fitted(image: Image.Image, steps: list[Step], dataset: Description) -> Prepared:
    pixels = pictures.as_pixels(image, dataset.shape, dataset.fit)
    _show(steps, f"{dataset.height} × {dataset.width}", _FITS[dataset.fit], _as_image(pixels))
    return Prepared(pixels, tuple(steps))


def _as_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _garment(image: Image.Image, steps: list[Step]) -> Prepared:
    grey = _as_grey(image, steps)
    if not _shows_something(grey):
        raise ImageError(_NOTHING_SEEN)
    grey = _with_dark_border(_as_it_was(grey, steps), steps)
    if grey.shape != (SIDE, SIDE):
        black = segmentation.without_light(grey)
        if not np.array_equal(black, grey):
            note = f"its brightness ({segmentation.border_level(grey):.0f} of 255) and its noise were removed"
            _show(steps, "black border", note, black)
        grey = _cut_out(black, steps)
    return Prepared(grey[None], tuple(steps))


def _shows_something(grey: Grey) -> bool:
    return int(grey.max()) - int(grey.min()) >= VISIBLE


def _show(steps: list[Step], name: str, note: str, picture: Picture) -> Picture:
    """Add a step, and return its picture; transparency is shown on white."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    shown = _over("white", image) if image.mode == "RGBA" else image.copy()
    shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BOX)
    if max(shown.size) > THINNEST * min(shown.size):  # what draws it would round the thin side to nothing
        thin = max(shown.size) // THINNEST
        shown = shown.resize((max(shown.width, thin), max(shown.height, thin)))
    steps.append(Step(name, note, np.array(shown)))
    return picture


def _over(colour: str, image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image).convert("RGB")


def _as_grey(image: Image.Image, steps: list[Step]) -> Grey:
    """Luma (ITU-R BT.601), of what is seen in front of a background if the picture has transparent pixels."""
    if image.mode == "L":
        return np.array(image)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        image = _on_background(image, steps)
    return _show(steps, "greyscale", "each colour became its brightness", np.array(image.convert("L")))


def _on_background(image: Image.Image, steps: list[Step]) -> Image.Image:
    """On white, as in a product photo; 28 × 28 pixels on black, as in the dataset; else on the one that shows more."""
    usual, other = ("black", "white") if image.size == (SIDE, SIDE) else ("white", "black")
    picture = _over(usual, image)
    if _shows_something(np.asarray(picture.convert("L"))):
        name, note, _ = _BACKGROUNDS[usual]
        return _show(steps, name, note, picture)
    name, _, note = _BACKGROUNDS[other]
    return _show(steps, name, note, _over(other, image))


def _as_it_was(grey: Grey, steps: list[Step]) -> Grey:
    """Undo an enlargement, or cut off a frame."""
    small = segmentation.take_back_enlargement(grey)
    if small is not None:
        note = f"the picture has no more detail: it had been enlarged {len(grey) / SIDE:.3g} times"
        return _show(steps, "28 × 28", note, small)
    frame = None if grey.shape == (SIDE, SIDE) else segmentation.find_picture_in_frame(grey)
    if frame is None:
        return grey
    note = f"a frame ({segmentation.border_level(grey):.0f} of 255) around a rectangle: it was cut off"
    return _show(steps, "out of its frame", note, grey[frame])


def _with_dark_border(grey: Grey, steps: list[Step]) -> Grey:
    level = segmentation.border_level(grey)
    if not segmentation.is_darker_than_border(grey):
        note = f"the garment is brighter than the border ({level:.0f} of 255), so light and dark stay as they are"
        return _show(steps, "not inverted", note, grey)
    note = f"the garment is darker than the border ({level:.0f} of 255), so light and dark were swapped"
    return _show(steps, "inverted", note, 255 - grey)


def _cut_out(grey: Grey, steps: list[Step]) -> Grey:
    box = segmentation.find_garment(grey)
    if box is None:
        raise ImageError(_NOTHING_SEEN)
    garment = grey[box]
    (height, width), (rows, columns) = garment.shape, grey.shape
    if window := segmentation.own_size_window(box, grey.shape):
        note = "the garment fits into the middle 28 × 28 pixels: no pixel was changed"
        return _show(steps, "28 × 28", note, grey[window])
    _show(steps, "cropped", f"the garment takes {width} × {height} of {columns} × {rows} pixels", garment)
    pixels = segmentation.centred(garment)
    return _show(steps, "28 × 28", "the longer side became 28 pixels, and the garment stands in the middle", pixels)
