"""``.npz`` files as MedMNIST and Keras write them: rows as they are needed, and no pickles."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_core.errors import DataError
from tests.support.sources import add, labels, medmnist, noise, npz

pytestmark = pytest.mark.usefixtures("data_root")


def test_arrays_as_medmnist_names_them(tmp_path: Path) -> None:
    kept = add(medmnist(tmp_path / "blood.npz", (28, 28, 3)))
    assert (kept.train == noise(20, 1, (28, 28, 3)).transpose(0, 3, 1, 2)).all()
    assert (kept.train_labels == labels(20, 4)).all()
    assert kept.description.source == "the arrays of blood.npz"


def test_validation_images_are_left_out_and_told(tmp_path: Path) -> None:
    kept = add(medmnist(tmp_path / "a.npz", val_images=noise(5), val_labels=labels(5, 4)))
    assert (kept.description.train, kept.description.test) == (20, 10)
    assert "validation images" in kept.found["left out"]


def test_arrays_as_keras_names_them(tmp_path: Path) -> None:
    path = tmp_path / "keras.npz"
    kept = add(npz(path, x_train=noise(20), y_train=labels(20, 2), x_test=noise(9, 1), y_test=labels(9, 2)))
    assert (kept.train[:, 0] == noise(20)).all()


def test_channels_may_come_first(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", images=noise(90, 0, (3, 16, 24)), labels=labels(90, 2))
    kept = add(path)
    assert kept.description.shape == (3, 16, 24, 2)
    images = {image.tobytes() for image in (*kept.train, *kept.test)}
    assert images == {image.tobytes() for image in noise(90, 0, (3, 16, 24))}


def test_images_without_sides_are_split_by_their_pixels(tmp_path: Path) -> None:
    twice = np.concatenate([noise(60), noise(60)])
    kept = add(npz(tmp_path / "a.npz", images=twice, labels=np.tile(labels(60, 2), 2)))
    assert not {image.tobytes() for image in kept.train} & {image.tobytes() for image in kept.test}


def test_split_does_not_depend_on_the_size_that_is_asked_for(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", images=noise(60), labels=labels(60, 2))
    first = add(path)
    (tmp_path / "data" / "mine").rename(tmp_path / "before")
    assert (add(path, size=8).test_labels == first.test_labels).all()


def test_class_names_beside_the_arrays_are_used(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "Müsli", "eel", "unused"])
    kept = add(medmnist(tmp_path / "a.npz", class_names=names))
    assert kept.description.classes == ("cat", "dog", "Müsli", "eel")


def test_class_names_as_objects_count_for_nothing(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "eel", "fox"], object)
    assert add(medmnist(tmp_path / "a.npz", class_names=names)).description.classes == ("0", "1", "2", "3")


class Explosive:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"train_images": np.array([Explosive()] * 20)}, "train_images in a.npz holds Python objects"),
        ({"train_labels": np.array([Explosive()] * 20)}, "train_labels in a.npz holds Python objects"),
        ({"train_images": noise(20).astype(np.float32)}, "train_images in a.npz are float32: save them as uint8"),
        ({"train_images": np.asfortranarray(noise(20))}, "is stored by columns: save it after numpy.ascontiguousarray"),
        ({"train_images": noise(20, 0, (784,))}, r"train_images in a.npz have the shape \(20, 784\): it should be"),
        ({"train_images": noise(20, 0, (28, 28, 2))}, "it should be .images, height, width., with 1 or 3 channels"),
        ({"train_images": noise(20, 0, (0, 28))}, "it should be"),
        ({"train_images": noise(2, 0, (3, 5000))}, "sides of at most 4,096"),
        ({"train_images": np.uint8(3)}, r"has the shape \(\): its first number should be that of the images"),
        ({"train_images": noise(19)}, "train_images has 19 images and 20 labels"),
        ({"train_labels": labels(20, 4).astype(float)}, "train_labels in a.npz are float64 of the shape"),
        ({"train_labels": np.eye(20, 4, dtype=np.uint8)}, r"of the shape \(20, 4\): give each image one label"),
        ({"train_labels": np.full(20, -1)}, "Some images have the label -1, which stands for none: leave them out"),
        ({"train_labels": np.arange(20), "class_names": np.array(["a", "b"])}, "only 2 class names: add them"),
        ({"train_labels": np.zeros(20, int), "test_labels": np.zeros(10, int)}, "images of only one class"),
    ],
)  # fmt: skip
def test_wrong_array_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=sentence):
        add(medmnist(tmp_path / "a.npz", **arrays))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"pictures": noise(3)}, r"a.npz should have the arrays train_images, .* y_test; it has pictures\."),
        ({}, "it has nothing"),
        ({"train_images": noise(3)}, "a.npz has train_images but no train_labels: add them"),
        ({"images": noise(0), "labels": np.zeros(0, int)}, "There are no images in it"),
    ],
)
def test_wrong_names_are_one_sentence(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        add(npz(tmp_path / "a.npz", **arrays))


def _raw(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def _header(version: bytes, text: str, length: int | None = None) -> bytes:
    size = len(text) if length is None else length  # as it is announced
    return b"\x93NUMPY" + version + size.to_bytes(2 if version == b"\1\0" else 4, "little") + text.encode()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "images in a.npz is damaged or no array: make the file again"),
        (b"hello", "is damaged or no array"),
        (_header(b"\1\0", "__import__('os').abort()\n"), "is damaged or no array"),
        (_header(b"\2\0", " " * (1 << 20), 1 << 31), "is damaged or no array"),
        (_header(b"\1\0", "{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 9, 9)}"), "its first number"),
        (_header(b"\1\0", "{'descr': '|u1', 'fortran_order': False, 'shape': (9, 9, 9)}"), "in a.npz is cut off"),
    ],
)  # fmt: skip
def test_damaged_member_is_one_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    npz(tmp_path / "labels.npz", labels=labels(9, 2))
    with zipfile.ZipFile(tmp_path / "labels.npz") as archive:
        found = archive.read("labels.npy")
    with pytest.raises(DataError, match=sentence):
        add(_raw(tmp_path / "a.npz", images=data, labels=found))


def test_file_that_is_no_zip_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"\x80\x04hello")
    with pytest.raises(DataError, match=r"a.npz is damaged or no zip file"):
        add(tmp_path / "a.npz")
