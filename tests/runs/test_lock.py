"""What the store's file system may fail to do is said in a sentence when a server starts."""

import errno
import subprocess
from pathlib import Path

import pytest

from fashion_core import files
from fashion_core.runs import lock
from fashion_core.runs.store import RunStore
from tests.support.processes import ROOT
from tests.support.refusing import python_refused

CHECK = "from pathlib import Path; from fashion_core.runs import lock; print(lock.store_problems(Path({!r})))"
SAID = {
    ("flock", errno.ENOLCK): "Locks don't work in {root} (No locks available), so two processes may write one run",
    ("flock", errno.EOPNOTSUPP): "Locks don't work in {root} (Operation not supported), so two processes may write",
    ("rename", errno.EXDEV): "can't be replaced in one step (Invalid cross-device link), so a crash may leave half",
    ("fsync", errno.EINVAL): "can't be made safe against a power cut (Invalid argument): put the runs on another disk",
}


def test_a_sound_store_has_no_problem_and_nothing_is_left_in_it(store: RunStore) -> None:
    store.root.mkdir()
    assert lock.store_problems(store.root) == []
    assert [*store.root.iterdir()] == []


def test_a_store_that_is_not_there_yet_is_not_made(store: RunStore) -> None:
    assert lock.store_problems(store.root / "later") == []
    assert not store.root.exists()


@pytest.mark.parametrize(("call", "error"), SAID)
def test_what_the_system_refuses_is_one_sentence(store: RunStore, tmp_path: Path, call: str, error: int) -> None:
    store.root.mkdir()
    program = python_refused(tmp_path, call, error)
    done = subprocess.run([program, "-c", CHECK.format(str(store.root))], cwd=ROOT, capture_output=True, text=True)
    assert SAID[call, error].format(root=store.root) in done.stdout, done.stderr
    assert done.stdout.count(str(store.root)) == 1
    assert [*store.root.iterdir()] == []


def test_where_there_is_no_flock_a_lock_still_excludes(tmp_path: Path) -> None:
    program = python_refused(tmp_path, "flock", errno.ENOSYS)  # as on Lustre mounted without it
    done = subprocess.run([program, "-c", CHECK.format(str(tmp_path))], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, "SoftFileLock" in done.stderr) == ("[]\n", True)


def test_locks_that_do_not_exclude_are_said(tmp_path: Path) -> None:
    program = python_refused(tmp_path, "flock", 0)  # it then succeeds without doing anything, as some file systems do
    done = subprocess.run([program, "-c", CHECK.format(str(tmp_path))], cwd=ROOT, capture_output=True, text=True)
    assert "(a lock that is held was given to another as well)" in done.stdout, done.stderr


@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_apart_from_that_of_the_disk_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    now = files.now
    monkeypatch.setattr(files, "now", lambda: now() + seconds)
    (said,) = lock.store_problems(tmp_path)
    assert "are 60 s apart, so a change may be missed: let NTP set both." in said


def test_a_store_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (said,) = lock.store_problems(Path("/proc/nowhere"))
    assert said.startswith("/proc/nowhere can't be used: ")


def test_locks_that_hold_on_one_host_alone_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As mounts of NFS and Lustre say it; the mount that this test has says that it can be written."""
    monkeypatch.setattr(lock, "LOCAL_LOCKS", frozenset({"rw"}))
    (said,) = lock.store_problems(tmp_path)
    assert said.startswith(f"{tmp_path} is mounted with rw, so locks hold on each host alone: mount it without that")
