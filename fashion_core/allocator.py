"""How glibc hands freed memory back to the system: what a process chooses once, for as long as it lives.

By itself glibc gives back the top of its heap whenever enough is free there, and begins to keep large blocks once one
was freed. Other systems and C libraries are left as they are.
Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

import ctypes
import functools
import sys
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Their numbers in malloc.h."""
_LARGE_BYTES: Final = 128 * 1024
_LARGEST_BYTES: Final = 32 * 1024 * 1024
"""Older versions of glibc refuse a higher threshold for a block of its own."""
_NEVER: Final = 1 << 30


@functools.cache
def give_large_blocks_back() -> None:
    """A block goes back when it is freed: for a process that lives long and seldom holds much."""
    _choose(_M_MMAP_THRESHOLD, _LARGE_BYTES)


@functools.cache
def keep_freed_blocks() -> None:
    """Hardly one goes back: for a process that takes the same blocks again at once, as each step of training does.

    Else the system would clear each page of a step's gradients anew: 900 page faults a step of the MLP in bf16.
    """
    _choose(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
    _choose(_M_TRIM_THRESHOLD, _NEVER)


def _choose(option: int, bytes_: int) -> None:
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        accepted = ctypes.CDLL(None).mallopt(option, bytes_)
        assert accepted, f"glibc refused {bytes_:,} bytes for its option {option}"
