"""What becomes of freed memory, in processes of their own: the choice is for good."""

import sys

import pytest
from helpers import python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the choices are glibc's")

STEPS, BLOCK_BYTES, PAGE_BYTES = 20, 40_000_000, 4096
TAKE_A_BLOCK_AGAIN_AND_AGAIN = f"""
import ctypes, resource
def step():
    block = bytearray({BLOCK_BYTES})
    ctypes.memset((ctypes.c_char * {BLOCK_BYTES}).from_buffer(block), 1, {BLOCK_BYTES})
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({STEPS}):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(choice: str) -> int:
    done = python(f"from fashion_core import allocator\nallocator.{choice}()\n{TAKE_A_BLOCK_AGAIN_AND_AGAIN}")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_training_takes_the_same_pages_again() -> None:
    assert page_faults("keep_freed_blocks") < STEPS


def test_server_gives_each_large_block_back() -> None:
    assert page_faults("give_large_blocks_back") > STEPS * BLOCK_BYTES // PAGE_BYTES // 2
