"""The index of a store: what it sees at once, what it sees in turn, and that it may go at any time."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fashion_core import cache
from fashion_core.access import gate
from fashion_core.errors import RunStateError
from fashion_core.runs import queue, tables
from fashion_core.runs.index import database, index
from fashion_core.runs.index.database import Database
from fashion_core.runs.index.index import Index
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels, Parent
from fashion_core.runs.store import RunStore
from tests.benchmarks.stores import fill, fill_with_links
from tests.support.files import settle
from tests.support.processes import python
from tests.support.runs import new_run, set_state

Patch = pytest.MonkeyPatch
RUNS, AT_ONCE = 5, 2


@pytest.fixture
def large(store: RunStore, monkeypatch: Patch) -> RunStore:
    """Few runs, but more than are looked at or read at once."""
    monkeypatch.setattr(index, "AT_ONCE", AT_ONCE)
    settle(monkeypatch)
    fill(store, RUNS, epochs=4)
    return store


def names(found: Index) -> list[str]:
    return [row.name for row in map(found.row, found.ids) if row]


def next_process(store: RunStore) -> Index:
    """What the next process knows once it has asked for the first time."""
    found = Index(store.root)
    found.refresh()
    return found


def rename_by_hand(run: Run, name: str) -> None:
    """Over the file as it lies there, as some editors do."""
    run.labels_path.write_text(Labels(name=name).model_dump_json())


def test_a_large_store_is_read_a_part_at_a_time_the_newest_first(large: RunStore) -> None:
    found = Index(large.root)
    found.refresh()
    assert (names(found), len(found.unread)) == (["run 4", "run 3"], 3)
    found.refresh()
    assert (names(found), len(found.unread)) == (["run 4", "run 3", "run 2", "run 1"], 1)
    found.refresh(whole=True)
    assert names(found) == ["run 4", "run 3", "run 2", "run 1", "run 0"]


@pytest.mark.parametrize("number", range(RUNS))
def test_what_is_edited_by_hand_is_seen_once_each_run_was_looked_at(large: RunStore, number: int) -> None:
    found = Index(large.root)
    found.refresh(whole=True)
    run = large.runs()[number]
    rename_by_hand(run, "edited")
    for _ in range(-(-RUNS // AT_ONCE)):
        found.refresh()
    assert names(found)[number] == "edited"


def test_asking_for_statuses_takes_no_turn_of_lists(large: RunStore) -> None:
    shutil.rmtree(large.runs()[-1].path)
    found = Index(large.root)
    found.refresh(whole=True)
    for run in large.runs():
        rename_by_hand(run, "edited")
    for _ in range(2):
        found.refresh(statuses=True)
        found.refresh()
    assert names(found) == ["edited"] * 4


def test_a_list_that_looks_at_every_run_sees_what_is_edited_by_hand_at_once(large: RunStore) -> None:
    found = Index(large.root)
    found.refresh(whole=True)
    for run in large.runs():
        rename_by_hand(run, "edited")
    found.refresh(every=True)
    assert names(found) == ["edited"] * RUNS


def test_a_run_that_is_copied_in_or_removed_by_hand_is_seen_at_once(large: RunStore) -> None:
    found = Index(large.root)
    found.refresh(whole=True)
    newest, oldest = large.runs()[0], large.runs()[-1]
    shutil.copytree(newest.path, large.root / f"2025{newest.id[4:]}")
    shutil.rmtree(oldest.path)
    found.refresh()
    assert names(found) == ["run 4", "run 3", "run 2", "run 1", "run 4"]


def test_what_another_process_did_is_seen_at_once(large: RunStore, monkeypatch: Patch) -> None:
    large.index.refresh(whole=True)
    monkeypatch.setattr(index, "AT_ONCE", 0)
    *_, oldest = large.runs()
    code = f"""
from fashion_core.access import gate
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
actions = gate.from_command_line(RunStore())
run = actions.store.get({oldest.id!r})
actions.relabel(run, Labels(name="renamed there"), run.labels)
"""
    assert python(code).returncode == 0
    assert tables.runs_frame(large)["name"].tolist()[-1] == "renamed there"


def test_a_run_that_continues_is_queued_at_once(large: RunStore, monkeypatch: Patch) -> None:
    monkeypatch.setattr(queue, "slots", lambda: 0)
    *_, oldest = large.runs()
    set_state(oldest, "stopped")
    large.index.refresh(whole=True)
    monkeypatch.setattr(index, "AT_ONCE", 0)
    queue.continue_run(large, oldest)
    assert [run.id for run in queue.under_way(large)] == [oldest.id]


def test_the_next_process_reads_no_run_again(large: RunStore) -> None:
    Index(large.root).refresh(whole=True)
    found = next_process(large)
    assert (names(found), found.unread) == (["run 4", "run 3", "run 2", "run 1", "run 0"], [])


def test_what_happened_while_no_process_ran_is_seen_by_the_next(large: RunStore) -> None:
    Index(large.root).refresh(whole=True)
    newest, *_, oldest = large.runs()
    rename_by_hand(newest, "edited")
    shutil.rmtree(oldest.path)
    found = Index(large.root)
    found.refresh()
    assert names(found) == ["edited", "run 3", "run 2", "run 1"]


def test_the_next_process_looks_at_a_run_that_was_under_way(large: RunStore, monkeypatch: Patch) -> None:
    """What was kept of it from before it continued says that it has ended."""
    monkeypatch.setattr(queue, "slots", lambda: 0)
    newest, *_, oldest = large.runs()
    set_state(oldest, "stopped")
    large.index.refresh(whole=True)
    gate.from_command_line(large).continue_run(oldest)
    rename_by_hand(newest, "another change, which is kept")
    large.index.refresh(whole=True, every=True)
    monkeypatch.setattr(index, "AT_ONCE", 0)
    index.index_of.cache_clear()
    assert [run.id for run in queue.under_way(large)] == [oldest.id]


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def forget_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE facts SET value = 'those of another version' WHERE name = 'columns'")


def spoil_row(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET row = '[1, 2'")


@pytest.mark.parametrize("damage", [Path.unlink, overwrite, cut, forget_version, spoil_row])
def test_an_index_that_is_gone_or_damaged_is_made_again(large: RunStore, damage: Callable[[Path], object]) -> None:
    Index(large.root).refresh(whole=True)
    damage(Database(large.root).path)
    found = Index(large.root)
    found.refresh()
    assert names(found) == ["run 4", "run 3"]
    found.refresh(whole=True)
    assert names(found) == names(next_process(large)) == ["run 4", "run 3", "run 2", "run 1", "run 0"]


def test_an_index_that_another_process_keeps_locked_holds_no_list_up(large: RunStore, monkeypatch: Patch) -> None:
    monkeypatch.setattr(database, "LOAD_SECONDS", 0.01)
    found, file = large.index, Database(large.root).path
    found.refresh(whole=True)
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        rename_by_hand(large.runs()[0], "edited")
        found.refresh(every=True)
        assert (names(found)[0], len(names(next_process(large)))) == ("edited", AT_ONCE)
    found.refresh()
    assert names(next_process(large)) == names(found)


def test_a_store_that_may_not_be_written_is_listed_without_a_file(large: RunStore, monkeypatch: Patch) -> None:
    (large.root / ".index").write_text("a file where the folder should be")
    large.index.refresh(whole=True)
    assert len(names(large.index)) == RUNS


def test_no_run_starts_before_every_run_is_known(large: RunStore) -> None:
    """One of those that are unread may have the slot."""
    run = new_run(large)
    queue.advance(large, patience=0)
    assert (run.state(), len(large.index.unread) > 0) == ("queued", True)


def test_a_small_store_has_no_file_of_it(store: RunStore, monkeypatch: Patch) -> None:
    settle(monkeypatch)
    run = new_run(store)
    tables.runs_frame(store)
    assert [path.name for path in store.root.iterdir()] == [run.id]


def test_rows_of_runs_that_were_deleted_are_forgotten(large: RunStore) -> None:
    frame = tables.runs_frame(large)
    while large.index.unread:
        frame = tables.runs_frame(large)
    assert len(frame) == RUNS
    large.delete(large.runs()[2])
    assert tables.runs_frame(large)["name"].tolist() == ["run 4", "run 3", "run 1", "run 0"]
    assert [run.id for run in large.children(large.runs()[0])] == []


def test_a_run_with_damaged_labels_still_counts_as_resumed(store: RunStore) -> None:
    parent = new_run(store)
    child = store.create(parent.record.config, parent.record.environment, parent=Parent(run=parent.id, epoch=0))
    child.labels_path.write_text("{")
    assert [run.id for run in store.children(parent)] == [child.id]
    with pytest.raises(RunStateError, match="resumed from it"):
        store.delete(parent)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lists_of_fifty_thousand_runs_cost_at_most_twice_those_of_a_thousand(tmp_path: Path) -> None:
    ways: dict[str, Callable[[RunStore], object]] = {
        "list": tables.runs_frame,
        "under way": queue.under_way,
        "children": lambda store: store.children(store.at(store.ids()[0])),
    }
    stores = [RunStore(tmp_path / str(runs)) for runs in (1000, 50_000)]
    for store, runs in zip(stores, (1000, 50_000), strict=True):
        fill_with_links(store, runs, epochs=1)
        store.index.refresh(whole=True)
    time.sleep(cache.SETTLED_NS / 1e9)
    for name, way in ways.items():
        few: list[float] = []
        many: list[float] = []
        for _ in range(15):
            for store, times in zip(stores, (few, many), strict=True):
                began = time.perf_counter()
                way(store)
                times.append(time.perf_counter() - began)
        # the fastest rounds: what else the machine does only adds to them
        assert min(many) < 2 * min(few), f"{name}: {min(few):.4f} s and {min(many):.4f} s"
