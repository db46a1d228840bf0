"""The images of a dataset, read without torch: a worker reads them while it imports torch."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.config import SIDE, TRAINING_IMAGES
from fashion_core.data import fashion_mnist, synthetic
from fashion_core.data.description import ARRAYS, BUILT_IN, DIGESTS, Description, digest_head, folder_of
from fashion_core.errors import DamagedFileError, DiskError

# For training or for testing: pixels (N, C, H, W) uint8 and labels (N,), uint8 or uint16.
Half = tuple[NDArray[np.uint8], NDArray[np.unsignedinteger]]


def read(dataset: Description) -> tuple[Half, Half]:
    """Read the training and the test images of a dataset.

    Those of one that was added stay on the disk until they are used. Raises ``DataError``, ``DamagedFileError`` or
    ``DiskError``.
    """
    if dataset.name not in BUILT_IN:
        return read_arrays(dataset)
    if dataset.name == "synthetic":
        return _read_synthetic()
    # The headers of 16 and 8 bytes are part of what the MD5 has checked. Format: http://yann.lecun.com/exdb/mnist
    train, train_labels, test, test_labels = (
        np.frombuffer(fashion_mnist.unpack(archive), np.uint8) for archive in fashion_mnist.ARCHIVES
    )
    pixels = [content[16:].reshape(-1, 1, SIDE, SIDE) for content in (train, test)]
    return (pixels[0], train_labels[8:]), (pixels[1], test_labels[8:])


def read_arrays(description: Description) -> tuple[Half, Half]:
    """Map the arrays of a dataset that was added, and read them once: runs name the digest of what they train on.

    Raises ``DamagedFileError`` where they are not as described.
    """
    image, counts = description.shape[:3], (description.train, description.test)
    sizes = [*((count, *image) for count in counts), *((count,) for count in counts)]
    train, test, train_labels, test_labels = (
        _read_array(folder_of(description.name) / name, size, "uint8" if len(size) > 1 else "uint16")
        for name, size in zip(ARRAYS, sizes, strict=True)
    )
    for name, found in zip(ARRAYS[2:], (train_labels, test_labels), strict=True):
        if found.max() >= len(description.classes):
            said = f"it has a label {found.max()}, and there are {len(description.classes)} classes"
            raise DamagedFileError(folder_of(description.name) / name, said)
    if _digest(description, train, test, train_labels, test_labels) != description.sha256:
        raise DamagedFileError(folder_of(description.name), "its images or labels are not those that it describes")
    return (train, train_labels), (test, test_labels)


def _digest(description: Description, *arrays: NDArray[np.unsignedinteger]) -> str:
    found = hashlib.sha256(digest_head(description.shape, description.train, description.test))
    for array in arrays:
        found.update(array.data)
    return found.hexdigest()


def _read_array(path: Path, size: tuple[int, ...], dtype: str) -> NDArray[Any]:
    with files.disk_errors(path):
        try:
            found: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # which reads no pickles, nor archives
        except ValueError as error:
            raise DamagedFileError(path, "it is not an array that NumPy can read") from error
    if found.dtype != dtype or found.shape != size:
        raise DamagedFileError(path, f"it is not an array of {' × '.join(map(str, size))} {dtype}, as described")
    return found


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
    pixels = pixels.reshape(-1, 1, SIDE, SIDE)
    return (pixels[:split], labels[:split]), (pixels[split:], labels[split:])
