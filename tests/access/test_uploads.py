import io
import os
from pathlib import Path
from typing import Any

import pytest

from fashion_core.access import uploads
from fashion_core.clock import now
from fashion_core.errors import DiskError
from fashion_core.files import TEMPORARY_PREFIX
from fashion_core.runs.store import LEFTOVER_SECONDS, RunStore


def leftovers(store: RunStore) -> list[Path]:
    return list(store.root.glob(f"{TEMPORARY_PREFIX}*"))


def test_upload_is_copied_once_under_a_name_of_ours(store: RunStore) -> None:
    held: dict[str, Any] = {}
    source = io.BytesIO(b"numbers" * 100_000)
    source.seek(5)
    path = uploads.keep(store, held, "first", source)
    assert path.read_bytes() == b"numbers" * 100_000
    assert uploads.keep(store, held, "first", io.BytesIO()) == path
    assert leftovers(store) == [path.parent]
    assert store.runs() == []


def test_another_upload_takes_the_place_of_the_first(store: RunStore) -> None:
    held: dict[str, Any] = {}
    first = uploads.keep(store, held, "first", io.BytesIO(b"1"))
    second = uploads.keep(store, held, "second", io.BytesIO(b"2"))
    assert (first.exists(), second.read_bytes()) == (False, b"2")
    uploads.forget(held)
    assert (leftovers(store), held) == ([], {})
    uploads.forget(held)


def test_copy_that_was_cleared_away_is_made_again(store: RunStore) -> None:
    held: dict[str, Any] = {}
    path = uploads.keep(store, held, "first", io.BytesIO(b"1"))
    long_ago = now() - LEFTOVER_SECONDS - 1
    os.utime(path.parent, (long_ago, long_ago))
    store.remove_leftovers()
    assert leftovers(store) == []
    assert uploads.keep(store, held, "first", io.BytesIO(b"1")).read_bytes() == b"1"


def test_copy_of_a_viewer_who_is_still_looking_stays(store: RunStore) -> None:
    path = uploads.spool(store, io.BytesIO(b"1"))
    store.remove_leftovers()
    assert path.exists()


def test_upload_that_cannot_be_stored_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="choose another folder"):
        uploads.spool(RunStore(tmp_path / "file" / "runs"), io.BytesIO(b"1"))

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(28, "No space left on device")

    store = RunStore(tmp_path / "runs")
    with pytest.raises(DiskError, match="the disk is full"):
        uploads.spool(store, Broken(b"1"))
    assert leftovers(store) == []
