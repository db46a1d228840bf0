"""Decode images, large ones in a few threads, in order, with only a few of them in memory."""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from fashion_core.config import Fit, Shape
from fashion_core.data.adding.survey import opened
from fashion_core.data.pictures import pixel_bytes
from fashion_core.data.sources import Half, Item
from fashion_core.errors import FashionError

_THREADS: Final = min(4, os.cpu_count() or 1)  # decoders take up to 300 MB each
_MOST_ITEMS: Final = 128  # in one piece of work
_MOST_BYTES: Final = 8 << 20
_HEAVY_BYTES: Final = 8 << 10  # of an image: threads would only wait for each other with smaller ones
PARTS: Final = 6  # one of them for testing, as in MNIST's 10,000 beside 60,000 or near it


class Decoded(NamedTuple):
    half: Half
    label: int
    pixels: bytes
    hash: int  # of the pixels, 64 bits
    size: tuple[int, int]  # width and height before it was made to fit
    is_split: bool  # its side was chosen here


class Unreadable(NamedTuple):
    name: str
    reason: str


Result = Decoded | Unreadable


def decoded(items: Iterable[Item], shape: Shape, fit: Fit) -> Iterator[list[Result]]:
    """Yield what each item became, some at a time, in their order."""
    pool = ThreadPoolExecutor(_THREADS)
    waiting = deque[Future[list[Result]]]()
    try:
        for piece, size in _pieces(items):
            is_heavy = size >= len(piece) * _HEAVY_BYTES
            while waiting and (not is_heavy or len(waiting) > _THREADS):
                yield waiting.popleft().result()
            if is_heavy:
                waiting.append(pool.submit(_decode, piece, shape, fit))
            else:
                yield _decode(piece, shape, fit)
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _pieces(items: Iterable[Item]) -> Iterator[tuple[list[Item], int]]:
    """Some items at a time, and their bytes."""
    piece: list[Item] = []
    size = 0
    for item in items:
        piece.append(item)
        size += _bytes(item)
        if len(piece) == _MOST_ITEMS or size >= _MOST_BYTES:
            yield piece, size
            piece, size = [], 0
    if piece:
        yield piece, size


def _bytes(item: Item) -> int:
    if isinstance(item.picture, FashionError):
        return 0
    return len(item.picture) if isinstance(item.picture, bytes) else item.picture.nbytes


def _decode(items: list[Item], shape: Shape, fit: Fit) -> list[Result]:
    return [_decode_one(item, shape, fit) for item in items]


def _decode_one(item: Item, shape: Shape, fit: Fit) -> Result:
    try:
        image, size = opened(item)
    except FashionError as error:
        return Unreadable(item.name, str(error))
    pixels = pixel_bytes(image, shape, fit)
    return Decoded(item.half or _half(item), item.label, pixels, _hash(pixels), size, item.half is None)


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _half(item: Item) -> Half:
    """The same bytes always lie on the same side, whatever is asked to be made of them."""
    data = item.picture if isinstance(item.picture, bytes) else np.asarray(item.picture).tobytes()
    return "train" if _hash(data) % PARTS else "test"
