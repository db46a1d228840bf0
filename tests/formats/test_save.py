"""Saving for good: no kill and no full disk tears a file that is listed, and nothing half-made stays behind."""

import hashlib
import io
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fashion_core import files
from fashion_core.errors import DiskError
from fashion_core.formats import save
from fashion_core.models import build_model
from fashion_core.runs.store import RunStore
from tests.benchmarks.saving import mlp_checkpoint
from tests.benchmarks.stores import info_of
from tests.support.files import small_disk
from tests.support.processes import python
from tests.support.runs import new_run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def in_memory(content: save.Checkpoint | nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def content() -> save.Checkpoint:
    return mlp_checkpoint()


def test_file_holds_the_bytes_that_plain_torch_save_makes(tmp_path: Path, content: save.Checkpoint) -> None:
    path = tmp_path / "file"
    for what in (content, content["model_state_dict"], build_model("cnn", seed=0), {}):
        digest = save.save(path, what)
        written = path.read_bytes()
        assert written == in_memory(what)
        assert digest == files.Digest(hashlib.sha256(written).hexdigest(), len(written))


@contextmanager
def system_calls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is opened for writing, synced, renamed and removed, in this order; the calls are real and only noted.

    A temporary file goes by the name that it is for; a synced one has its size at that moment.
    """
    calls: list[str] = []
    recording, fsync = True, os.fsync

    def named(path: Any) -> str:
        name = str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else str(path)
        return f"temporary {name[5:-9]}" if name.startswith(files.TEMPORARY_PREFIX) else name

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if recording and event == "open" and arguments[1] not in (None, "r", "rb"):
            calls.append(f"open {named(arguments[0])}")
        elif recording and event == "os.rename":
            calls.append(f"rename {named(arguments[0])} to {named(arguments[1])}")
        elif recording and event == "os.remove":
            calls.append(f"remove {named(arguments[0])}")

    def note_and_sync(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        path = next(path for path in (folder, *folder.iterdir()) if os.path.samestat(path.stat(), status))
        calls.append(f"sync {named(path)}" if path == folder else f"sync {named(path)} of {status.st_size} bytes")

    sys.addaudithook(note)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", note_and_sync)
        yield calls
    recording = False


def test_each_file_is_on_the_disk_before_it_has_its_name_and_the_facts_come_last(
    store: RunStore, content: save.Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(store)
    path = run.checkpoint_path(0)
    with system_calls(path.parent, monkeypatch) as calls:
        run.write_info(path, info_of(digest=save.save(path, content)))
    assert calls == [
        "open temporary 0",
        f"sync temporary 0 of {path.stat().st_size} bytes",
        "rename temporary 0 to 0",
        "sync .",
        "open temporary 0.json",
        f"sync temporary 0.json of {run.info_path(path).stat().st_size} bytes",
        "rename temporary 0.json to 0.json",
        "sync .",
    ]


def test_old_facts_are_gone_for_good_before_the_file_changes(store: RunStore, content: save.Checkpoint) -> None:
    run = new_run(store)
    path, size = run.partial_path, len(in_memory(content))
    run.write_info(path, info_of(digest=save.save(path, content)))
    with pytest.MonkeyPatch.context() as patch, system_calls(path.parent, patch) as calls:
        save.save(path, content, before_replacing=lambda: run.unlist(path))
        run.write_info(path, info_of(digest=files.digest_of(path)))
        run.remove_saved(path)
    found = [call for call in calls if not call.startswith("open ") and "temporary partial.json" not in call]
    saving = [f"sync temporary partial of {size} bytes", "remove partial.json", "sync ."]
    removing = ["remove partial.json", "sync .", "remove partial"]
    assert found == [*saving, "rename temporary partial to partial", "sync .", "sync .", *removing]


@pytest.mark.parametrize("room", [0, 4, 1_000, 4_000, 7_848, 7_852])
def test_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path, content: save.Checkpoint, room: int) -> None:
    """With so many free kilobytes, where 7,856 are needed: it ends at the first bytes, in the middle or at the last."""
    with small_disk(tmp_path / "disk", 8_192) as disk:
        path, others = disk / "0", disk / "others"
        save.save(path, {"epoch": 0})
        old = path.read_bytes()
        others.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - room * 1024))
        with pytest.raises(DiskError, match="0 can't be used: the disk is full; free some space there and try again"):
            save.save(path, content)
        assert path.read_bytes() == old
        assert names(disk) == ["0", "others"]
        os.truncate(others, others.stat().st_size - (7_856 - room) * 1024)
        save.save(path, content)
        assert files.digest_of(path).bytes == len(in_memory(content))


TOO_LARGE = "file can't be used: the disk or this user's limit allows no file that large"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to write a file of this process beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_error_that_torch_hides_or_that_is_passed_over_is_told(tmp_path: Path, content: save.Checkpoint) -> None:
    path = tmp_path / "file"
    passed_over = suppress(OSError)
    with largest_file(100_000), pytest.raises(DiskError, match=TOO_LARGE), files.writing(path) as file, passed_over:
        file.write(bytes(200_000))
    assert names(tmp_path) == []
    save.save(path, {})
    with largest_file(100_000), pytest.raises(DiskError, match=TOO_LARGE) as caught:
        save.save(path, content)
    assert isinstance(caught.value.__cause__, OSError)
    assert (path.read_bytes(), names(tmp_path)) == (in_memory({}), ["file"])


def test_content_that_can_not_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save.save(path, {})
    with pytest.raises(AttributeError, match="Can't pickle"):
        save.save(path, {"weight": torch.ones(10), "function": lambda: None})
    assert path.read_bytes() == in_memory({})
    assert names(tmp_path) == ["file"]


MEMORY = """
import torch
from pathlib import Path
from fashion_core.formats import save

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

path = Path({path!r})
content = {{str(index): torch.full(({megabytes} * 50_000,), 1.0) for index in range(5)}}
save.save(path, {{"warm": torch.ones(100_000)}})
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
before = peak()
save.save(path, content)
print(peak() - before, path.stat().st_size)
path.unlink()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process's peak anew")
@pytest.mark.parametrize("megabytes", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_large_file_is_saved_without_a_copy_in_memory(tmp_path: Path, megabytes: int) -> None:
    """The peak grows by far less than the one copy that would be bearable; ``content`` itself stands there before."""
    done = python(MEMORY.format(path=str(tmp_path / "file"), megabytes=megabytes))
    assert done.returncode == 0, done.stderr
    added, size = map(int, done.stdout.split())
    print(f"{added / 1e6:.1f} MB more memory for a file of {size / 1e6:.1f} MB")
    assert size > megabytes * 1_000_000
    assert added < size / 10
