"""The saved files of a run folder: which are listed, what is recorded of each, and whether they are still whole."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fashion_core import files
from fashion_core.cache import MOST_RUNS, Cache, stamp
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError
from fashion_core.runs.schema import FileInfo, Verification, cached_record, read_record

OTHER_DIGEST = "its SHA-256 is not the one that was recorded"
_epochs: Cache[tuple[tuple[int, bool], ...]] = Cache(MOST_RUNS)


class ListedFile(NamedTuple):
    """A saved file, as listing the run folder found it."""

    name: str  # its path below that folder
    epoch: int | None  # None if it is no checkpoint
    bytes: int | None  # None where only its info is there


class SavedFiles:
    """The saved files of one run folder. A file is listed once its ``FileInfo`` is written beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.checkpoint_folder = path / "model_save"
        self.partial_path = self.checkpoint_folder / "partial"
        self.weights_path = path / "model_weights.pth"
        self.model_path = path / "model.pth"
        self.original_path = path / "original"
        self.verification_path = path / "verified.json"

    def checkpoint_path(self, epoch: int) -> Path:
        return self.checkpoint_folder / str(epoch)

    def name_of(self, file: Path) -> str:
        """The path of a saved file in the run folder, such as ``model_save/3``."""
        return file.as_posix()[len(self.path.as_posix()) + 1 :]

    def epoch_of(self, file: Path) -> int | None:
        """The epoch whose checkpoint a saved file is; None for the other files."""
        name = self.name_of(file).removeprefix(f"{self.checkpoint_folder.name}/")
        return int(name) if name.isdecimal() else None

    def epochs_saved(self) -> list[int]:
        return [epoch for epoch, is_there in self._epochs_with_info() if is_there]

    def _epochs_with_info(self) -> tuple[tuple[int, bool], ...]:
        """Epochs in order, and whether their checkpoint is there."""
        folder = self.checkpoint_folder
        return _epochs.get(folder, stamp(folder), lambda: tuple((epoch, bool(entry)) for epoch, entry in _scan(folder)))

    def saved_files(self) -> list[Path]:
        """Every file that has an info, whether it is still there or not: checkpoints by epoch, then the others."""
        return [*(self.checkpoint_path(epoch) for epoch, _ in self._epochs_with_info()), *self._other_files()]

    def has_saved_files(self) -> bool:
        """Whether ``saved_files`` gives any; asked of a thousand runs it takes a tenth of the time."""
        return bool(self._epochs_with_info() or self._other_files())

    def _other_files(self) -> list[Path]:
        others = (self.partial_path, self.weights_path, self.model_path, self.original_path)
        return [path for path in others if os.path.exists(f"{path}.json")]  # noqa: PTH110 -- half the time, for all runs

    def listed(self) -> list[ListedFile]:
        """``saved_files`` with their sizes. Raises ``DiskError``."""
        folder, epochs = self.checkpoint_folder.name, _scan(self.checkpoint_folder)
        return [
            *(ListedFile(f"{folder}/{epoch}", epoch, entry and size_of(entry)) for epoch, entry in epochs),
            *(ListedFile(self.name_of(file), None, size_of(file)) for file in self._other_files()),
        ]

    def saved_file(self, name: str) -> Path:
        """The saved file with this path below the run folder. Raises ``RunNotFoundError``."""
        for path in self.saved_files():
            if self.name_of(path) == name:
                return path
        raise RunNotFoundError(f"Run {self.id} has no saved file {name!r}.")

    @staticmethod
    def info_path(file: Path) -> Path:
        return file.with_name(f"{file.name}.json")

    def file_info(self, file: Path) -> FileInfo | None:
        """What is recorded of a saved file; None if it is not listed. Raises ``DamagedFileError`` or ``DiskError``."""
        path = self.info_path(file)
        try:
            return read_record(path, FileInfo) if os.path.exists(file) else None  # noqa: PTH110 -- half the time, for all files
        except DiskError:
            if path.exists():
                raise
            return None  # never listed, or no longer

    def write_info(self, file: Path, info: FileInfo) -> None:
        """List a saved file. Raises ``DiskError``."""
        files.write_json(self.info_path(file), info.model_dump(mode="json"))

    def unlist(self, file: Path) -> None:
        """Remove the info of a saved file, so that it no longer counts as saved. Raises ``DiskError``."""
        info = self.info_path(file)
        with files.disk_errors(file), suppress(FileNotFoundError):
            info.unlink()
            files.sync_folder(info.parent)  # a power cut must not bring the info back once the file has changed

    def remove_saved(self, file: Path) -> None:
        """Delete a saved file: first its info, so that it is never listed and missing. Raises ``DiskError``."""
        self.unlist(file)
        with files.disk_errors(file):
            file.unlink(missing_ok=True)

    @property
    def verification(self) -> Verification:
        """What ``verify`` found last; empty before its first time. Raises ``DamagedFileError`` or ``DiskError``."""
        path = self.verification_path
        return cached_record(path, Verification) if path.exists() else Verification()

    def write_verification(self, found: Verification) -> None:
        files.write_json(self.verification_path, found.model_dump(mode="json"))

    def known_damage(self, file: Path, verified: Verification | None = None) -> str | None:
        """Why a saved file is known to be damaged, without reading it. Raises what ``verification`` raises."""
        try:
            info = self.file_info(file)
        except DamagedFileError as error:
            return f"{error.path.name} is damaged: {error.reason}"
        return damage_of(self.name_of(file), size_of(file), info, verified or self.verification)

    def is_whole(self, file: Path) -> bool:
        """Whether a saved file is listed and still what its info says, by size and SHA-256."""
        with suppress(DamagedFileError):
            info = self.file_info(file)
            return info is not None and files.digest_of(file) == files.Digest(info.sha256, info.bytes)
        return False

    def whole_checkpoint(self, epoch: int) -> Path:
        """The checkpoint of this epoch, read once and whole. Raises ``RunNotFoundError``, ``DamagedFileError``."""
        path = self.checkpoint_path(epoch)
        if epoch not in self.epochs_saved():
            raise RunNotFoundError(f"Run {self.id} has no checkpoint of epoch {epoch}.")
        if not self.is_whole(path):
            raise DamagedFileError(path, self.known_damage(path) or OTHER_DIGEST)
        return path

    def whole_epochs(self) -> list[int]:
        """The epochs whose checkpoints are listed and not known to be damaged, in order."""
        verified = Verification()
        with suppress(DamagedFileError):
            verified = self.verification
        return [epoch for epoch in self.epochs_saved() if not self.known_damage(self.checkpoint_path(epoch), verified)]

    def best_epoch(self) -> int | None:
        """The whole epoch with the lowest loss, if there is one."""
        return min(self.whole_epochs(), key=self._loss_of, default=None)

    def _loss_of(self, epoch: int) -> float:
        info = self.file_info(self.checkpoint_path(epoch))
        return info.loss if info and info.loss is not None else math.inf


def _scan(folder: Path) -> list[tuple[int, "os.DirEntry[str] | None"]]:
    """The epochs that have an info, in order, and their checkpoint if it is there; none behind a symbolic link."""
    entries: dict[str, os.DirEntry[str]] = {}
    if not folder.is_symlink():
        with files.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
            entries = {entry.name: entry for entry in os.scandir(folder) if not entry.is_symlink()}
    names = [name.removesuffix(".json") for name in entries if name.endswith(".json")]
    epochs = sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)
    return [(epoch, entries.get(str(epoch))) for epoch in epochs]


def size_of(file: "str | os.PathLike[str]") -> int | None:
    """Bytes of a file; None if there is none. Raises ``OSError``."""
    try:
        return os.stat(file).st_size  # noqa: PTH116 -- half the time of Path.stat, for all files
    except FileNotFoundError:
        return None


def damage_of(name: str, size: int | None, info: FileInfo | None, verified: Verification) -> str | None:
    """Why the file of this ``size`` in bytes is known to be damaged; None if no damage is known."""
    if info is None or size is None:
        return "the file is missing"
    if size != info.bytes:
        return f"it has {size:,} bytes instead of {info.bytes:,}"
    found = verified.files.get(name)
    return found.reason if found and found.sha256 == info.sha256 else None
