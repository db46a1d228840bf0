"""What a bundle holds: runs with all that they go back to, as their folders are at that moment."""

import itertools
import json
from pathlib import Path

import pytest

from fashion_core.bundles import snapshot, unbundle, write
from fashion_core.bundles.layout import MAX_RECORD_BYTES
from fashion_core.errors import DamagedFileError, DiskError, RunStateError
from fashion_core.runs import metrics
from fashion_core.runs.schema import Drill, Job, Labels
from fashion_core.runs.store import RunStore
from tests.support.bundles import bundled, manifest_of, members_of, small_run
from tests.support.files import files_below, flip_a_bit, small_disk
from tests.support.runs import ELSEWHERE, batch_row, epoch_row, new_run, set_state, set_worker


def test_bundle_holds_every_file_of_a_run_as_it_is_but_for_who_worked_on_it(store: RunStore) -> None:
    run = small_run(store)
    run.write_drill(Drill(killed=1.0, pid=1, epoch=0, batch=1))
    with run.writing():  # leaves its lock
        pass
    members = members_of(bundled(store, run))
    paths = {path for path in run.path.rglob("*") if path.is_file() and path.name != "lock"}
    assert {store.root / name for name in members} == paths
    differs = {name for name, data in members.items() if (store.root / name).read_bytes() != data}
    assert differs <= {f"{run.id}/status.json"}


def test_manifest_is_last_and_names_the_sha256_of_every_member(store: RunStore) -> None:
    path = bundled(store, small_run(store))
    manifest, members = manifest_of(path), members_of(path)
    assert [member["name"] for member in manifest["members"]] == list(members)
    assert {member["bytes"] for member in manifest["members"]} == {len(data) for data in members.values()}


def test_ancestors_come_along_before_those_that_go_back_to_them(store: RunStore) -> None:
    first = small_run(store)
    second = small_run(store, first)
    small_run(store, first, name="another branch")
    third = small_run(store, second)
    path = bundled(store, third, second)
    assert manifest_of(path)["runs"] == [first.id, second.id, third.id]


def test_parent_that_was_deleted_is_said_to_be_gone(store: RunStore) -> None:
    first = small_run(store)
    second = small_run(store, first)
    store.delete(first, force=True)
    manifest = manifest_of(bundled(store, second))
    assert (manifest["runs"], manifest["gone"]) == ([second.id], [first.id])


@pytest.mark.parametrize("state", ["running", "queued", "lost"])
def test_run_that_is_under_way_or_was_killed_is_a_stopped_one_there_without_its_worker(
    store: RunStore, state: str
) -> None:
    run = small_run(store)
    set_worker(run, ELSEWHERE)
    job = Job(launcher="slurm", id="7", user="anna", submitted=1.0)
    run.write_status(run.status.model_copy(update={"state": state, "job": job, "launcher": "slurm"}))
    status = json.loads(members_of(bundled(store, run))[f"{run.id}/status.json"])
    assert status["state"] == "stopped"
    assert [status[key] for key in ("process", "job", "launcher", "phase")] == [None] * 4


def test_row_that_is_being_written_stays_behind(store: RunStore) -> None:
    run = small_run(store)
    whole = run.metrics_path.read_bytes()
    with run.metrics_path.open("ab") as file:
        file.write(b'{"kind": "batch", "epo')
    assert members_of(bundled(store, run))[f"{run.id}/metrics.jsonl"] == whole


def test_what_a_worker_does_meanwhile_leaves_the_bundle_whole(store: RunStore, tmp_path: Path) -> None:
    """After each file that is copied, training adds to the losses and the log, and deletes a checkpoint that it keeps
    no longer: sometimes one that is about to be copied.
    """
    run, count = small_run(store, epochs=30), itertools.count(1)
    before = run.metrics_path.read_bytes()

    def work(_done: int, _total: int) -> None:
        number = next(count)
        run.remove_saved(run.checkpoint_path(number % 30))
        metrics.append_row(run.metrics_path, batch_row(29, number, [1.0]))
        with run.log_path.open("a") as log:
            log.write("more\n")

    write.bundle(store, [run], tmp_path / "out.zip", work)
    members = members_of(tmp_path / "out.zip")
    saved = {name for name in members if name.rpartition("/")[2].isdecimal()}
    assert 5 < len(saved) < 30
    assert {f"{name}.json" for name in saved} <= members.keys()
    assert members[f"{run.id}/metrics.jsonl"].startswith(before)
    assert len(unbundle.unbundle(RunStore(tmp_path / "other"), tmp_path / "out.zip").made) == 1


def test_damaged_checkpoint_is_named_and_no_file_is_left(store: RunStore, tmp_path: Path) -> None:
    run = small_run(store)
    flip_a_bit(run.checkpoint_path(1))
    with pytest.raises(DamagedFileError, match=r"model_save/1 is damaged: its SHA-256 .*; delete it, or leave its run"):
        write.bundle(store, [run], tmp_path / "out.zip")
    run.checkpoint_path(0).unlink()
    with pytest.raises(DamagedFileError, match="model_save/0 is damaged: the file is missing"):
        write.bundle(store, [run], tmp_path / "out.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_what_no_store_would_take_is_told_before_anything_is_written(store: RunStore, tmp_path: Path) -> None:
    """A bundle that could not be read would be found out once the runs are gone."""
    copied, edited, named, tagged, large = (small_run(store) for _ in range(5))
    copied.write_record(copied.record.model_copy(update={"id": large.id}))
    with pytest.raises(DamagedFileError, match=r"run\.json is damaged: .* is that of another run"):
        write.bundle(store, [copied], tmp_path / "out.zip")
    metrics.append_row(edited.metrics_path, {**epoch_row(1), "loss": "low"})
    with pytest.raises(DamagedFileError, match=r"metrics\.jsonl is damaged: .* a row that no run writes"):
        write.bundle(store, [edited], tmp_path / "out.zip")
    named.write_labels(Labels(name="two\nlines"))
    with pytest.raises(DamagedFileError, match=r"labels\.json is damaged: the name of run .* one line of at most 80"):
        write.bundle(store, [named], tmp_path / "out.zip")
    tagged.write_labels(Labels(name="tagged", tags=("x",) * 20_000))
    with pytest.raises(RunStateError, match=r"labels\.json, these runs have more in their records than a bundle takes"):
        write.bundle(store, [tagged], tmp_path / "out.zip")
    large.write_labels(Labels(name="large", notes="x" * MAX_RECORD_BYTES))
    with pytest.raises(RunStateError, match=r"labels\.json has 1,048,\d+ bytes; a bundle takes at most 1,048,576"):
        write.bundle(store, [large], tmp_path / "out.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_nothing_is_overwritten_and_nothing_in_the_store_changes(store: RunStore, tmp_path: Path) -> None:
    run = small_run(store)
    before = files_below(store.root)
    out = bundled(store, run)
    with pytest.raises(DiskError, match="exists already; choose another name"):
        write.bundle(store, [run], out)
    assert files_below(store.root) == before


def test_file_that_somebody_makes_meanwhile_stays(store: RunStore, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    with pytest.raises(DiskError, match="exists already; choose another name"):
        write.bundle(store, [small_run(store)], out, lambda done, total: out.write_text("theirs"))
    assert out.read_text() == "theirs"


def test_missing_folder_is_one_sentence_about_the_bundle(store: RunStore, tmp_path: Path) -> None:
    run = small_run(store)
    with pytest.raises(DiskError, match=rf"{tmp_path / 'none' / 'out.zip'} can't be used: it or its folder does not"):
        write.bundle(store, [run], tmp_path / "none" / "out.zip")


def test_full_disk_is_one_sentence_about_the_bundle_and_leaves_nothing(store: RunStore, tmp_path: Path) -> None:
    run = small_run(store)
    run.log_path.write_bytes(bytes(100_000))
    with small_disk(tmp_path / "small", 60) as folder:
        with pytest.raises(DiskError, match=rf"{folder / 'out.zip'} can't be used: the disk is full"):
            write.bundle(store, [run], folder / "out.zip")
        assert list(folder.iterdir()) == []


def test_link_in_a_run_folder_is_not_followed(store: RunStore, tmp_path: Path) -> None:
    run = small_run(store)
    run.log_path.unlink()
    run.log_path.symlink_to("/etc/passwd")
    with pytest.raises(DiskError, match=r"train\.log can't be used: it is a symbolic link"):
        write.bundle(store, [run], tmp_path / "out.zip")


def test_progress_ends_at_the_size_that_it_named(store: RunStore, tmp_path: Path) -> None:
    run, told = small_run(store), list[tuple[int, int]]()
    write.bundle(store, [run], tmp_path / "out.zip", lambda done, total: told.append((done, total)))
    assert told[-1] == (snapshot.bytes_of(run),) * 2
    assert sorted(told) == told


def test_run_without_an_epoch_can_be_bundled(store: RunStore) -> None:
    run = new_run(store)
    set_state(run, "stopped")
    assert f"{run.id}/run.json" in members_of(bundled(store, run))
