"""Writing that a crash can't tear, and disk errors in one sentence."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_core import files
from fashion_core.errors import DiskError
from tests.support.files import small_disk
from tests.support.processes import ROOT, wait_until


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [True, False])
def test_write_replaces_gives_the_digest_and_leaves_nothing_else(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    digest = files.write_bytes(path, b"content", durable=durable)
    assert digest == files.digest_of(path) == files.Digest(hashlib.sha256(b"content").hexdigest(), 7)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("name", "reason"), [("missing/file", "it or its folder does not exist"), ("taken", "it is a folder")]
)
def test_write_where_no_file_can_be_is_one_sentence_and_leaves_nothing(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(DiskError, match=f"can't be used: {reason}") as caught:
        files.write_bytes(tmp_path / name, b"")
    assert caught.value.path == tmp_path / name
    assert names(tmp_path) == ["taken"]


def test_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "file"
        files.write_bytes(path, b"old")
        with pytest.raises(DiskError, match=r"the disk is full; free some space"):
            files.write_bytes(path, bytes(100_000))
        assert path.read_bytes() == b"old"
        assert names(disk) == ["file"]


def test_a_reader_sees_old_or_new_and_never_a_part(tmp_path: Path) -> None:
    """While another process writes as fast as it can, and after it is killed in the midst of it."""
    path = tmp_path / "file"
    contents = [letter * 1_000_000 for letter in (b"a", b"b")]
    code = (
        "import sys\nfrom pathlib import Path\nfrom fashion_core import files\n"
        "while True:\n    for letter in (b'a', b'b'):\n"
        "        files.write_bytes(Path(sys.argv[1]), letter * 1_000_000, durable=False)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT)
    try:
        wait_until(path.exists, "the first write is done")
        seen = {path.read_bytes() for _ in range(300)}
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert seen <= set(contents)
    assert path.read_bytes() in contents


def test_leftovers_of_a_killed_writer_are_removed_those_of_other_files_once_they_are_old(tmp_path: Path) -> None:
    mine, fresh, old, whole = (
        tmp_path / name for name in (".tmp-0-1a", ".tmp-labels.json-0", ".tmp-labels.json-1", "0")
    )
    for path in (mine, fresh, old, whole):
        path.touch()
    os.utime(old, (0, 0))
    files.remove_temporaries(tmp_path, of_others=("labels.json",))
    assert names(tmp_path) == [fresh.name, whole.name]


@pytest.mark.parametrize("size", [0, 1, files._PIECE, files._PIECE + 1, 3 * files._PIECE])
def test_file_of_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    assert files.read_bytes(tmp_path / "file") == data


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"name": "größe", "numbers": [1, 0.1, None]}
    files.write_json(tmp_path / "file", value)
    assert json.loads((tmp_path / "file").read_bytes()) == value
