"""Find the garment in a grey picture, and detect how the picture was edited before: framed, enlarged or inverted.

Pictures are (H, W) uint8, 0 is black.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from fashion_core.config import SIDE

BRIGHT = 128  # a border from here on is bright
CLEARLY = 4  # how many times as much stands out on the unusual side of the border's level when the garment is there
CONTRAST = 24  # levels by which a pixel differs from the border when it belongs to something else
FRAME_FILL = 0.9  # share of a rectangle's edge that differs from the border around it: then that border is a frame
FAINT = 0.1  # share of the brightest below which a pixel is noise, a soft shadow or the halo of an enlargement
SPECK = 0.02  # share of a row or column that has to be garment: less is a speck
ENLARGED = 0.03  # largest relative difference between a picture and the enlargement of its own 28 × 28 pixels
NOISE_WIDTHS = 4  # standard deviations of the noise on the border that count as border
_SD_OF_MAD = 1.4826  # standard deviation of normal noise / its median absolute deviation

Grey = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
Mask = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
Box = tuple[slice, slice]  # rows and columns
_Reals = np.ndarray[Any, np.dtype[np.float64]]
_Singles = np.ndarray[Any, np.dtype[np.float32]]
_ENLARGING = [Image.Resampling[way] for way in ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS")]


def border_level(grey: Grey) -> float:
    """How bright the border is: the middle of the corners, where a garment seldom reaches."""
    return float(np.median([np.median(corner) for corner in _corners(grey)]))


def _corners(grey: Grey) -> list[Grey]:
    """Four squares, each as large as one of the 28 × 28 pixels if all of the picture is taken."""
    side = max(1, min(grey.shape) // SIDE)
    ends = (slice(None, side), slice(-side, None))
    return [grey[rows, columns] for rows in ends for columns in ends]


def find_garment(grey: Grey) -> Box | None:
    """The box around the garment on a black border, or None where there is none."""
    return _box(grey > max(1.0, FAINT * float(grey.max())))


def _box(mask: Mask) -> Box | None:
    """The rows and columns that hold more of the mask than a speck."""
    rows, columns = (np.flatnonzero(mask.sum(axis) >= max(1, SPECK * mask.shape[axis])) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def find_picture_in_frame(grey: Grey) -> Box | None:
    """The box of a framed picture, or None; the picture must have its own border, which then replaces the frame.

    A picture is a rectangle whose corners are alike; of 10,000 garments 26 are rectangles, and three of them such.
    """
    other = np.abs(grey - border_level(grey)) > CONTRAST
    box = _box(other)
    if box is None or other[box].shape == grey.shape:
        return None
    inside, picture = other[box], grey[box]
    edge = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    corners = [float(np.median(corner)) for corner in _corners(picture)]
    alike = max(corners) - min(corners) <= CONTRAST < np.ptp(picture)
    return box if alike and edge.mean() >= FRAME_FILL else None


def take_back_enlargement(grey: Grey) -> Grey | None:
    """The 28 × 28 original of an enlarged picture, or None if it was not enlarged.

    Enlarging multiplies by one matrix on each side: least squares undo that, and doing it again must give the picture.
    """
    side = len(grey)
    if grey.shape != (side, side) or side < 2 * SIDE:
        return None
    picture = grey.astype(np.float32)
    difference, pixels = min((_take_back(picture, way) for way in _ENLARGING), key=lambda found: found[0])
    return pixels if difference <= ENLARGED * float(np.linalg.norm(picture - border_level(grey))) else None


def _take_back(picture: _Singles, way: Image.Resampling) -> tuple[float, Grey]:
    """The 28 × 28 pixels that enlarged this way come nearest to the square picture, and how far they stay from it."""
    enlarge, reduce = _matrices(len(picture), way)
    small = (reduce @ picture @ reduce.T).clip(0, 255)
    again = (enlarge @ small @ enlarge.T).clip(0, 255)
    return float(np.linalg.norm(again - picture)), _bytes(small)


@lru_cache(maxsize=4 * len(_ENLARGING))
def _matrices(side: int, way: Image.Resampling) -> tuple[_Singles, _Singles]:
    """What enlarges a column of 28 pixels to this many, and its pseudoinverse: pictures often come in one size."""
    identity = Image.fromarray(np.eye(SIDE, dtype=np.float32))
    enlarge = np.asarray(identity.resize((SIDE, side), way))
    return enlarge, np.linalg.pinv(enlarge)


def _bytes(values: np.ndarray[Any, np.dtype[Any]]) -> Grey:
    pixels: Grey = np.rint(values).clip(0, 255).astype(np.uint8)
    return pixels


def is_darker_than_border(grey: Grey) -> bool:
    """Whether the garment is: as on a bright border, unless clearly more stands out on the other side of its level.

    There only what stands out from all of the edge counts: a picture whose corners are in shadow has a bright middle.
    """
    light, noise = _light_and_noise(grey)
    is_bright = border_level(grey) >= BRIGHT
    usual = light - grey if is_bright else grey - light
    edge = np.concatenate([usual[0], usual[-1], usual[:, 0], usual[:, -1]])
    beyond = np.clip(-usual - max(noise, float(-edge.min())), 0, None).sum()
    return bool(is_bright == (beyond <= CLEARLY * usual[usual > noise].sum()))


def without_light(grey: Grey) -> Grey:
    """Make a border that is darker than the garment black, by removing its light and its noise.

    Light multiplies what a bright border reflects, so after the inversion white stays white and the border vanishes.
    """
    light, noise = _light_and_noise(grey)
    above = grey - light
    return _bytes(np.where(above > noise, above * 255 / np.maximum(1, 255 - light), 0))


def _light_and_noise(grey: Grey) -> tuple[_Reals, float]:
    """The border's light (H, W), which may differ from corner to corner, and how far its noise goes from it."""
    corners = [corner.astype(np.float64) for corner in _corners(grey)]
    levels = np.array([np.median(corner) for corner in corners])
    noises = np.concatenate([np.abs(corner - level).ravel() for corner, level in zip(corners, levels, strict=True)])
    middle = np.median(levels)  # a corner that is far from it has garment in it
    lights = levels.clip(middle - 2 * CONTRAST, middle + 2 * CONTRAST).reshape(2, 2)
    down, right = (np.linspace(0, 1, size) for size in grey.shape)
    light: _Reals = np.stack([1 - down, down], 1) @ lights @ np.stack([1 - right, right])  # in straight lines
    return light, NOISE_WIDTHS * _SD_OF_MAD * float(np.median(noises))


def own_size_window(garment: Box, shape: tuple[int, int]) -> Box | None:
    """The middle 28 × 28 pixels, if they hold all of a garment that fills at least half of their side."""
    top, left = ((size - SIDE) // 2 for size in shape)
    window = slice(top, top + SIDE), slice(left, left + SIDE)
    longest = max(side.stop - side.start for side in garment)
    pairs = zip(garment, window, strict=True)
    inside = all(0 <= outer.start <= inner.start and inner.stop <= outer.stop for inner, outer in pairs)
    return window if inside and longest >= SIDE // 2 else None


def centred(garment: Grey) -> Grey:
    """(28, 28): the longer side 28, and the odd pixel above or to the left, as in the training set."""
    height, width = (max(1, round(size * SIDE / max(garment.shape))) for size in garment.shape)
    small = Image.fromarray(garment).resize((width, height), Image.Resampling.BOX)
    top, left = (SIDE - height + 1) // 2, (SIDE - width + 1) // 2
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = np.asarray(small)
    return pixels
