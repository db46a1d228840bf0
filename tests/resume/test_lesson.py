"""The lesson: the tutorial's lines run as they stand, and training goes on from checkpoint 0."""

import json
from pathlib import Path

import pytest

from fashion_core.errors import DataError, RunStateError
from fashion_core.resume import lesson
from fashion_core.resume.answers import sentence
from fashion_core.resume.bitwise import check_bitwise
from fashion_core.resume.comparison import compare_run
from fashion_core.resume.lesson import outputs
from fashion_core.runs import torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, refused
from tests.support.files import files_below
from tests.support.processes import wait_until, worker_is_gone
from tests.support.runs import FEW, finish, new_run, on_other_images, resume, set_finished, train


@pytest.fixture
def first(store: RunStore) -> Run:
    run = new_run(store, epochs=2)
    assert train(run) == "finished"
    return run


def test_snippets_print_the_model_and_the_checkpoint_and_leave_nothing_behind(first: Run) -> None:
    before, here = files_below(first.path), sorted(Path.cwd().iterdir())
    found = outputs.outputs(first)
    printed = found["printed"]
    assert printed["weights"] == printed["model"]
    assert printed["weights"].startswith("NeuralNetwork(\n  (flatten): Flatten(start_dim=1, end_dim=-1)")
    assert printed["checkpoint"].startswith("['epoch', 'model_state_dict', 'optimizer_state_dict', 'loss'")
    sizes = found["bytes"]
    assert sizes["model_save/0"] == first.checkpoint_path(0).stat().st_size
    assert sizes["numbers"] == 4 * 669_706
    extra = {name: size - sizes["numbers"] for name, size in sizes.items() if name != "checkpoint_with_adam"}
    assert all(0 <= size < 10_000 for size in extra.values())
    assert 2 * sizes["numbers"] < sizes["checkpoint_with_adam"] - sizes["model_save/0"] < 2.01 * sizes["numbers"]
    assert files_below(first.path) == before
    assert sorted(Path.cwd().iterdir()) == here


def test_last_step_begins_once_the_first_run_has_finished_and_only_once(store: RunStore) -> None:
    run = new_run(store, epochs=2, name="Lesson")
    assert lesson.continue_run(store, run) is None
    finish(run)
    child, again = lesson.continue_run(store, run), lesson.continue_run(store, run)
    assert child is not None
    assert again is not None
    assert child.id == again.id
    assert len(store.runs()) == 2


def test_last_step_is_not_begun_on_other_images_than_the_first_run(store: RunStore) -> None:
    run = on_other_images(new_run(store, epochs=2, name="Lesson"))
    set_finished(run)
    with pytest.raises(DataError, match="the images here are others"):
        lesson.continue_run(store, run)
    assert [one.id for one in store.runs()] == [run.id]


def test_progress_counts_the_steps_of_both_runs_that_were_taken(store: RunStore) -> None:
    run = new_run(store, epochs=2, name="Lesson", train_images=640)
    assert lesson.progress(run, None) == (0, None)
    run.write_status(run.status.model_copy(update={"epoch": 1, "batch": 5, "images_per_second": 320.0}))
    assert lesson.progress(run, None) == (0.5, 3.0)
    finish(run)
    child = lesson.continue_run(store, run)
    assert child is not None
    child.write_status(child.status.model_copy(update={"epoch": 1, "batch": 5, "images_per_second": 640.0}))
    assert lesson.progress(run, child) == (25 / 30, 0.5)


def test_run_that_is_none_of_the_lessons_begins_nothing_and_has_no_last_run(store: RunStore, first: Run) -> None:
    set_finished(first)
    with pytest.raises(RunStateError, match="is not part of a lesson"):
        lesson.continue_run(store, first)
    assert store.children(first) == []
    with pytest.raises(RunStateError, match="has not finished yet"):
        lesson.last_run(store, first)


@pytest.mark.slow
def test_other_model_is_one_sentence(store: RunStore, capsys: Capture) -> None:
    train(run := new_run(store, model="cnn", epochs=1), test_images=FEW)
    assert "needs a finished run of the tutorial's model" in refused(capsys, "lesson", run.id)


def test_losses_are_measured_on_training_and_test_images(store: RunStore, first: Run) -> None:
    train(child := resume(store, first, 0))
    losses = outputs.losses(first, child)
    for name, run, epoch in (("loss_last", first, 0), ("loss_now", child, 1)):
        facts = run.file_info(run.checkpoint_path(epoch))
        assert facts is not None
        assert losses[name]["test"] == pytest.approx(facts.loss, rel=1e-6)
        assert losses[name]["training"] != losses[name]["test"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(("pixels", "images"), [("unit", 6_000), ("raw", 0)], ids=["unit", "raw"])
def test_lesson_on_the_real_images_ends_with_loss_now_below_loss_last(
    store: RunStore, real_data: Path, monkeypatch: pytest.MonkeyPatch, pixels: str, images: int
) -> None:
    """Of all images as people begin it; of some with the other pixels."""
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    run = lesson.begin(store, {"dataset": "fashion-mnist", "pixels": pixels, "train_images": images})
    wait_until(lambda: worker_is_gone(run), "the first run ends", 200)
    child = lesson.continue_run(store, run)
    assert child is not None, run.log_tail(5)
    wait_until(lambda: worker_is_gone(child), "the resumed run ends", 200)
    losses = torch_process.lesson_losses(store, run)
    print(json.dumps(losses))
    for half in ("test", "training"):
        assert losses["loss_now"][half] < losses["loss_last"][half]
    row = compare_run(store, child)
    assert row is not None
    assert sentence([row]).startswith("1 of 1 resumed run is below the loss of the checkpoint")
    assert check_bitwise(child, run).kind == "identical"


@pytest.mark.parametrize("step", [lesson.TRAIN, lesson.WEIGHTS, lesson.MODEL, lesson.RESUME], ids=lambda s: s.title)
def test_code_is_python(step: lesson.Step) -> None:
    compile(step.code, step.title, "exec")
