"""``metrics.jsonl``: whole rows for readers, each batch once after going back."""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.runs import metrics
from tests.hostile.bundles import split_rows
from tests.support.files import small_disk
from tests.support.runs import batch_row, epoch_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def append_epochs(path: Path, *epochs: int) -> None:
    for epoch in epochs:
        metrics.append_row(path, epoch_row(epoch))


@pytest.mark.parametrize("kept", range(1, 40, 5))
def test_torn_last_line_is_passed_over_and_mended_by_going_back(path: Path, kept: int) -> None:
    metrics.append_row(path, batch_row(0, 0, [2.0]))
    with path.open("ab") as file:
        file.write(b'{"kind": "batch", "epoch": 0, "batch": 1'[:kept])
    assert metrics.read_rows(path) == [batch_row(0, 0, [2.0])]
    metrics.rewind(path, 0, 1)
    append_epochs(path, 0)
    assert metrics.read_rows(path) == [batch_row(0, 0, [2.0]), epoch_row(0)]


@given(
    epochs=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=4),
    position=st.tuples(st.integers(0, 4), st.integers(0, 20)),
)
def test_going_back_keeps_the_batches_before_the_position(epochs: list[list[int]], position: tuple[int, int]) -> None:
    """``epochs`` holds, for each epoch, how many batches each of its rows has."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "metrics.jsonl")
        expected: list[float] = []
        for epoch, counts in enumerate(epochs):
            first = 0
            for count in counts:
                losses = [epoch * 1000.0 + batch for batch in range(first, first + count)]  # each says its place
                metrics.append_row(path, batch_row(epoch, first + count - 1, losses))
                expected += [loss for batch, loss in enumerate(losses, first) if (epoch, batch) < position]
                first += count
            metrics.append_row(path, epoch_row(epoch))
        metrics.rewind(path, *position)
        rows = metrics.read_rows(path)
    assert [loss for row in rows if row["kind"] == "batch" for loss in row["losses"]] == expected
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == list(range(min(position[0], len(epochs))))
    assert all(loss % 1000 == row["batch"] for row in rows if row["kind"] == "batch" for loss in row["losses"][-1:])


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        (disk / "other").write_bytes(bytes(12_000))
        path = disk / "metrics.jsonl"
        with pytest.raises(DiskError, match="the disk is full"):
            metrics.append_row(path, batch_row(0, 9999, [0.123456] * 10_000))
        assert metrics.read_rows(path) == []


@pytest.mark.parametrize(("name", "text"), [*split_rows(epoch_row(7))])
def test_lines_that_are_no_rows_by_themselves_are_none_together(path: Path, name: str, text: bytes) -> None:
    append_epochs(path, 0)
    with path.open("ab") as file:
        file.write(text)
    whole = [epoch_row(0), *([epoch_row(7)] if name in ("no JSON", "an empty line") else [])]
    assert metrics.read_rows(path) == metrics.read_epochs(path) == whole
    with pytest.raises(DamagedFileError, match=r"rows can't be read and (is|are) skipped"):
        metrics.check(path, ended=True)


def test_rows_without_their_keys_are_passed_over(path: Path) -> None:
    lines = ['{"kind": "epoch"}', '{"kind": "batch", "epoch": 0}', '{"kind": ["epoch"]}', "[]", "3", ""]
    path.write_text("\n".join(lines))
    append_epochs(path, 0)
    assert metrics.read_rows(path) == [epoch_row(0)]


def new_rows(follower: metrics.Follower) -> list[metrics.Row]:
    return [row for rows in follower.new_rows() for row in rows]


def test_follower_reads_each_row_once_and_waits_for_the_rest_of_a_torn_one(path: Path) -> None:
    follower = metrics.Follower(path)
    assert new_rows(follower) == []
    append_epochs(path, 0)
    assert new_rows(follower) == [epoch_row(0)]
    append_epochs(path, 1, 2)
    torn = json.dumps(epoch_row(3)).encode() + b"\n"
    for part, read in ((torn[:10], [epoch_row(1), epoch_row(2)]), (torn[10:], [epoch_row(3)]), (b"", [])):
        with path.open("ab") as file:
            file.write(part)
        assert new_rows(follower) == read
    assert follower.restarts == 0


def write_over(path: Path) -> None:
    """The same inode, and more bytes than before: what was read last stands there no more."""
    path.write_bytes(b"".join(json.dumps(epoch_row(epoch)).encode() + b"\n" for epoch in range(6, 10)))


@pytest.mark.parametrize(
    ("change", "epochs"),
    [(lambda path: metrics.rewind(path, 1, 0), [0]), (write_over, range(6, 10)), (Path.unlink, [])],
)
def test_follower_begins_anew_where_the_file_is(path: Path, change: Callable[[Path], None], epochs: list[int]) -> None:
    follower = metrics.Follower(path)
    append_epochs(path, 0, 1, 2)
    new_rows(follower)
    change(path)
    assert new_rows(follower) == [epoch_row(epoch) for epoch in epochs]
    assert follower.restarts == 1


def test_follower_passes_over_what_is_no_row(path: Path) -> None:
    lines = [b'{"kind": "ba', json.dumps(epoch_row(0)).encode(), b"", b"[1", b"2]", json.dumps(epoch_row(1)).encode()]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert new_rows(metrics.Follower(path)) == [epoch_row(0), epoch_row(1)] == metrics.read_rows(path)


@pytest.mark.timeout(20)
def test_follower_does_not_wait_for_a_pipe(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DiskError, match="is not seekable"):
        new_rows(metrics.Follower(path))


@given(lengths=st.lists(st.integers(0, 40), max_size=20), piece=st.integers(1, 200))
def test_follower_gives_the_same_rows_whatever_the_pieces(lengths: list[int], piece: int) -> None:
    rows = [batch_row(0, number, [1.0] * length) for number, length in enumerate(lengths)]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_PIECE", piece)
        path = Path(folder, "metrics.jsonl")
        for row in rows:
            metrics.append_row(path, row)
        assert new_rows(metrics.Follower(path)) == rows


LINES = [
    b'{"kind": "epoch", "epoch": 0, "loss": 1, "accuracy": 1, "train_loss": 1, "seconds": 1, "samples_per_second": 1}',
    b'{"accuracy":0.5,"kind":"epoch","epoch":1,"loss":null,"train_loss":1,"seconds":1,"samples_per_second":1}\r',
    b'{"kind": "batch", "epoch": 0, "batch": 3, "losses": [1.0], "accuracy": 0.5}',
    b'{"kind": "batch", "epoch": 0, "batch": 3, "losses": [1.0]}',
    b'{"kind": "epoch", "accuracy": 0.',
    b"\xff",
    b"",
]


@given(lines=st.lists(st.sampled_from(LINES)), end=st.sampled_from([b"", b"\n"]))
def test_rows_of_epochs_are_those_among_all_rows(lines: list[bytes], end: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "metrics.jsonl")
        path.write_bytes(b"\n".join(lines) + end)
        assert metrics.read_epochs(path) == [row for row in metrics.read_rows(path) if row["kind"] == "epoch"]


def test_row_that_is_no_json_is_passed_over_and_counted(path: Path) -> None:
    append_epochs(path, 0, 1, 2)
    path.write_bytes(path.read_bytes().replace(b'"epoch": 1', b'"epoch" 1'))
    follower = metrics.Follower(path)
    assert new_rows(follower) == [epoch_row(0), epoch_row(2)] == metrics.read_rows(path) == metrics.read_epochs(path)
    assert follower.damaged == 1
    with pytest.raises(DamagedFileError, match="1 of its 3 rows can't be read"):
        metrics.check(path, ended=False)


@pytest.mark.parametrize(("ended", "damaged"), [(True, True), (False, False)])
def test_torn_last_row_is_damage_once_nobody_writes_any_more(path: Path, ended: bool, damaged: bool) -> None:
    append_epochs(path, 0, 1)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DamagedFileError) if damaged else nullcontext():
        metrics.check(path, ended=ended)
    follower = metrics.Follower(path)
    assert (new_rows(follower), follower.torn) == ([epoch_row(0)], True)
