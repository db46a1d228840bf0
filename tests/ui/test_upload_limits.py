"""What uploads may hold, decided on Streamlit's own manager of uploads; the rest is in faults/test_many_uploads.py."""

import pytest
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFile, UploadedFileRec

from fashion_core.ui import upload_limits

MEGABYTE = upload_limits.MEGABYTE


def put(manager: MemoryUploadedFileManager, session: str, name: str, megabytes: int) -> UploadedFile:
    record = UploadedFileRec(name, name, "application/octet-stream", bytes(megabytes * MEGABYTE))
    manager.add_file(session, record)
    return UploadedFile(record, FileURLs())


def test_session_may_hold_so_much_and_no_more() -> None:
    manager = MemoryUploadedFileManager("/upload")
    first = put(manager, "me", "first", upload_limits.SESSION_MEGABYTES - 1)
    assert upload_limits._over_a_limit(manager, "me", set(), first) is None
    second = put(manager, "me", "second", 2)
    problem = upload_limits._over_a_limit(manager, "me", {"first"}, second)
    assert problem == "you hold 319 MB here, and may hold 320; remove other files and add it again."


def test_all_together_may_hold_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limits, "SERVER_MEGABYTES", 3)
    manager = MemoryUploadedFileManager("/upload")
    put(manager, "another", "theirs", 2)
    assert upload_limits._over_a_limit(manager, "me", set(), put(manager, "me", "mine", 1)) is None
    problem = upload_limits._over_a_limit(manager, "me", {"mine"}, put(manager, "me", "more", 1))
    assert problem == "all visitors together may hold 3 MB here; try again when others have left."


def test_what_was_let_go_of_is_no_file_any_more() -> None:
    upload = put(MemoryUploadedFileManager("/upload"), "me", "mine", 1)
    assert upload_limits._files_in([DeletedFile("gone"), upload]) == [upload]
    assert upload_limits._files_in(None) == upload_limits._files_in(DeletedFile("gone")) == []
