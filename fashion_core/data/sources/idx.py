"""IDX files as MNIST has them, packed or not; EMNIST's, which lie on their side, are turned upright.

Format: http://yann.lecun.com/exdb/mnist; EMNIST: https://www.nist.gov/itl/products-and-services/emnist-dataset
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np

from fashion_core import files
from fashion_core.config import MOST_IMAGES
from fashion_core.data.description import MOST_CLASSES
from fashion_core.data.pictures import Pixels
from fashion_core.data.report import Finding
from fashion_core.data.sources.base import Half, Numbers, Source
from fashion_core.data.sources.stacks import MOST_SIDE, Stack, as_source, check_pairs, in_rows
from fashion_core.errors import DataError

_NAME: Final = re.compile(
    r"(?P<set>.*?)-?(?P<half>train|t10k|test)-(?P<what>images|labels)[-.]idx[13](-ubyte)?(\.gz)?", re.IGNORECASE
)
_HALVES: Final[dict[str, Half]] = {"train": "train", "t10k": "test", "test": "test"}
_UBYTE: Final = 0x08
_MAPPING: Final = "*-mapping.txt"  # EMNIST's: a label and the codes of its letters a line
_MOST_TEXT: Final = 1 << 16
_UPRIGHT = Finding(kind="choice", text="EMNIST's files hold the letters on their side: they were turned upright.")


def is_one(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def open_files(folder: Path, names: Iterable[str]) -> Source:
    """The source in these files of a folder. Raises ``DataError`` or ``DiskError``."""
    found: dict[tuple[Half, str], Path] = {}
    sets = set()
    for name in sorted(names, reverse=True):  # so that the unpacked one of two stays
        if match := _NAME.fullmatch(name):
            sets.add(match["set"])
            found[_HALVES[match["half"].lower()], match["what"].lower()] = folder / name
    if len(sets) > 1:
        listed = ", ".join(sorted(sets))
        raise DataError(f"{folder} holds several sets ({listed}): put the files of one into a folder of their own.")
    turned = "emnist" in next(iter(sets)).lower()
    stacks = [_stack(half, found, turned) for half in ("train", "test") if any(key[0] == half for key in found)]
    names, most = _names(folder), max((int(stack.labels.max(initial=0)) for stack in stacks), default=0)
    known = names if len(names) > most else ()
    return as_source(f"IDX files in {folder.name}", stacks, known, (_UPRIGHT,) if turned else ())


def _stack(half: Half, found: dict[tuple[Half, str], Path], turned: bool) -> Stack:
    for what in ("images", "labels"):
        if (half, what) not in found:
            raise DataError(f"The IDX file with the {half} {what} is missing: put it beside the others.")
    images, labels = found[half, "images"], _labels(found[half, "labels"])
    count, height, width = _shape(images, 3)
    check_pairs(images.name, count, len(labels))
    return Stack(images.name, half, labels, partial(_pieces, images, (count, height, width), turned))


def _shape(path: Path, dimensions: int) -> tuple[int, ...]:
    with _opened(path) as file:
        return _header(path, file, dimensions)


def _header(path: Path, file: BinaryIO, dimensions: int) -> tuple[int, ...]:
    start = _read(path, file, 4)
    if start != bytes((0, 0, _UBYTE, dimensions)):
        kind = "images" if dimensions == 3 else "labels"
        raise DataError(f"{path.name} is not an IDX file of {kind} as MNIST has them: it begins with {start.hex()}.")
    shape = tuple(np.frombuffer(_read(path, file, 4 * dimensions), ">u4").tolist())
    if shape[0] > MOST_IMAGES or not all(0 < side <= MOST_SIDE for side in shape[1:]):
        raise DataError(f"{path.name} says that it holds {' × '.join(map(str, shape))} numbers: it is damaged.")
    return shape


def _labels(path: Path) -> Numbers:
    with _opened(path) as file:
        (count,) = _header(path, file, 1)
        found = np.frombuffer(_read(path, file, count), np.uint8).astype(np.int64)
        _check_end(path, file)
    return found


def _pieces(path: Path, shape: tuple[int, ...], turned: bool) -> Iterator[Pixels]:
    count, height, width = shape
    with _opened(path) as file:
        _header(path, file, 3)
        for rows in in_rows(count, height * width):
            piece = np.frombuffer(_read(path, file, rows * height * width), np.uint8).reshape(rows, height, width)
            yield piece.transpose(0, 2, 1) if turned else piece
        _check_end(path, file)


def _read(path: Path, file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise DataError(f"{path.name} is cut off: it ends before the numbers that it announces; fetch it again.")
    return data


def _check_end(path: Path, file: BinaryIO) -> None:
    if file.read(1):
        raise DataError(f"{path.name} holds more numbers than it announces: it is damaged, fetch it again.")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with files.disk_errors(path):
        try:
            with files.open_to_read(path) as file:
                if path.suffix != ".gz":
                    yield file
                else:
                    with gzip.GzipFile(fileobj=file) as unpacked:
                        yield cast(BinaryIO, unpacked)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(f"{path.name} is damaged or no gzip file: fetch it again.") from error


def _names(folder: Path) -> tuple[str, ...]:
    """What the labels stand for, where EMNIST's text beside the files tells it."""
    texts = sorted(folder.glob(_MAPPING))
    if len(texts) != 1 or texts[0].is_symlink() or not texts[0].is_file():
        return ()
    with files.disk_errors(texts[0]), files.open_to_read(texts[0]) as file:
        lines = [line.split() for line in file.read(_MOST_TEXT).decode("ascii", "replace").splitlines()]
    try:
        letters = {int(label): "/".join(chr(int(code)) for code in codes) for label, *codes in filter(None, lines)}
        most = min(max(letters), MOST_CLASSES)
        return tuple(letters.get(label) or str(label) for label in range(most + 1))
    except (ValueError, OverflowError):
        return ()
