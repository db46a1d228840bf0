"""Sources that are whole arrays of pixels, read in pieces: what IDX files, ``.npz`` and torchvision have in common."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from fashion_core.data.pictures import Pixels
from fashion_core.data.report import Finding
from fashion_core.data.sources.base import SAMPLED, Half, Item, Numbers, Source
from fashion_core.data.sources.classes import check_images, numbered
from fashion_core.errors import DataError

PIECE: Final = 1 << 20  # bytes of pixels that are read at once
MOST_SIDE: Final = 4_096  # pixels: a larger one is a wrong number, or more than is read at once


@dataclass(frozen=True)
class Stack:
    """Images of one size with their labels (N,); ``pieces`` yields them all, (n, H, W) or (n, H, W, 3) uint8."""

    name: str
    half: Half | None
    labels: Numbers
    pieces: Callable[[], Iterator[Pixels]]


def as_source(
    kind: str, stacks: Sequence[Stack], names: Sequence[str] = (), findings: tuple[Finding, ...] = ()
) -> Source:
    """One stack that stands alone is split by the bytes of its images. Raises ``DataError``."""
    if len(stacks) == 1:
        stacks = [replace(stacks[0], half=None)]
    check_images(sum(len(stack.labels) for stack in stacks))
    classes, values = numbered((stack.labels for stack in stacks), names)

    def items() -> Iterator[Item]:
        for stack in stacks:
            yield from _items(stack, values)

    def sample() -> Iterator[Item]:
        for stack in stacks:
            yield from islice(_items(stack, values), SAMPLED // len(stacks))

    return Source(kind, classes, sum(len(stack.labels) for stack in stacks), items, sample, findings)


def _items(stack: Stack, values: Numbers) -> Iterator[Item]:
    labels = np.searchsorted(values, stack.labels).tolist()
    number = 0
    for piece in stack.pieces():
        for pixels in piece:
            yield Item(f"{stack.name} {number}", stack.half, labels[number], pixels)
            number += 1


def in_rows(count: int, row_bytes: int) -> Iterator[int]:
    """How many rows to read at once, until all are."""
    at_once = max(1, PIECE // max(1, row_bytes))
    for start in range(0, count, at_once):
        yield min(at_once, count - start)


def check_pairs(name: str, images: int, labels: int) -> None:
    if images != labels:
        raise DataError(f"{name} has {images:,} images and {labels:,} labels: there should be as many of both.")
