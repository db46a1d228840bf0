"""A program whose system refuses some calls, as a file system without them does: a seccomp filter of Linux.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

_NUMBERS = {
    "x86_64": {"flock": (73,), "fsync": (74,), "rename": (82, 264, 316)},
    "aarch64": {"flock": (32,), "fsync": (82,), "rename": (38, 276)},
}
_LOAD_NUMBER, _EQUAL, _RETURN = (0x20, 0, 0, 0), 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


def refuse(call: str, number: int) -> None:
    """Let every such call of this process, and of those it becomes or starts, fail with this error from now on."""
    steps = [_LOAD_NUMBER]
    for one in _NUMBERS[platform.machine()][call]:
        steps += [(_EQUAL, 0, 1, one), (_RETURN, 0, 0, _FAIL | number)]
    program = b"".join(struct.pack("HBBI", *step) for step in [*steps, (_RETURN, 0, 0, _ALLOW)])
    kept = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(kept)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SET_SECCOMP, _FILTER, header, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def python_refused(folder: Path, call: str, error: int) -> Path:
    """A Python in this folder whose system refuses such calls."""
    if sys.platform != "linux" or platform.machine() not in _NUMBERS:
        pytest.skip("refuses calls with a filter that only Linux has")
    program = folder / f"python-without-{call}"
    lines = (
        f"#!{sys.executable}",
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})",
        f"from tests.support.refusing import refuse; refuse({call!r}, {error})",
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])",
    )
    program.write_text("\n".join(lines))
    program.chmod(0o755)
    return program
