"""Sources of datasets, made on the spot, and datasets as they were kept."""

import gzip
import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from fashion_core.data import adding
from fashion_core.data.adding import AddRequest
from fashion_core.data.description import ARRAYS, Description, describe, folder_of
from fashion_core.data.report import Report
from tests.support.datasets import digest_of
from tests.support.images import stored

Pixels = NDArray[np.uint8]


def noise(count: int, seed: int = 0, size: tuple[int, ...] = (28, 28)) -> Pixels:
    """Images of which no two are the same."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size), np.uint8)


def png(seed: int, size: tuple[int, ...] = (28, 28)) -> bytes:
    return stored(noise(1, seed, size)[0])


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def class_folders(root: Path, counts: Mapping[str, int], start: int = 0, size: tuple[int, ...] = (28, 28)) -> Path:
    """So many images in each folder; the path of one may hold slashes."""
    number = start
    for name, count in counts.items():
        for _ in range(count):
            write(root / name / f"{number:04}.png", png(number, size))
            number += 1
    return root


def both_sides(root: Path, train: int = 6, test: int = 2, **options: Any) -> Path:
    """Two classes under train/ and test/."""
    counts = {"train/cat": train, "train/dog": train, "test/cat": test, "test/dog": test}
    return class_folders(root, counts, **options)


def idx(path: Path, numbers: Pixels, pack: bool = False) -> Path:
    header = bytes((0, 0, 8, numbers.ndim)) + struct.pack(f">{numbers.ndim}I", *numbers.shape)
    data = header + numbers.tobytes()
    return write(path, gzip.compress(data) if pack else data)


def idx_folder(root: Path, prefix: str = "", pack: bool = False, test: str = "t10k") -> Path:
    for half, count in (("train", 20), (test, 10)):
        end = "-ubyte.gz" if pack else "-ubyte"
        idx(root / f"{prefix}{half}-images-idx3{end}", noise(count, count), pack)
        idx(root / f"{prefix}{half}-labels-idx1{end}", labels(count, 5), pack)
    return root


def labels(count: int, classes: int) -> Pixels:
    """Mixed, each class as often."""
    return np.random.default_rng(count).permutation(np.arange(count) % classes).astype(np.uint8)


def npz(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def medmnist(path: Path, size: tuple[int, ...] = (28, 28), **more: Any) -> Path:
    arrays = {
        "train_images": noise(20, 1, size), "train_labels": labels(20, 4)[:, None],
        "test_images": noise(10, 2, size), "test_labels": labels(10, 4)[:, None],
    }  # fmt: skip
    return npz(path, **{**arrays, **more})


def hugging_face(
    path: Path, pictures: Sequence[bytes | None], given: Sequence[int | None], names: Sequence[str] = (), **options: Any
) -> Path:
    """A Parquet file with the metadata that ``datasets`` writes."""
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(names)}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": data, "path": None if data else "a.png"} for data in pictures]
    table = pa.table({"image": pa.array(cells, kind), "label": pa.array(given, pa.int64())})
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path, **options)
    return path


@dataclass(frozen=True)
class Kept:
    """A dataset as it lies there."""

    report: Report
    train: Pixels
    test: Pixels
    train_labels: NDArray[np.uint16]
    test_labels: NDArray[np.uint16]

    @property
    def description(self) -> Description:
        return self.report.description

    @property
    def found(self) -> dict[str, str]:
        """The sentence of each kind of finding."""
        return {finding.kind: finding.text for finding in self.report.findings}

    def counts(self) -> dict[str, tuple[int, int]]:
        return {row.name: (row.train, row.test) for row in self.report.counts}

    def of_class(self, name: str) -> Pixels:
        """Its training images."""
        found: Pixels = self.train[self.train_labels == self.description.classes.index(name)]
        return found


def add(source: Path | str, **options: Any) -> Kept:
    """Add a dataset called ``mine``, and read it as anyone would: what is described is what is there."""
    report = adding.add(str(source), AddRequest("mine", **options))
    arrays = [np.load(folder_of("mine") / name, allow_pickle=False) for name in ARRAYS]
    described = describe("mine")
    assert described == report.description
    assert described.sha256 == digest_of(described.shape, described.train, described.test, arrays)
    shape = (described.channels, described.height, described.width)
    assert [array.shape for array in arrays[:2]] == [(described.train, *shape), (described.test, *shape)]
    assert [array.dtype for array in arrays] == [np.uint8, np.uint8, np.uint16, np.uint16]
    return Kept(report, *arrays)


def picture_of(data: bytes) -> Pixels:
    return np.array(Image.open(io.BytesIO(data)), np.uint8)
