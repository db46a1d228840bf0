"""Training a run again: identical, or the first epoch that differs and why; and what it takes elsewhere."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from fashion_core import __version__
from fashion_core.access import audit
from fashion_core.errors import ConfigError, DataError, FashionError, RunNotFoundError, RunStateError
from fashion_core.resume import comparison, reasons
from fashion_core.resume.again import recipe, reproduce
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Parent, Source
from fashion_core.runs.store import APP, RunStore
from tests.support.commands import Capture, answered, printed
from tests.support.runs import (
    MKL,
    After,
    another,
    copied,
    finish,
    new_run,
    on_other_images,
    resume,
    save_again,
    set_finished,
    set_running,
    set_state,
    train,
    trained,
)


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, epochs=3, optimizer="adam", name="mine")


def again(store: RunStore, run: Run, **overrides: object) -> Run:
    """Its reproduction, trained in this process."""
    if not any(one.state() == "running" for one in store.runs()):
        set_running(new_run(store, seed=99))  # takes the only slot, so that no worker starts
    return finish(reproduce.begin(store, run, overrides))


def why(found: reproduce.Comparison) -> list[str]:
    return reasons.texts(found.reasons)


def test_finished_run_is_identical_in_every_epoch_and_every_tensor(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    made = again(store, run)
    found = reproduce.compare(run, made)
    assert (found.identical, found.epochs, found.checkpoints, found.tensors) == (True, 3, 3, 72)
    assert (found.epoch, found.differs, found.reasons) == (None, None, ())
    assert (made.title, made.record.twin_of) == ("mine, again", run.id)


def test_run_that_was_stopped_and_continued_is_identical_to_one_trained_straight_through(
    store: RunStore, trained_once: Run
) -> None:
    run = another(store, copied(trained_once, store))
    assert train(run, After(4)) == "stopped"
    finish(run)
    assert reproduce.compare(run, again(store, run)).identical


def test_resumed_run_is_trained_again_from_its_parents_checkpoint(store: RunStore, trained_once: Run) -> None:
    parent = copied(trained_once, store)
    run = finish(resume(store, parent, 0, 2, learning_rate=0.01))
    made = again(store, run)
    assert made.record.parent == Parent(run=parent.id, epoch=0)
    found = reproduce.compare(run, made)
    assert (found.identical, found.epochs) == (True, 2)
    assert [row.run for row in comparison.compare(store)] == [run.id], "a reproduction is not counted"


def test_checkpoints_that_were_deleted_are_left_out(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    made = again(store, run)
    for epoch in (0, 2):
        run.remove_saved(run.checkpoint_path(epoch))
    found = reproduce.compare(run, made)
    assert (found.identical, found.epochs, found.checkpoints, found.tensors) == (True, 3, 1, 24)


def without_epoch(run: Run, epoch: int) -> None:
    lines = run.metrics_path.read_bytes().splitlines(keepends=True)
    run.metrics_path.write_bytes(b"".join(line for line in lines if not is_end_of(epoch, line)))


def is_end_of(epoch: int, line: bytes) -> bool:
    row = json.loads(line)
    return (row["kind"], row["epoch"]) == ("epoch", epoch)


@pytest.mark.parametrize("whose", [0, 1])
def test_epoch_that_one_of_them_has_not_measured_is_the_first_that_differs(
    store: RunStore, trained_once: Run, whose: int
) -> None:
    pair = copied(trained_once, store), another(store, trained_once)
    shutil.copytree(pair[0].path, pair[1].path, dirs_exist_ok=True)
    without_epoch(pair[whose], 1)
    found = reproduce.compare(*pair)
    assert (found.identical, found.epochs, found.epoch, found.differs) == (False, 1, 1, "not measured")
    assert why(found)[0] == f"metrics.jsonl of {pair[whose].id} has no such epoch"
    pair[whose].metrics_path.unlink()
    found = reproduce.compare(*pair)
    assert (found.identical, found.epoch, found.differs) == (False, 0, "not measured")
    assert reproduce.told(found).startswith("different from epoch 0 on: metrics.jsonl of ")


def test_checkpoints_alone_are_not_called_identical_without_what_was_measured(
    store: RunStore, trained_once: Run
) -> None:
    run = copied(trained_once, store)
    run.metrics_path.unlink()
    found = reproduce.compare(run, run)
    assert (found.identical, found.epoch, found.differs) == (False, 0, "not measured")


def test_runs_without_a_checkpoint_in_common_are_not_identical_and_it_is_told(
    store: RunStore, trained_once: Run
) -> None:
    run = copied(trained_once, store)
    made = another(store, run)
    shutil.copy(run.metrics_path, made.metrics_path)
    found = reproduce.compare(run, made)
    assert (found.identical, found.differs) == (False, None)
    assert reproduce.told(found) == (
        "not compared to the last bit, as no checkpoint is left of both; 3 epochs measured the same"
    )


def test_another_seed_is_told_with_the_first_epoch(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    found = reproduce.compare(run, again(store, run, seed="7"))
    assert (found.identical, found.epoch, found.differs) == (False, 0, "measured")
    assert why(found) == ["seed 0 → 7"]


def test_one_changed_bit_of_one_checkpoint_is_found(store: RunStore, trained_once: Run) -> None:
    import torch

    run = copied(trained_once, store)
    made = again(store, run)
    content = torch.load(run.checkpoint_path(1), weights_only=True)
    bias = content["model_state_dict"]["linear_relu_stack.0.bias"]
    bias.view(torch.int32)[3] ^= 1
    save_again(run, 1, content)
    found = reproduce.compare(run, made)
    assert (found.identical, found.epochs, found.epoch, found.differs) == (False, 2, 1, "checkpoint")
    assert why(found)[0].startswith("nothing that is recorded differs")


def test_record_that_was_edited_after_training_is_told(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    config = run.record.config.model_copy(update={"seed": 5})
    run.write_record(run.record.model_copy(update={"config": config}))
    found = reproduce.compare(run, again(store, run))
    assert (found.identical, found.epoch) == (False, 0)
    assert why(found) == ["run.json says seed 5, but its checkpoint was trained with 0: it was edited since"]


def test_other_packages_and_another_torch_are_told(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    record = run.record
    environment = record.environment.model_copy(update={"torch": "2.10.0"})
    packages = {**record.packages, APP: "0.0.1", "numpy": "1.0", "torch": "2.10.0"}
    made = again(store, run, seed="1")
    run.write_record(record.model_copy(update={"environment": environment, "packages": packages}))
    now = made.record.packages
    assert why(reproduce.compare(run, made)) == [
        "seed 0 → 1",
        f"torch 2.10.0 → {now['torch']}: rounding differs",
        f"fashion-core 0.0.1 → {__version__}: rounding may differ",
        f"numpy 1.0 → {now['numpy']}: rounding may differ",
    ]


def test_what_can_not_be_reproduced_is_refused_and_nothing_is_made(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    imported = another(store, run)
    source = Source(name="a.pth", format="weights", sha256="0" * 64)
    imported.write_record(imported.record.model_copy(update={"source": source}))
    stopped = another(store, run)
    set_state(stopped, "stopped")
    orphan = store.create(run.record.config, run.record.environment, Parent(run=run.id, epoch=7))
    elsewhere = on_other_images(another(store, run))
    for one in (orphan, elsewhere):
        set_finished(one)
    refusals: list[tuple[Run, type[FashionError], str]] = [
        (imported, RunStateError, "was imported"),
        (stopped, RunStateError, "is stopped; only a finished run"),
        (orphan, RunNotFoundError, "the checkpoint that run|The checkpoint that run"),
        (elsewhere, DataError, "the images here are others"),
    ]
    before = store.ids()
    for one, kind, sentence in refusals:
        with pytest.raises(kind, match=sentence):
            reproduce.begin(store, one, {})
    with pytest.raises(ConfigError, match="Seed"):
        reproduce.begin(store, run, {"seed": "x"})
    assert store.ids() == before


@pytest.mark.slow
def test_three_finished_runs_are_identical_and_another_seed_is_told(store: RunStore, capsys: Capture) -> None:
    """By the command, in workers: one at once, one of other layers, and one that was resumed."""
    short = ("--train-images", "500", "--threads", "1", "--device", "cpu")
    first = answered(capsys, "train", "--epochs", "2", *short)["id"]
    second = answered(capsys, "train", "--model", "cnn", "--epochs", "1", "--optimizer", "adamw", *short)["id"]
    third = answered(capsys, "resume", first, "0", "--epochs", "1", "--optimizer", "adam")["id"]
    for run in (first, second, third):
        found = answered(capsys, "reproduce", run)
        assert (found["identical"], found["reasons"]) == (True, [])
        assert found["tensors"] > 0
        [line] = [line for line in audit.read(store.root) if line.run == found["reproduction"]]
        assert (line.what, line.detail, line.outcome) == ("start", f"again as {run}", audit.DONE)
    out, error = printed(capsys, "reproduce", first, "--seed", "3", status=1)
    assert "different from epoch 0 on: seed 0 → 3" in out
    assert error.endswith("different from epoch 0 on: seed 0 → 3.\n")


def test_recipe_of_a_resumed_run_has_a_command_for_it_and_its_parent(store: RunStore, trained_once: Run) -> None:
    parent = copied(trained_once, store)
    run = resume(store, parent, 1, 2, learning_rate=0.5, name="it's mine")
    *comments, first, second = recipe.recipe(store, run).splitlines()
    on = "--device=cpu --threads=1"
    train_words = f"train --name=mine --epochs=3 --optimizer=adam {on} --train-images=500"
    assert shlex.split(first)[3:] == train_words.split()
    assert shlex.split(second, comments=True)[3:] == [
        *["resume", "RUN", "1", "--epochs=2"], "--name=it's mine", "--learning-rate=0.5", *on.split()
    ]  # fmt: skip
    record = run.record
    assert comments[1] == f"# this app: {__version__}"
    assert f"torch=={record.environment.torch.partition('+')[0]} " in comments[2]
    assert f"numpy=={record.packages['numpy']}" in comments[2]
    assert APP not in comments[2], "no index has it"
    assert record.dataset_sha256
    assert record.dataset_sha256 in comments[3]
    assert f"export MKL_CBWR={MKL}" in comments


def test_recipe_says_that_a_parent_is_gone(store: RunStore, trained_once: Run) -> None:
    parent = copied(trained_once, store)
    run = resume(store, parent, 1, 2)
    store.delete(parent, force=True)
    assert f"# here stands {parent.id}, which is gone" in recipe.recipe(store, run)


def test_recipe_of_a_strangers_record_is_harmless_to_paste(store: RunStore, trained_once: Run, tmp_path: Path) -> None:
    """A shell that knows nothing but ``touch`` runs it and touches nothing."""
    run = copied(trained_once, store)
    record, evil = run.record, "x\ntouch evil"
    environment = record.environment.model_copy(update={"torch": "1; touch evil", "mkl": "$(touch evil)"})
    packages, parent = {"torch": "1; touch evil", APP: "1; touch evil"}, Parent(run=evil, epoch=0)
    changed = record.model_copy(update={"environment": environment, "packages": packages, "parent": parent})
    source = Source(name=f"{evil} $(touch evil)", format="weights", sha256=evil)
    shell, touch = shutil.which("sh"), shutil.which("touch")
    assert shell
    assert touch
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "touch").symlink_to(touch)
    for one in (changed, changed.model_copy(update={"source": source})):
        run.write_record(one)
        script = recipe.recipe(store, run)
        subprocess.run(
            [shell], input=script, text=True, env={"PATH": str(commands)}, cwd=tmp_path, timeout=60, check=False
        )
        assert [*tmp_path.glob("evil*")] == [], script


def test_show_tells_how_to_train_it_again(store: RunStore, trained_once: Run, capsys: Capture) -> None:
    run = copied(trained_once, store)
    out, _ = printed(capsys, "show", run.id)
    assert recipe.recipe(store, run).splitlines()[-1] in out


@pytest.fixture(autouse=True)
def here(store: RunStore, tmp_path: Path) -> RunStore:
    return store
