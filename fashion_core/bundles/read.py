"""Read a bundle from anyone: the container and its manifest. What it may hold is named here; all else refuses it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from pydantic import BaseModel, ValidationError

from fashion_core import files
from fashion_core.bundles import layout
from fashion_core.bundles.manifest import Manifest, Member
from fashion_core.config import explain
from fashion_core.errors import ChangedFileError, RefusedFileError, printable
from fashion_core.formats.untrusted.rebuild import Ledger
from fashion_core.formats.untrusted.zip_archive import ZIP_START, Archive

Record = TypeVar("Record", bound=BaseModel)
_MOST_ERRORS: Final = 100


class Bundle:
    """An archive whose members are those that its manifest names, each one that a run folder may hold.

    Opening it reads no member but the manifest. Raises ``RefusedFileError``.
    """

    def __init__(self, file: BinaryIO) -> None:
        ledger, self._budget = Ledger(), layout.Budget()
        if file.read(len(ZIP_START)) != ZIP_START:
            raise RefusedFileError("it is no bundle of runs; name a file that `bundle` has written")
        self.archive = Archive(file, ledger, layout.ARCHIVE)
        if ledger.objections:
            what = "a member is compressed, a name is no plain text, or there is other data"
            raise RefusedFileError(f"its zip archive is not one that `bundle` has written: {what}")
        if link := next((name for name, member in self.archive.members.items() if member.is_link), None):
            raise RefusedFileError(f"its member {link} is a symbolic link")
        names = list(self.archive.members)
        if names[-1] != layout.MANIFEST:
            raise RefusedFileError("it is no bundle of runs: its last member is not the manifest of one")
        most = layout.MANIFEST_BYTES * (1 + len(names))
        self.manifest = parsed(Manifest, self.archive.read(layout.MANIFEST, most), layout.MANIFEST)
        self._check_members(names[:-1])
        self.members: dict[str, dict[str, Member]] = {run_id: {} for run_id in self.manifest.runs}
        for member in self.manifest.members:
            self._take(member)

    def _check_members(self, names: list[str]) -> None:
        if len({*self.manifest.runs}) < len(self.manifest.runs):
            raise RefusedFileError("its manifest names a run twice")
        if {*self.manifest.runs} & {*self.manifest.gone}:
            raise RefusedFileError("its manifest calls a run gone that is in it")
        if names != [member.name for member in self.manifest.members]:
            raise RefusedFileError("its members are not those that its manifest names")
        for member in self.manifest.members:
            if self.archive.members[member.name].bytes != member.bytes:
                raise RefusedFileError(f"its member {member.name} is not of the size that its manifest says")

    def _take(self, member: Member) -> None:
        """Sort a member by its run. Raises ``RefusedFileError`` where no run folder has a file of that name."""
        run_id, _, name = member.name.partition("/")
        if run_id not in self.members or not layout.belongs(name):
            raise RefusedFileError(f"it holds {member.name}, which belongs to no run in it")
        if layout.is_too_large(name, member.bytes):
            most = f"at most {layout.most_bytes(name):,} are allowed"
            raise RefusedFileError(f"its member {member.name} has {member.bytes:,} bytes; {most}")
        self.members[run_id][name] = member

    def record(self, run_id: str, name: str, kind: type[Record]) -> Record:
        """A record of a run, by the schema of the store. Raises ``RefusedFileError``."""
        member = self.members[run_id].get(name)
        if member is None:
            raise RefusedFileError(f"{name} of run {run_id} is not in it")
        data = b"".join(self.chunks(member))
        if not self._budget.take(data):
            raise RefusedFileError(f"with its member {member.name}, its records hold more than runs have to say")
        return parsed(kind, data, member.name)

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Its bytes, piece by piece; at the end they are what the manifest says. Raises ``RefusedFileError``."""
        sha256 = hashlib.sha256()
        for chunk in self.archive.chunks(member.name):
            sha256.update(chunk)
            yield chunk
        if sha256.hexdigest() != member.sha256:
            raise ChangedFileError(f"its member {member.name} is not what its manifest says: its SHA-256 differs")


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Raises ``RefusedFileError``, ``DiskError``."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe would wait for its other end
        raise RefusedFileError("it is no regular file; name a file that `bundle` has written")
    with files.disk_errors(path):
        file = path.open("rb")
    with file:
        yield Bundle(file)


def parsed(kind: type[Record], data: bytes, name: str) -> Record:
    """Raises ``RefusedFileError``."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        is_short = error.error_count() < _MOST_ERRORS  # a file of nothing but errors would take a gigabyte to explain
        is_json = not is_short or error.errors()[0]["type"] != "json_invalid"
        reason = explain(error).rstrip(".") if is_short and is_json else "it is not what this app writes"
        raise RefusedFileError(f"its member {name} can't be used: {printable(reason)}") from error
