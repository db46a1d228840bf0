"""A run folder: the path of every file in it, and its records as they are now."""

import errno
import os
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from fashion_core import files
from fashion_core.cache import identity
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.runs import metrics
from fashion_core.runs.lock import sole_writer
from fashion_core.runs.saved_files import SavedFiles
from fashion_core.runs.schema import Drill, Labels, LoadCheck, RunRecord, cached_record
from fashion_core.runs.status import StatusFile

_EPOCH_KEYS = ("epoch", *metrics.EPOCH_NUMBERS)
UNKNOWN_FROZEN = "it names frozen tensors that its model does not have"  # what is wrong with its record
LOG_LINE_BYTES = 1000  # to read from the end of a log, which may have grown for weeks


class Run(SavedFiles, StatusFile):
    """One run folder. Creating the object reads nothing; each property says what its file says now."""

    def __init__(self, path: Path) -> None:
        SavedFiles.__init__(self, path)
        StatusFile.__init__(self, path)
        self.record_path = path / "run.json"
        self.labels_path = path / "labels.json"
        self.damaged_labels_path = path / "labels.damaged.json"
        self.metrics_path = path / "metrics.jsonl"
        self.log_path = path / "train.log"
        self.model_source_path = path / "model_source.txt"  # of a team's own model, as it was: text that is never run
        self.drill_path = path / "drill.json"
        self.load_check_path = path / "loaded.json"
        self.load_losses_path = path / "loaded.losses"

    @property
    def record(self) -> RunRecord:
        return cached_record(self.record_path, RunRecord)

    def write_record(self, record: RunRecord) -> None:
        """Only for whoever makes the run, or holds its lock. Raises ``DiskError``."""
        files.write_json(self.record_path, record.model_dump(mode="json"))

    @property
    def labels(self) -> Labels:
        return cached_record(self.labels_path, Labels)

    @property
    def whole_labels(self) -> Labels | None:
        """The labels, or None where they are damaged or missing. Raises ``DiskError``."""
        with suppress(DamagedFileError):
            return self.labels if identity(self.labels_path) else None
        return None

    @property
    def title(self) -> str:
        """The name that people gave it, or its id where that can't be read."""
        with suppress(DamagedFileError, DiskError):
            return self.labels.name or self.id
        return self.id

    def set_labels_aside(self) -> None:
        """Rename damaged labels, so that people can still read what is left of them. Raises ``DiskError``."""
        with files.disk_errors(self.labels_path), suppress(FileNotFoundError):
            self.labels_path.replace(self.damaged_labels_path)

    def write_labels(self, labels: Labels) -> None:
        files.write_json(self.labels_path, labels.model_dump(mode="json"))

    def writing(self, timeout: float = 5.0) -> AbstractContextManager[None]:
        """Hold the run's lock inside the block. Raises what ``sole_writer`` raises."""
        return sole_writer(self.path, timeout)

    def refuse_links(self) -> None:
        """Raise ``DiskError`` if anything in the folder is a symbolic link: what is read and written stays in it."""
        for folder in (self.path, self.checkpoint_folder):
            with files.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
                for entry in os.scandir(folder):
                    if entry.is_symlink():
                        with files.disk_errors(Path(entry.path)):
                            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    @property
    def model_source(self) -> str | None:
        """The source of a team's own model when the run was made; None of this app's. Raises ``DiskError``."""
        if not self.model_source_path.exists():
            return None
        return files.read_bytes(self.model_source_path).decode(errors="replace")

    def log_tail(self, lines: int) -> str:
        with files.disk_errors(self.log_path), suppress(FileNotFoundError), files.open_to_read(self.log_path) as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - lines * LOG_LINE_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    @property
    def drill(self) -> Drill | None:
        """The last crash drill, if there was one. Raises ``DamagedFileError`` or ``DiskError``."""
        return cached_record(self.drill_path, Drill) if self.drill_path.exists() else None

    def write_drill(self, drill: Drill) -> None:
        files.write_json(self.drill_path, drill.model_dump(mode="json"))

    def restore_drill(self, before: Drill | None) -> None:
        """Put back what ``drill`` was. Raises ``DiskError``."""
        if before:
            self.write_drill(before)
        else:
            with files.disk_errors(self.drill_path):
                self.drill_path.unlink(missing_ok=True)

    @property
    def load_check(self) -> LoadCheck | None:
        """What was measured after loading the parent, if it was. Raises ``DamagedFileError`` or ``DiskError``."""
        return cached_record(self.load_check_path, LoadCheck) if self.load_check_path.exists() else None

    def check_load_losses(self) -> None:
        """Raise ``DamagedFileError`` if the losses measured right after loading are not those that were written."""
        check = self.load_check
        recorded = check and check.losses_sha256
        if recorded and files.digest_of(self.load_losses_path).sha256 != recorded:
            advice = "it is not what was written; delete it, and the run continues without it"
            raise DamagedFileError(self.load_losses_path, advice)


def record_of(file: Path) -> RunRecord | None:
    """The record of the run whose saved file it is, unless that is damaged."""
    path = file.absolute()
    for run in (Run(path.parent), Run(path.parent.parent)):
        with suppress(DamagedFileError, DiskError):
            if path in run.saved_files():
                return run.record
    return None


def run_record(run: Run) -> dict[str, Any]:
    """A run as ``--json`` prints it. Raises ``DamagedFileError`` or ``DiskError``."""
    record, labels, status = run.record, run.labels, run.status
    return {
        **record.model_dump(mode="json"),
        **labels.model_dump(mode="json"),
        "created": record.created.isoformat(),
        "path": str(run.path),
        "state": run.state(status),
        "error": status.error,
        "restarts": status.restarts,
        "epochs": epoch_records(run),
    }


def epoch_records(run: Run) -> list[dict[str, Any]]:
    """One record an epoch that has ended; ``checkpoint`` is its path, or None once it is deleted."""
    paths = {epoch: run.checkpoint_path(epoch) for epoch in run.epochs_saved()}
    rows: list[dict[str, Any]] = []
    if run.record.source:  # trained elsewhere: what its checkpoint says, and nothing about the training
        for epoch, path in paths.items():
            info = run.file_info(path)
            rows.append({"epoch": epoch, "loss": info and info.loss, "accuracy": info and info.accuracy})
    else:
        rows = metrics.read_epochs(run.metrics_path)
    checkpoints = {epoch: str(path) for epoch, path in paths.items()}
    return [{**{k: row.get(k) for k in _EPOCH_KEYS}, "checkpoint": checkpoints.get(row["epoch"])} for row in rows]
