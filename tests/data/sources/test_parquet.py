"""Parquet as Hugging Face writes image sets, and other tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_core.data.sources import parquet
from fashion_core.errors import DataError
from tests.support.sources import add, hugging_face, labels, picture_of, png, write

pytestmark = pytest.mark.usefixtures("data_root")

PICTURES = [png(number) for number in range(60)]
TRUTH = [int(label) for label in labels(60, 3)]
NAMES = ("cat", "dog", "Müsli")


def test_files_for_each_side_are_kept_in_their_order(tmp_path: Path) -> None:
    for number in range(2):
        part = slice(20 * number, 20 * number + 20)
        path = tmp_path / "set" / "data" / f"train-{number:05}-of-00002.parquet"
        hugging_face(path, PICTURES[part], TRUTH[part], NAMES, row_group_size=7)
    hugging_face(tmp_path / "set" / "data" / "test-00000-of-00001.parquet", PICTURES[40:], TRUTH[40:], NAMES)
    kept = add(tmp_path / "set")
    assert (kept.train[:, 0] == [picture_of(data) for data in PICTURES[:40]]).all()
    assert (kept.train_labels == TRUTH[:40]).all()
    assert (kept.test_labels == TRUTH[40:]).all()
    assert kept.description.classes == NAMES
    assert kept.description.source == "Parquet, set"


def test_one_file_is_split_by_the_bytes_of_each_picture(tmp_path: Path) -> None:
    kept = add(hugging_face(tmp_path / "set.parquet", PICTURES * 2, TRUTH * 2, NAMES))
    assert kept.description.train + kept.description.test == 120
    assert kept.description.test > 4
    assert "duplicates" not in kept.found


def test_folder_may_say_which_side_it_is(tmp_path: Path) -> None:
    hugging_face(tmp_path / "set" / "train" / "0000.parquet", PICTURES[:40], TRUTH[:40])
    hugging_face(tmp_path / "set" / "validation" / "0000.parquet", PICTURES[40:], TRUTH[40:])
    assert add(tmp_path / "set").description.train == 40


def test_last_word_for_a_side_counts(tmp_path: Path) -> None:
    hugging_face(tmp_path / "set" / "my-test-set" / "train-0.parquet", PICTURES[:40], TRUTH[:40])
    hugging_face(tmp_path / "set" / "my-test-set" / "test-0.parquet", PICTURES[40:], TRUTH[40:])
    assert add(tmp_path / "set").description.train == 40


def test_validation_beside_a_test_side_is_left_out_and_told(tmp_path: Path) -> None:
    for number, half in enumerate(("train", "validation", "test")):
        part = slice(20 * number, 20 * number + 20)
        hugging_face(tmp_path / "set" / f"{half}-0.parquet", PICTURES[part], TRUTH[part])
    kept = add(tmp_path / "set")
    assert (kept.description.train, kept.description.test) == (20, 20)
    assert "validation images" in kept.found["left out"]


def test_plain_columns_without_metadata_will_do(tmp_path: Path) -> None:
    table = pa.table({"id": TRUTH, "label": pa.array(TRUTH, pa.uint8()), "picture": PICTURES})
    pq.write_table(table, tmp_path / "set.parquet")
    assert add(tmp_path / "set.parquet").description.classes == ("0", "1", "2")


def test_picture_that_is_only_a_path_is_named_by_its_row(tmp_path: Path) -> None:
    kept = add(hugging_face(tmp_path / "set.parquet", [*PICTURES[:59], None], TRUTH, NAMES, row_group_size=7))
    (unreadable,) = [finding for finding in kept.report.findings if finding.kind == "unreadable"]
    assert unreadable.names == ("set.parquet row 59",)
    assert "It holds no picture, only perhaps a path to one." in unreadable.text


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"image": PICTURES}, "set.parquet should have a column of pictures .* a column of labels .*; it has image"),
        ({"label": TRUTH}, r"should have a column of pictures .*; it has label\."),
        ({"image": [{"bytes": {"bytes": b"x"}}] * 60, "label": TRUTH}, "should have a column of pictures .*; it has"),
        ({"image": PICTURES, "label": ["cat"] * 60}, "a column of labels .whole numbers."),
        ({"image": PICTURES, "label": [None, *TRUTH[1:]]}, "set.parquet has images without a label: leave them out"),
        ({"image": PICTURES, "label": [-1] * 60}, "Some images have the label -1, which stands for none"),
        ({"image": PICTURES, "label": [0] * 60}, "images of only one class"),
        ({"image": [b"hello"] * 60, "label": TRUTH}, "60 of 60 images can't be read, more than half; the first is "),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, "There are no images in it"),
    ],
)  # fmt: skip
def test_wrong_table_is_one_sentence(tmp_path: Path, columns: dict[str, Any], sentence: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "set.parquet")
    with pytest.raises(DataError, match=sentence):
        add(tmp_path / "set.parquet")


@pytest.mark.parametrize("damage", ["empty", "text", "cut off", "overwritten"])
def test_damaged_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = hugging_face(tmp_path / "set.parquet", PICTURES, TRUTH, NAMES, compression="zstd")
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    overwritten = data[:4] + b"\xff" * (len(data) - footer - 4) + data[-footer:]
    write(path, {"empty": b"", "text": b"hello " * 99, "cut off": data[:-9], "overwritten": overwritten}[damage])
    with pytest.raises(DataError, match=r"set.parquet is damaged or no Parquet file \(.*\): make or fetch it again\.$"):
        add(path)


@pytest.mark.parametrize("metadata", [b"", b"[]", b"{}", b'{"info": {"features": [1]}}', b"[" * 100_000])
def test_metadata_that_can_not_be_read_count_for_nothing(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({"image": PICTURES, "label": TRUTH}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "set.parquet")
    assert add(tmp_path / "set.parquet").description.classes == ("0", "1", "2")


def test_number_of_rows_is_checked_before_any_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_core.data.sources.classes.MOST_IMAGES", 59)
    with pytest.raises(DataError, match="It has 60 images, and at most 59 are possible: leave some out"):
        add(hugging_face(tmp_path / "set.parquet", PICTURES, TRUTH))


def test_row_group_of_any_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_core.data.sources.parquet._MOST_ROW_GROUP_BYTES", 1000)
    with pytest.raises(DataError, match=r"set.parquet has row groups of more than 2 GiB: write it with smaller ones"):
        add(hugging_face(tmp_path / "set.parquet", PICTURES, TRUTH))


def test_large_picture_that_many_rows_share_is_in_memory_a_few_times_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_MOST_BYTES_AT_ONCE", 16 << 20)
    large = bytes(4 << 20)
    pq.write_table(pa.table({"image": [large] * 64, "label": TRUTH[:32] * 2}), tmp_path / "set.parquet")
    before = pa.total_allocated_bytes()
    with parquet.opened(tmp_path, ["set.parquet"]) as source:
        taken = [pa.total_allocated_bytes() - before for item in source.items() if item.picture == large]
    assert len(taken) == 64
    assert max(taken) < 8 * len(large)


def test_files_with_different_class_names_are_refused(tmp_path: Path) -> None:
    hugging_face(tmp_path / "set" / "train.parquet", PICTURES, TRUTH, NAMES)
    hugging_face(tmp_path / "set" / "test.parquet", PICTURES, TRUTH, NAMES[::-1])
    with pytest.raises(DataError, match="have different class names: give those of one set"):
        add(tmp_path / "set")


def test_file_of_neither_side_among_others_is_named(tmp_path: Path) -> None:
    for name in ("train", "test", "more"):
        hugging_face(tmp_path / "set" / f"{name}.parquet", PICTURES, TRUTH)
    with pytest.raises(DataError, match=r"more.parquet should have train or test in its name, as the files beside it"):
        add(tmp_path / "set")


def test_labels_may_be_integers_of_any_width(tmp_path: Path) -> None:
    for kind in ("int8", "uint64"):
        table = pa.table({"image": PICTURES, "label": np.array(TRUTH, kind)})
        pq.write_table(table, tmp_path / f"{kind}.parquet")
        assert add(tmp_path / f"{kind}.parquet").description.classes == ("0", "1", "2")
        (tmp_path / "data" / "mine").rename(tmp_path / f"of {kind}")
