"""A run folder, and one class that names every path in it."""

import math
import os
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from fashion_core import files
from fashion_core.cache import MOST_RUNS, FileCache, stamp
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError
from fashion_core.files import now
from fashion_core.runs import processes
from fashion_core.runs.processes import Heartbeats
from fashion_core.runs.run_files import Listed, kept_record, listed_in, read_record, size_of, sole_writer
from fashion_core.runs.schema import FileInfo, Labels, LoadCheck, RunRecord, State, Status, Verification

STARTING_SECONDS = 5.0
"""How long a run that was given to a worker may be without the worker's identity."""
LOG_LINE_BYTES = 1000
"""So many of a line in a log are read, on average: it may have grown for weeks."""

_epochs: FileCache[tuple[tuple[int, bool], ...]] = FileCache(MOST_RUNS)
_heartbeats = Heartbeats()


class Run:
    """One run folder. Creating the object reads nothing; each property says what its file says now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.record_path = path / "run.json"
        self.labels_path = path / "labels.json"
        self.damaged_labels_path = path / "labels.damaged.json"
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
        self.verification_path = path / "verified.json"

    @property
    def record(self) -> RunRecord:
        """What was asked. Raises ``DamagedFileError`` or ``DiskError``."""
        return kept_record(self.record_path, RunRecord)

    @property
    def labels(self) -> Labels:
        """Name, notes and tags. Raises ``DamagedFileError`` or ``DiskError``."""
        return kept_record(self.labels_path, Labels)

    @property
    def whole_labels(self) -> Labels | None:
        """The same, or None where they are damaged or gone. Raises ``DiskError``."""
        if stamp(self.labels_path) is None:
            return None
        with suppress(DamagedFileError):
            return self.labels
        return None

    @property
    def title(self) -> str:
        """The name that people gave it, or its id where that can't be read."""
        with suppress(DamagedFileError, DiskError):
            return self.labels.name or self.id
        return self.id

    def set_labels_aside(self) -> None:
        """Keep damaged ones under another name, for what people can still read there. Raises ``DiskError``."""
        with files.disk_errors(self.labels_path), suppress(FileNotFoundError):
            self.labels_path.replace(self.damaged_labels_path)

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
        return kept_record(self.status_path, Status)

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

    def writing(self, timeout: float = 5.0) -> AbstractContextManager[None]:
        """Be the run's one writer while inside; wait up to ``timeout`` seconds for another one to end.

        Raises what ``sole_writer`` raises.
        """
        return sole_writer(self.path, timeout)

    def refuse_links(self) -> None:
        """Raise ``DiskError`` if anything in the folder is a symbolic link: what is read and written stays in it."""
        for folder in (self.path, self.checkpoint_folder):
            with files.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
                for entry in os.scandir(folder):
                    if entry.is_symlink():
                        files.refuse_link(Path(entry.path))

    def log_tail(self, lines: int) -> str:
        """The last lines that the worker printed. Raises ``DiskError``."""
        with files.disk_errors(self.log_path), suppress(FileNotFoundError), files.open_to_read(self.log_path) as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - lines * LOG_LINE_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def checkpoint_path(self, epoch: int) -> Path:
        """Where the checkpoint of an epoch is."""
        return self.checkpoint_folder / str(epoch)

    @staticmethod
    def info_path(file: Path) -> Path:
        """Where the facts of a saved file are."""
        return file.with_name(f"{file.name}.json")

    def file_info(self, file: Path) -> FileInfo | None:
        """The facts of a saved file; None if it is not listed. Raises ``DamagedFileError`` or ``DiskError``."""
        path = self.info_path(file)
        try:
            return read_record(path, FileInfo) if os.path.exists(file) else None  # noqa: PTH110 -- half the time, for all files
        except DiskError:
            if path.exists():
                raise
            return None  # never listed, or no longer

    def info_of(self, listed: Listed) -> FileInfo | None:
        """The same of a file that has just been listed."""
        return None if listed.bytes is None else read_record(f"{self.path}/{listed.name}.json", FileInfo)

    def write_info(self, file: Path, facts: FileInfo) -> None:
        """List a saved file. Raises ``DiskError``."""
        files.write_json(self.info_path(file), facts.model_dump(mode="json"))

    @property
    def load_check(self) -> LoadCheck | None:
        """What was measured after loading the parent, if it was. Raises ``DamagedFileError`` or ``DiskError``."""
        return kept_record(self.load_check_path, LoadCheck) if self.load_check_path.exists() else None

    def check_load_losses(self) -> None:
        """Raise ``DamagedFileError`` if what was measured right after loading is not as it was written."""
        check = self.load_check
        recorded = check and check.losses_sha256
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
        epochs = sorted((epoch, entry) for epoch, entry in listed_in(self.checkpoint_folder))
        return [
            *(Listed(f"{folder}/{epoch}", epoch, entry and size_of(entry)) for epoch, entry in epochs),
            *(Listed(self.name_of(file), None, size_of(file)) for file in self._other_files()),
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
    def verification(self) -> Verification:
        """What ``verify`` found last; empty if it never looked. Raises ``DamagedFileError`` or ``DiskError``."""
        return kept_record(self.verification_path, Verification) if self.verification_path.exists() else Verification()

    def write_verification(self, marks: Verification) -> None:
        """Replace the marks. Raises ``DiskError``."""
        files.write_json(self.verification_path, marks.model_dump(mode="json"))

    def damage(self, file: Path, marks: Verification) -> str | None:
        """Why a saved file is known not to be whole, without reading it; None if nothing is known against it."""
        try:
            facts = self.file_info(file)
        except DamagedFileError as error:
            return f"{error.path.name} is damaged: {error.reason}"
        return self.damage_of(Listed(self.name_of(file), self.epoch_of(file), size_of(file)), facts, marks)

    def damage_of(self, listed: Listed, facts: FileInfo | None, marks: Verification) -> str | None:
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
            folder, (folder,), lambda: tuple(sorted((epoch, entry is not None) for epoch, entry in listed_in(folder)))
        )

    def epoch_of(self, file: Path) -> int | None:
        """The epoch whose checkpoint a saved file is; None for the other files."""
        name = self.name_of(file).removeprefix(f"{self.checkpoint_folder.name}/")
        return int(name) if name.isdecimal() else None

    def whole_epochs(self) -> list[int]:
        """The epochs whose checkpoints are listed and not known to be damaged, in order."""
        marks = Verification()
        with suppress(DamagedFileError):
            marks = self.verification
        return [epoch for epoch in self.epochs_saved() if not self.damage(self.checkpoint_path(epoch), marks)]

    def best_epoch(self) -> int | None:
        """The whole epoch with the lowest loss, if there is one."""
        return min(self.whole_epochs(), key=self._loss_of, default=None)

    def _loss_of(self, epoch: int) -> float:
        with suppress(DamagedFileError):
            facts = self.file_info(self.checkpoint_path(epoch))
            return facts.loss if facts and facts.loss is not None else math.inf
        return math.inf

    def is_whole(self, file: Path) -> bool:
        """Whether a saved file is listed and still what its facts say, by size and SHA-256."""
        with suppress(DamagedFileError):
            facts = self.file_info(file)
            return facts is not None and files.digest_of(file) == files.Digest(facts.sha256, facts.bytes)
        return False

    def unlist(self, file: Path) -> None:
        """Let a saved file count as not saved; the file itself stays. Raises ``DiskError``.

        It is so for good before this returns: a power cut must not bring the facts back once the file has changed.
        """
        facts = self.info_path(file)
        with files.disk_errors(file), suppress(FileNotFoundError):
            facts.unlink()
            files.sync_folder(facts.parent)

    def remove_saved(self, file: Path) -> None:
        """Delete a saved file: first its facts, so that it is never listed and gone. Raises ``DiskError``."""
        self.unlist(file)
        with files.disk_errors(file):
            file.unlink(missing_ok=True)
