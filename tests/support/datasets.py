"""Small datasets of other shapes than Fashion-MNIST's, as ``data add`` would write them."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fashion_core.config import FASHION, Shape
from fashion_core.data.description import ARRAYS, FILE, Description, folder_of

COLOUR = Shape(3, 32, 32, 5)
SHAPES = (FASHION, COLOUR, Shape(1, 8, 8, 2), Shape(3, 64, 48, 100))
TRAIN, TEST = 200, 60


def add_dataset(name: str = "shoes", shape: Shape = COLOUR, train: int = TRAIN, test: int = TEST) -> Description:
    """Write a dataset under ``FASHION_DATA`` whose classes can be told apart: each has a colour of its own."""
    folder = folder_of(name)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = [(np.arange(count) % shape.classes).astype(np.uint16) for count in (train, test)]
    colours = rng.integers(0, 200, (shape.classes, shape.channels, 1, 1))
    halves = [drawn(colours[own], shape, rng) for own in labels]
    arrays: list[NDArray[np.unsignedinteger]] = [*halves, *labels]
    for file, array in zip(ARRAYS, arrays, strict=True):
        np.save(folder / file, array)
    scaled = halves[0].transpose(1, 0, 2, 3).reshape(shape.channels, -1) / 255
    found = Description(
        name=name,
        label=name.capitalize(),
        channels=3 if shape.channels == 3 else 1,
        height=shape.height,
        width=shape.width,
        classes=tuple(f"kind {number}" for number in range(shape.classes)),
        train=train,
        test=test,
        mean=tuple(scaled.mean(axis=1).tolist()),
        std=tuple(scaled.std(axis=1).tolist()),
        sha256=digest_of(shape, train, test, arrays),
        source="drawn for a test",
    )
    (folder / FILE).write_text(found.model_dump_json())
    return found


def digest_of(shape: Shape, train: int, test: int, arrays: Sequence[NDArray[Any]]) -> str:
    """Spelled out, as another program would work it out."""
    head = f"{shape.channels} {shape.height} {shape.width} {train} {test}\n".encode()
    return hashlib.sha256(head + b"".join(array.tobytes() for array in arrays)).hexdigest()


def drawn(colours: NDArray[np.int64], shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images (N, C, H, W) of these colours (N, C, 1, 1), each with noise of its own."""
    noise = rng.integers(0, 56, (len(colours), shape.channels, shape.height, shape.width))
    return (colours + noise).astype(np.uint8)


@contextmanager
def data_folder(folder: Path) -> Iterator[Path]:
    """Let datasets be added to a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(folder))
        yield folder
