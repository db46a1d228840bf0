"""Re-read saved files and compare them with their facts; what is damaged is marked, never deleted.

What a run says about itself is read too: where it is damaged, it is named beside the saved files.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fashion_core import files
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.saved_files import OTHER_DIGEST
from fashion_core.runs.schema import FileInfo, FileVerification, Verification

_AT_ONCE = min(4, os.cpu_count() or 1)
"""Files hashed side by side: hashing leaves Python's lock, and disks answer several readers faster than one."""


@dataclass(frozen=True)
class Verified:
    """One file: its run's id, its path below the run folder, and what is wrong with it, or None."""

    run: str
    file: str
    reason: str | None

    @property
    def ok(self) -> bool:
        """Whether it is what its facts say."""
        return self.reason is None


def count_files(runs: Sequence[Run]) -> int:
    """How many saved files ``verify`` will read."""
    return sum(len(_saved_files(run)) for run in runs)


def _saved_files(run: Run) -> list[Path]:
    """None of a folder that can't be read, which ``damaged_records`` names."""
    with suppress(DiskError):
        return run.saved_files()
    return []


def verify(runs: Sequence[Run]) -> Generator[Verified]:
    """Each saved file of each run as soon as it is read, in order, after the run's damaged records.

    A run's marks are written after its last file; where that fails, they are named as damaged.
    """
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for run in runs:
            yield from damaged_records(run)
            yield from _named(run, partial(_check_metrics, run))
            saved = _saved_files(run)
            marks = pool.map(_look_at, [run] * len(saved), saved)
            yield from _marked(run, saved, marks)
    finally:
        pool.shutdown(cancel_futures=True)  # whoever leaves early waits for the files in hand alone


def damaged_records(run: Run) -> Iterator[Verified]:
    """Which of the small files that a run keeps about itself is damaged; its metrics may be long, and are left out."""
    yield from _named(run, run.refuse_links)
    yield from _named(run, lambda: run.record)
    yield from _named(run, lambda: run.labels)
    yield from _named(run, run.read_status)
    yield from _named(run, lambda: run.load_check)
    yield from _named(run, run.check_load_losses)
    yield from _named(run, lambda: run.verification)


def _check_metrics(run: Run) -> None:
    metrics.check(run.metrics_path, ended=run.ended_cleanly())


def _named(run: Run, read: Callable[[], object]) -> Iterator[Verified]:
    """Which file is damaged, by what reading it raises."""
    try:
        read()
    except (DamagedFileError, DiskError) as error:
        if run.path.exists():  # else it has been deleted meanwhile
            yield Verified(run.id, run.name_of(error.path), _reason(error))


def _reason(error: DamagedFileError | DiskError) -> str:
    return error.reason if isinstance(error, DamagedFileError) else str(error).rstrip(".")


def _marked(run: Run, saved: Sequence[Path], marks: Iterator[FileVerification]) -> Iterator[Verified]:
    found = {}
    for path, mark in zip(saved, marks, strict=True):
        found[run.name_of(path)] = mark
        yield Verified(run.id, run.name_of(path), mark.reason)
    if found and run.record_path.exists():  # else it has been deleted meanwhile
        yield from _named(run, lambda: run.write_verification(Verification(files=found)))


def _look_at(run: Run, file: Path) -> FileVerification:
    try:
        facts = run.file_info(file)
        if facts is None:
            return FileVerification(sha256="", reason="the file is missing" if run.info_path(file).exists() else None)
        found = files.digest_of(file)
    except (DamagedFileError, DiskError) as error:
        still_listed = run.info_path(file).exists()
        return FileVerification(sha256="", reason=_named_reason(error) if still_listed else None)
    if files.Digest(facts.sha256, facts.bytes) != found and run.file_info(file) != facts:
        return _look_at(run, file)  # it was saved again meanwhile
    return FileVerification(sha256=facts.sha256, reason=_difference(facts, found))


def _named_reason(error: DamagedFileError | DiskError) -> str:
    return f"{error.path.name} is damaged: {error.reason}" if isinstance(error, DamagedFileError) else _reason(error)


def _difference(facts: FileInfo, found: files.Digest) -> str | None:
    if found.bytes != facts.bytes:
        return f"it has {found.bytes:,} bytes instead of {facts.bytes:,}"
    return None if found.sha256 == facts.sha256 else OTHER_DIGEST
