"""Runs that come in: whole, under their ids, beside what is there; all of them or none."""

import errno
import os
from pathlib import Path

import pytest

from fashion_core.access import audit
from fashion_core.access.gate import Actions
from fashion_core.access.roles import Actor
from fashion_core.bundles import check, unbundle
from fashion_core.errors import DiskError, NotAllowedError, RefusedFileError, RunStateError
from fashion_core.formats.import_file import import_file
from fashion_core.runs import queue, tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels, Parent
from fashion_core.runs.store import LEFTOVER_SECONDS, RunStore
from fashion_core.runs.verify import verify
from tests.hostile.bundles import changed_model
from tests.support.bundles import bundled, members_of, remade, small_run, tiny_file
from tests.support.files import files_below, small_disk
from tests.support.runs import new_run, save_file, set_running, set_state


@pytest.fixture
def other(store: RunStore, tmp_path: Path) -> RunStore:
    """A second store, not made yet."""
    assert store.root != tmp_path / "other"
    return RunStore(tmp_path / "other")


def entries(store: RunStore) -> set[str]:
    """All that is in the store's folder, hidden or not, but the audit and the locks."""
    if not store.root.exists():
        return set()
    return {path.name for path in store.root.iterdir()} - {".queue.lock", "audit.jsonl"}


def unlike(one: Run, two: Run) -> set[str]:
    names = {path.relative_to(run.path) for run in (one, two) for path in run.path.rglob("*") if path.is_file()}
    return {str(name) for name in names if (one.path / name).read_bytes() != (two.path / name).read_bytes()}


def test_runs_are_the_same_there_and_their_lists_lineage_and_digests_too(store: RunStore, other: RunStore) -> None:
    first = small_run(store)
    second = small_run(store, first)
    kept = unbundle.unbundle(other, bundled(store, second))
    assert kept.made == (first.id, second.id)
    assert [run.id for run in other.runs()] == [second.id, first.id]
    assert [unlike(run, other.at(run.id)) for run in (first, second)] == [{"status.json"}] * 2
    assert [run.id for run in other.children(other.at(first.id))] == [second.id]
    assert all(one.ok for one in verify(other.runs()))
    rows, expected = (tables.runs_frame(one).drop(columns=["age"], errors="ignore") for one in (other, store))
    assert rows[["id", "name", "notes", "best_loss"]].equals(expected[["id", "name", "notes", "best_loss"]])


def test_merging_brings_what_is_new_and_leaves_what_is_there_as_it_is(store: RunStore, other: RunStore) -> None:
    first = small_run(store)
    unbundle.unbundle(other, bundled(store, first))
    other.at(first.id).write_labels(Labels(name="renamed here"))
    before = files_below(other.at(first.id).path)
    theirs, second = small_run(other), small_run(store, first)
    kept = unbundle.unbundle(other, bundled(store, second))
    assert (kept.made, kept.there) == ((second.id,), (first.id,))
    assert files_below(other.at(first.id).path) == before
    assert set(other.ids()) == {first.id, second.id, theirs.id}


def test_run_that_went_on_here_has_all_that_the_bundle_has_of_it(store: RunStore, other: RunStore) -> None:
    run = new_run(store, epochs=3)
    save_file(run, run.checkpoint_path(0), content=tiny_file(0))
    save_file(run, run.partial_path, content=tiny_file(0.5))
    info = run.file_info(run.partial_path)
    assert info
    run.write_info(run.partial_path, info.model_copy(update={"format": "partial", "epoch": 1, "why": "stop"}))
    set_state(run, "stopped")
    path = bundled(store, run)
    unbundle.unbundle(other, path)
    here = other.at(run.id)
    save_file(here, here.checkpoint_path(1), content=tiny_file(1))
    here.remove_saved(here.partial_path)
    assert unbundle.unbundle(other, path).there == (run.id,)


def test_run_that_went_on_there_is_told_to_have_more_and_the_others_are_kept(store: RunStore, other: RunStore) -> None:
    """What is here is never replaced, so that whoever merges knows what is in the bundle alone."""
    run, beside = small_run(store), small_run(store)
    unbundle.unbundle(other, bundled(store, run))
    here = other.at(run.id)
    here.remove_saved(here.checkpoint_path(1))
    before, path = files_below(here.path), bundled(store, run, beside)
    assert {one.id: one.presence for one in unbundle.preview(other, path)} == {run.id: "more", beside.id: "new"}
    kept = unbundle.unbundle(other, path)
    assert (kept.made, kept.there, kept.more) == ((beside.id,), (), {run.id: "such as its model_save/1"})
    assert files_below(here.path) == before


@pytest.mark.parametrize("went_on", ["here", "there"])
def test_position_inside_an_epoch_is_where_its_run_was_then(store: RunStore, other: RunStore, went_on: str) -> None:
    run = small_run(store)
    for name, minute in (("first", 1), ("second", 2)):
        save_file(run, run.partial_path, content=tiny_file(minute))
        info = run.file_info(run.partial_path)
        assert info
        told = {"format": "partial", "epoch": 2, "created": info.created.replace(minute=minute)}
        run.write_info(run.partial_path, info.model_copy(update=told))
        bundled(store, run).rename(other.root.with_suffix(f".{name}"))
    paths = [other.root.with_suffix(f".{name}") for name in ("first", "second")]
    before, after = paths if went_on == "there" else paths[::-1]
    unbundle.unbundle(other, before)
    (found,) = unbundle.preview(other, after)
    assert found.presence == {"there": "more", "here": "there"}[went_on]


CHANGES = ("another checkpoint", "another loss of a file", "another loss", "other settings", "a damaged record")


@pytest.mark.parametrize("change", CHANGES)
def test_run_of_the_same_id_with_other_content_is_told_and_nothing_is_kept(
    store: RunStore, other: RunStore, change: str
) -> None:
    run, beside = small_run(store), small_run(store)
    path = bundled(store, run, beside)
    unbundle.unbundle(other, bundled(store, run))
    here = other.at(run.id)
    if change == "another checkpoint":
        save_file(here, here.checkpoint_path(1), content=tiny_file(7))
    elif change == "another loss of a file":
        info = here.file_info(here.checkpoint_path(1))
        assert info
        here.write_info(here.checkpoint_path(1), info.model_copy(update={"loss": 0.001}))
    elif change == "another loss":
        text = here.metrics_path.read_text()
        here.metrics_path.write_text(text.replace('"loss": 1.0', '"loss": 0.001', 1))
    elif change == "other settings":
        config = here.record.config.model_copy(update={"seed": 7})
        here.write_record(here.record.model_copy(update={"config": config}))
    else:
        here.record_path.write_text("{")
    with pytest.raises(RunStateError, match=rf"Run {run.id} is in this store already and differs \(.+\): nothing was"):
        unbundle.unbundle(other, path)
    assert entries(other) == {run.id}
    presences = {one.id: one.presence for one in unbundle.preview(other, path)}
    assert presences == {run.id: "other", beside.id: "new"}


def test_preview_says_what_is_in_it_and_keeps_nothing(store: RunStore, other: RunStore) -> None:
    first = small_run(store, name="the first")
    second = small_run(store, first)
    path = bundled(store, second)
    one, two = unbundle.preview(other, path)
    assert (one.id, one.name, one.state, one.parent, one.checkpoints) == (first.id, "the first", "finished", None, 2)
    assert (two.parent, two.presence, two.has_dataset, two.dataset) == (first.id, "new", True, "synthetic garments")
    assert one.bytes == sum(len(data) for name, data in members_of(path).items() if name.startswith(first.id))
    assert not other.root.exists()


def test_run_whose_parent_was_gone_comes_without_it(store: RunStore, other: RunStore) -> None:
    first = small_run(store)
    second = small_run(store, first)
    store.delete(first, force=True)
    assert unbundle.unbundle(other, bundled(store, second)).made == (second.id,)
    assert other.ancestors(other.at(second.id)) == []


def test_runs_of_several_bundles_never_stand_in_a_circle(store: RunStore, other: RunStore, tmp_path: Path) -> None:
    """The first goes back to a run that is gone, and the last to the first: no way up would have an end."""
    runs, paths = [small_run(store) for _ in range(3)], list[Path]()
    for run, above in zip(runs, [*runs[1:], runs[0]], strict=True):
        path, record = bundled(store, run), run.record.model_copy(update={"parent": Parent(run=above.id, epoch=0)})
        changed = {f"{run.id}/run.json": record.model_dump_json().encode(), f"{run.id}/metrics.jsonl": b""}
        paths.append(tmp_path / run.id)
        paths[-1].write_bytes(remade(path, changed, gone=[above.id]))
    for run, path in zip(runs[:2], paths[:2], strict=True):
        assert unbundle.unbundle(other, path).made == (run.id,)
    with pytest.raises(RefusedFileError, match=f"run {runs[2].id} in it would go back to itself"):
        unbundle.unbundle(other, paths[2])


def test_import_comes_with_the_file_that_it_was_and_its_whole_model_with_it(
    store: RunStore, other: RunStore, tmp_path: Path
) -> None:
    (tmp_path / "theirs.pth").write_bytes(changed_model())
    run = import_file(store, tmp_path / "theirs.pth", "theirs.pth", {"dataset": "synthetic"})
    assert f"{run.id}/{run.name_of(run.original_path)}" in members_of(path := bundled(store, run))
    assert unbundle.unbundle(other, path).made == (run.id,)
    here = other.at(run.id)
    assert unlike(run, here) <= {"status.json"}
    assert (here.state(), here.record.source) == ("imported", run.record.source)


def test_run_that_was_training_is_stopped_there_and_takes_no_slot(store: RunStore, other: RunStore) -> None:
    run = small_run(store)
    set_running(run)
    unbundle.unbundle(other, bundled(store, run))
    assert other.at(run.id).state() == "stopped"
    assert queue.under_way(other) == []


def failing_rename(monkeypatch: pytest.MonkeyPatch, store: RunStore, nth: int, error: BaseException) -> None:
    """The n-th run that gets its name in this store meets an error."""
    real, count = Path.rename, 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal count
        count += Path(target).parent == store.root
        if count == nth and Path(target).parent == store.root:
            count += 1
            raise error
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)


@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), SystemExit(143)], ids=["disk", "ended"])
def test_error_between_two_renames_takes_all_of_them_back(
    store: RunStore, other: RunStore, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    first = small_run(store)
    path = bundled(store, small_run(store, small_run(store, first)))
    failing_rename(monkeypatch, other, 3, error)
    with pytest.raises((DiskError, SystemExit)):
        unbundle.unbundle(other, path)
    assert entries(other) == set()
    assert len(unbundle.unbundle(other, path).made) == 3


def test_metrics_of_one_endless_line_are_refused_before_a_run_that_is_here_is_compared(store: RunStore) -> None:
    run = small_run(store)
    path = bundled(store, run)
    path.write_bytes(remade(path, {f"{run.id}/metrics.jsonl": b"x" * (check.LONGEST_LINE + 2)}))
    with pytest.raises(RefusedFileError, match="hold a row that no run writes"):
        unbundle.preview(store, path)


def test_full_disk_is_one_sentence_and_leaves_nothing(store: RunStore, tmp_path: Path) -> None:
    runs = [small_run(store) for _ in range(3)]
    path = bundled(store, *runs)
    with small_disk(tmp_path / "small", 40) as folder:
        with pytest.raises(DiskError, match="the disk is full; free some space there and try again"):
            unbundle.unbundle(RunStore(folder / "runs"), path)
        assert entries(RunStore(folder / "runs")) == set()


def test_disk_that_fills_up_while_it_is_unpacked_leaves_nothing(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundled(store, *[small_run(store) for _ in range(3)])
    monkeypatch.setattr(unbundle, "_check_space", lambda *given: None)  # as if others took the space meanwhile
    with small_disk(tmp_path / "small", 60) as folder:
        with pytest.raises(DiskError, match="the disk is full"):
            unbundle.unbundle(RunStore(folder / "runs"), path)
        assert entries(RunStore(folder / "runs")) == set()


def test_parent_that_is_deleted_while_its_child_comes_in_is_told(
    store: RunStore, other: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small_run(store)
    path = bundled(store, small_run(store, first))
    unbundle.unbundle(other, bundled(store, first))
    real = check.check_files

    def delete_meanwhile(*given: object) -> None:
        other.delete(other.at(first.id))
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(check, "check_files", delete_meanwhile)
    with pytest.raises(RunStateError, match="has been deleted meanwhile, and nothing was kept: try again"):
        unbundle.unbundle(other, path)
    assert entries(other) == set()


def test_what_a_killed_unbundle_left_goes_once_it_is_old(store: RunStore) -> None:
    small_run(store)
    folder = store.root / ".tmp-unbundled-0123456789abcdef"
    folder.mkdir()
    store.remove_leftovers()
    assert folder.exists()
    os.utime(folder, (0, folder.stat().st_mtime - 2 * LEFTOVER_SECONDS))
    store.remove_leftovers()
    assert not folder.exists()


def test_viewers_may_not_import_runs_and_the_audit_has_a_line_for_each_run(store: RunStore, other: RunStore) -> None:
    first = small_run(store)
    second = small_run(store, first)
    path = bundled(store, second)
    other.root.mkdir()
    with pytest.raises(NotAllowedError):
        Actions(other, Actor("bert", "viewer", "only looking")).unbundle(path, "runs.zip")
    assert entries(other) == set()
    Actions(other, Actor("anna", "operator")).unbundle(path, "runs.zip", unbundle.unbundle)
    lines = [(one.who, one.what, one.run, one.outcome) for one in audit.read(other.root)]
    done = ("anna", "unbundle", None, "done"), *(("anna", "unbundle", run.id, "done") for run in (first, second))
    assert sorted(lines, key=str) == sorted([("bert", "unbundle", None, "refused"), *done], key=str)


def test_named_pipe_is_refused_at_once(other: RunStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RefusedFileError, match="it is no regular file"):
        unbundle.preview(other, tmp_path / "pipe")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04", tiny_file()], ids=["empty", "text", "cut", "model"])
def test_other_files_are_refused_in_one_sentence(other: RunStore, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RefusedFileError, match="The file is refused: "):
        unbundle.unbundle(other, path)
