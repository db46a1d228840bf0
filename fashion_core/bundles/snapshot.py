"""What of a run goes into a bundle, as its folder is at this moment: what a kill at this moment would leave."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from fashion_core import files
from fashion_core.bundles import layout
from fashion_core.errors import DamagedFileError
from fashion_core.runs.run import Run
from fashion_core.runs.saved_files import OTHER_DIGEST, damage_of, size_of
from fashion_core.runs.schema import UNDER_WAY_STATES, Status, Verification

_PIECE: Final = 1 << 20
_ADVICE: Final = "; delete it, or leave its run out of the bundle"


@dataclass(frozen=True)
class Entry:
    """One file: its path below the run folder, and its bytes, or where they are."""

    name: str
    source: bytes | Path
    size: int  # in bytes
    sha256: str | None = None  # what was recorded of it

    def chunks(self) -> Iterator[bytes]:
        """Raises ``DiskError``, for a symbolic link too."""
        if isinstance(self.source, bytes):
            yield self.source
            return
        with files.disk_errors(self.source), files.open_to_read(self.source) as file:
            left = self.size
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece

    @property
    def path(self) -> Path:
        return self.source if isinstance(self.source, Path) else Path(self.name)

    def damage(self) -> DamagedFileError:
        return DamagedFileError(self.path, OTHER_DIGEST + _ADVICE)


def bytes_of(run: Run) -> int:
    """Bytes of its saved files, which are nearly all. Raises ``DiskError``."""
    return sum(file.bytes or 0 for file in run.listed())


def entries(run: Run) -> Iterator[Entry]:
    """The status first: of a run that goes on meanwhile, all that it speaks of is there by then.

    Raises ``DamagedFileError``, ``DiskError``.
    """
    run.refuse_links()
    status = _at_rest(run.read_status())
    yield from (_record(layout.RECORD, run.record), _record(layout.LABELS, run.labels))
    yield _record(layout.STATUS, status)
    if run.drill:
        yield _record(layout.DRILL, run.drill)
    for file in run.saved_files():
        yield from _saved(run, file)
    yield from _texts(run)


def _at_rest(status: Status) -> Status:
    """As it is where nothing works on it: a run that waits, trains or was killed is a stopped one there."""
    state = "stopped" if status.state in (*UNDER_WAY_STATES, "lost") else status.state
    nobody = {"process": None, "launcher": None, "job": None, "phase": None, "images_per_second": None}
    return status.model_copy(update={"state": state, **nobody})


def _record(name: str, record: BaseModel) -> Entry:
    data = files.as_json(record.model_dump(mode="json"))
    return Entry(name, data, len(data))


def _saved(run: Run, file: Path) -> Iterator[Entry]:
    name = run.name_of(file)
    info = run.file_info(file)
    if info is None and not run.info_path(file).exists():
        return  # it has been deleted meanwhile
    damage = damage_of(name, size_of(file), info, Verification())
    if info is None or damage:
        raise DamagedFileError(file, f"{damage}{_ADVICE}")
    yield Entry(name, file, info.bytes, info.sha256)
    yield _record(f"{name}.json", info)


def _texts(run: Run) -> Iterator[Entry]:
    if check := run.load_check:
        yield _record(layout.LOADED, check)
        if run.load_losses_path.exists():
            yield _text(run.load_losses_path, whole_lines=False, sha256=check.losses_sha256)
    for path in (run.metrics_path, run.log_path, run.model_source_path):
        if path.exists():
            yield _text(path, whole_lines=path == run.metrics_path)


def _text(path: Path, *, whole_lines: bool, sha256: str | None = None) -> Entry:
    """As long as it is now: a worker may be adding to it."""
    with files.disk_errors(path), files.open_to_read(path) as file:
        size = file.seek(0, 2)
        while whole_lines and size:
            begin = file.seek(max(0, size - _PIECE))
            end = file.read(size - begin).rfind(b"\n") + 1
            size = begin + end
            if end:
                break
    return Entry(path.name, path, size, sha256)
