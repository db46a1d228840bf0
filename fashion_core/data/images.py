"""The images of a dataset, read without torch: a worker reads them while it imports torch."""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.config import SIDE
from fashion_core.data import fashion_mnist, synthetic
from fashion_core.errors import DiskError

Half = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Pixels (N, 28, 28) and labels (N,) of the training or the test images."""
_SYNTHETIC_SHA256 = "9a2570493187c6c592c08a1e689135f432a5a67b11470681bdf25f5c1a7e7152"
"""Of all drawn images and labels, which a cached file must have."""
_IMAGES_HEADER, _LABELS_HEADER = 16, 8
"""Bytes, which the MD5 of the file has checked. Format: http://yann.lecun.com/exdb/mnist"""


def read(dataset: str) -> tuple[Half, Half]:
    """Read the training and the test images of a dataset. Raises ``DataError`` or ``DiskError``."""
    return _read_fashion_mnist() if dataset == "fashion-mnist" else _read_synthetic()


def _read_fashion_mnist() -> tuple[Half, Half]:
    unpacked = [np.frombuffer(fashion_mnist.unpack(archive), np.uint8) for archive in fashion_mnist.ARCHIVES]
    pixels = [content[_IMAGES_HEADER:].reshape(-1, SIDE, SIDE) for content in unpacked[::2]]
    labels = [content[_LABELS_HEADER:] for content in unpacked[1::2]]
    return (pixels[0], labels[0]), (pixels[1], labels[1])


def _read_synthetic() -> tuple[Half, Half]:
    cache = fashion_mnist.root() / "synthetic-garments.bytes"
    packed = b""
    with suppress(OSError):  # a cache that can't be read is drawn again
        packed = cache.read_bytes()
    if hashlib.sha256(packed).hexdigest() != _SYNTHETIC_SHA256:
        train, test = synthetic.train_set(), synthetic.test_set()
        packed = b"".join(array.tobytes() for array in (train[0], test[0], train[1], test[1]))
        _write(cache, packed)
    return _unpack(packed)


def _write(cache: Path, packed: bytes) -> None:
    """A cache is a convenience: where it can't be written, the log says so and the next run draws again."""
    try:
        with files.disk_errors(cache.parent):
            cache.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(cache, packed)
    except DiskError as error:
        print(f"The synthetic garments are not cached: {error}")


def _unpack(packed: bytes) -> tuple[Half, Half]:
    """All images come first, those for training before those for testing; then all labels."""
    everything = np.frombuffer(packed, np.uint8)
    count, split = synthetic.TRAIN_IMAGES + synthetic.TEST_IMAGES, synthetic.TRAIN_IMAGES
    pixels, labels = everything[: count * SIDE * SIDE].reshape(count, SIDE, SIDE), everything[count * SIDE * SIDE :]
    return (pixels[:split], labels[:split]), (pixels[split:], labels[split:])
