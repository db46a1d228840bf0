"""Shapes, shades and cloth on 28 by 28 pixels, many pictures at once, the same bytes on every machine.

That holds by construction, because each step here and in ``synthetic`` has one right answer: random numbers are
uniforms of PCG64, and pixels see only operations that IEEE 754 rounds exactly (+ - * / sqrt, minimum, maximum,
comparisons, floor), one array operation at a time. Sines, powers, matrix products and sums over an axis are absent on
purpose: their last bit depends on the processor.

Shapes are signed distances in pixels, positive inside. Each garment has a frame of its own, moved, turned and scaled a
little: u to the right and v down, from -14 to 14 over the picture. Shades go from 0, black, to 1, white.
"""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from fashion_core.config import SIDE

Field = NDArray[np.float64]  # (N, 28, 28), a number a pixel; or (N, 1, 1), a number an image
Number = Field | float
Point = tuple[Number, Number]


class Sheet:
    """A chunk of empty pictures: where each pixel lies in its garment's frame, and the random numbers to draw with."""

    def __init__(self, count: int, rng: np.random.Generator, drift: float) -> None:
        self.count, self.rng = count, rng
        axis = np.arange(SIDE) - (SIDE - 1) / 2
        x, y = axis - self.pick(-1.4, 1.4), axis[:, None] - self.pick(-drift, drift)
        half_turn = self.pick(-0.04, 0.04)  # the tangent of half the angle: sine and cosine are then plain fractions
        size = (1 + half_turn * half_turn) * self.pick(0.94, 1.12)
        cosine, sine = (1 - half_turn * half_turn) / size, 2 * half_turn / size
        self.u, self.v = cosine * x + sine * y, cosine * y - sine * x
        self.across = np.abs(self.u)

    def pick(self, low: float, high: float) -> Field:
        """One number per image, uniform from low to high."""
        return self.rng.random((self.count, 1, 1)) * (high - low) + low

    def chance(self, probability: float) -> Field:
        """1 for this share of the images, 0 for the others."""
        return (self.pick(0, 1) < probability).astype(np.float64)

    def cloud(self, cells: int) -> Field:
        """Soft blotches from 0 to 1, this many along each side."""
        grid = self.rng.random((self.count, cells + 1, cells + 1))
        position = np.arange(SIDE) * (cells / SIDE)
        cell = np.floor(position).astype(np.intp)
        rows = blend(grid[:, cell], grid[:, cell + 1], (position - cell)[:, None])
        return blend(rows[:, :, cell], rows[:, :, cell + 1], position - cell)


def blend(under: Field, over: Field, share: Field) -> Field:
    """Blend one shade over another with this opacity."""
    return under + (over - under) * share


def within(*distances: Field) -> Field:
    """The distance into the intersection of several shapes."""
    return reduce(np.minimum, distances)


def inside(*distances: Field) -> Field:
    """The share of each pixel that lies within all of these edges."""
    return np.clip(within(*distances) + 0.5, 0, 1)


def line(distance: Field, width: float) -> Field:
    """The share of each pixel covered by a line along distance 0, of this width to each side."""
    return inside(width - np.abs(distance))


def wave(position: Field) -> Field:
    """A triangle wave from -1 to 1, one period a unit."""
    return np.abs(position - np.floor(position) - 0.5) * 4 - 1


def curve(position: Field, *knots: Point) -> Field:
    """A smooth curve through (position, height) knots, level before the first and after the last."""
    (start, height), *others = knots
    course = np.zeros_like(position) + height
    for end, next_height in others:
        step = np.clip((position - start) / (end - start), 0, 1)
        course = course + (next_height - height) * (step * step * (3 - 2 * step))
        start, height = end, next_height
    return course


def strip(u: Field, v: Field, start: Point, end: Point, width: Number, end_width: Number) -> Field:
    """The distance into a straight band between two points, which may narrow towards its end."""
    du, dv = end[0] - start[0], end[1] - start[1]
    length = np.sqrt(du * du + dv * dv)
    along = ((u - start[0]) * du + (v - start[1]) * dv) / length
    aside = np.abs((u - start[0]) * dv - (v - start[1]) * du) / length
    half = width + (end_width - width) * np.clip(along / length, 0, 1)
    return within(half - aside, along + width, length - along + 0.5)


def box(u: Field, v: Field, half_width: Number, half_height: Number, corner: Number) -> Field:
    """The distance into a rectangle with rounded corners around the origin."""
    right, down = np.abs(u) - half_width + corner, np.abs(v) - half_height + corner
    out_right, out_down = np.maximum(right, 0), np.maximum(down, 0)
    outside: Field = np.sqrt(out_right * out_right + out_down * out_down)
    return corner - outside - np.minimum(np.maximum(right, down), 0)


def fabric(sheet: Sheet, patterned: float = 0.42) -> Field:
    """Plain cloth with soft folds; the share ``patterned`` is striped, checked, printed or fading."""
    tone, contrast, period = sheet.pick(0.4, 1.1), sheet.pick(0.08, 0.3), sheet.pick(2.6, 6)
    stripes, pinstripes = wave(sheet.v / period), wave(sheet.u / period)
    blotches = np.clip((sheet.cloud(14) - 0.5) * 4, -1, 1)
    kind = sheet.pick(0, 1) / patterned
    kinds = [kind < 0.2, kind < 0.3, kind < 0.45, kind < 0.75, kind < 1]
    pattern = np.select(kinds, [stripes, pinstripes, (stripes + pinstripes) * 0.7, blotches, sheet.v / 9], 0.0)
    folds = (sheet.cloud(5) - 0.5) * sheet.pick(0, 0.4)
    return np.clip(tone + contrast * pattern + folds, 0.12, 1)


def sew(cloth: Field, strength: Field, *marks: Field) -> Field:
    """Cloth darkened along marks."""
    return cloth * (1 - reduce(np.maximum, marks) * strength)
