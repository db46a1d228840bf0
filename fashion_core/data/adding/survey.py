"""The shape of a dataset, decided by some of its images before all are read."""

from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from fashion_core.config import Shape
from fashion_core.data.description import LEAST_SIDE, MOST_SIDE
from fashion_core.data.image_files import open_sized
from fashion_core.data.pictures import is_coloured
from fashion_core.data.report import Finding
from fashion_core.data.request import AddRequest
from fashion_core.data.sources import Item, Source
from fashion_core.errors import DataError, FashionError

DEFAULT_SIDE: Final = 32  # pixels, where the images have no size of their own that can be kept
MOST_BYTES: Final = 4 << 30  # of pixels


class _Look(NamedTuple):
    size: tuple[int, int]
    is_coloured: bool


def opened(item: Item) -> tuple[Image.Image, tuple[int, int]]:
    """The picture of an item, upright, and its width and height before a large one was made smaller.

    Raises ``FashionError``.
    """
    if isinstance(item.picture, bytes):
        image, _, size = open_sized(item.picture)
        return image, size
    if isinstance(item.picture, np.ndarray):
        image = Image.fromarray(np.ascontiguousarray(item.picture))
        return image, image.size
    raise item.picture


def survey(source: Source, request: AddRequest) -> tuple[Shape, list[Finding]]:
    """Decide what was not asked for, and tell about it. Raises ``DataError``."""
    findings: list[Finding] = []
    looks = [] if request.size and request.channels else _looks(source)
    height, width = (request.size, request.size) if request.size else _size(looks, findings)
    channels = request.channels or (3 if any(look.is_coloured for look in looks) else 1)
    shape = Shape(channels, height, width, len(source.classes))
    check_bytes(source.count, shape)
    return shape, findings


def _looks(source: Source) -> list[_Look]:
    found = []
    for item in source.sample():
        try:
            image, size = opened(item)
        except FashionError:  # told about when all are read
            continue
        found.append(_Look(size, is_coloured(image)))
    return found


def _size(looks: list[_Look], findings: list[Finding]) -> tuple[int, int]:
    """Height and width: what all that were looked at share, if it can be kept."""
    sizes = {look.size for look in looks}
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        if min(width, height) >= LEAST_SIDE and max(width, height) <= MOST_SIDE:
            return height, width
        which = f"The images are {width} × {height} pixels, and sides of {LEAST_SIDE} to {MOST_SIDE} are possible"
    else:
        which = "The images are of several sizes"
    if looks:
        text = f"{which}: they are made {DEFAULT_SIDE} × {DEFAULT_SIDE}, unless you choose another size."
        findings.append(Finding(kind="choice", text=text))
    return DEFAULT_SIDE, DEFAULT_SIDE


def check_bytes(count: int, shape: Shape) -> None:
    """Refuse more than the memory of a device should hold. Raises ``DataError``."""
    needed = count * shape.channels * shape.height * shape.width
    if needed > MOST_BYTES:
        raise DataError(
            f"{count:,} images of {shape.width} × {shape.height} × {shape.channels} would take {needed / 2**30:,.1f} "
            f"GiB, and at most {MOST_BYTES >> 30} are possible, because a dataset is kept on the device as bytes: "
            "choose a smaller size, or fewer images."
        )
