import math
from typing import Any

import numpy as np
import pytest

from fashion_core import files
from fashion_core.files import now
from fashion_core.runs import metrics, tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import FileVerification, Labels, Parent, Source, Status, Verification
from fashion_core.runs.status import STARTING_SECONDS
from fashion_core.runs.store import RunStore
from tests.support.files import files_opened, settle
from tests.support.runs import config, epoch_row, new_run, on_other_images, save_file

Patch = pytest.MonkeyPatch


def status(**changes: Any) -> Status:
    return Status(state="running", queued_at=0, heartbeat=0, **changes)


def test_epochs_say_where_they_ended_and_whether_their_checkpoint_is_there() -> None:
    frame = tables.epochs_frame([epoch_row(0), epoch_row(1)], config(train_images=128, batch_size=64), [1])
    assert list(frame["step"]) == [2, 4]
    assert list(frame["checkpoint"]) == [False, True]


def test_runs_are_listed_newest_first_with_their_best_epoch(store: RunStore) -> None:
    older, newer = new_run(store, name="older"), new_run(store, name="newer")
    for epoch, loss in enumerate([2.0, 1.0, 1.5]):
        metrics.append_row(older.metrics_path, {**epoch_row(epoch), "loss": loss})
    frame = tables.runs_frame(store)
    assert list(frame["id"]) == [newer.id, older.id]
    assert list(frame["name"]) == ["newer", "older"]
    assert np.isnan(frame["best_loss"].iloc[0])
    assert frame["best_loss"].iloc[1] == 1.0


def test_curve_of_a_run_keeps_its_ends_and_leaves_out_what_is_no_number(store: RunStore) -> None:
    one = new_run(store)
    metrics.append_row(one.metrics_path, epoch_row(0))
    short, long = new_run(store), new_run(store)
    for epoch, loss in enumerate([2.0, None, math.inf, 0.0]):
        metrics.append_row(short.metrics_path, {**epoch_row(epoch), "loss": loss})
    for epoch in range(100):
        metrics.append_row(long.metrics_path, {**epoch_row(epoch), "loss": float(epoch)})
    first, second, third = tables.runs_frame(store)["curve"]
    assert (len(first) <= 31, first[0], first[-1]) == (True, 0.0, 99.0)
    assert (second, third) == ([2.0, 0.0], None)


def test_numbers_of_each_dataset_have_columns_of_their_own(store: RunStore) -> None:
    for dataset, loss in (("synthetic", 0.2), ("fashion-mnist", 0.4)):
        run = new_run(store, dataset=dataset)
        metrics.append_row(run.metrics_path, {**epoch_row(0), "loss": loss, "accuracy": 1 - loss})
    new_run(store).record_path.write_text("{}")
    frame = tables.numbers_by_dataset(tables.runs_frame(store)).fillna(-1)
    assert frame.to_dict("list") == {
        "best_loss fashion-mnist": [-1, 0.4, -1], "accuracy fashion-mnist": [-1, 0.6, -1],
        "best_loss synthetic": [-1, -1, 0.2], "accuracy synthetic": [-1, -1, 0.8],
    }  # fmt: skip


def test_numbers_of_other_images_of_the_same_name_have_columns_of_their_own(store: RunStore) -> None:
    there, here = on_other_images(new_run(store)), new_run(store)
    for run, loss in ((there, 0.2), (here, 0.4)):
        metrics.append_row(run.metrics_path, {**epoch_row(0), "loss": loss})
    frame = tables.numbers_by_dataset(tables.runs_frame(store)).fillna(-1).filter(like="best_loss")
    assert frame.to_dict("list") == {"best_loss synthetic": [0.4, -1], "best_loss synthetic-1a2b3c4d": [-1, 0.2]}


def test_damaged_runs_are_listed_and_say_why(store: RunStore) -> None:
    new_run(store).record_path.unlink()
    new_run(store).record_path.write_text("{}")
    frame = tables.runs_frame(store)
    assert list(frame["state"]) == ["damaged"] * 2
    assert "id is missing" in frame["error"][0]
    assert "it or its folder does not exist" in frame["error"][1]


def test_tables_of_nothing_have_their_columns(store: RunStore) -> None:
    epochs = tables.epochs_frame([], config(), [])
    assert epochs.empty
    assert {"epoch", "step", "loss", "train_loss", "accuracy", "checkpoint"} <= set(epochs.columns)
    runs = tables.runs_frame(store)
    new_run(store)
    saved = tables.saved_frame(store)
    assert (runs.empty, list(runs.columns)) == (True, list(tables.RUN_COLUMNS))
    assert (saved.empty, list(saved.columns)) == (True, list(tables.SAVED_COLUMNS))
    assert saved["best"].dtype == "bool"


def test_progress_and_time_left_follow_from_the_status() -> None:
    settings = config(train_images=640, batch_size=64, epochs=4)
    progress = tables.progress(settings, status(epoch=1, batch=5, images_per_second=64.0))
    assert (progress.done, progress.total, progress.seconds_left) == (15, 40, 25.0)
    assert tables.progress(settings, status()).seconds_left is None


def saved_run(store: RunStore, *losses: float | None, **changes: Any) -> Run:
    run = new_run(store, **changes)
    for epoch, loss in enumerate(losses):
        save_file(run, run.checkpoint_path(epoch), loss)
    return run


def imported_run(store: RunStore, loss: float | None, *assumed: str) -> Run:
    run = saved_run(store, loss)
    source = Source(name="a", format="checkpoint", sha256="0" * 64, assumed=assumed)
    record = run.record.model_copy(update={"source": source})
    run.record_path.write_text(record.model_dump_json())
    return run


def test_loss_of_an_import_whose_dataset_was_assumed_is_in_no_column(store: RunStore) -> None:
    imported_run(store, 0.1, "dataset")
    imported_run(store, 0.2, "pixels")
    assert tables.numbers_by_dataset(tables.runs_frame(store))["best_loss synthetic"].fillna(-1).tolist() == [0.2, -1]


def resume(store: RunStore, run: Run, epoch: int) -> None:
    store.create(config(), run.record.environment, parent=Parent(run=run.id, epoch=epoch))


def test_a_resumed_run_is_listed_with_the_name_of_its_parent_until_that_is_deleted(store: RunStore) -> None:
    parent = saved_run(store, 2.0, name="parent")
    resume(store, parent, 0)
    assert tables.runs_frame(store)["parent"].dropna().tolist() == ["parent, epoch 0"]
    store.delete(parent, force=True)
    assert tables.runs_frame(store)["parent"].dropna().tolist() == [f"{parent.id}, epoch 0"]


def test_saved_files_are_listed_by_run_then_epoch_then_the_others(store: RunStore) -> None:
    older, newer = saved_run(store, 3.0, 2.0, name="older"), saved_run(store, 1.0, name="newer", model="cnn")
    save_file(older, older.weights_path)
    frame = tables.saved_frame(store)
    assert list(frame.columns) == list(tables.SAVED_COLUMNS)
    assert list(frame["run"]) == [newer.id, older.id, older.id, older.id]
    assert list(frame["file"]) == ["model_save/0", "model_save/0", "model_save/1", "model_weights.pth"]
    assert list(frame["loss"]) == [1.0, 3.0, 2.0, 1.0]
    assert list(frame["model"]) == ["cnn", "mlp", "mlp", "mlp"]


def test_best_is_the_whole_checkpoint_with_the_lowest_loss(store: RunStore) -> None:
    run = saved_run(store, 3.0, 1.0, 2.0, None)
    save_file(run, run.weights_path, 0.5)
    assert list(tables.saved_frame(store)["best"]) == [False, True, False, False, False]
    run.checkpoint_path(1).write_bytes(b"short")
    assert list(tables.saved_frame(store)["best"]) == [False, False, True, False, False]
    assert list(tables.saved_frame(store)["best"]) == [epoch == run.best_epoch() for epoch in (*range(4), None)]


def test_runs_resumed_from_a_checkpoint_are_counted_in_one_pass(store: RunStore) -> None:
    run = saved_run(store, 3.0, 2.0)
    save_file(run, run.weights_path)
    for epoch in (1, 1, 0):
        resume(store, run, epoch)
    with files_opened() as opened:
        assert list(tables.saved_frame(store)["resumed"]) == [1, 2, 0]
    reads = [path for path in opened if path.endswith("run.json")]
    assert len(reads) == len(set(reads)) == 4


def test_damage_is_told_without_opening_a_file(store: RunStore) -> None:
    run = saved_run(store, 4.0, 3.0, 2.0, 1.0, 0.5)
    run.checkpoint_path(0).write_bytes(b"short")
    run.checkpoint_path(1).unlink()
    run.info_path(run.checkpoint_path(2)).write_text("{")
    facts = run.file_info(run.checkpoint_path(3))
    assert facts is not None
    run.write_verification(
        Verification(files={"model_save/3": FileVerification(sha256=facts.sha256, reason="its SHA-256 is another")})
    )
    frame = tables.saved_frame(store)
    told = frame["damage"].fillna("").tolist()
    assert told[:2] == ["it has 5 bytes instead of 7", "the file is missing"]
    assert "it is not JSON" in told[2]
    assert told[3:] == ["its SHA-256 is another", ""]
    assert frame["epoch"].tolist() == list(range(5))
    assert list(frame["best"]) == [False] * 4 + [True]


def test_damaged_marks_labels_and_record_hide_no_file(store: RunStore) -> None:
    run = saved_run(store, 1.0)
    for path in (run.verification_path, run.labels_path, run.record_path):
        path.write_text("{")
    row = tables.saved_frame(store).iloc[0]
    assert (row["name"], row["file"]) == (run.id, "model_save/0")


@pytest.mark.parametrize("after", ["its name was found", "its size was found"])
def test_file_deleted_while_it_is_listed_has_no_row(store: RunStore, monkeypatch: Patch, after: str) -> None:
    run = saved_run(store, 3.0, 2.0)
    first, second = run.listed()
    assert first.name == "model_save/0"
    found = [first if after == "its size was found" else first._replace(bytes=None), second]
    monkeypatch.setattr(Run, "listed", lambda run: found)
    run.remove_saved(run.checkpoint_path(0))
    assert list(tables.saved_frame(store)["file"]) == ["model_save/1"]


def test_imported_run_whose_loss_is_not_known_is_listed(store: RunStore) -> None:
    imported_run(store, None)
    row = tables.runs_frame(store).iloc[0]
    assert (row["epochs"], row["state"]) == ("imported", "queued")
    assert np.isnan(row["best_loss"])


def test_lists_follow_what_other_processes_change(store: RunStore, monkeypatch: Patch) -> None:
    settle(monkeypatch)
    run = saved_run(store, 2.0)
    assert (len(tables.runs_frame(store)), len(tables.saved_frame(store))) == (1, 1)
    save_file(run, run.checkpoint_path(1))
    run.write_labels(Labels(name="renamed"))
    metrics.append_row(run.metrics_path, {**epoch_row(0), "loss": 2.0})
    run.write_status(status(epoch=1).model_copy(update={"state": "stopped"}))
    assert list(tables.saved_frame(store)["best"]) == [False, True]
    row = tables.runs_frame(store).iloc[0]
    assert (row["name"], row["state"], row["best_loss"]) == ("renamed", "stopped", 2.0)
    store.delete(run)
    assert tables.runs_frame(store).empty
    assert tables.saved_frame(store).empty


def test_imported_run_has_the_loss_of_its_checkpoint_while_that_is_whole(store: RunStore, monkeypatch: Patch) -> None:
    settle(monkeypatch)
    run = imported_run(store, 2.0)
    assert tables.runs_frame(store)["best_loss"].tolist() == [2.0]
    facts = run.info_path(run.checkpoint_path(0))
    whole = facts.read_bytes()
    files.write_json(facts, {})
    damaged = tables.runs_frame(store).iloc[0]
    assert (damaged["state"], facts.name in damaged["error"]) == ("damaged", True)
    files.write_bytes(facts, whole)
    assert tables.runs_frame(store)["best_loss"].tolist() == [2.0]
    run.remove_saved(run.checkpoint_path(0))
    assert tables.runs_frame(store)["best_loss"].isna().all()


def test_a_run_whose_worker_is_gone_is_lost_though_its_files_stand_still(store: RunStore, monkeypatch: Patch) -> None:
    run = new_run(store)
    run.write_status(status().model_copy(update={"heartbeat": now()}))
    assert tables.runs_frame(store)["state"].tolist() == ["running"]
    settle(monkeypatch)
    tables.runs_frame(store)
    monkeypatch.setattr("fashion_core.files.now", lambda: run.status.heartbeat + STARTING_SECONDS + 1)
    assert tables.runs_frame(store)["state"].tolist() == ["lost"]


def test_a_file_that_was_written_over_in_place_is_found_where_it_is_shown(store: RunStore, monkeypatch: Patch) -> None:
    settle(monkeypatch)
    run = saved_run(store, 2.0, 1.0)
    saved = tables.saved_frame(store)
    assert not tables.forget_changed(store, saved)
    run.checkpoint_path(1).write_bytes(b"short")
    assert not tables.forget_changed(store, saved.iloc[:1])
    assert tables.forget_changed(store, saved)
    again = tables.saved_frame(store)
    assert list(again["best"]) == [True, False]
    assert again["damage"].notna().tolist() == [False, True]
    assert not tables.forget_changed(store, again)
