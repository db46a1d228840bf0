"""What becomes of freed memory, in processes of their own: the choice is for good."""

import sys

import pytest

from tests.support.processes import python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the choices are glibc's")

STEPS, BLOCKS, BLOCK_BYTES, PAGE_BYTES = 20, 5, 20_000_000, 4096
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


def page_faults(choice: str) -> int:
    done = python(f"from fashion_core import allocator\nallocator.{choice}()\n{TAKE_BLOCKS_AGAIN_AND_AGAIN}")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_training_takes_the_same_pages_again() -> None:
    assert page_faults("keep_freed_blocks") < STEPS


def test_server_gives_each_large_block_back() -> None:
    assert page_faults("give_large_blocks_back") > STEPS * BLOCKS * BLOCK_BYTES // PAGE_BYTES // 2
