"""Write a bundle: some runs with all that they go back to, piece by piece, so that its size needs no memory."""

import hashlib
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from fashion_core import files
from fashion_core.bundles import check, snapshot
from fashion_core.bundles.layout import MANIFEST, MAX_MEMBERS, Budget, is_too_large, most_bytes
from fashion_core.bundles.manifest import Manifest, Member
from fashion_core.bundles.snapshot import Entry
from fashion_core.errors import RunStateError
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore

Progress = Callable[[int, int], object]
_REGULAR: Final = (stat.S_IFREG | 0o644) << 16
_CHANGED: Final = "{path} has changed while it was read: bundle again."
_TOO_LARGE: Final = "{path} has {size:,} bytes; a bundle takes at most {most:,}: shorten it, or leave its run out."
_TOO_MUCH: Final = "With {path}, these runs have more in their records than a bundle takes: name fewer of them."
_TOO_MANY: Final = "A bundle holds at most {most:,} files, and these runs have more: name fewer of them."


class Bundled(NamedTuple):
    runs: list[Run]  # parents before those resumed from them
    members: int
    digest: files.Digest  # of the bundle


def bundle(store: RunStore, runs: Sequence[Run], out: Path, progress: Progress = lambda done, total: None) -> Bundled:
    """Write these runs and their ancestors to ``out``, whole or not at all.

    A run that trains is bundled as a kill at this moment would leave it, and is a stopped one there.
    Raises ``DiskError`` (also where ``out`` exists), ``DamagedFileError``, ``RunStateError``.
    """
    files.check_free(out)  # before the runs are looked at
    chosen = store.with_ancestors(runs)
    total, members, done = sum(map(snapshot.bytes_of, chosen)), list[Member](), 0
    with files.creating(out) as file, zipfile.ZipFile(file, "w") as archive:  # type: ignore[call-overload]
        for name, entry in _entries(chosen):
            members.append(_add(archive, name, entry))
            done += entry.size
            progress(min(done, total), total)
        data = _manifest(chosen, members).model_dump_json().encode()
        _add(archive, MANIFEST, Entry(out, MANIFEST, len(data), data))
    return Bundled(chosen, len(members), file.digest)


def _entries(runs: Sequence[Run]) -> Iterator[tuple[str, Entry]]:
    count, budget = 0, Budget()
    for run in runs:
        check.check_own(run)
        for entry in snapshot.entries(run):
            if is_too_large(entry.name, entry.size):
                most = most_bytes(entry.name)
                raise RunStateError(_TOO_LARGE.format(path=entry.path, size=entry.size, most=most))
            if not budget.take(entry.data):
                raise RunStateError(_TOO_MUCH.format(path=entry.path))
            if (count := count + 1) >= MAX_MEMBERS:
                raise RunStateError(_TOO_MANY.format(most=MAX_MEMBERS))
            yield f"{run.id}/{entry.name}", entry


def _add(archive: zipfile.ZipFile, name: str, entry: Entry) -> Member:
    """Add a member as it was recorded. Raises ``DamagedFileError`` if it is not that, ``RunStateError``."""
    info = zipfile.ZipInfo(name)  # of 1980: the same runs give the same bytes
    info.external_attr, info.file_size, info.create_system = _REGULAR, entry.size, 3
    sha256, written = hashlib.sha256(), 0
    with archive.open(info, "w") as target:
        for chunk in entry.chunks():
            sha256.update(chunk)
            written += target.write(chunk)
    digest = sha256.hexdigest()
    if written != entry.size:
        raise RunStateError(_CHANGED.format(path=entry.path))
    if entry.sha256 not in (None, digest):
        raise entry.damage()
    return Member(name=name, bytes=written, sha256=digest)


def _manifest(runs: Sequence[Run], members: Sequence[Member]) -> Manifest:
    ids = [run.id for run in runs]
    parents = [run.record.parent.run for run in runs if run.record.parent]
    gone = sorted({*parents} - {*ids})
    return Manifest(created=datetime.now(UTC), runs=tuple(ids), gone=tuple(gone), members=tuple(members))
