"""Saved files against their recorded digests: what is damaged is named and marked, and nothing is deleted."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.runs.verify import Verified, count_files, verify
from tests.support.files import files_opened, flip_a_bit, forbid_listing
from tests.support.processes import command_line
from tests.support.runs import new_run, save_file, trained

ONE_EPOCH = ["model_save/0", "model_weights.pth", "model.pth"]
TWO_EPOCHS = ["model_save/0", "model_save/1", "model_weights.pth", "model.pth"]


def saved_run(store: RunStore, files: list[str]) -> Run:
    run = new_run(store)
    for file in files:
        save_file(run, run.path / file)
    return run


@pytest.fixture
def run(store: RunStore) -> Run:
    return saved_run(store, TWO_EPOCHS)


def damaged(run: Run) -> dict[str, str]:
    return {result.file: result.reason for result in verify([run]) if result.reason is not None}


def test_files_as_training_leaves_them_are_all_ok(store: RunStore) -> None:
    run = trained(store, epochs=2)
    assert list(verify([run])) == [Verified(run.id, name, None) for name in TWO_EPOCHS]
    assert count_files([run]) == len(TWO_EPOCHS)
    done = command_line("verify", run.id)
    assert (done.returncode, done.stderr, done.stdout.count(": ok")) == (0, "", 4)


def test_each_damaged_file_is_named_and_none_is_deleted(run: Run) -> None:
    flip_a_bit(run.checkpoint_path(0))
    run.model_path.write_bytes(b"12345")
    size = run.known_damage(run.model_path)
    assert (size or "").startswith("it has 5 bytes instead of "), "its size is seen without a check"
    run.weights_path.unlink()
    run.info_path(run.checkpoint_path(1)).write_text("{}")
    found = damaged(run)
    digest = "its SHA-256 is not the one that was recorded"
    assert found.pop("model_save/1", "").startswith("1.json is damaged: ")
    assert found == {"model_save/0": digest, "model.pth": size, "model_weights.pth": "the file is missing"}
    assert run.known_damage(run.checkpoint_path(0)) == digest
    assert run.checkpoint_path(0).exists()


def test_file_saved_again_after_the_check_loses_its_mark(run: Run) -> None:
    path = run.checkpoint_path(0)
    facts, whole = run.file_info(path), path.read_bytes()
    assert facts
    flip_a_bit(path)
    damaged(run)
    path.write_bytes(whole)
    run.write_info(path, facts.model_copy(update={"created": facts.created.replace(year=2100)}))
    assert run.known_damage(path) is not None
    run.write_info(path, facts.model_copy(update={"sha256": "another", "created": facts.created.replace(year=1999)}))
    assert run.known_damage(path) is None


def test_damaged_marks_are_one_sentence(run: Run) -> None:
    run.verification_path.write_text("[]")
    assert list(damaged(run)) == ["verified.json"]
    assert json.loads(run.verification_path.read_text())["files"]["model_save/0"]["reason"] is None


def test_run_deleted_meanwhile_does_not_end_the_check(store: RunStore, run: Run) -> None:
    other = saved_run(store, ONE_EPOCH)
    results = verify([run, other])
    next(results)
    store.delete(run)
    assert [result.file for result in results if result.run == other.id and result.ok] == ONE_EPOCH
    assert not run.path.exists()


def test_folder_that_can_not_be_read_is_named(store: RunStore, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = saved_run(store, ONE_EPOCH)
    forbid_listing(monkeypatch, run.checkpoint_folder)
    found = [(result.run, result.file, result.ok) for result in verify([run, other])]
    assert found == [(run.id, "model_save", False), *((other.id, name, True) for name in ONE_EPOCH)]
    assert count_files([run, other]) == 3


def test_who_leaves_early_does_not_wait_for_all_files(run: Run) -> None:
    facts = run.file_info(run.checkpoint_path(0))
    assert facts is not None
    for epoch in range(1, 200):
        with run.checkpoint_path(epoch).open("wb") as file:
            file.truncate(32 << 20)
        run.write_info(run.checkpoint_path(epoch), facts)
    with files_opened() as opened, closing(verify([run])) as results:
        next(results)
    read = {path for path in opened if Path(path).parent == run.checkpoint_folder and Path(path).name.isdecimal()}
    assert 1 <= len(read) < 50


def test_command_names_a_damaged_record_once(run: Run) -> None:
    run.labels_path.write_text("{")
    done = command_line("verify", run.id)
    assert f"{run.id}/labels.json: it is not JSON\n" in done.stdout
    assert done.stderr == f"fashion_core: {run.labels_path} is damaged: it is not JSON.\n"


def test_command_gives_a_record_for_each_file_and_exits_with_1_for_damage(run: Run) -> None:
    flip_a_bit(run.checkpoint_path(1))
    done = command_line("verify", "--json")
    assert done.returncode == 1
    assert [record["file"] for record in json.loads(done.stdout)] == TWO_EPOCHS
    assert [record["ok"] for record in json.loads(done.stdout)] == [True, False, True, True]
    assert done.stderr == (
        f"fashion_core: {run.checkpoint_path(1)} is damaged: its SHA-256 is not the one that was recorded.\n"
    )
