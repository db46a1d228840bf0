"""The images of a dataset, read without torch: a worker reads them while it imports torch."""

import hashlib
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.config import SIDE, TRAINING_IMAGES
from fashion_core.data import fashion_mnist, synthetic
from fashion_core.data.description import DIGESTS
from fashion_core.errors import DiskError

Half = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # pixels (N, 28, 28) and labels (N,): for training or testing


def read(dataset: str) -> tuple[Half, Half]:
    """Read the training and the test images of a dataset. Raises ``DataError`` or ``DiskError``."""
    if dataset == "synthetic":
        return _read_synthetic()
    # The headers of 16 and 8 bytes are part of what the MD5 has checked. Format: http://yann.lecun.com/exdb/mnist
    train, train_labels, test, test_labels = (
        np.frombuffer(fashion_mnist.unpack(archive), np.uint8) for archive in fashion_mnist.ARCHIVES
    )
    pixels = [content[16:].reshape(-1, SIDE, SIDE) for content in (train, test)]
    return (pixels[0], train_labels[8:]), (pixels[1], test_labels[8:])


def _read_synthetic() -> tuple[Half, Half]:
    cache = fashion_mnist.root() / "synthetic-garments.bytes"
    split = TRAINING_IMAGES["synthetic"]
    packed = b""
    with suppress(OSError):  # a cache that can't be read is drawn again
        packed = cache.read_bytes()
    if hashlib.sha256(packed).hexdigest() != DIGESTS["synthetic"]:
        train, test = synthetic.balanced(split, seed=1), synthetic.balanced(synthetic.TEST_IMAGES, seed=2)
        packed = b"".join(array.tobytes() for array in (train[0], test[0], train[1], test[1]))
        try:
            with files.disk_errors(cache.parent):
                cache.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(cache, packed)
        except DiskError as error:  # the next run draws again
            print(f"The synthetic garments are not cached: {error}")
    pixels, labels = np.split(np.frombuffer(packed, np.uint8), [(split + synthetic.TEST_IMAGES) * SIDE * SIDE])
    pixels = pixels.reshape(-1, SIDE, SIDE)
    return (pixels[:split], labels[:split]), (pixels[split:], labels[split:])
