"""What is kept from files: made once while they stand still, anew at once when they change."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from fashion_core import cache
from fashion_core.cache import Cache, stamp
from fashion_core.errors import RunNotFoundError
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Status
from fashion_core.runs.store import RunStore
from tests.support.files import settle
from tests.support.processes import wait_until
from tests.support.runs import new_run

AHEAD_SECONDS = 20.0


class Text:
    """A file whose text is cached; ``reads`` counts how often it was read."""

    def __init__(self, path: Path) -> None:
        self.path, self.reads, self._texts = path, 0, Cache[str](8)
        path.write_text("one")

    def get(self) -> str:
        return self._texts.get(self.path, stamp(self.path), self._read)

    def _read(self) -> str:
        self.reads += 1
        return self.path.read_text()


@pytest.fixture
def text(tmp_path: Path) -> Text:
    return Text(tmp_path / "file")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)


@pytest.mark.usefixtures("settled")
def test_a_file_that_stands_still_is_read_once(text: Text) -> None:
    assert [text.get() for _ in range(3)] == ["one"] * 3
    assert text.reads == 1


@pytest.mark.usefixtures("settled")
def test_a_replaced_file_of_the_same_size_and_time_is_seen(text: Text) -> None:
    before = text.path.stat()
    assert text.get() == "one"
    other = text.path.with_name("other")
    other.write_text("two")
    other.replace(text.path)
    os.utime(text.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert text.get() == "two"


def test_a_file_written_over_within_one_tick_is_seen(text: Text) -> None:
    before = text.path.stat()
    assert text.get() == "one"
    with text.path.open("r+") as opened:
        opened.write("two")
    os.utime(text.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert text.get() == "two"


def test_a_clock_that_does_not_tick_hides_nothing(text: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inode, size and times all the same: only that the file is young tells that it may have changed."""
    found = text.path.stat()
    monkeypatch.setattr(os, "stat", lambda path: found)
    assert text.get() == "one"
    text.path.write_text("two")
    assert text.get() == "two"


@pytest.mark.usefixtures("settled")
def test_a_file_from_the_future_is_never_kept(text: Text) -> None:
    ahead = time.time() + AHEAD_SECONDS
    os.utime(text.path, (ahead, ahead))
    assert text.get() == text.get() == "one"
    assert text.reads == 2


@pytest.mark.usefixtures("settled")
def test_a_file_that_comes_and_goes_is_seen(tmp_path: Path) -> None:
    exists, file = Cache[bool](8), tmp_path / "file"
    for change, there in ((file.touch, True), (file.unlink, False), (file.touch, True)):
        change()
        assert exists.get(file, stamp(file), file.exists) == there


def test_what_raises_is_not_kept() -> None:
    numbers = Cache[int](8)
    with pytest.raises(ValueError, match="invalid literal"):
        numbers.get("key", None, lambda: int("one"))
    assert numbers.get("key", None, lambda: 1) == 1


def test_no_more_are_kept_than_wanted_and_the_oldest_goes() -> None:
    values, made = Cache[str](2), list[str]()

    def make(key: str) -> str:
        made.append(key)
        return key

    assert [values.get(key, None, partial(make, key)) for key in "abcac"] == list("abcac")
    assert made == list("abca")


def test_size_of_values_is_bounded_and_one_that_is_too_large_is_used_all_the_same() -> None:
    texts = Cache[str](5, size=len)
    for text in ("ab", "abc", "abcd", "abcdef"):
        assert texts.get(text, None, text.lower) == text
    assert texts.size == 4
    assert "abcdef" not in texts


def test_a_value_is_made_once_by_many_threads() -> None:
    values, made = Cache[int](2), count()
    begin = threading.Barrier(4)

    def ask(_: int) -> int:
        begin.wait()
        return values.get("key", "same", lambda: next(made))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == [0] * 4
    assert next(made) == 1


def test_a_value_is_made_again_at_another_stamp() -> None:
    values, made = Cache[int](2), count()
    assert [values.get("key", made_from, made.__next__) for made_from in "aaba"] == [0, 0, 1, 2]


def status(**changes: object) -> Status:
    return Status.model_validate({"state": "running", "queued_at": 0, "heartbeat": 0, **changes})


def test_each_of_many_statuses_written_in_a_row_is_seen(store: RunStore) -> None:
    """A thousand within a few ticks of the clock, of one size, half of them in place."""
    run = new_run(store)
    for batch in range(1000, 2000):
        write = run.write_status if batch % 2 else run.overwrite_status
        write(status(batch=batch))
        assert Run(run.path).status.batch == batch


@pytest.mark.usefixtures("settled")
def test_a_status_that_another_process_writes_is_seen_after_it_was_kept(store: RunStore) -> None:
    run = new_run(store)
    run.write_status(status(batch=1))
    assert run.status.batch == run.status.batch == 1
    run.write_status(status(batch=2))
    assert run.status.batch == 2


@pytest.mark.usefixtures("settled")
def test_a_run_that_was_deleted_or_made_is_listed_at_once(store: RunStore) -> None:
    first = new_run(store)
    assert [run.id for run in store.runs()] == [first.id]
    second = new_run(store)
    assert [run.id for run in store.runs()] == [second.id, first.id]
    store.delete(first)
    assert [run.id for run in store.runs()] == [second.id]
    with pytest.raises(RunNotFoundError):
        store.get(first.id)


@pytest.mark.usefixtures("settled")
def test_a_checkpoint_that_comes_or_goes_is_seen_at_once(store: RunStore) -> None:
    run = new_run(store)
    file = run.checkpoint_path(0)
    for change, epochs in ((file.touch, []), (run.info_path(file).touch, [0]), (file.unlink, [])):
        change()
        assert run.epochs_saved() == epochs


def test_a_file_is_kept_once_it_has_settled(text: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", 50_000_000)

    def is_kept() -> bool:
        before = text.reads
        text.get()
        return text.reads == before

    wait_until(is_kept, "the file is kept", 5)
