"""Writing that a crash can't tear, and disk errors in one sentence."""

import hashlib
import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from fashion_core import files
from fashion_core.errors import ConfigError, DiskError
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


def test_file_that_is_made_meanwhile_stays_and_so_does_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    with pytest.raises(DiskError, match="file exists already; choose another name"), files.creating(path):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DiskError, match="link exists already"), files.creating(link):
        pytest.fail("it is there from the beginning")
    assert names(tmp_path) == ["file", "link"]


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
        tmp_path / name for name in (".tmp-0-0000001a", ".tmp-labels.json-00000000", ".tmp-labels.json-00000001", "0")
    )
    for path in (mine, fresh, old, whole):
        path.touch()
    os.utime(old, (0, 0))
    files.remove_temporaries(tmp_path, of_others=("labels.json",))
    assert names(tmp_path) == [fresh.name, whole.name]


def test_leftovers_are_known_for_certain_and_what_is_anyone_elses_stays(tmp_path: Path) -> None:
    (tmp_path / ".tmp-notes").touch()
    (tmp_path / ".tmp-0-0000001a").mkdir()
    (tmp_path / ".tmp-1-0000001a").symlink_to(tmp_path / ".tmp-notes")
    before = names(tmp_path)
    files.remove_temporaries(tmp_path)
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", ["a" * 255, "می\u200cشود" * 15, "👩\u200d💻" * 23], ids=len)
def test_longest_name_that_the_disk_takes_is_taken(tmp_path: Path, name: str) -> None:
    files.write_bytes(tmp_path / name, b"content")
    assert names(tmp_path) == [name]


def test_longer_name_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="its name is too long; choose a shorter one"):
        files.write_bytes(tmp_path / ("a" * 256), b"")
    with pytest.raises(DiskError, match="its name is too long; choose a shorter one"):
        files.read_bytes(tmp_path / ("a" * 256))


def test_killed_writer_of_a_long_name_leaves_what_is_known_as_a_leftover(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    with files.writing(path):
        (left,) = names(tmp_path)
    (tmp_path / left).touch()
    files.remove_temporaries(tmp_path)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("value", ["", "  "])
def test_folder_of_an_empty_variable_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_RUNS", value)
    assert files.path_of("FASHION_RUNS", "runs") == tmp_path / "runs"


def test_tilde_is_the_home_folder_which_the_system_knows_where_home_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_RUNS", "~/x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.path_of("FASHION_RUNS", "runs") == tmp_path / "x"
    monkeypatch.setenv("HOME", "")
    assert files.path_of("FASHION_RUNS", "runs") == Path(pwd.getpwuid(os.getuid()).pw_dir) / "x"


def test_tilde_of_nobody_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_RUNS", "~nobody-of-this-name/x")
    with pytest.raises(ConfigError, match="FASHION_RUNS is ~nobody-of-this-name/x, and there is no such home folder"):
        files.path_of("FASHION_RUNS", "runs")


def test_scratch_folder_is_beside_where_the_system_has_no_place_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing")])
    with files.scratch_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
        with tempfile.TemporaryFile():
            pass  # libraries find a place too
    assert names(tmp_path) == []


def test_scratch_folder_outlives_one_that_ends_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of two exports at once, where the system has no place for either."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing")])
    first = ExitStack()
    first.enter_context(files.scratch_folder(tmp_path))
    with files.scratch_folder(tmp_path) as second:
        first.close()
        assert second.is_dir()


@pytest.mark.parametrize("size", [0, 1, files._PIECE, files._PIECE + 1, 3 * files._PIECE])
def test_file_of_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    assert files.read_bytes(tmp_path / "file") == data


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"name": "größe", "numbers": [1, 0.1, None]}
    files.write_json(tmp_path / "file", value)
    assert json.loads((tmp_path / "file").read_bytes()) == value
