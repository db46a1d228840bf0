"""The rows of a store, kept up to date at a cost that does not grow with it.

Each time the index is asked it lists the store where that has changed, and looks at the files of

- the runs under way, and those that changed so recently that another change could look the same;
- the runs that the audit has named since, whichever server or command did something to them;
- ``AT_ONCE`` of the others in turn, so that what people change by hand is seen too: in a store with no more runs at
  once, in one of 50,000 after 50 lists.

It reads at most ``AT_ONCE`` runs that it does not know, the newest first, so a large store that nobody has read yet
holds nobody up: ``unread`` says how many are left.
"""

import os
import re
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from fashion_core import files
from fashion_core.cache import stamp
from fashion_core.runs.index.database import Database, Entry
from fashion_core.runs.index.row import DAMAGED, Row, read_row
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES

AT_ONCE: Final = 1000
AUDIT: Final = "audit.jsonl"
ID_PATTERN: Final = r"\d{8}-\d{6}-\d{3}-[0-9a-f]{4}"
_FILES: Final = ("status.json", "run.json", "labels.json", "metrics.jsonl", "model_save")
_ID = re.compile(ID_PATTERN)
_ID_BYTES = re.compile(ID_PATTERN.encode())


class Index:
    """The rows of one store, for all threads of this process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ids: list[str] = []  # the newest first
        self.unread: list[str] = []  # those that are not yet among them, the newest last
        self.version = 0
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self._changed: dict[str, int] = {}  # the version in which each row changed last
        self._found_by: dict[str, set[str]] = defaultdict(set)
        self._watched: set[str] = set()
        self._unsaved: set[str] = set()
        self._saved_as_moving: set[str] = set()
        self._listed: object = None
        self._others: list[str] = []
        self._turns = {False: 0, True: 0}  # of lists that look at all files, and of those at the status alone
        self._begun, self._audited = False, 0
        self._database = Database(root)

    def load_kept(self) -> None:
        """Take up what the last process kept, once somebody asks for more than the ids. Raises ``DiskError``."""
        with self._lock:
            if self._begun:
                return
            kept = self._database.load()
            self._audited = kept.audited or self._audit_size()
            for entry in kept.entries.values():
                self._put(entry)
            self._unsaved.clear()
            self.ids = sorted(self._entries, reverse=True)
            self._begun, self._listed = True, None
            self._list()

    def refresh(self, *, whole: bool = False, statuses: bool = False, every: bool = False) -> None:
        """Find what has changed. Raises ``DiskError``.

        Args:
            whole: read all that is unread, a part at a time, so that other threads need not wait for it.
            statuses: look at ``status.json`` alone; the rows of runs under way stay as they were.
            every: look at all runs, not only at those whose turn it is.
        """
        self._refresh_part(statuses, every)
        while whole and self.unread:
            self._refresh_part(statuses, every=False)

    def _refresh_part(self, statuses: bool, every: bool) -> None:
        with self._lock:
            self.load_kept()
            self._list()
            named = self._acted_upon()
            looked_at = {*(self.ids if every else self._next_in_turn(statuses)), *self._watched}
            changed = [run_id for run_id in looked_at if self._has_changed(run_id, statuses)]
            fresh = [self.unread.pop() for _ in range(min(AT_ONCE, len(self.unread)))]
            self._read({*changed, *fresh, *(named & self._entries.keys())})
            if fresh:
                self.ids = sorted(self._entries, reverse=True)
            self._save()

    def _list(self) -> None:
        """Which runs there are: every name is looked at only where the store's folder has changed."""
        if (listed := stamp(self.root)) == self._listed:
            return
        with files.disk_errors(self.root), suppress(FileNotFoundError):
            names = {entry.name for entry in os.scandir(self.root) if entry.is_dir(follow_symlinks=False)}
            self._drop(self._entries.keys() - names)
            fresh = [name for name in names - self._entries.keys() if _ID.fullmatch(name)]
            self.unread, self._others = sorted(fresh), [*(names - self._entries.keys()).difference(fresh)]
            self._listed = listed
            return
        self._drop({*self._entries})
        self.unread, self._others = [], []

    def _acted_upon(self) -> set[str]:
        """The runs that the audit has named since the last time: something may have been done to them."""
        size, text = self._audit_size(), b""
        if size > self._audited:
            with files.disk_errors(self.root / AUDIT), (self.root / AUDIT).open("rb") as audit:
                audit.seek(self._audited)
                text = audit.read(size - self._audited)
        self._audited = size
        return {run_id.decode() for run_id in _ID_BYTES.findall(text)}

    def _audit_size(self) -> int:
        with suppress(OSError):
            return (self.root / AUDIT).stat().st_size
        return 0

    def _next_in_turn(self, statuses: bool) -> Sequence[str]:
        """In a store with no more than that, all of them."""
        begin = self._turns[statuses] % max(1, len(self.ids))
        end = self._turns[statuses] = begin + AT_ONCE
        return [*self.ids[begin:end], *self.ids[: max(0, end - len(self.ids))]][: len(self.ids)]

    def _has_changed(self, run_id: str, statuses: bool) -> bool:
        entry, (status, *others) = self._entries[run_id], _paths(self.root, run_id)
        stamped = _stamp(status)
        if statuses and stamped is None and run_id in self._watched:
            return False  # whoever asks for the statuses of these reads them
        if None in (stamped, entry.status) or stamped != entry.status:
            return True
        return not statuses and (entry.files is None or entry.files != _stamp(*others))

    def look_at(self, run_id: str) -> None:
        """Read a run again, which this process has just changed."""
        with self._lock:
            self.load_kept()
            self._read([run_id])

    def _read(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            known, (status, *others) = self._entries.get(run_id), _paths(self.root, run_id)
            stamps = _stamp(status), _stamp(*others)
            if known and None not in stamps and (known.status, known.files) == stamps:
                continue
            if known or os.path.isdir(f"{self.root}/{run_id}"):  # noqa: PTH112 -- it may have been deleted since
                self._put(Entry(*stamps, read_row(Run(self.root / run_id))))

    def _put(self, entry: Entry) -> None:
        """Keep a row; its version is a new one where lists would show another."""
        run_id, before = entry.row.id, self._entries.get(entry.row.id)
        self._entries[run_id] = entry
        is_watched = None in entry[:2] or entry.row.state in UNDER_WAY_STATES
        (self._watched.add if is_watched else self._watched.discard)(run_id)
        if before != entry:
            self._unsaved.add(run_id)
        if before is None or before.row != entry.row:
            self.version += 1
            self._changed[run_id] = self.version
            self._forget_keys(before)
            for key in _keys(entry.row):
                self._found_by[key].add(run_id)

    def _drop(self, run_ids: Collection[str]) -> None:
        for run_id in run_ids:
            self._forget_keys(self._entries.pop(run_id))
            self._watched.discard(run_id)
            self._changed.pop(run_id)
            self._unsaved.add(run_id)
        if run_ids:
            self.version += 1
            self.ids = sorted(self._entries, reverse=True)

    def _forget_keys(self, entry: Entry | None) -> None:
        for key in _keys(entry.row) if entry else ():
            self._found_by[key].discard(entry.row.id if entry else "")
            if not self._found_by[key]:
                del self._found_by[key]

    def _save(self) -> None:
        """Keep the rows for the next process; a small store is read as quickly as an index."""
        if len(self._entries) <= AT_ONCE:
            return
        gone, moving = self._unsaved - self._entries.keys(), self._unsaved & self._watched
        changed = {run_id: self._entries[run_id] for run_id in self._unsaved - gone - moving}
        # Once: while it moves, all that the next process must know is that it has to look.
        changed |= {run_id: Entry(None, None, self._entries[run_id].row) for run_id in moving - self._saved_as_moving}
        if (gone or changed) and self._database.save(changed, gone, self._audited):
            self._saved_as_moving = (self._saved_as_moving | moving) - gone - (changed.keys() - moving)
            self._unsaved.clear()

    def all_ids(self) -> list[str]:
        """The ids of all runs that the store has, the newest first, those that are unread too. Raises ``DiskError``."""
        with self._lock:
            self._list()
            return sorted([*self._entries, *self.unread], reverse=True) if self.unread else self.ids

    def other_folders(self) -> list[str]:
        """The names of the folders that are no runs. Raises ``DiskError``."""
        with self._lock:
            self._list()
            return self._others

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._entries

    def row(self, run_id: str) -> Row | None:
        entry = self._entries.get(run_id)
        return entry.row if entry else None

    def rows_since(self, version: int) -> tuple[int, list[Row]]:
        """The version now, and the rows that have changed since that one."""
        with self._lock:
            if version == self.version:
                return version, []
            found = [run_id for run_id, changed in self._changed.items() if changed > version]
            return self.version, [self._entries[run_id].row for run_id in found]

    def watched(self) -> list[str]:
        """The ids of all runs that may be under way, the oldest first: their own files say whether they are."""
        with self._lock:
            return sorted(self._watched)

    def found_by(self, key: str | None) -> list[str]:
        """The ids, newest first, of the runs that were resumed from this run, or are of this group or asked alike.

        The damaged ones are among them, because one of their files may still say so: ask their own records.
        """
        with self._lock:
            return sorted({*self._found_by.get(key or "", ()), *self._found_by.get(DAMAGED, ())}, reverse=True)

    def damaged(self) -> list[str]:
        return self.found_by(DAMAGED)


def _paths(root: Path, run_id: str) -> tuple[str, ...]:
    """What a row is read from, ``status.json`` first; as text, which the system takes ten times as fast as a path."""
    folder = f"{root}/{run_id}/"
    return tuple(folder + name for name in _FILES)


def _stamp(*paths: str) -> int | None:
    """The stamp of these files in one number, which the next process finds too; None while they may change unseen."""
    found = stamp(*paths)
    return hash(tuple(one or () for one in found)) if isinstance(found, list) else None


def _keys(row: Row) -> Iterable[str]:
    damaged = DAMAGED if row.state == DAMAGED else None
    return filter(None, (row.parent, row.repeat, row.group, row.asked, damaged))


@lru_cache(maxsize=8)
def index_of(root: Path) -> Index:
    return Index(root)
