"""What every source of a dataset gives: its classes, how many images, and each image with its label."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fashion_core.data.report import Finding
from fashion_core.errors import FashionError

Half = Literal["train", "test"]
Numbers = NDArray[np.int64]
HALF_OF_NAME: Final[dict[str, Half]] = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "test", "valid": "test", "validation": "test",
}  # fmt: skip
VALIDATION: Final = ("val", "valid", "validation")
SAMPLED: Final = 100  # images that tell the size and the colours of all


class Item(NamedTuple):
    """One image: a file's bytes, pixels (H, W) or (H, W, 3) uint8, or why it can't be read.

    ``half`` is None where the source has none: then its bytes decide.
    """

    name: str
    half: Half | None
    label: int
    picture: bytes | NDArray[np.uint8] | FashionError


@dataclass(frozen=True)
class Source:
    """An opened source. ``items`` reads all images anew in a fixed order; ``sample`` a few from all over."""

    kind: str  # for people
    classes: tuple[str, ...]
    count: int
    items: Callable[[], Iterator[Item]]
    sample: Callable[[], Iterator[Item]]
    findings: tuple[Finding, ...] = ()


def spread(count: int, most: int = SAMPLED) -> list[int]:
    """At most so many numbers below ``count``, evenly spread."""
    return sorted({number * count // most for number in range(most)}) if count else []
