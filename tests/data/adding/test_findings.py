"""What is told about the images, and what is not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from fashion_core.errors import DataError
from tests.support.images import stored
from tests.support.sources import Kept, add, both_sides, class_folders, npz, write

pytestmark = pytest.mark.usefixtures("data_root")


def names(kept: Kept, kind: str) -> list[tuple[str, ...]]:
    return [finding.names for finding in kept.report.findings if finding.kind == kind]


def test_nothing_is_told_about_a_dataset_as_it_should_be(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    arrays = {f"{half}_images": numbers.integers(0, 256, (40, 8, 8), np.uint8) for half in ("train", "test")}
    given = {f"{half}_labels": np.tile([0, 1, 1, 0], 10) for half in ("train", "test")}
    assert add(npz(tmp_path / "a.npz", **arrays, **given)).report.findings == ()


def test_class_that_is_missing_on_one_side_is_named(tmp_path: Path) -> None:
    root = class_folders(both_sides(tmp_path / "set"), {"train/eel": 6, "test/fox": 2}, start=100)
    kept = add(root)
    assert kept.counts() == {"cat": (6, 2), "dog": (6, 2), "eel": (6, 0), "fox": (0, 2)}
    assert names(kept, "one-sided class") == [("fox",), ("eel",)]


def test_class_of_which_nothing_can_be_read_is_left_out(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "set")
    write(root / "train" / "broken" / "a.png", b"hello")
    kept = add(root)
    assert kept.description.classes == ("cat", "dog")
    assert set(kept.train_labels) == {0, 1}
    assert names(kept, "empty class") == [("broken",)]


def test_duplicates_across_the_sides_are_counted_by_their_pixels(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "set")
    for number in (0, 1):
        data = (root / "train" / "cat" / f"000{number}.png").read_bytes()
        write(root / "test" / "cat" / f"copy{number}.png", data + b"other bytes, the same pixels")
    found = add(root).found
    assert found["duplicates"] == "2 test images are among the training images too, pixel for pixel."


def test_copies_on_one_side_are_counted_by_their_pixels(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "set")
    data = (root / "train" / "cat" / "0000.png").read_bytes()
    for name in ("cat", "dog"):
        write(root / "train" / name / "copy.png", data + b"other bytes, the same pixels")
    found = add(root).found
    assert found["copies"] == "2 training images are copies of others, pixel for pixel."
    assert "duplicates" not in found


@pytest.mark.parametrize(("least", "is_told"), [(5, False), (4, True)])
def test_imbalance_is_told_beyond_ten_to_one(tmp_path: Path, least: int, is_told: bool) -> None:
    counts = {"train/cat": 49, "train/dog": least - 1, "test/cat": 1, "test/dog": 1}
    kept = add(class_folders(tmp_path / "set", counts, size=(8, 8)))
    assert names(kept, "imbalance") == ([("cat", "dog")] if is_told else [])
    told = "cat has 50 images and dog 4: more than 10 times as many." if is_told else None
    assert kept.found.get("imbalance") == told


def test_class_that_outweighs_all_others_is_told(tmp_path: Path) -> None:
    counts = {f"{half}/{name}": count for half in ("train", "test") for name, count in (("a", 12), ("b", 5), ("c", 5))}
    kept = add(class_folders(tmp_path / "set", counts, size=(8, 8)))
    assert kept.found["one class"].startswith("55 % of all images are a: a model that always says so is as often right")


def test_strays_of_another_size_are_told(tmp_path: Path) -> None:
    both_sides(tmp_path / "set", 20, 5)
    kept = add(class_folders(tmp_path / "set", {"train/cat": 1}, start=100, size=(40, 40)), size=28)
    assert kept.found["one size"].startswith("50 of 51 images are 28 × 28 pixels; look at the others")
    assert kept.found["resized"] == "1 of 51 images are resized to 28 × 28 pixels."


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize(("orientation", "size"), [(1, "3000 × 2000"), (6, "2000 × 3000")])
def test_size_is_that_of_the_file_upright(tmp_path: Path, kind: str, orientation: int, size: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = stored(np.zeros((2000, 3000), np.uint8), kind, exif=exif)
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        write(tmp_path / "set" / place / "a", data)
    assert add(tmp_path / "set").found["choice"].startswith(f"The images are {size} pixels, and sides of 8 to 256 are")


def test_split_that_the_source_does_not_have_is_told(tmp_path: Path) -> None:
    kept = add(class_folders(tmp_path / "set", {"cat": 40, "dog": 40}))
    assert kept.found["choice"] == (
        "The images are not sorted into training and test images: about one in 6 is a test image, always the same ones."
    )


@pytest.mark.parametrize(("side", "missing"), [("train", "test"), ("test", "training")])
def test_side_without_a_readable_image_is_refused(tmp_path: Path, side: str, missing: str) -> None:
    root = class_folders(tmp_path / "set", {f"{side}/cat": 4, f"{side}/dog": 4})
    other = {"train": "test", "test": "train"}[side]
    write(root / other / "cat" / "a.png", b"hello")
    with pytest.raises(DataError, match=f"There are no {missing} images: add more, or sort them into train/ and test/"):
        add(root)
