"""IDX files as MNIST and EMNIST have them, and what is wrong with others."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from fashion_core.errors import DataError
from tests.support.sources import add, idx, idx_folder, labels, noise, write

pytestmark = pytest.mark.usefixtures("data_root")


@pytest.mark.parametrize("pack", [False, True], ids=["unpacked", "packed"])
def test_files_as_mnist_has_them_are_kept_in_their_order(tmp_path: Path, pack: bool) -> None:
    kept = add(idx_folder(tmp_path / "mnist", pack=pack))
    assert (kept.train[:, 0] == noise(20, 20)).all()
    assert (kept.test[:, 0] == noise(10, 10)).all()
    assert (kept.train_labels == labels(20, 5)).all()
    assert kept.description.classes == ("0", "1", "2", "3", "4")
    assert kept.description.source == "IDX files in mnist"


def test_files_may_lie_where_torchvision_puts_them(tmp_path: Path) -> None:
    idx_folder(tmp_path / "mnist" / "MNIST" / "raw")
    assert add(tmp_path / "mnist").description.train == 20


def test_letters_of_emnist_stand_upright_and_have_their_names(tmp_path: Path) -> None:
    root = idx_folder(tmp_path / "letters", "emnist-letters-", pack=True, test="test")
    write(root / "emnist-letters-mapping.txt", b"0 48\n1 65 97\n2 66 98\n3 67 99\n4 68 100\n")
    kept = add(root)
    assert (kept.train[:, 0] == noise(20, 20).transpose(0, 2, 1)).all()
    assert kept.description.classes == ("0", "A/a", "B/b", "C/c", "D/d")
    assert kept.found["choice"] == "EMNIST's files hold the letters on their side: they were turned upright."


@pytest.mark.parametrize("mapping", [b"", b"a b\n", b"0\n", b"0 99999999999\n", b"\xff\xfe", b"999999999 65\n"])
def test_mapping_that_tells_nothing_counts_for_nothing(tmp_path: Path, mapping: bytes) -> None:
    root = idx_folder(tmp_path / "letters", "emnist-letters-", test="test")
    write(root / "emnist-letters-mapping.txt", mapping)
    assert add(root).description.classes == ("0", "1", "2", "3", "4")


def test_labels_that_begin_at_one_are_named_by_their_numbers(tmp_path: Path) -> None:
    root = idx_folder(tmp_path / "mnist")
    for name, count in (("train", 20), ("t10k", 10)):
        idx(root / f"{name}-labels-idx1-ubyte", labels(count, 5) + 1)
    kept = add(root)
    assert kept.description.classes == ("1", "2", "3", "4", "5")
    assert kept.train_labels.max() == 4


def test_one_side_alone_is_split(tmp_path: Path) -> None:
    idx(tmp_path / "mnist" / "train-images-idx3-ubyte", noise(120))
    idx(tmp_path / "mnist" / "train-labels-idx1-ubyte", labels(120, 3))
    kept = add(tmp_path / "mnist")
    assert kept.description.train + kept.description.test == 120
    assert kept.description.test >= 5


def test_several_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    root = idx_folder(idx_folder(tmp_path / "sets", "emnist-letters-", test="test"), "emnist-digits-", test="test")
    with pytest.raises(DataError, match=r"holds several sets \(emnist-digits, emnist-letters\): put the files of one"):
        add(root)


def test_one_of_the_files_alone_asks_for_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is one of the IDX files of a set: give the folder that holds them"):
        add(idx_folder(tmp_path / "mnist") / "train-images-idx3-ubyte")


IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def header(*shape: int, magic: bytes = b"\0\0\x08\x03") -> bytes:
    return magic + b"".join(side.to_bytes(4, "big") for side in shape)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        (IMAGES, b"\0\0\x0d\x03" + bytes(20), "t10k-images-idx3-ubyte is not an IDX file of images .* 00000d03"),
        (IMAGES, b"", "is cut off"),
        (IMAGES, header(10, 28)[:10], "is cut off"),
        (IMAGES, header(10, 28, 28) + bytes(7839), "t10k-images-idx3-ubyte is cut off: it ends before the numbers"),
        (IMAGES, header(10, 28, 28) + bytes(7841), "holds more numbers than it announces"),
        (IMAGES, header(2**32 - 1, 28, 28), "says that it holds 4294967295 × 28 × 28 numbers: it is damaged"),
        (IMAGES, header(10, 0, 28), "says that it holds 10 × 0 × 28 numbers"),
        (IMAGES, header(10, 2**31, 2**31), "it is damaged"),
        (IMAGES, header(9, 28, 28) + bytes(9 * 784), "has 9 images and 10 labels: there should be as many of both"),
        (LABELS, header(10, magic=b"\0\0\x08\x01") + bytes(9), "t10k-labels-idx1-ubyte is cut off"),
        (LABELS, header(10, 28, 28), "t10k-labels-idx1-ubyte is not an IDX file of labels"),
    ],
)
def test_wrong_file_is_one_sentence(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    root = idx_folder(tmp_path / "mnist")
    write(root / name, data)
    with pytest.raises(DataError, match=sentence):
        add(root)
    assert not (tmp_path / "data" / "mine").exists()


@pytest.mark.parametrize("damage", ["no gzip", "cut off", "flipped"])
def test_damaged_gzip_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = idx_folder(tmp_path / "mnist", pack=True) / "train-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes({"no gzip": b"hello", "cut off": bytes(data[:-3000]), "flipped": bytes(data)}[damage])
    with pytest.raises(DataError, match=r"^train-images-idx3-ubyte.gz is (damaged or no gzip file|cut off)"):
        add(tmp_path / "mnist")


def test_packed_file_without_end_is_not_unpacked_beyond_what_it_announces(tmp_path: Path) -> None:
    root = idx_folder(tmp_path / "mnist", pack=True)
    images = bytes((0, 0, 8, 3)) + np.array([20, 28, 28], ">u4").tobytes() + noise(20).tobytes()
    write(root / "train-images-idx3-ubyte.gz", gzip.compress(images + bytes(1 << 25)))
    with pytest.raises(DataError, match="holds more numbers than it announces"):
        add(root)


def test_missing_labels_are_named(tmp_path: Path) -> None:
    (idx_folder(tmp_path / "mnist") / LABELS).unlink()
    with pytest.raises(DataError, match="The IDX file with the test labels is missing: put it beside the others"):
        add(tmp_path / "mnist")
