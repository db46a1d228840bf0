"""The store of runs: ids, what its files may hold, states worked out when read, and deleting."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import pytest

from fashion_core import __version__, files
from fashion_core.access import gate
from fashion_core.errors import DamagedFileError, DiskError, FashionError, RunNotFoundError, RunStateError
from fashion_core.files import now
from fashion_core.runs import processes
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Parent
from fashion_core.runs.status import STARTING_SECONDS
from fashion_core.runs.store import RunStore, packages_here
from tests.support.files import change_json, small_disk
from tests.support.processes import wait_until, waits_for_lock
from tests.support.runs import config, new_run, save_file, set_running, set_state, set_worker


def saved_run(store: RunStore, epochs: Iterable[int], **changes: Any) -> Run:
    run = new_run(store, **changes)
    for epoch in epochs:
        save_file(run, run.checkpoint_path(epoch))
    return run


def test_ids_are_unique_sortable_and_safe(store: RunStore) -> None:
    runs = [new_run(store) for _ in range(20)]
    ids = [run.id for run in runs]
    assert len(set(ids)) == len(ids)
    assert [run_id[:19] for run_id in sorted(ids)] == [run_id[:19] for run_id in ids]
    assert set().union(*ids) <= set("0123456789abcdefghijklmnopqrstuvwxyz-")
    assert [run.id for run in store.runs()] == sorted(ids, reverse=True)


def test_new_run_is_whole_and_queued_and_makes_the_store(store: RunStore) -> None:
    assert (store.runs(), store.root.exists()) == ([], False)
    run = new_run(store, epochs=3, name="mine")
    assert run.state() == "queued"
    assert run.record.config == config(epochs=3, name="mine")
    assert (run.record.id, run.record.parent, run.labels.name) == (run.id, None, "mine")
    assert [path.name for path in store.root.iterdir()] == [run.id]


def test_run_is_found_by_the_beginning_of_its_id_unless_it_fits_several(store: RunStore) -> None:
    run = new_run(store)
    assert store.get(run.id).path == store.get(run.id[:4]).path == run.path
    new_run(store)
    with pytest.raises(RunNotFoundError, match="several ids begin like that"):
        store.get(run.id[:4])


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", "../outside", "/", "//", "*", "\0", "{id}/..", "{id}/../../outside", "./{id}", "{id}/"]
)
def test_tricks_with_paths_find_nothing(store: RunStore, run_id: str) -> None:
    run = new_run(store)
    (store.root.parent / "outside").mkdir()
    with pytest.raises(RunNotFoundError):
        store.get(run_id.format(id=run.id))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": "red"}, "colour is not a setting of this version"),
        ({"created": ...}, "created is missing"),
        ({"parent": ...}, "parent is missing"),
        ({"config": {"epochs": 0}}, "Epochs should be greater than or equal to 1, not 0"),
        ({"config": {"optimiser": "sgd"}}, "config.optimiser is not a setting of this version"),
        ({"environment": {"python": "3"}}, "environment.torch is missing"),
    ],
    ids=str,
)
def test_wrong_field_of_run_json_is_one_sentence(store: RunStore, changes: dict[str, Any], reason: str) -> None:
    run = new_run(store)
    change_json(run.record_path, **changes)
    with pytest.raises(DamagedFileError) as caught:
        _ = run.record
    assert str(caught.value).startswith(f"{run.record_path} is damaged: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_running_while_its_worker_lives_and_lost_once_it_is_gone(store: RunStore) -> None:
    run = new_run(store)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as worker:
        try:
            set_worker(run, processes.identify(worker.pid))
            assert run.state() == "running"
            run.stop_path.touch()
            assert run.state() == "stopping"
        finally:
            worker.kill()
        wait_until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_ZOMBIE, "it is a zombie")
        assert run.state() == "lost"
    assert run.state() == "lost"


def test_lost_when_another_process_has_its_pid(store: RunStore) -> None:
    run, (me, *others) = new_run(store), [processes.identify(os.getpid()) for _ in range(20)]
    assert others == [me] * 19
    set_worker(run, me.model_copy(update={"started": me.started - 60}))
    assert run.state() == "lost"


@pytest.mark.parametrize(("age", "state"), [(0, "running"), (STARTING_SECONDS + 1, "lost")])
def test_given_to_a_worker_that_never_came_it_is_lost(store: RunStore, age: float, state: str) -> None:
    run = new_run(store)
    set_worker(run, None, now() - age)
    assert run.state() == state


def test_run_that_ended_since_its_status_was_read_is_not_lost(store: RunStore) -> None:
    run = new_run(store)
    set_worker(run, None, 1.0)
    read_before = run.status
    set_state(run, "finished")
    assert run.state(read_before) == "finished"


def test_damaged_status_is_that_of_a_lost_run(store: RunStore) -> None:
    run = new_run(store)
    run.status_path.write_text("")
    assert run.status.state == run.state() == "lost"
    assert "status.json is damaged" in str(run.status.error)


def test_what_a_killed_delete_left_is_removed_once_it_is_old(store: RunStore) -> None:
    run = new_run(store)
    old, new = (f".tmp-{run.id}-{token}" for token in ("00000000", "00000001"))
    for name in (old, new):
        (store.root / name).mkdir()
    os.utime(store.root / old, (1.0, 1.0))
    store.remove_leftovers()
    assert {path.name for path in store.root.iterdir()} == {run.id, new}


def test_no_folder_that_this_app_has_not_made_is_removed(store: RunStore, tmp_path: Path) -> None:
    """Where the store is a folder that people keep other things in."""
    run = new_run(store)
    for name in (".tmp-mine", ".tmp-", f".tmp-{run.id}-backup", ".tmp-upload-of-mine", f".tmp-{run.id}.old"):
        (store.root / name).mkdir()
        (store.root / name / "thesis").touch()
    (store.root / f".tmp-{run.id}").touch()
    (tmp_path / "elsewhere").mkdir()
    (store.root / f".tmp-{run.id}-00000000").symlink_to(tmp_path / "elsewhere")
    for path in store.root.iterdir():
        os.utime(path, (1.0, 1.0), follow_symlinks=False)
    before = set(store.root.iterdir())
    store.remove_leftovers()
    assert set(store.root.iterdir()) == before
    assert (tmp_path / "elsewhere").is_dir()
    (store.root / f".tmp-{run.id}").unlink()  # it is no folder


def test_every_leftover_is_known_by_the_name_that_it_was_given(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process leaves these: a draft, a deletion, an upload, a scratch folder beside the store."""
    run = new_run(store)
    monkeypatch.setattr(tempfile, "tempdir", str(store.root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        store.delete(run)
        with pytest.raises(KeyError), store._drafting(run.id):
            raise KeyError
        with files.scratch_folder(store.root):
            pass
        with pytest.raises(ValueError, match="closed"):
            gate._spool(store, closed_source(), "")
    left = [path for path in store.root.iterdir() if path.is_dir()]
    assert len(left) == 4
    for path in left:
        os.utime(path, (1.0, 1.0))
    store.remove_leftovers()
    assert not [path for path in left if path.exists()]


def closed_source() -> io.BytesIO:
    source = io.BytesIO()
    source.close()
    return source


@pytest.mark.parametrize("name", ["model_save/0", "model_save/partial", "model.pth"])
def test_run_has_saved_files_from_the_first_to_the_last(store: RunStore, name: str) -> None:
    run = new_run(store)
    file = run.path / name
    assert not run.has_saved_files()
    file.touch()
    assert not run.has_saved_files()
    run.info_path(file).touch()
    assert run.has_saved_files()
    file.unlink()
    assert run.saved_files() == [file], "it is known to be missing"
    assert run.has_saved_files()
    run.unlist(file)
    assert not run.has_saved_files()


@pytest.mark.parametrize("missing", ["0", "0.json"])
def test_checkpoint_without_its_facts_or_facts_without_it_is_not_listed(store: RunStore, missing: str) -> None:
    run = saved_run(store, range(2))
    (run.checkpoint_folder / missing).unlink()
    assert run.epochs_saved() == [1]


@pytest.mark.parametrize(
    ("last", "best", "expendable"),
    [(9, False, []), (1, False, [0, 1, 2]), (1, True, [0, 2]), (2, True, [0]), (0, True, [0, 2, 3])],
)
def test_keep_rule_names_what_it_lets_go(store: RunStore, last: int, best: bool, expendable: list[int]) -> None:
    run = new_run(store)
    for epoch, loss in enumerate((3.0, 1.0, 2.0, 4.0)):
        save_file(run, run.checkpoint_path(epoch), loss)
    assert store.expendable(run, last, best) == expendable


def test_keep_rule_keeps_what_others_came_from_and_all_while_one_can_not_be_asked(store: RunStore) -> None:
    run, other = saved_run(store, range(3)), new_run(store)
    store.create(config(), run.record.environment, Parent(run=run.id, epoch=1))
    other.record_path.unlink()
    assert store.expendable(run, last=1, best=False) == [0]
    other.record_path.mkdir()
    assert store.expendable(run, last=1, best=False) == []


def test_saved_files_are_sorted_by_epoch_and_named_by_their_path_in_the_run(store: RunStore) -> None:
    run = saved_run(store, (10, 9, 100, 0))
    (run.checkpoint_folder / "09.json").touch()  # not as we write it
    assert run.epochs_saved() == [0, 9, 10, 100]
    names = [f"model_save/{epoch}" for epoch in (0, 9, 10, 100)]
    assert [run.name_of(file) for file in run.saved_files()] == names == [listed.name for listed in run.listed()]
    assert run.saved_file("model_save/10") == run.checkpoint_path(10)
    for name in ("model_save/8", "../../etc/passwd", "run.json", ""):
        with pytest.raises(RunNotFoundError, match="has no saved file"):
            run.saved_file(name)


def test_what_fill_raises_leaves_no_run(store: RunStore) -> None:
    def fill(draft: Run) -> None:
        draft.original_path.write_bytes(b"half")
        raise DiskError(draft.path, "the disk is full.")

    with pytest.raises(DiskError):
        store.create(config(), new_run(store).record.environment, fill=fill)
    assert [path.name for path in store.root.iterdir()] == [run.id for run in store.runs()]


def test_deleted_checkpoint_leaves_the_others_also_those_that_others_came_from(store: RunStore) -> None:
    run = saved_run(store, range(3))
    store.create(config(), run.record.environment, Parent(run=run.id, epoch=2))
    store.delete(run, run.checkpoint_path(1))
    assert run.epochs_saved() == [0, 2]
    assert sorted(path.name for path in run.checkpoint_folder.iterdir()) == ["0", "0.json", "2", "2.json"]
    with pytest.raises(RunNotFoundError, match="has no saved file model_save/1"):
        store.delete(run, run.checkpoint_path(1))


def test_run_that_somebody_writes_to_or_trains_is_not_deleted(store: RunStore) -> None:
    run = new_run(store)
    with run.writing(), pytest.raises(RunStateError, match="being worked on"):
        store.delete(Run(run.path))
    set_running(run)
    with pytest.raises(RunStateError, match="stop it first"):
        store.delete(run)
    assert run.path.exists()


@pytest.mark.parametrize("epoch", [None, 1])
def test_what_others_were_resumed_from_is_deleted_only_by_force(store: RunStore, epoch: int | None) -> None:
    parent = saved_run(store, [1])
    child = store.create(config(), parent.record.environment, Parent(run=parent.id, epoch=1))
    file = None if epoch is None else parent.checkpoint_path(epoch)
    with pytest.raises(RunStateError, match=child.id):
        store.delete(parent, file)
    assert parent.epochs_saved() == [1]
    store.delete(parent, file, force=True)
    assert not parent.checkpoint_path(1).exists()


def test_damaged_run_can_be_deleted(store: RunStore) -> None:
    run, other = saved_run(store, [0]), new_run(store)
    for path in (run.record_path, run.status_path, run.labels_path):
        path.write_text("{")
    store.delete(run)
    assert [path.name for path in store.root.iterdir()] == [other.id]


@pytest.mark.parametrize("lock_left", [False, True])
def test_deleted_run_can_not_be_written(store: RunStore, lock_left: bool) -> None:
    """Older versions of filelock make its folder again when they wait: a lock alone is no run."""
    run = new_run(store)
    store.delete(run)
    if lock_left:
        run.path.mkdir()
        (run.path / "lock").touch()
    with pytest.raises(RunNotFoundError, match="has been deleted"), run.writing():
        pass
    assert list(store.root.iterdir()) == []


def test_run_deleted_while_somebody_waits_to_write_stays_deleted(store: RunStore) -> None:
    run = new_run(store)
    problems: list[str] = []

    def wait() -> None:
        try:
            with Run(run.path).writing(timeout=20):
                problems.append("wrote")
        except RunNotFoundError as error:
            problems.append(str(error))

    waiting = threading.Thread(target=wait)
    with run.writing():
        waiting.start()
        wait_until(lambda: waits_for_lock(waiting), "the other one has tried the lock and will again")
        run.path.rename(store.root / ".tmp-gone")
    waiting.join()
    assert problems == [f"Run {run.id} has been deleted."]
    assert store.runs() == []


def test_file_where_the_store_should_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(FashionError, match="choose another folder") as caught:
        new_run(RunStore(tmp_path / "runs"))
    assert "\n" not in str(caught.value)
    assert (tmp_path / "runs").read_bytes() == b""


def test_store_on_a_read_only_disk_is_one_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(DiskError, match="read-only disk; choose another folder"):
            new_run(RunStore(disk / "runs"))


@pytest.mark.parametrize("room", [0, 4, 8])
def test_store_on_a_full_disk_is_one_sentence_and_nothing_is_left(tmp_path: Path, room: int) -> None:
    """With room for none, one or two of a run's files."""
    with small_disk(tmp_path / "disk", 64) as disk:
        store = RunStore(disk / "runs")
        store.root.mkdir()
        (disk / "other").write_bytes(bytes((64 - room) * 1024))
        with pytest.raises(DiskError, match="the disk is full"):
            new_run(store)
        assert list(store.root.iterdir()) == []


def test_ancestors_are_the_checkpoints_that_led_to_a_run_up_to_a_missing_one(store: RunStore) -> None:
    chain = [new_run(store)]
    for epoch in (4, 2, 7):
        before = chain[-1]
        chain.append(store.create(config(), before.record.environment, parent=Parent(run=before.id, epoch=epoch)))
    first, second, third, last = chain
    assert store.ancestors(first) == []
    assert store.ancestors(last) == [
        Parent(run=third.id, epoch=7), Parent(run=second.id, epoch=2), Parent(run=first.id, epoch=4),
    ]  # fmt: skip
    store.delete(second, force=True)
    assert store.ancestors(last) == [Parent(run=third.id, epoch=7)]
    change_json(third.record_path, parent={"run": last.id, "epoch": 0})
    assert store.ancestors(last) == [Parent(run=third.id, epoch=7)]


def test_package_without_a_record_of_its_version_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a torchvision that was built from source and put on the path."""
    before, version = packages_here(), metadata.version

    def installed(name: str) -> str:
        if name == "torchvision":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", installed)
    assert packages_here.__wrapped__() == {name: before[name] for name in before if name != "torchvision"}
    assert before["fashion-core"] == __version__
