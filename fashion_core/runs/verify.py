"""Re-read records and saved files, and compare files with what is recorded of them; nothing is deleted."""

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
from fashion_core.runs.saved_files import OTHER_DIGEST, damage_of
from fashion_core.runs.schema import FileVerification, Verification

# Files hashed side by side: hashing releases Python's lock, and disks answer several readers faster than one.
_AT_ONCE = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Verified:
    """One file by its path below the run folder, and what is wrong with it, or None."""

    run: str
    file: str
    reason: str | None

    @property
    def ok(self) -> bool:
        return self.reason is None


def count_files(runs: Sequence[Run]) -> int:
    return sum(len(_saved_files(run)) for run in runs)


def _saved_files(run: Run) -> list[Path]:
    with suppress(DiskError):  # of a folder that can't be read, which ``damaged_records`` names
        return run.saved_files()
    return []


def verify(runs: Sequence[Run]) -> Generator[Verified]:
    """Each saved file of each run as soon as it is read, in order, after the run's damaged records."""
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for run in runs:
            yield from damaged_records(run)
            yield from _damage_in(run, partial(_check_metrics, run))
            saved = _saved_files(run)
            names, found = [run.name_of(file) for file in saved], {}
            for name, one in zip(names, pool.map(partial(_verify_file, run), saved), strict=True):
                found[name] = one
                yield Verified(run.id, name, one.reason)
            if found and run.record_path.exists():  # else it has been deleted meanwhile
                yield from _damage_in(run, partial(run.write_verification, Verification(files=found)))
    finally:
        pool.shutdown(cancel_futures=True)  # a caller that leaves early waits for the files in hand alone


def damaged_records(run: Run) -> Iterator[Verified]:
    """Which of the records of a run are damaged, all but its metrics: they may be long."""
    properties = (lambda: run.record, lambda: run.labels, run.read_status, lambda: run.load_check)
    for read in (run.refuse_links, *properties, run.check_load_losses, lambda: run.verification):
        yield from _damage_in(run, read)


def _check_metrics(run: Run) -> None:
    metrics.check(run.metrics_path, ended=run.ended_cleanly())


def _damage_in(run: Run, read: Callable[[], object]) -> Iterator[Verified]:
    """Yield the file that an error names as damaged, if reading raises one."""
    try:
        read()
    except (DamagedFileError, DiskError) as error:
        if run.path.exists():  # else it has been deleted meanwhile
            yield Verified(run.id, run.name_of(error.path), error.reason)


def _verify_file(run: Run, file: Path) -> FileVerification:
    try:
        info = run.file_info(file)
        if info is None:
            return FileVerification(sha256="", reason="the file is missing" if run.info_path(file).exists() else None)
        found = files.digest_of(file)
    except (DamagedFileError, DiskError) as error:
        is_damaged, still_listed = isinstance(error, DamagedFileError), run.info_path(file).exists()
        reason = f"{error.path.name} is damaged: {error.reason}" if is_damaged else error.reason
        return FileVerification(sha256="", reason=reason if still_listed else None)
    if found == files.Digest(info.sha256, info.bytes):
        return FileVerification(sha256=info.sha256, reason=None)
    if run.file_info(file) != info:
        return _verify_file(run, file)  # it was saved again meanwhile
    size = damage_of(run.name_of(file), found.bytes, info, Verification())
    return FileVerification(sha256=info.sha256, reason=size or OTHER_DIGEST)
