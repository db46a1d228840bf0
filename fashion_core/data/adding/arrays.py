"""The arrays of a dataset, written piece by piece: first as the images come, then in their order for good."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.config import Shape
from fashion_core.data.adding.decode import Decoded
from fashion_core.data.description import ARRAYS, digest_head
from fashion_core.data.sources.base import Numbers

_PIECE: Final = 4 << 20  # bytes of pixels at once
_LEVELS: Final = 256
Labels = NDArray[np.uint16]


@dataclass
class Pile:
    """The images of one side as they come: pixels in a file, labels and hashes in memory."""

    path: Path
    image_bytes: int
    labels_found: "array[int]" = field(default_factory=lambda: array("H"))
    hashes_found: "array[int]" = field(default_factory=lambda: array("Q"))

    def append(self, images: list[Decoded]) -> None:
        """Raises ``DiskError``."""
        with files.disk_errors(self.path), self.path.open("ab") as file:
            file.write(b"".join(image.pixels for image in images))
        self.labels_found.extend(image.label for image in images)
        self.hashes_found.extend(image.hash for image in images)

    @cached_property
    def labels(self) -> Labels:
        return np.array(self.labels_found, np.uint16)

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        return np.array(self.hashes_found, np.uint64)

    @property
    def is_sorted(self) -> bool:
        """Whether most neighbours are of one class, unlike in a mixed order."""
        shares = np.bincount(self.labels) / max(1, len(self.labels))
        changes = np.count_nonzero(np.diff(self.labels.astype(np.int64)))
        return bool(changes < (len(self.labels) - 1) * (1 - (shares**2).sum()) / 2)

    def pieces(self, order: Numbers) -> Iterator[bytes]:
        """The pixels in this order."""
        at_once = max(1, _PIECE // self.image_bytes)
        with files.disk_errors(self.path), self.path.open("rb") as file:
            for start in range(0, len(order), at_once):
                yield _read(file, order[start : start + at_once], self.image_bytes)


def _read(file: BinaryIO, numbers: Numbers, size: int) -> bytes:
    if numbers[-1] - numbers[0] == len(numbers) - 1 and (np.diff(numbers) == 1).all():
        file.seek(int(numbers[0]) * size)
        return file.read(len(numbers) * size)
    found = []
    for number in numbers.tolist():
        file.seek(number * size)
        found.append(file.read(size))
    return b"".join(found)


@dataclass(frozen=True)
class Facts:
    """What the description says of the arrays."""

    sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def mixed(count: int) -> Numbers:
    """An order that is the same on every machine."""
    return np.argsort(np.random.Generator(np.random.PCG64(0)).random(count), kind="stable")


def write(
    folder: Path,
    shape: Shape,
    piles: tuple[Pile, Pile],
    orders: tuple[Numbers, Numbers],
    new: Labels,
) -> Facts:
    """Write all arrays of a dataset; ``new`` is the label of each label that its images came with.

    Raises ``DiskError``.
    """
    hasher = sha256(digest_head(shape, len(orders[0]), len(orders[1])))
    levels = np.zeros((shape.channels, _LEVELS), np.int64)
    for half, (name, pile, order) in enumerate(zip(ARRAYS[:2], piles, orders, strict=True)):
        with _array(folder / name, "|u1", (len(order), shape.channels, shape.height, shape.width)) as file:
            for piece in pile.pieces(order):
                file.write(piece)
                hasher.update(piece)
                if half == 0:
                    _count(levels, piece, shape)
        pile.path.unlink()
    for name, pile, order in zip(ARRAYS[2:], piles, orders, strict=True):
        labels = new[pile.labels[order]].astype("<u2").tobytes()
        with _array(folder / name, "<u2", (len(order),)) as file:
            file.write(labels)
            hasher.update(labels)
    return Facts(hasher.hexdigest(), *_moments(levels))


@contextmanager
def _array(path: Path, kind: str, shape: tuple[int, ...]) -> Iterator[BinaryIO]:
    """A new ``.npy`` file whose numbers the block writes."""
    with files.disk_errors(path), path.open("xb") as file:
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def _count(levels: NDArray[np.int64], piece: bytes, shape: Shape) -> None:
    """Add how often each level occurs in each channel: sums of whole numbers are exact in any order."""
    pixels = np.frombuffer(piece, np.uint8).reshape(-1, shape.channels, shape.height * shape.width)
    for channel in range(shape.channels):
        levels[channel] += np.bincount(pixels[:, channel].ravel(), minlength=_LEVELS)


def _moments(levels: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels from 0 to 1."""
    scale = np.arange(_LEVELS) / (_LEVELS - 1)
    means = levels @ scale / levels.sum(1)
    variances = [(row * (scale - mean) ** 2).sum() / row.sum() for row, mean in zip(levels, means, strict=True)]
    stds = [round(float(variance**0.5), 4) or 1.0 for variance in variances]  # one shade alone needs no scaling
    return tuple(round(float(mean), 4) for mean in means), tuple(stds)
