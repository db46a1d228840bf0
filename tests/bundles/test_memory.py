"""The size of a bundle needs no memory."""

import sys
from pathlib import Path

import pytest

from fashion_core.bundles.layout import MAX_ALL_BYTES, MAX_ALL_VALUES, MAX_TEXT_BYTES, MAX_VALUES, Budget
from fashion_core.runs.store import RunStore
from tests.support.bundles import small_run
from tests.support.processes import python

MEGABYTES = 150
_CODE = """
import sys
from pathlib import Path
from fashion_core.bundles import unbundle, write
from fashion_core.runs.store import RunStore
store, other, path = RunStore(Path(sys.argv[1])), RunStore(Path(sys.argv[2])), Path(sys.argv[3])
write.bundle(store, store.runs(), path)
assert unbundle.unbundle(other, path).made
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.parametrize(
    ("record", "most"), [(b"," * MAX_VALUES, MAX_ALL_VALUES // MAX_VALUES), (b" " * (1 << 20), MAX_ALL_BYTES >> 20)]
)
def test_records_of_one_bundle_share_what_they_may_hold(record: bytes, most: int) -> None:
    budget = Budget()
    assert all(budget.take(record) for _ in range(most))
    assert not budget.take(record)


def test_record_of_too_many_values_is_none() -> None:
    assert not Budget().take(b"[{}" * MAX_VALUES)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_a_member_of_a_quarter_of_a_gigabyte_passes_through_piece_by_piece(store: RunStore, tmp_path: Path) -> None:
    run = small_run(store)
    with run.log_path.open("wb") as log:
        log.truncate(MAX_TEXT_BYTES)
    places = (str(store.root), str(tmp_path / "other"), str(tmp_path / "runs.zip"))
    done = python(_CODE, arguments=places)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) / 1024 < MEGABYTES
