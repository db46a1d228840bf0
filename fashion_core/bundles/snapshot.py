"""What of a run goes into a bundle, as its folder is at this moment: what a kill at this moment would leave.

A worker may be at work meanwhile. So the status comes first, and all that it speaks of is there by then; each file is
opened before its record is read, and what is deleted after that is read to its end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import BaseModel

from fashion_core import files
from fashion_core.bundles import layout
from fashion_core.errors import DamagedFileError
from fashion_core.runs.run import Run
from fashion_core.runs.saved_files import OTHER_DIGEST, damage_of
from fashion_core.runs.schema import UNDER_WAY_STATES, Status, Verification

_PIECE: Final = 1 << 20
_ADVICE: Final = "; delete it, or leave its run out of the bundle"


@dataclass(frozen=True)
class Entry:
    """One file of a run; what is not in ``data`` is read from the open ``file``, up to ``size`` bytes."""

    path: Path
    name: str  # below the run folder
    size: int
    data: bytes = b""
    file: BinaryIO | None = None
    sha256: str | None = None  # what was recorded of it

    def chunks(self) -> Iterator[bytes]:
        """Raises ``DiskError``."""
        if self.file is None:
            yield self.data
            return
        with files.disk_errors(self.path):
            left = self.size
            self.file.seek(0)
            while left and (piece := self.file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece

    def damage(self) -> DamagedFileError:
        return DamagedFileError(self.path, OTHER_DIGEST + _ADVICE)


def bytes_of(run: Run) -> int:
    """Bytes of its saved files and texts, which are nearly all. Raises ``DiskError``."""
    texts = (run.load_losses_path, run.metrics_path, run.log_path, run.model_source_path)
    with files.disk_errors(run.path):
        return sum(file.bytes or 0 for file in run.listed()) + sum(one.stat().st_size for one in texts if one.is_file())


def entries(run: Run) -> Iterator[Entry]:
    """Its files, each open until the next is asked for. Raises ``DamagedFileError``, ``DiskError``."""
    run.refuse_links()
    status = _at_rest(run.read_status())
    yield _record(run, layout.RECORD, run.record)
    yield _record(run, layout.LABELS, run.labels)
    yield _record(run, layout.STATUS, status)
    if run.drill:
        yield _record(run, layout.DRILL, run.drill)
    for file in run.saved_files():
        yield from _saved(run, file)
    yield from _texts(run)


def _at_rest(status: Status) -> Status:
    """As it is where nothing works on it: a run that waits, trains or was killed is a stopped one there."""
    state = "stopped" if status.state in (*UNDER_WAY_STATES, "lost") else status.state
    nobody = {"process": None, "launcher": None, "job": None, "phase": None, "images_per_second": None}
    return status.model_copy(update={"state": state, **nobody})


def _record(run: Run, name: str, record: BaseModel) -> Entry:
    data = files.as_json(record.model_dump(mode="json"))
    return Entry(run.path / name, name, len(data), data)


def _saved(run: Run, file: Path) -> Iterator[Entry]:
    with _opened(file) as source:
        info, name = run.file_info(file), run.name_of(file)
        size = source.seek(0, 2) if source else None
        damage = damage_of(name, size, info, Verification())
        if source and size is not None and info and not damage:
            yield Entry(file, name, size, file=source, sha256=info.sha256)
            yield _record(run, f"{name}.json", info)
            return
    if not run.info_path(file).exists():
        return  # it has been deleted meanwhile
    if run.file_info(file) == info and file.exists() == bool(source):
        raise DamagedFileError(file, f"{damage}{_ADVICE}")
    yield from _saved(run, file)  # it has been saved again meanwhile


def _texts(run: Run) -> Iterator[Entry]:
    check = run.load_check
    if check:
        yield _record(run, layout.LOADED, check)
        yield from _text(run.load_losses_path, sha256=check.losses_sha256)
    for path in (run.metrics_path, run.log_path, run.model_source_path):
        yield from _text(path, whole_lines=path == run.metrics_path)


def _text(path: Path, *, whole_lines: bool = False, sha256: str | None = None) -> Iterator[Entry]:
    """As long as it is now, if it is there: a worker may be adding to it."""
    with _opened(path) as file:
        if file:
            size = file.seek(0, 2)
            yield Entry(path, path.name, _end_of_line(file, size) if whole_lines else size, file=file, sha256=sha256)


def _end_of_line(file: BinaryIO, size: int) -> int:
    """Where the last whole line ends."""
    while size:
        begin = file.seek(max(0, size - _PIECE))
        if end := file.read(size - begin).rfind(b"\n") + 1:
            return begin + end
        size = begin
    return 0


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """None if there is no such file. Raises ``DiskError``, for a symbolic link too."""
    with files.disk_errors(path):
        try:
            file = files.open_to_read(path)
        except FileNotFoundError:
            file = None
    try:
        yield file
    finally:
        if file:
            file.close()
