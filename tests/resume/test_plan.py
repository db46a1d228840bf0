"""Resuming from a checkpoint: bit for bit what the uninterrupted run computes, and honest where it can't be."""

import itertools
import json
import os
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from fashion_core.config import parse_config
from fashion_core.data import batches
from fashion_core.errors import ConfigError, DamagedFileError, LoadCheckError, RunNotFoundError, UnfitFileError
from fashion_core.formats import export
from fashion_core.formats.import_file import import_file
from fashion_core.models import build_model
from fashion_core.resume import plan, verdict
from fashion_core.resume.bitwise import check_bitwise
from fashion_core.resume.plan import ResumeRequest
from fashion_core.resume.reasons import texts
from fashion_core.runs import metrics, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Change, LoadCheck, Resumption
from fashion_core.runs.store import RunStore
from tests.support.exact import KilledError, epoch_rows, killed_after, load, same
from tests.support.files import files_below, files_opened, flip_a_bit, settle
from tests.support.processes import wait_until, worker_is_gone
from tests.support.runs import FEW, After, copied, new_run, on_other_images, resume, save_again, set_state, train

_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.01},
    "momentum": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01, "weight_decay": 0.01},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.05},
}
Row = tuple[str, ...]
MATRIX: list[Row] = [
    ("mlp", "sgd", "constant", "fp32", "plain"),
    ("mlp", "momentum", "constant", "bf16", "augmented"),
    ("mlp", "adam", "cosine", "fp32", "augmented"),
    ("mlp", "adamw", "constant", "bf16", "plain"),
    ("cnn", "sgd", "cosine", "bf16", "augmented"),
    ("cnn", "momentum", "cosine", "fp32", "plain"),
    ("cnn", "adam", "constant", "bf16", "plain"),
    ("cnn", "adamw", "cosine", "fp32", "augmented"),
]
"""Every pair of values of two different settings of the two small models is in some row."""
DEEP: Row = ("resnet18", "adamw", "cosine", "bf16", "augmented")
"""A row of this model takes as long as the others together."""
FAST: set[Row] = {MATRIX[2], MATRIX[3], MATRIX[7]}
KILLED = MATRIX[2]
"""With augmentation, which a process draws anew once it is started again; an epoch's end takes little time."""
BATCH = {"mlp": 64, "cnn": 16, "resnet18": 8}
IMAGES = {"mlp": 300, "cnn": 60, "resnet18": 20}  # some whole batches, and a smaller last one
EPOCHS = {"mlp": 3, "cnn": 3, "resnet18": 2}


def settings_of(row: Row) -> dict[str, Any]:
    model, optimizer, schedule, precision, augmentation = row
    return {
        **_OPTIMIZERS[optimizer],
        "model": model,
        "schedule": schedule,
        "precision": precision,
        "augmentation": "flip and shift" if augmentation == "augmented" else "none",
        "batch_size": BATCH[model],
        "train_images": IMAGES[model],
        "epochs": EPOCHS[model],
        "seed": 5,
    }


def rows(among: Sequence[Row], slow: Collection[Row] = ()) -> list[Any]:
    return [pytest.param(row, id="-".join(row), marks=[pytest.mark.slow] if row in slow else []) for row in among]


def assert_same_epochs_after(resumed_from: int, child: Run, straight: Run) -> None:
    epochs = list(range(resumed_from + 1, straight.record.config.epochs))
    assert epochs
    assert child.epochs_saved() == epochs
    for epoch in epochs:
        ours, theirs = load(child.checkpoint_path(epoch)), load(straight.checkpoint_path(epoch))
        for key in ("epoch", "model_state_dict", "optimizer_state_dict", "loss"):
            assert same(ours[key], theirs[key]), f"{key} of epoch {epoch} differs"
    measured = ("epoch", "loss", "accuracy", "train_loss")
    found = {row["epoch"]: [row[key] for key in measured] for row in epoch_rows(child)}
    expected = {row["epoch"]: [row[key] for key in measured] for row in epoch_rows(straight)}
    assert found == {epoch: expected[epoch] for epoch in epochs}
    assert same(load(child.weights_path), load(straight.weights_path))


def test_matrix_covers_every_pair_of_settings() -> None:
    values = [sorted({row[column] for row in MATRIX}) for column in range(5)]
    for one, other in itertools.combinations(range(5), 2):
        covered = {(row[one], row[other]) for row in MATRIX}
        assert covered == set(itertools.product(values[one], values[other]))


@pytest.fixture(scope="module", params=rows([*MATRIX, DEEP], {*MATRIX, DEEP} - FAST))
def straight(request: pytest.FixtureRequest, module_store: RunStore) -> Run:
    run = new_run(module_store, **settings_of(request.param))
    assert train(run, test_images=FEW) == "finished"
    return run


def resumption(child: Run) -> Resumption:
    assert child.record.resumption is not None
    return child.record.resumption


def load_check(child: Run) -> LoadCheck:
    assert child.load_check is not None
    return child.load_check


def test_resumed_from_each_epoch_equals_the_straight_run(store: RunStore, straight: Run) -> None:
    parent = copied(straight, store)
    for epoch in parent.epochs_saved()[:-1]:
        child = resume(store, parent, epoch)
        assert (resumption(child).verdict, resumption(child).reasons) == ("exact", ())
        assert train(child, test_images=FEW) == "finished"
        assert load_check(child).loss_check == load_check(child).loss_last
        assert_same_epochs_after(epoch, child, straight)
        assert check_bitwise(child, straight).kind == "identical"


def test_resumed_then_stopped_mid_epoch_and_continued_equals_the_straight_run(store: RunStore, straight: Run) -> None:
    child = resume(store, copied(straight, store), 0)
    assert train(child, After(3), FEW) == "stopped"
    assert child.partial_path.exists()
    assert train(child, test_images=FEW) == "finished"
    assert_same_epochs_after(0, child, straight)


def test_resumed_then_killed_and_continued_equals_the_straight_run(store: RunStore, straight: Run) -> None:
    child = resume(store, copied(straight, store), 0)
    with pytest.raises(KilledError):
        train(child, killed_after(3), FEW)
    assert train(child, test_images=FEW) == "finished"
    assert_same_epochs_after(0, child, straight)


@pytest.mark.slow
def test_worker_killed_with_sigkill_and_continued_equals_the_straight_run(store: RunStore) -> None:
    """A real worker resumed from a real worker's checkpoint, killed while it trains.

    All rows are killed too, in this process, which tells the same of their settings.
    """
    long_enough = {"train_images": 12_000, "batch_size": 16, "device": "cpu", "threads": 1}
    straight = queue.start(store, parse_config({**settings_of(KILLED), **long_enough}))
    wait_until(lambda: worker_is_gone(straight), "the straight run ends", 240)
    (child,) = plan.resume(store, straight, [ResumeRequest(0, straight.record.config.epochs - 1, {})])
    wait_until(lambda: child.status.phase == "training" or worker_is_gone(child), "the resumed run trains")
    assert not worker_is_gone(child), f"it ended before it could be killed: {child.status}, {child.log_tail(5)}"
    assert child.status.process is not None
    os.kill(child.status.process.pid, signal.SIGKILL)
    wait_until(lambda: child.state() == "lost", "the kill is noticed")
    queue.continue_run(store, child)
    wait_until(lambda: worker_is_gone(child), "the resumed run ends", 240)
    assert child.state() == "finished", child.log_tail(5)
    assert_same_epochs_after(0, child, straight)


@pytest.fixture(scope="module")
def momentum(module_store: RunStore) -> Run:
    run = new_run(module_store, train_images=2_000, optimizer="sgd", momentum=0.9, learning_rate=0.05, epochs=2, seed=3)
    assert train(run) == "finished"
    return run


@pytest.fixture
def parent(store: RunStore, momentum: Run) -> Run:
    return copied(momentum, store)


def test_resuming_without_the_optimizer_state_is_called_so(store: RunStore, momentum: Run, tmp_path: Path) -> None:
    export.export(momentum, 0, "weights", tmp_path / "w.pth")
    given = {**momentum.record.config.model_dump(), "name": "weights"}
    weights = import_file(store, tmp_path / "w.pth", "w.pth", given)
    child = resume(store, weights, 0, 1)
    assert resumption(child).verdict == "weights only"
    assert "it does not carry the optimizer's state" in texts(resumption(child).reasons)
    train(child)
    assert load_check(child).optimizer == "fresh"
    expected, found = epoch_rows(momentum)[1]["loss"], epoch_rows(child)[-1]["loss"]
    assert abs(found - expected) > 1e-3, f"the curves differ by {abs(found - expected)} alone"


def test_checkpoint_of_the_tutorials_four_keys_is_approximate(store: RunStore, momentum: Run, tmp_path: Path) -> None:
    content = load(momentum.checkpoint_path(0))
    keys = ("epoch", "model_state_dict", "optimizer_state_dict", "loss")
    torch.save({key: content[key] for key in keys}, tmp_path / "four")
    child = resume(store, import_file(store, tmp_path / "four", "four", {}), 0, 1)
    assert resumption(child).verdict == "approximate"
    assert texts(resumption(child).reasons) == [
        "it does not carry the settings, with the seed that decides order and randomness",
        "it does not carry the environment it was trained in (device, processor, threads, torch)",
    ]
    assert train(child) == "finished"
    assert (load_check(child).optimizer, load_check(child).comparable) == ("loaded", False)


def test_three_losses_are_kept_and_the_check_equals_the_stored_one(store: RunStore, parent: Run) -> None:
    train(child := resume(store, parent, 0))
    check, stored = load_check(child), load(parent.checkpoint_path(0))["loss"]
    assert check.loss_last == check.loss_check == stored
    row = epoch_rows(child)[0]
    assert row["difference"] == pytest.approx(row["loss"] - stored, abs=1e-6)
    assert 0 < row["standard_error"] < check.standard_error
    losses = torch.frombuffer(bytearray(child.load_losses_path.read_bytes()), dtype=torch.float32).double()
    assert check.loss_check == pytest.approx(losses.mean().item())
    assert check.standard_error == pytest.approx(losses.std().item() / len(losses) ** 0.5)
    assert len(losses) == len(batches.load("synthetic")[1])


def test_children_go_on_counting_epochs_and_leave_the_parent_untouched(store: RunStore, parent: Run) -> None:
    before = files_below(parent.path)
    child = resume(store, parent, 1, 2, learning_rate=0.02, batch_size=32, seed=9, momentum=0.5, weight_decay=0.1)
    assert resumption(child).changes == {
        "batch_size": Change(before=64, after=32),
        "learning_rate": Change(before=0.05, after=0.02),
        "momentum": Change(before=0.9, after=0.5),
        "weight_decay": Change(before=0.0, after=0.1),
        "seed": Change(before=3, after=9),
    }
    train(child)
    assert child.epochs_saved() == [2, 3]
    (group,) = load(child.checkpoint_path(2))["optimizer_state_dict"]["param_groups"]
    assert (group["momentum"], group["weight_decay"], group["lr"]) == (0.5, 0.1, 0.02)
    train(grandchild := resume(store, child, 3, 1))
    assert grandchild.epochs_saved() == [4]
    assert files_below(parent.path) == before


def test_checkpoint_whose_weights_fit_no_model_is_not_usable_and_not_refused(store: RunStore, parent: Run) -> None:
    content = load(parent.checkpoint_path(0))
    content["model_state_dict"] = {"weight": torch.zeros(3, 3)}
    save_again(parent, 0, content)
    with pytest.raises(UnfitFileError, match="The file is not usable: "):
        resume(store, parent, 0)


def test_another_optimizer_starts_fresh_and_says_so(store: RunStore, parent: Run) -> None:
    child = resume(store, parent, 1, 1, optimizer="adam", learning_rate=0.001)
    assert "adam starts fresh: the state of sgd is not used" in texts(resumption(child).reasons)
    train(child)
    assert load_check(child).optimizer == "fresh"
    assert set(load(child.checkpoint_path(2))["optimizer_state_dict"]["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}


def test_run_json_holds_reasons_as_ids_with_values(store: RunStore, parent: Run) -> None:
    child = resume(store, parent, 0, 1, optimizer="adam", learning_rate=0.001)
    found = json.loads(child.record_path.read_text())["resumption"]["reasons"]
    assert {"id": "setting", "values": {"setting": "learning_rate", "before": 0.05, "after": 0.001}} in found
    assert {"id": "fresh optimizer", "values": {"before": "sgd", "after": "adam"}} in found


def test_loss_that_ran_away_leaves_a_checkpoint_exact(parent: Run) -> None:
    content = load(parent.checkpoint_path(0))
    content["measured"]["loss"] = content["loss"] = 1.75e23
    save_again(parent, 0, content)
    assert verdict.inspect_checkpoint(parent, 0) == verdict.Verdict("exact", ())


def test_cosine_to_more_epochs_than_planned_is_approximate(store: RunStore) -> None:
    train(parent := new_run(store, epochs=2, schedule="cosine"))
    child = resume(store, parent, 1, 2)
    assert resumption(child).verdict == "approximate"
    assert texts(resumption(child).reasons) == ["the cosine reaches zero after epoch 3 instead of 1"]


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ({"threads": 1}, {"threads": 64}, ["threads 1 → 64: rounding differs"]),
        ({"mkl": None}, {"mkl": "AUTO,STRICT"}, ["MKL_CBWR not set → AUTO,STRICT: rounding differs"]),
        ({"mkl": None, "device": "cuda:0"}, {"device": "cpu"}, ["device cuda:0 → cpu: rounding differs"]),
        ({"processor": "A"}, {"processor": "B (AVX2)"}, ["processor A → B (AVX2): rounding differs"]),
        ({"processor": None}, {"processor": "B"}, []),
        ({"processor": "A"}, {"processor": None}, []),
    ],
)
def test_environment_that_differs_is_said_before_the_click_unless_a_processor_is_unknown(
    parent: Run, before: dict[str, Any], after: dict[str, Any], reasons: list[str]
) -> None:
    environment, config = parent.record.environment, plan.resumed_config(parent, 0, 1, {})
    made = parent.record.model_copy(update={"environment": environment.model_copy(update=before)})
    there = environment.model_copy(update=after)
    judged = verdict.judge(verdict.inspect_checkpoint(parent, 0), made, config, there)
    assert (judged.kind, texts(judged.reasons)) == ("approximate" if reasons else "exact", reasons)


def nothing_made(store: RunStore, parent: Run) -> bool:
    return [run.id for run in store.runs()] == [parent.id]


@pytest.mark.parametrize(
    ("epoch", "additional", "overrides", "error", "sentence"),
    [
        (7, 1, {}, RunNotFoundError, r"has no checkpoint of epoch 7; it has those of epoch 0, 1\."),
        (0, 0, {}, ConfigError, "Additional epochs should be at least 1, not 0"),
        (0, -1, {}, ConfigError, "Additional epochs should be at least 1, not -1"),
        (0, 100_000, {}, ConfigError, "Epochs should be"),
        (0, 1, {"model": "cnn"}, ConfigError, "Nothing of the checkpoint's mlp fits cnn for synthetic garments"),
    ],
)
def test_one_that_can_not_be_resumed_is_one_sentence_and_leaves_none_of_them(
    store: RunStore, parent: Run, epoch: int, additional: int, overrides: Any, error: type[Exception], sentence: str
) -> None:
    requests = [ResumeRequest(0, 1, {}), ResumeRequest(epoch, additional, overrides)]
    with pytest.raises(error, match=sentence):
        plan.create(store, parent, requests)
    assert nothing_made(store, parent)


def test_many_epochs_are_told_in_few_words(parent: Run) -> None:
    with pytest.raises(RunNotFoundError, match=r"; it has 1,001, from epoch 0 to 1,000\."):
        verdict.check_epoch(parent, 2000, list(range(1001)))


def test_checkpoint_is_hashed_and_inspected_once(store: RunStore, parent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    request, path = ResumeRequest(0, 1, {}), str(parent.checkpoint_path(0))
    with files_opened() as opened:
        plan.plan_runs(parent, [request, ResumeRequest(0, 1, {"seed": 9})])
        verdict.carries_optimizer(parent, 0)
        plan.create(store, parent, [request])
    assert opened.count(path) == 2


def test_click_refuses_what_was_damaged_since(store: RunStore, parent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ResumeRequest(0, 1, {})
    settle(monkeypatch)
    (planned,) = plan.plan_runs(parent, [request])
    assert planned.verdict.kind == "exact"
    flip_a_bit(parent.checkpoint_path(0))
    with pytest.raises(DamagedFileError, match="SHA-256 is not the one that was recorded"):
        plan.create(store, parent, [request])
    assert verdict.carries_optimizer(parent, 0)  # for the script beside the verdict
    assert nothing_made(store, parent)


def test_checkpoint_deleted_while_runs_are_made_from_it_leaves_and_starts_none(store: RunStore, parent: Run) -> None:
    set_state(parent, "finished")
    places: list[str] = []

    def look_in(event: str, arguments: tuple[Any, ...]) -> None:
        """Once the second of the two gets its place, as another process that looks after the queue would."""
        if event == "os.rename" and Path(arguments[1]).parent == store.root and len(places) < 2:
            places.append(arguments[1])
            if len(places) == 2:
                queue.advance(store, patience=0)
                parent.remove_saved(parent.checkpoint_path(0))

    sys.addaudithook(look_in)
    with pytest.raises(RunNotFoundError, match="has no checkpoint of epoch 0"):
        plan.create(store, parent, [ResumeRequest(0, 1, {"seed": 1}), ResumeRequest(0, 1, {"seed": 2})])
    assert len(places) == 2
    assert nothing_made(store, parent)


@pytest.mark.slow
def test_process_that_is_suspended_at_the_queue_keeps_nobody_from_resuming(store: RunStore, parent: Run) -> None:
    with FileLock(store.root / ".queue.lock"):
        assert resume(store, parent, 0, 1).state() == "queued"


def test_checkpoint_that_somebody_resumed_from_meanwhile_stays_listed(store: RunStore, parent: Run) -> None:
    resume(store, parent, 0, 1)
    for epoch in (0, 1):
        store.remove_unless_resumed(parent, epoch)
    assert parent.epochs_saved() == [0]
    assert parent.is_whole(parent.checkpoint_path(0))


def test_deleted_parent_is_one_sentence_before_the_start_and_not_missed_after_it(store: RunStore, parent: Run) -> None:
    waiting, child = resume(store, parent, 0, 1), resume(store, parent, 0, 2)
    train(child, After(3))
    store.delete(parent, force=True)
    with pytest.raises(RunNotFoundError, match=parent.id):
        train(waiting)
    assert waiting.epochs_saved() == []
    assert train(child) == "finished"
    assert child.epochs_saved() == [1, 2]
    assert resumption(child).parent_name == "mlp sgd 0.05"


def test_other_dataset_is_allowed_and_said_loudly(store: RunStore, parent: Run, real_data: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(real_data))
        child = resume(store, parent, 1, 1, dataset="fashion-mnist")
        assert any(reason.startswith("DIFFERENT DATASET") for reason in texts(resumption(child).reasons))
        assert train(child) == "finished"
    assert not load_check(child).comparable
    assert load_check(child).loss_check != load_check(child).loss_last


def test_other_images_of_the_same_name_are_another_dataset(store: RunStore, parent: Run) -> None:
    child = resume(store, on_other_images(parent), 1, 1)
    told, change = resumption(child), Change(before="synthetic-1a2b3c4d", after="synthetic")
    assert (told.verdict, told.changes, child.title[-14:]) == ("transfer", {"dataset": change}, ", on synthetic")
    assert texts(told.reasons)[0] == "dataset synthetic-1a2b3c4d → synthetic"
    assert texts(told.reasons)[1].startswith("DIFFERENT DATASET")
    train(child)
    assert not load_check(child).comparable


def test_load_that_gives_another_loss_stops_with_both_numbers(store: RunStore, parent: Run) -> None:
    content = load(parent.checkpoint_path(0))
    content["model_state_dict"]["linear_relu_stack.4.bias"] += 1.0
    content["model_state_dict"]["linear_relu_stack.4.weight"] *= 2.0
    save_again(parent, 0, content)
    child = resume(store, parent, 0, 1)
    with pytest.raises(LoadCheckError, match=r"the checkpoint says that its loss is .* but after loading it is"):
        train(child)
    assert (child.epochs_saved(), metrics.read_rows(child.metrics_path)) == ([], [])


def test_imported_whole_model_can_be_resumed(store: RunStore, tmp_path: Path) -> None:
    torch.save(build_model("mlp", seed=1), tmp_path / "model.pth")
    parent = import_file(store, tmp_path / "model.pth", "model.pth", {})
    child = resume(store, parent, 0, 1, train_images=300)
    assert train(child) == "finished"
    assert child.epochs_saved() == [1]
