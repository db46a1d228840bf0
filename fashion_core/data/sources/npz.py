"""``.npz`` files with the arrays that MedMNIST and Keras name: read row by row, and never unpickled.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from fashion_core.config import MOST_IMAGES
from fashion_core.data.pictures import Pixels
from fashion_core.data.report import Finding
from fashion_core.data.sources import zip_file
from fashion_core.data.sources.base import Half, Numbers, Source
from fashion_core.data.sources.stacks import MOST_SIDE, Stack, as_source, check_pairs, in_rows
from fashion_core.errors import DataError, printable

_PAIRS: Final[tuple[tuple[Half | None, str, str], ...]] = (
    ("train", "train_images", "train_labels"), ("test", "test_images", "test_labels"),
    ("train", "x_train", "y_train"), ("test", "x_test", "y_test"),
    (None, "images", "labels"), (None, "x", "y"),
)  # fmt: skip
_VALIDATION: Final = ("val_images", "x_val")
_CLASS_NAMES: Final = ("class_names", "classes", "label_names")
_KEYS = "train_images, train_labels, test_images and test_labels, or x_train, y_train, x_test and y_test"
_MOST_NAMES_BYTES: Final = 1 << 20
_LEFT_OUT = Finding(kind="left out", text="The validation images are left out: only training and test images are used.")


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class _Arrays:
    """The arrays of one file, by their names in lower case."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        self._entries = {
            entry.filename.removesuffix(".npy").lower(): entry
            for entry in archive.infolist()
            if entry.filename.endswith(".npy")
        }

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    @property
    def names(self) -> str:
        return printable(", ".join(self._entries) or "nothing")

    def header(self, key: str) -> _Header:
        with self._open(key) as (header, _):
            return header

    def pieces(self, key: str) -> Iterator[np.ndarray[Any, Any]]:
        """The rows of an array, some at a time."""
        with self._open(key) as (header, file):
            row = header.shape[1:]
            row_bytes = int(np.prod(row, dtype=np.int64)) * header.dtype.itemsize
            for rows in in_rows(header.shape[0], row_bytes):
                data = file.read(rows * row_bytes)
                if len(data) < rows * row_bytes:
                    raise DataError(f"{key} in {self.path.name} is cut off: make or fetch the file again.")
                yield np.frombuffer(data, header.dtype).reshape(rows, *row)

    @contextmanager
    def _open(self, key: str) -> Iterator[tuple[_Header, zipfile.ZipExtFile]]:
        try:
            with zip_file.open_member(self._archive, self._entries[key]) as file:
                yield _read_header(self.path, key, file), file
        except zip_file.BROKEN as error:
            raise DataError(f"{key} in {self.path.name} is damaged or no array: make the file again.") from error


def _read_header(path: Path, key: str, file: zipfile.ZipExtFile) -> _Header:
    if np.lib.format.read_magic(file) != (1, 0):  # of others, which no plain array needs, a header may be of any size
        raise ValueError("no plain array")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise DataError(f"{key} in {path.name} holds Python objects, which are not read here: save plain numbers.")
    if fortran and len(shape) > 1:
        raise DataError(f"{key} in {path.name} is stored by columns: save it after numpy.ascontiguousarray.")
    if not shape or shape[0] > MOST_IMAGES:
        raise DataError(f"{key} in {path.name} has the shape {shape}: its first number should be that of the images.")
    return _Header(shape, dtype)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Raises ``DataError`` or ``DiskError``."""
    with zip_file.opened(path) as archive:
        arrays = _Arrays(path, archive)
        pairs = [pair for pair in _PAIRS if pair[1] in arrays]
        if not pairs or len({pair[0] for pair in pairs}) < len(pairs):
            raise DataError(f"{path.name} should have the arrays {_KEYS}; it has {arrays.names}.")
        stacks = [_stack(arrays, *pair) for pair in pairs]
        left_out = (_LEFT_OUT,) if any(key in arrays for key in _VALIDATION) else ()
        yield as_source(f"the arrays of {path.name}", stacks, _class_names(arrays), left_out)


def _stack(arrays: _Arrays, half: Half | None, images: str, labels: str) -> Stack:
    if labels not in arrays:
        raise DataError(f"{arrays.path.name} has {images} but no {labels}: add them.")
    header = arrays.header(images)
    if header.dtype != np.uint8:
        raise DataError(f"{images} in {arrays.path.name} are {header.dtype}: save them as uint8, from 0 to 255.")
    order = _order(header.shape)
    if order is None:
        raise DataError(
            f"{images} in {arrays.path.name} have the shape {header.shape}: it should be (images, height, width), "
            f"with 1 or 3 channels after or before the sides, and sides of at most {MOST_SIDE:,}."
        )
    found = _labels(arrays, labels)
    check_pairs(images, header.shape[0], len(found))
    return Stack(images, half, found, partial(_pixels, arrays, images, order))


def _order(shape: tuple[int, ...]) -> str | None:
    """How channels and sides lie; None for what are no images."""
    if len(shape) not in (3, 4) or not all(0 < length <= MOST_SIDE for length in shape[1:]):
        return None
    if len(shape) == 3:
        return "HW"
    return "HWC" if shape[3] in (1, 3) else "CHW" if shape[1] in (1, 3) else None


def _pixels(arrays: _Arrays, key: str, order: str) -> Iterator[Pixels]:
    for piece in arrays.pieces(key):
        last = piece.transpose(0, 2, 3, 1) if order == "CHW" else piece
        yield last[..., 0] if last.ndim == 4 and last.shape[3] == 1 else last


def _labels(arrays: _Arrays, key: str) -> Numbers:
    header = arrays.header(key)
    if header.dtype.kind not in "iu" or not (len(header.shape) == 1 or header.shape[1:] == (1,)):
        raise DataError(
            f"{key} in {arrays.path.name} are {header.dtype} of the shape {header.shape}: give each image one label, "
            "a whole number."
        )
    return np.concatenate([piece.reshape(-1).astype(np.int64) for piece in arrays.pieces(key)] or [np.zeros(0, int)])


def _class_names(arrays: _Arrays) -> tuple[str, ...]:
    """The names of the classes where they are there as text; as objects they count for nothing."""
    for key in _CLASS_NAMES:
        if key in arrays:
            try:
                header = arrays.header(key)
            except DataError:
                continue
            size = header.shape[0] * header.dtype.itemsize
            if header.dtype.kind == "U" and len(header.shape) == 1 and size <= _MOST_NAMES_BYTES:
                return tuple(re.sub("\0+$", "", str(name)) for piece in arrays.pieces(key) for name in piece)
    return ()
