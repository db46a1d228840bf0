"""Folders of class folders: how they are understood, and what is left out of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from fashion_core.data.sources import layout
from fashion_core.errors import DataError
from tests.support.images import stored
from tests.support.sources import add, both_sides, class_folders, png, write

pytestmark = pytest.mark.usefixtures("data_root")


def test_training_and_test_folders_are_kept_apart(tmp_path: Path) -> None:
    kept = add(both_sides(tmp_path / "pets"))
    assert kept.counts() == {"cat": (6, 2), "dog": (6, 2)}
    assert kept.description.source == "class folders in pets"


def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    pictures = {name: np.full((28, 28), level, np.uint8) for name, level in (("black", 0), ("white", 255))}
    for half in ("train", "test"):
        for name, pixels in pictures.items():
            write(tmp_path / "pets" / half / name / "a.png", stored(pixels))
    kept = add(tmp_path / "pets")
    for name, pixels in pictures.items():
        assert (kept.of_class(name) == pixels).all()


def test_folders_without_sides_are_split_by_the_bytes_of_each_file(tmp_path: Path) -> None:
    kept = add(class_folders(tmp_path / "pets", {"cat": 150, "dog": 150}))
    assert 25 <= kept.description.test <= 75  # one in six


def test_split_does_not_depend_on_names_nor_on_what_else_is_there(tmp_path: Path) -> None:
    few = add(class_folders(tmp_path / "few", {"cat": 30, "dog": 30}))
    (tmp_path / "data" / "mine").rename(tmp_path / "before")
    renamed = class_folders(tmp_path / "many", {"cat": 30, "dog": 30, "eel": 30})
    for path in renamed.rglob("*.png"):
        path.rename(path.with_name(f"x{path.name}"))
    tests = {image.tobytes() for image in add(renamed).test}
    assert {image.tobytes() for image in few.test} <= tests
    assert not {image.tobytes() for image in few.train} & tests


def test_the_same_file_twice_lies_on_one_side(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "pets", {"cat": 40, "dog": 40})
    for path in list(root.rglob("*.png")):
        write(path.with_name(f"copy-{path.name}"), path.read_bytes())
    kept = add(root)
    assert "duplicates" not in kept.found
    assert not {image.tobytes() for image in kept.train} & {image.tobytes() for image in kept.test}


def test_the_same_folder_gives_the_same_digest(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "pets", {"cat": 30, "dog": 30})
    first = add(root).description.sha256
    (tmp_path / "data" / "mine").rename(tmp_path / "before")
    assert add(root).description.sha256 == first


def test_sorted_classes_are_mixed(tmp_path: Path) -> None:
    kept = add(both_sides(tmp_path / "pets", 40, 40))
    assert set(kept.train_labels[:12]) == {0, 1}
    assert "order" in kept.found


def test_folders_around_the_classes_do_not_matter(tmp_path: Path) -> None:
    both_sides(tmp_path / "a" / "b" / "c")
    write(tmp_path / "a" / "README.md", b"pets")
    kept = add(tmp_path / "a")
    assert kept.description.classes == ("cat", "dog")
    assert kept.found["left out"] == "1 file lies in no class folder and is left out."


def test_folders_inside_a_class_belong_to_it(tmp_path: Path) -> None:
    counts = {f"{half}/{name}/{year}": 2 for half in ("train", "test") for name in ("cat", "dog") for year in "12"}
    assert add(class_folders(tmp_path / "pets", counts)).counts() == {"cat": (4, 4), "dog": (4, 4)}


def test_validation_stands_in_for_a_test_side(tmp_path: Path) -> None:
    counts = {"Training/cat": 3, "Training/dog": 3, "valid/cat": 1, "valid/dog": 1}
    assert add(class_folders(tmp_path / "pets", counts)).counts() == {"cat": (3, 1), "dog": (3, 1)}


def test_validation_beside_a_test_side_is_left_out_and_told(tmp_path: Path) -> None:
    root = class_folders(both_sides(tmp_path / "pets"), {"val/cat": 3}, start=100)
    kept = add(root)
    assert kept.counts() == {"cat": (6, 2), "dog": (6, 2)}
    assert [finding.names for finding in kept.report.findings if "validation" in finding.text] == [("val",)]


def test_classes_called_train_and_test_are_classes(tmp_path: Path) -> None:
    assert add(class_folders(tmp_path / "toys", {"train": 40, "test": 40})).description.classes == ("test", "train")


def test_side_without_class_folders_beside_one_with_them_is_refused(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "pets", {"train/cat": 20, "train/dog": 20, "test": 20})
    with pytest.raises(DataError, match=r"^train/ holds class folders and test/ holds none: sort the images"):
        add(root)
    (root / "test").rename(tmp_path / "taken away")
    assert add(root).description.classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["train/cat/all.parquet", "old/train-images-idx3-ubyte"])
def test_stray_file_of_another_kind_does_not_hide_class_folders(tmp_path: Path, name: str) -> None:
    root = both_sides(tmp_path / "pets")
    write(root / name, b"x")
    with pytest.raises(DataError, match=f"pets holds folders of pictures, and also {name}: take away"):
        add(root)


def test_links_are_not_followed(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "pets")
    (root / "train" / "cat" / "secret.png").symlink_to(write(tmp_path / "secret.png", png(999)))
    (root / "train" / "eel").symlink_to(class_folders(tmp_path / "else", {"eel": 3}) / "eel")
    kept = add(root)
    assert kept.counts() == {"cat": (6, 2), "dog": (6, 2)}
    (left_out,) = [finding for finding in kept.report.findings if finding.kind == "left out"]
    assert left_out.text == "2 links that may lead out of it are not followed."
    assert left_out.names == ("train/cat/secret.png", "train/eel")


def test_folder_of_links_alone_says_why_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "a.png").symlink_to(write(tmp_path / "a.png", png(0)))
    with pytest.raises(DataError, match=r"pets holds only links, which are not followed: copy the files"):
        add(tmp_path / "pets")


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "pets")
    os.mkfifo(root / "train" / "cat" / "pipe.png")
    assert add(root).found["left out"] == "1 pipe or device is not opened."


def test_what_systems_leave_is_no_image_and_no_class(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "pets")
    for name in (".DS_Store", "Thumbs.db", ".cache/a.png", "cat/.hidden"):
        write(root / "train" / name, b"x")
    kept = add(root)
    assert kept.counts() == {"cat": (6, 2), "dog": (6, 2)}
    assert set(kept.found) == {"order"}


def test_empty_folder_is_told_and_is_no_class(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "pets")
    (root / "train" / "eel").mkdir()
    kept = add(root)
    assert kept.description.classes == ("cat", "dog")
    assert kept.found["empty class"] == "1 folder is empty and is no class."


def test_names_may_be_of_any_script(tmp_path: Path) -> None:
    names = ("猫", "Müßiggänger", "🦊 fox", "كلب")
    kept = add(class_folders(tmp_path / "pets", dict.fromkeys(names, 20)))
    assert set(kept.description.classes) == set(names)


def test_name_of_many_lines_or_characters_becomes_one_short_line(tmp_path: Path) -> None:
    kept = add(class_folders(tmp_path / "pets", {"a\nb": 20, "x" * 200: 20}))
    first, second = kept.description.classes
    assert (first, len(second)) == ("a�b", 80)


def test_names_that_are_no_text_are_told_as_far_as_they_are(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    counts = {f"{half}/{name}": 4 for half in ("train", "test") for name in (os.fsdecode(b"\xfe"), "dog")}
    write(class_folders(root, counts) / "train" / "dog" / os.fsdecode(b"\xfd.png"), b"hello")
    kept = add(root)
    assert kept.description.classes == ("dog", "�")
    assert kept.description.source == "class folders in �"
    assert ("train/dog/�.png",) in [finding.names for finding in kept.report.findings]


def test_two_names_that_become_the_same_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^The classes a.b and a.b would both be called a�b: rename one of them\.$"):
        add(class_folders(tmp_path / "pets", {"a\nb": 2, "a\rb": 2}))


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, "There are no images in it: check that it is the right place."),
        ({".": 3}, "There are no class folders in .*pets: put the images of each class into a folder of its name"),
        ({"cat": 12}, "There are images of only one class: a classifier needs at least 2"),
        ({f"{number}": 1 for number in range(1001)}, "and at most 1,000 are possible: merge some or leave some out"),
    ],
    ids=["empty", "no classes", "one class", "many classes"],
)
def test_what_is_no_dataset_is_one_sentence(tmp_path: Path, counts: dict[str, int], sentence: str) -> None:
    (tmp_path / "pets").mkdir()
    with pytest.raises(DataError, match=sentence):
        add(class_folders(tmp_path / "pets", counts, size=(8, 8)))


def test_too_many_files_are_refused_while_they_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_core.data.sources.folders.MOST_FILES", 10)
    assert layout.MOST_FILES > 10
    with pytest.raises(DataError, match="pets holds more than 10 files: join them into Parquet files"):
        add(both_sides(tmp_path / "pets"))
