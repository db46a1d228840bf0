"""Starting processes, telling whether one still runs, and what becomes of the memory that a worker frees."""

import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from fashion_core.errors import WorkerError
from fashion_core.files import now
from fashion_core.runs import processes
from tests.support.processes import python

STEPS, BLOCKS, BLOCK_BYTES = 20, 5, 20_000_000
TAKE_BLOCKS_AGAIN_AND_AGAIN = f"""
import ctypes, resource
def step():
    blocks = [bytearray({BLOCK_BYTES}) for _ in range({BLOCKS})]
    for block in blocks:
        ctypes.memset((ctypes.c_char * {BLOCK_BYTES}).from_buffer(block), 1, {BLOCK_BYTES})
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({STEPS}):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are glibc's")
def test_training_takes_the_same_pages_again() -> None:
    environment: dict[str, Any] = {**processes.KEEP_FREED_BLOCKS}
    done = python(TAKE_BLOCKS_AGAIN_AND_AGAIN, **environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < STEPS


OUT_OF_FILES = """
import os, resource, sys
from pathlib import Path
from fashion_core.errors import FashionError
from fashion_core.runs import processes
one_more = os.dup(0) + 1  # file: the log, which leaves none for a pipe to the process
os.close(one_more - 1)
resource.setrlimit(resource.RLIMIT_NOFILE, (one_more, one_more))
try:
    processes.start_detached(["true"], Path(sys.argv[1]), {})
except FashionError as error:
    print(type(error).__name__, error)
"""


def test_process_that_the_system_does_not_start_is_one_sentence_about_processes(tmp_path: Path) -> None:
    done = python(OUT_OF_FILES, arguments=(str(tmp_path / "log"),))
    assert done.stdout == "WorkerError No process can be started: Too many open files.\n", done.stderr


def test_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="No process can be started: No such file or directory"):
        processes.start_detached([str(tmp_path / "python")], tmp_path / "log", {})


def test_child_speaks_utf_8_whatever_the_encoding_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is read as that, and so are the answers of a process with torch."""
    for name, value in {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(name, value)
    environment: Any = processes.child_environment()
    assert python("print('Größe – \\udcff')", **environment).stdout == "Größe – \\udcff\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no boot by an id")
def test_process_is_known_where_the_boot_id_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its pid and its start on this machine: it runs, and another process with its pid would not be it."""
    read_text = Path.read_text

    def refuse(path: Path, *given: Any) -> str:
        if path.name == "boot_id":
            raise PermissionError(13, os.strerror(13), str(path))
        return read_text(path, *given)

    monkeypatch.setattr(Path, "read_text", refuse)
    processes.boot_id.cache_clear()
    try:
        me = processes.identify(os.getpid())
        assert processes.seems_alive(Path(), me, heartbeat=0)
        assert not processes.seems_alive(Path(), me.model_copy(update={"started": me.started - 60}), heartbeat=0)
        assert me.boot.startswith("unknown boot")
    finally:
        processes.boot_id.cache_clear()


def test_process_that_may_not_be_looked_at_is_told_by_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    me = processes.identify(os.getpid())

    def refuse(pid: int) -> psutil.Process:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", refuse)
    assert processes.seems_alive(Path("one"), me, now())
    assert not processes.seems_alive(Path("other"), me, now() - 2 * processes.SILENCE_SECONDS)
