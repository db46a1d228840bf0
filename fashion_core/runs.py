"""The store of runs: one folder a run, and one class that names every path in it."""

import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from fashion_core import files, processes
from fashion_core.config import TrainConfig, explain
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError, RunStateError
from fashion_core.heartbeats import Heartbeats
from fashion_core.kept import KeptFromFiles
from fashion_core.schema import (
    ACTIVE_STATES,
    Environment,
    Facts,
    Labels,
    LoadCheck,
    Marks,
    Parent,
    Resumption,
    RunRecord,
    Source,
    State,
    Status,
)

STARTING_SECONDS = 5.0
"""How long a run that was given to a worker may be without the worker's identity."""
LOG_LINE_BYTES = 1000
"""So many of a line in a log are read, on average: it may have grown for weeks."""
LEFTOVER_SECONDS = 3600.0
"""How old a half-made or half-deleted folder is that nobody is at work on any more."""

_ID_PATTERN = re.compile(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{4}")
_EPOCH_PATTERN = re.compile(r"[0-9]{1,9}")
Record = TypeVar("Record", bound=BaseModel)

_RUNS: Final = 4096
"""How many runs are kept in memory, each with what its small files say: about 10 kB a run."""
_records: KeptFromFiles[BaseModel] = KeptFromFiles(5 * _RUNS)
_epochs: KeptFromFiles[tuple[tuple[int, bool], ...]] = KeptFromFiles(_RUNS)
_listings: KeptFromFiles[tuple["Run", ...]] = KeptFromFiles(8)
_heartbeats = Heartbeats()


def _parse(path: Path | str, kind: type[Record]) -> Record:
    """Read and check at once, which takes half the time; what that does not take is read step by step to say why."""
    data = files.without_checksum(path, files.read_bytes(path))
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return _parse_slowly(Path(path), data, kind)


def _parse_slowly(path: Path, data: bytes, kind: type[Record]) -> Record:
    try:
        return kind.model_validate(files.as_json(path, data))
    except ValidationError as error:
        raise DamagedFileError(path, explain(error).rstrip(".")) from error


def _kept(path: Path, kind: type[Record]) -> Record:
    """What ``_parse`` gives, read again only when the file has changed."""
    value = _records.get(path, (path,), lambda: _parse(path, kind))
    assert isinstance(value, kind)
    return value


class Listed(NamedTuple):
    """A file that has facts, as a look at its folder found it.

    Attributes:
        name: its path below the run folder, such as ``model_save/3``.
        epoch: the one whose checkpoint it is; None for the other files.
        bytes: its size, None if only the facts are there.
    """

    name: str
    epoch: int | None
    bytes: int | None


class Run:
    """One run folder. Creating the object reads nothing; each property says what its file says now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.record_path = path / "run.json"
        self.labels_path = path / "labels.json"
        self.status_path = path / "status.json"
        self.metrics_path = path / "metrics.jsonl"
        self.log_path = path / "train.log"
        self.stop_path = path / "stop"
        self.checkpoint_folder = path / "model_save"
        self.partial_path = self.checkpoint_folder / "partial"
        self.weights_path = path / "model_weights.pth"
        self.model_path = path / "model.pth"
        self.original_path = path / "original"
        self.load_check_path = path / "loaded.json"
        self.load_losses_path = path / "loaded.losses"
        self.marks_path = path / "verified.json"

    @property
    def record(self) -> RunRecord:
        """What was asked. Raises ``DamagedFileError`` or ``DiskError``."""
        return _kept(self.record_path, RunRecord)

    @property
    def labels(self) -> Labels:
        """Name, notes and tags. Raises ``DamagedFileError`` or ``DiskError``."""
        return _kept(self.labels_path, Labels)

    @property
    def title(self) -> str:
        """The name that people gave it, or its id where that can't be read."""
        with suppress(DamagedFileError, DiskError):
            return self.labels.name or self.id
        return self.id

    def write_labels(self, labels: Labels) -> None:
        """Replace name, notes and tags. Raises ``DiskError``."""
        files.write_json(self.labels_path, labels.model_dump(mode="json"))

    @property
    def status(self) -> Status:
        """What the writer last said; a damaged one is that of a lost run, which can go on. Raises ``DiskError``."""
        try:
            return self.read_status()
        except DamagedFileError as error:
            return Status(state="running", queued_at=0, heartbeat=0, error=str(error))

    def read_status(self) -> Status:
        """What the writer last said. Raises ``DamagedFileError`` or ``DiskError``."""
        return _kept(self.status_path, Status)

    def write_status(self, status: Status) -> None:
        """Replace the status; only for the holder of the lock. Raises ``DiskError``."""
        files.write_json(self.status_path, status.model_dump(mode="json"), durable=False)

    def overwrite_status(self, status: Status) -> None:
        """Write the status on a disk that is full: over the old one, in the block that it has. Raises ``DiskError``."""
        files.overwrite_json(self.status_path, status.model_dump(mode="json"))

    def state(self, status: Status | None = None) -> State:
        """The state that people see: a worker that is gone makes a run lost, a stop file a running one stopping."""
        status = status or self.status
        if status.state != "running":
            return status.state
        if not self._has_worker(status):
            latest = self.status  # it may have ended well since that status was read
            return "lost" if latest == status else self.state(latest)
        return "stopping" if self.stop_path.exists() else "running"

    def has_ended_in_order(self) -> bool:
        """Whether its writer wrote all that it wanted to: it was not killed, and no disk was full."""
        return self.status.state in ("finished", "stopped")

    def _has_worker(self, status: Status) -> bool:
        if status.process is None:
            return abs(now() - status.heartbeat) < STARTING_SECONDS
        if processes.is_local(status.process):
            return processes.is_alive(status.process)
        return _heartbeats.is_beating(self.path, status.process, status.heartbeat)

    @contextmanager
    def writing(self, timeout: float = 5.0) -> Iterator[None]:
        """Be the run's one writer while inside; wait up to ``timeout`` seconds for another one to end.

        Raises ``RunStateError`` if it does not, ``RunNotFoundError`` if the run has been deleted.
        """
        path = self.path / "lock"
        lock = FileLock(path, timeout=timeout)
        self._check_exists()
        try:
            with files.disk_errors(path):
                self._acquire(lock)
        except DiskError:
            self._check_exists()
            raise
        try:
            self._check_exists()
            yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock) -> None:
        try:
            lock.acquire()
        except Timeout as error:  # an OSError too, but nothing is wrong with the disk
            raise RunStateError(f"Run {self.id} is being worked on; stop it first or wait for it.") from error

    def _check_exists(self) -> None:
        """A folder with a lock alone is what waiting for the lock makes of one that is deleted meanwhile."""
        names: list[str] = []
        with files.disk_errors(self.path), suppress(FileNotFoundError):
            names = [path.name for path in self.path.iterdir()]
        if names in ([], ["lock"]):
            shutil.rmtree(self.path, ignore_errors=True)
            raise RunNotFoundError(f"Run {self.id} has been deleted.")

    def refuse_links(self) -> None:
        """Raise ``DiskError`` if anything in the folder is a symbolic link: what is read and written stays in it."""
        for folder in (self.path, self.checkpoint_folder):
            with files.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
                for entry in os.scandir(folder):
                    if entry.is_symlink():
                        files.refuse_link(Path(entry.path))

    def log_tail(self, lines: int) -> str:
        """The last lines that the worker printed. Raises ``DiskError``."""
        with files.disk_errors(self.log_path), suppress(FileNotFoundError), self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - lines * LOG_LINE_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def checkpoint_path(self, epoch: int) -> Path:
        """Where the checkpoint of an epoch is."""
        return self.checkpoint_folder / str(epoch)

    @staticmethod
    def facts_path(file: Path) -> Path:
        """Where the facts of a saved file are."""
        return file.with_name(f"{file.name}.json")

    def facts(self, file: Path) -> Facts | None:
        """The facts of a saved file; None if it is not listed. Raises ``DamagedFileError`` or ``DiskError``."""
        path = self.facts_path(file)
        try:
            return _parse(path, Facts) if os.path.exists(file) else None  # noqa: PTH110 -- half the time, for all files
        except DiskError:
            if path.exists():
                raise
            return None  # never listed, or no longer

    def facts_of(self, listed: Listed) -> Facts | None:
        """The same of a file that has just been listed."""
        return None if listed.bytes is None else _parse(f"{self.path}/{listed.name}.json", Facts)

    def write_facts(self, file: Path, facts: Facts) -> None:
        """List a saved file. Raises ``DiskError``."""
        files.write_json(self.facts_path(file), facts.model_dump(mode="json"))

    @property
    def load_check(self) -> LoadCheck | None:
        """What was measured after loading the parent, if it was. Raises ``DamagedFileError`` or ``DiskError``."""
        return _kept(self.load_check_path, LoadCheck) if self.load_check_path.exists() else None

    def check_load_losses(self) -> None:
        """Raise ``DamagedFileError`` if what was measured right after loading is not as it was written."""
        recorded = self.load_check.losses_sha256 if self.load_check else None
        if recorded and files.digest_of(self.load_losses_path).sha256 != recorded:
            raise DamagedFileError(
                self.load_losses_path, "it is not what was written; delete it, and the run goes on without it"
            )

    def saved_files(self) -> list[Path]:
        """Every file that has facts, whether it is still there or not: checkpoints by epoch, then the others."""
        return [*(self.checkpoint_path(epoch) for epoch, _ in self._listed_epochs()), *self._other_files()]

    def has_saved_files(self) -> bool:
        """Whether ``saved_files`` gives any; asked of a thousand runs it takes a tenth of the time."""
        return bool(self._listed_epochs() or self._other_files())

    def _other_files(self) -> list[Path]:
        others = (self.partial_path, self.weights_path, self.model_path, self.original_path)
        return [path for path in others if os.path.exists(f"{path}.json")]  # noqa: PTH110 -- half the time, for all runs

    def listed(self) -> list[Listed]:
        """``saved_files``, and what their folders say of each."""
        folder = self.checkpoint_folder.name
        epochs = sorted((epoch, entry) for epoch, entry in _listed_in(self.checkpoint_folder))
        return [
            *(Listed(f"{folder}/{epoch}", epoch, entry and _size_of(entry)) for epoch, entry in epochs),
            *(Listed(self.name_of(file), None, _size_of(file)) for file in self._other_files()),
        ]

    def saved_file(self, name: str) -> Path:
        """The saved file with this path below the run folder. Raises ``RunNotFoundError``."""
        found = next((path for path in self.saved_files() if self.name_of(path) == name), None)
        if found is None:
            raise RunNotFoundError(f"Run {self.id} has no saved file {name!r}.")
        return found

    def name_of(self, file: Path) -> str:
        """The path of a saved file below the run folder, such as ``model_save/3``."""
        return file.as_posix()[len(self.path.as_posix()) + 1 :]

    @property
    def marks(self) -> Marks:
        """What ``verify`` found last; empty if it never looked. Raises ``DamagedFileError`` or ``DiskError``."""
        return _kept(self.marks_path, Marks) if self.marks_path.exists() else Marks()

    def write_marks(self, marks: Marks) -> None:
        """Replace the marks. Raises ``DiskError``."""
        files.write_json(self.marks_path, marks.model_dump(mode="json"))

    def damage(self, file: Path, marks: Marks) -> str | None:
        """Why a saved file is known not to be whole, without reading it; None if nothing is known against it."""
        try:
            facts = self.facts(file)
        except DamagedFileError as error:
            return str(error)
        return self.damage_of(Listed(self.name_of(file), self.epoch_of(file), _size_of(file)), facts, marks)

    def damage_of(self, listed: Listed, facts: Facts | None, marks: Marks) -> str | None:
        """The same of a file that has just been listed, and its facts read."""
        if facts is None or listed.bytes is None:
            return "the file is missing"
        if listed.bytes != facts.bytes:
            return f"it has {listed.bytes:,} bytes instead of {facts.bytes:,}"
        mark = marks.files.get(listed.name)
        return mark.reason if mark and mark.sha256 == facts.sha256 else None

    def epochs_saved(self) -> list[int]:
        """The epochs whose checkpoints are listed, in order."""
        return [epoch for epoch, is_there in self._listed_epochs() if is_there]

    def _listed_epochs(self) -> tuple[tuple[int, bool], ...]:
        """The epochs that have facts, in order, and whether their checkpoint is there."""
        folder = self.checkpoint_folder
        return _epochs.get(
            folder, (folder,), lambda: tuple(sorted((epoch, entry is not None) for epoch, entry in _listed_in(folder)))
        )

    def epoch_of(self, file: Path) -> int | None:
        """The epoch whose checkpoint a saved file is; None for the other files."""
        name = self.name_of(file).removeprefix(f"{self.checkpoint_folder.name}/")
        return int(name) if name.isdecimal() else None

    def whole_epochs(self) -> list[int]:
        """The epochs whose checkpoints are listed and not known to be damaged, in order."""
        marks = Marks()
        with suppress(DamagedFileError):
            marks = self.marks
        return [epoch for epoch in self.epochs_saved() if not self.damage(self.checkpoint_path(epoch), marks)]

    def best_epoch(self) -> int | None:
        """The whole epoch with the lowest loss, if there is one."""
        return min(self.whole_epochs(), key=self._loss_of, default=None)

    def _loss_of(self, epoch: int) -> float:
        with suppress(DamagedFileError):
            facts = self.facts(self.checkpoint_path(epoch))
            return facts.loss if facts and facts.loss is not None else math.inf
        return math.inf

    def is_whole(self, file: Path) -> bool:
        """Whether a saved file is listed and still what its facts say, by size and SHA-256."""
        with suppress(DamagedFileError):
            facts = self.facts(file)
            return facts is not None and files.digest_of(file) == files.Digest(facts.sha256, facts.bytes)
        return False

    def unlist(self, file: Path) -> None:
        """Let a saved file count as not saved; the file itself stays. Raises ``DiskError``.

        It is so for good before this returns: a power cut must not bring the facts back once the file has changed.
        """
        facts = self.facts_path(file)
        with files.disk_errors(file), suppress(FileNotFoundError):
            facts.unlink()
            files.sync_folder(facts.parent)

    def remove_saved(self, file: Path) -> None:
        """Delete a saved file: first its facts, so that it is never listed and gone. Raises ``DiskError``."""
        self.unlist(file)
        with files.disk_errors(file):
            file.unlink(missing_ok=True)


def _listed_in(folder: Path) -> Iterator[tuple[int, "os.DirEntry[str] | None"]]:
    """The epochs that have facts, and their checkpoint if it is there; none behind a symbolic link."""
    entries: dict[str, os.DirEntry[str]] = {}
    if folder.is_symlink():
        return
    with files.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        entries = {entry.name: entry for entry in os.scandir(folder) if not entry.is_symlink()}
    for name in entries:
        epoch = name.removesuffix(".json")
        if epoch != name and epoch.isdecimal():
            yield int(epoch), entries.get(epoch)


def _size_of(file: "os.PathLike[str]") -> int | None:
    try:
        return os.stat(file).st_size  # noqa: PTH116 -- half the time of Path.stat, for all files
    except FileNotFoundError:
        return None


@lru_cache(maxsize=_RUNS)
def _run_at(path: Path) -> Run:
    """Naming its paths takes as long as reading one of them."""
    return Run(path)


def epoch_number(text: str) -> int | None:
    """The epoch that an address or a command line names; None if it is no number that an epoch can have."""
    return int(text) if _EPOCH_PATTERN.fullmatch(text) else None


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def now() -> float:
    """Seconds since 1970."""
    return utc_now().timestamp()


class RunStore:
    """All runs below one folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or Path(os.environ.get("FASHION_RUNS", "runs"))).absolute()

    def create(
        self,
        config: TrainConfig,
        environment: Environment,
        parent: Parent | None = None,
        source: Source | None = None,
        resumption: Resumption | None = None,
        fill: Callable[[Run], None] = lambda draft: None,
    ) -> Run:
        """A run folder with its queued status, made whole before it gets its name. Raises ``DiskError``.

        ``fill`` adds what else it should hold; what that raises leaves nothing behind.
        """
        created = datetime.now(UTC)
        run_id = f"{created:%Y%m%d-%H%M%S}-{created.microsecond // 1000:03d}-{secrets.token_hex(2)}"
        record = RunRecord(
            id=run_id,
            created=created,
            config=config,
            parent=parent,
            environment=environment,
            source=source,
            resumption=resumption,
        )
        draft = Run(self.root / f"{files.TEMPORARY_PREFIX}{run_id}")
        with files.disk_errors(self.root):
            try:
                self._fill(draft, record)
                fill(draft)
                files.sync_file(draft.status_path)  # which writes it as all later ones: not for good
                files.sync_folder(draft.path)
                draft.path.rename(self.root / run_id)
                files.sync_folder(self.root)
            except BaseException:
                shutil.rmtree(draft.path, ignore_errors=True)
                raise
        return Run(self.root / run_id)

    @staticmethod
    def _fill(draft: Run, record: RunRecord) -> None:
        draft.checkpoint_folder.mkdir(parents=True)
        files.write_json(draft.record_path, record.model_dump(mode="json"))
        draft.write_labels(Labels(name=record.config.title))
        draft.write_status(Status(state="queued", queued_at=now(), heartbeat=now(), epoch=record.first_epoch))

    def runs(self) -> list[Run]:
        """All runs, the newest first; damaged ones too. Raises ``DiskError``."""
        return list(_listings.get(self.root, (self.root,), self._list))

    def _list(self) -> tuple[Run, ...]:
        with files.disk_errors(self.root):
            if not self.root.exists():
                return ()
            entries = [entry for entry in os.scandir(self.root) if entry.is_dir(follow_symlinks=False)]
            names = sorted((entry.name for entry in entries), reverse=True)
        return tuple(self.at(name) for name in names if _ID_PATTERN.fullmatch(name))

    def remove_leftovers(self) -> None:
        """Remove what a killed ``create`` or ``delete`` left, once it is old."""
        for folder in self.root.glob(f"{files.TEMPORARY_PREFIX}*"):
            with suppress(FileNotFoundError):
                if now() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def has(self, run_id: str) -> bool:
        """Whether there is a run with exactly this id."""
        path = self.root / run_id
        return _ID_PATTERN.fullmatch(run_id) is not None and path.is_dir() and not path.is_symlink()

    def at(self, run_id: str) -> Run:
        """The folder of this run, whether it is there or not."""
        return _run_at(self.root / run_id)

    def get(self, run_id: str) -> Run:
        """The run with this id, or with the only id that begins so.

        Raises ``RunNotFoundError``, or ``DiskError`` if a symbolic link in it leads elsewhere.
        """
        if self.has(run_id):
            run = self.at(run_id)
            run.refuse_links()
            return run
        matches = [run for run in self.runs() if run_id and run.id.startswith(run_id)]
        if len(matches) == 1:
            return self.get(matches[0].id)
        raise RunNotFoundError(
            f"No run in {self.root} has the id {run_id!r}; "
            f"{'several begin so: give more of it' if matches else 'list them with `python -m fashion_core runs`'}."
        )

    def children(self, run: Run, epoch: int | None = None) -> list[Run]:
        """The runs that were resumed from this run, or from one checkpoint of it; damaged records are passed over."""
        return [child for child in self.runs() if _came_from(child, run.id, epoch)]

    def descendants(self, run: Run) -> list[Run]:
        """The runs that were resumed from this run, then those resumed from them; damaged records are passed over."""
        children: dict[str, list[Run]] = {}
        for other in reversed(self.runs()):
            with suppress(DamagedFileError, DiskError):
                if parent := other.record.parent:
                    children.setdefault(parent.run, []).append(other)
        found: dict[str, Run] = {}
        waiting = [run.id]
        while waiting:
            fresh = [child for child in children.get(waiting.pop(0), []) if child.id not in (run.id, *found)]
            found.update((child.id, child) for child in fresh)
            waiting.extend(child.id for child in fresh)
        return list(found.values())

    def children_of(self, run: Run, file: Path | None) -> list[Run]:
        """The runs that were resumed from this run, or from one saved file of it."""
        epoch = run.epoch_of(file) if file else None
        return [] if file and epoch is None else self.children(run, epoch)

    def expendable(self, run: Run, last: int, best: bool) -> list[int]:
        """The epochs whose checkpoints a rule lets go: all but the ``last`` ones, the best if it says so, and those
        that other runs were resumed from. A damaged one counts for none of them, and stays. Raises ``DiskError``.
        """
        saved = run.whole_epochs()
        kept = {*saved[max(0, len(saved) - last) :], *([run.best_epoch()] if best else []), *self.resumed_epochs(run)}
        return [epoch for epoch in saved if epoch not in kept]

    def resumed_epochs(self, run: Run) -> set[int]:
        """The epochs of this run that other runs were resumed from; all while one of them can't be asked."""
        found = set()
        for other in self.runs():
            try:
                parent = other.record.parent
            except (DamagedFileError, DiskError) as error:
                if isinstance(error, DamagedFileError) or isinstance(error.__cause__, FileNotFoundError):
                    continue  # it can't go on from anything any more
                return set(run.epochs_saved())
            if parent and parent.run == run.id:
                found.add(parent.epoch)
        return found

    def delete(self, run: Run, file: Path | None = None, *, force: bool = False) -> None:
        """Delete a run, or one saved file of it, that nobody writes to.

        Raises ``RunStateError`` if it is running, or if other runs were resumed from it and ``force`` is not set;
        ``RunNotFoundError`` if there is no such file.
        """
        if file and not run.facts_path(file).exists():
            raise RunNotFoundError(f"Run {run.id} has no saved file {run.name_of(file)}.")
        children = [child.id for child in self.children_of(run, file)]
        if children and not force:
            names = ", ".join(children)
            raise RunStateError(
                f"{names} came from there; confirm that they may lose it (--force on the command line)."
            )
        with run.writing(timeout=0):
            if _is_active(run):
                raise RunStateError(f"Run {run.id} is running; stop it first.")
            if file is None:
                self._delete_folder(run)
            else:
                run.remove_saved(file)

    def _delete_folder(self, run: Run) -> None:
        """First out of sight, for good, under a name that nobody else uses; then file by file."""
        gone = self.root / f"{files.TEMPORARY_PREFIX}{run.id}-{secrets.token_hex(4)}"
        with files.disk_errors(run.path):
            run.path.rename(gone)
            files.sync_folder(self.root)
            shutil.rmtree(gone)


def _is_active(run: Run) -> bool:
    with suppress(DamagedFileError, DiskError):
        return run.state() in ACTIVE_STATES
    return False


def _came_from(child: Run, run_id: str, epoch: int | None) -> bool:
    with suppress(DamagedFileError, DiskError):
        parent = child.record.parent
        return parent is not None and parent.run == run_id and epoch in (None, parent.epoch)
    return False
