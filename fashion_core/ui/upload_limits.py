"""How much memory uploads may take, of one session and of the whole server; what is over it is let go of at once.

Streamlit keeps the uploads of somebody who has left until a collector of garbage comes by, which may be never on a
quiet server: here they are let go of once their session has been away for a while.
"""

import gc
import threading
import time
from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

import streamlit as st
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from fashion_core.ui import common

MEGABYTE: Final = 1_000_000
SESSION_MEGABYTES, SERVER_MEGABYTES = 320, 1000
AWAY_SECONDS: Final = 30.0
"""How long a browser may be cut off, as by a network that fails for a moment, and find its uploads again."""
_LOOK_SECONDS: Final = 5.0
_ADMITTED = "admitted uploads"
"""Where the session holds the ids of the files that it was told it may keep."""


def admit(key: str) -> list[UploadedFile]:
    """What the uploader with this key holds and may stay in memory; for each other file a sentence is shown.

    The widget itself gives copies: what the session refers to is in its state.
    """
    context = get_script_run_ctx()
    assert context, "a page runs in a session"
    manager, session = context.uploaded_file_mgr, context.session_id
    assert isinstance(manager, MemoryUploadedFileManager), "streamlit run holds uploads in memory"
    admitted = st.session_state.setdefault(_ADMITTED, set())
    kept = []
    for upload in _files_in(st.session_state[key]):
        problem = None if upload.file_id in admitted else _over_a_limit(manager, session, admitted, upload)
        if problem:
            manager.remove_file(session, upload.file_id)
            upload.truncate(0)
            st.error(f"**{common.plain(upload.name)}** was not taken: {problem}", icon=":material/error:")
        else:
            admitted.add(upload.file_id)
            kept.append(upload)
    if kept and runtime.exists():
        _holders.hold(manager, session, kept)
    return kept


def _files_in(value: object) -> list[UploadedFile]:
    """Without those that were let go of, in whose place Streamlit puts something else."""
    values = value if isinstance(value, list) else [value]
    return [file for file in values if isinstance(file, UploadedFile)]


def _over_a_limit(
    manager: MemoryUploadedFileManager, session: str, admitted: set[str], upload: UploadedFile
) -> str | None:
    stored = dict(manager.file_storage.get(session, {}))
    mine = sum(len(file.data) for file_id, file in stored.items() if file_id in admitted)
    if mine + upload.size > SESSION_MEGABYTES * MEGABYTE:
        return (
            f"you hold {mine / MEGABYTE:,.0f} MB here, and may hold {SESSION_MEGABYTES:,}; "
            "remove other files and add it again."
        )
    everyones = sum(stat.byte_length for stats in manager.get_stats().values() for stat in stats)
    if everyones > SERVER_MEGABYTES * MEGABYTE:
        return f"all visitors together may hold {SERVER_MEGABYTES:,} MB here; try again when others have left."
    return None


class _Holders:
    """The sessions that hold uploads, and a thread that looks after them for as long as there are any."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._held: dict[str, WeakValueDictionary[int, UploadedFile]] = {}
        """By their own ids: each run of a page makes objects anew, which count as equal."""
        self._away_since: dict[str, float] = {}

    def hold(self, manager: MemoryUploadedFileManager, session: str, uploads: Sequence[UploadedFile]) -> None:
        """Remember that this session has these uploads in hand."""
        with self._changing:
            if not self._held:
                threading.Thread(target=self._look_after, args=(manager,), daemon=True).start()
            held = self._held.setdefault(session, WeakValueDictionary())
            held.update((id(upload), upload) for upload in uploads)

    def _look_after(self, manager: MemoryUploadedFileManager) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._changing:
                gone = [session for session in self._held if self._is_long_away(session)]
                for session in gone:
                    self._let_go(manager, session)
                if gone:
                    gc.collect()  # what was read of uploads may hang in the circles of old errors and their frames
                if not self._held:
                    return

    def _is_long_away(self, session: str) -> bool:
        if runtime.get_instance().is_active_session(session):
            self._away_since.pop(session, None)
            return False
        return time.monotonic() - self._away_since.setdefault(session, time.monotonic()) > AWAY_SECONDS

    def _let_go(self, manager: MemoryUploadedFileManager, session: str) -> None:
        """Of what the manager has, and of what the session that waits to be collected still refers to."""
        manager.remove_session_files(session)
        for upload in self._held.pop(session).values():
            upload.truncate(0)
        del self._away_since[session]


_holders = _Holders()
