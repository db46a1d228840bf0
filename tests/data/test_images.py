"""The arrays of a dataset that was added: read as they are described, or refused in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fashion_core.config import Shape
from fashion_core.data import batches
from fashion_core.data.description import Description, describe, digest_head
from fashion_core.data.images import read
from fashion_core.errors import DamagedFileError, DataError, DiskError
from tests.support.datasets import COLOUR, SHAPES, add_dataset


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    return tmp_path / "shoes"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("folder")
def test_images_and_labels_are_those_that_were_added(shape: Shape) -> None:
    described = add_dataset(shape=shape)
    train, test = batches.load("shoes")
    assert (train.pixels.shape, test.pixels.shape) == ((200, *shape[:3]), (60, *shape[:3]))
    assert (train.pixels.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert train.labels.tolist() == [number % shape.classes for number in range(200)]
    assert train.description == test.description == described


@pytest.mark.usefixtures("folder")
def test_description_gives_the_mean_of_what_is_trained_on() -> None:
    train = batches.as_images(read(add_dataset()), add_dataset("boots"))[0]
    scaled = batches.scale(train.pixels, "standard", train.description)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def saved(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def pickled(folder: Path) -> None:
    np.save(folder / "test_images.npy", np.array([{}], dtype=object), allow_pickle=True)


def cut_off(folder: Path) -> None:
    path = folder / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "fewer images": (saved("train_images.npy", np.zeros((199, 3, 32, 32), np.uint8)), "200 × 3 × 32 × 32 uint8"),
    "grey images": (saved("test_images.npy", np.zeros((60, 1, 32, 32), np.uint8)), "60 × 3 × 32 × 32 uint8"),
    "images of floats": (saved("test_images.npy", np.zeros((60, 3, 32, 32), np.float32)), "uint8, as described"),
    "fewer labels": (saved("train_labels.npy", np.zeros(199, np.uint16)), "200 uint16, as described"),
    "labels of another byte order": (saved("train_labels.npy", np.zeros(200, ">u2")), "200 uint16, as described"),
    "a label too many": (saved("test_labels.npy", np.full(60, 5, np.uint16)), "a label 5, and there are 5 classes"),
    "a pickle": (pickled, "not an array that NumPy can read"),
    "a text": (written("test_labels.npy", b"labels"), "not an array that NumPy can read"),
    "nothing": (written("test_labels.npy", b""), "not an array that NumPy can read"),
    "a zip": (written("train_labels.npy", b"PK\x03\x04 and more"), "not an array that NumPy can read"),
    "an array that is cut off": (cut_off, "not an array that NumPy can read"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_array_that_is_not_as_described_is_one_sentence(folder: Path, name: str) -> None:
    add_dataset()
    damage, said = DAMAGE[name]
    damage(folder)
    with pytest.raises(DamagedFileError, match=said):
        read(describe("shoes"))


def test_missing_array_and_missing_dataset_are_one_sentence(folder: Path) -> None:
    add_dataset()
    (folder / "train_labels.npy").unlink()
    with pytest.raises(DiskError, match="does not exist"):
        read(describe("shoes"))
    with pytest.raises(DataError, match="There is no dataset boots here: choose one of"):
        read(describe("boots"))


def test_described_shape_is_what_counts(folder: Path) -> None:
    described = add_dataset(shape=COLOUR)
    changed = {**json.loads(described.model_dump_json()), "height": 16, "width": 64}
    (folder / "dataset.json").write_text(Description.model_validate(changed).model_dump_json())
    with pytest.raises(DamagedFileError, match="200 × 3 × 16 × 64"):
        read(describe("shoes"))


def test_arrays_that_are_cut_up_in_another_way_are_others(folder: Path) -> None:
    """The same bytes: another split, and other sides."""
    found = {add_dataset(f"set-{train}", train=train, test=260 - train).sha256 for train in (200, 100)}
    heads = {digest_head(Shape(1, *sides, 2), 8, 4) for sides in ((8, 24), (24, 8))}
    assert len(found) == len(heads) == 2
