"""Re-read saved files and compare them with their facts; what is damaged is marked, never deleted."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fashion_core import files
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.runs import Run, utc_now
from fashion_core.schema import Mark, Marks

_AT_ONCE = min(4, os.cpu_count() or 1)
"""Files hashed side by side: hashing leaves Python's lock, and disks answer several readers faster than one."""


@dataclass(frozen=True)
class Verified:
    """One saved file: its run's id, its path below the run folder, and what is wrong with it, or None."""

    run: str
    file: str
    reason: str | None

    @property
    def ok(self) -> bool:
        """Whether it is what its facts say."""
        return self.reason is None


def count_files(runs: Sequence[Run]) -> int:
    """How many saved files ``verify`` will read."""
    return sum(len(run.saved_files()) for run in runs)


def verify(runs: Sequence[Run]) -> Iterator[Verified]:
    """Each saved file of each run as soon as it is read, in order; a run's marks are written after its last file.

    Raises ``DiskError`` if the marks can't be written.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for run in runs:
            saved = run.saved_files()
            results = pool.map(_verify_one, [run] * len(saved), saved)
            yield from _marked(run, results)


def _marked(run: Run, results: Iterator[Verified]) -> Iterator[Verified]:
    marks, checked = {}, utc_now()
    for result in results:
        marks[result.file] = Mark(checked=checked, reason=result.reason)
        yield result
    if marks and run.record_path.exists():  # else it has been deleted meanwhile
        run.write_marks(Marks(files=marks))


def _verify_one(run: Run, file: Path) -> Verified:
    return Verified(run.id, run.name_of(file), _reason(run, file))


def _reason(run: Run, file: Path) -> str | None:
    try:
        facts = run.facts(file)
        if facts is None:
            return None if not run.facts_path(file).exists() else "the file is missing"
        found = files.digest_of(file)
    except (DamagedFileError, DiskError) as error:
        return str(error).rstrip(".") if run.facts_path(file).exists() else None  # deleted meanwhile
    if files.Digest(facts.sha256, facts.bytes) != found and run.facts(file) != facts:
        return _reason(run, file)  # it was saved again meanwhile
    if found.bytes != facts.bytes:
        return f"it has {found.bytes:,} bytes instead of {facts.bytes:,}"
    return None if found.sha256 == facts.sha256 else "its SHA-256 is not the one that was recorded"
