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


def test_write_gives_the_digest_of_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    digest = files.write_bytes(path, b"content")
    assert digest == files.digest_of(path) == files.Digest(hashlib.sha256(b"content").hexdigest(), 7)


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_bytes(path, b"old")
    files.write_bytes(path, b"new", durable=False)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_write_into_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="can't be used: it or its folder is not there"):
        files.write_bytes(tmp_path / "missing" / "file", b"")
    assert names(tmp_path) == []


def test_write_onto_a_folder_keeps_it_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(DiskError) as caught:
        files.write_bytes(path, b"")
    assert caught.value.path == path
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


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / f"{files.TEMPORARY_PREFIX}0-1a2b3c4d").write_bytes(b"half")
    (tmp_path / "0").write_bytes(b"whole")
    files.remove_temporaries(tmp_path)
    assert names(tmp_path) == ["0"]


def test_leftovers_of_what_others_write_stay_until_they_are_old(tmp_path: Path) -> None:
    fresh, old = (tmp_path / f"{files.TEMPORARY_PREFIX}labels.json-{ending}" for ending in ("00000000", "11111111"))
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    files.remove_temporaries(tmp_path, of_others=("labels.json",))
    assert names(tmp_path) == [fresh.name]


@pytest.mark.parametrize("size", [0, 1, files._PIECE, files._PIECE + 1, 3 * files._PIECE])
def test_file_of_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    assert files.read_bytes(tmp_path / "file") == data


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"name": "größe", "numbers": [1, 0.1, None]}
    files.write_json(tmp_path / "file", value)
    assert json.loads((tmp_path / "file").read_bytes()) == value
