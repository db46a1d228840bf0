"""What becomes of the memory that a worker frees, in a process of its own: glibc reads its settings once."""

import sys
from typing import Any

import pytest

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
