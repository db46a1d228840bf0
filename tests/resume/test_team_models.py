"""A team's own models resume exactly, as this app's do; a changed source is told before, and does not continue."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fashion_core.config import FASHION, parse_config
from fashion_core.errors import ModelError
from fashion_core.formats.inspect import inspect
from fashion_core.resume import comparison, plan
from fashion_core.resume.bitwise import check_bitwise
from fashion_core.resume.plan import ResumeRequest
from fashion_core.resume.reasons import texts
from fashion_core.runs import queue, team_models
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.resume.test_plan import assert_same_epochs_after, load_check, resumption
from tests.support.datasets import add_dataset
from tests.support.exact import KilledError, killed_after, load, same
from tests.support.processes import command_line, wait_until, worker_is_gone
from tests.support.runs import FEW, After, new_run, resume, set_state, train
from tests.support.zoo import TEAM, zoo_store

SETTINGS: dict[str, dict[str, Any]] = {
    "lenet": {"momentum": 0.9, "learning_rate": 0.01, "precision": "bf16"},
    "residual": {"optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine", "augmentation": "flip and shift"},
    "frozen": {"optimizer": "adam"},
    "tied": {"optimizer": "adam", "weight_decay": 0.01},
}
SHORT = {"epochs": 3, "batch_size": 16, "train_images": 76, "seed": 5}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Iterator[RunStore]:
    folder = tmp_path_factory.mktemp("zoo")
    with zoo_store(folder / "runs", shutil.copytree(synthetic_data, folder / "data")) as store:
        yield store


@pytest.fixture(scope="module", params=SETTINGS)
def straight(request: pytest.FixtureRequest, zoo: RunStore) -> Run:
    run = new_run(zoo, model=request.param, **SHORT, **SETTINGS[request.param])
    assert train(run, test_images=FEW) == "finished"
    return run


def test_resumed_from_each_epoch_equals_the_straight_run(zoo: RunStore, straight: Run) -> None:
    for epoch in straight.epochs_saved()[:-1]:
        child = resume(zoo, straight, epoch)
        assert (resumption(child).verdict, resumption(child).reasons) == ("exact", ())
        assert train(child, test_images=FEW) == "finished"
        assert load_check(child).loss_check == load_check(child).loss_last
        assert load_check(child).optimizer == "loaded"
        assert_same_epochs_after(epoch, child, straight)
        assert check_bitwise(child, straight).kind == "identical"


def assert_ends_as(run: Run, straight: Run) -> None:
    assert train(run, test_images=FEW) == "finished"
    assert run.epochs_saved() == straight.epochs_saved()
    for epoch in straight.epochs_saved():
        assert same(load(run.checkpoint_path(epoch)), load(straight.checkpoint_path(epoch))), f"epoch {epoch} differs"
    assert same(load(run.weights_path), load(straight.weights_path))


def again(zoo: RunStore, straight: Run) -> Run:
    return zoo.create(straight.record.config, straight.record.environment)


def test_stopped_inside_an_epoch_and_continued_ends_in_the_same_bits(zoo: RunStore, straight: Run) -> None:
    run = again(zoo, straight)
    assert train(run, After(3), FEW) == "stopped"
    assert run.partial_path.exists()
    assert_ends_as(run, straight)


def test_killed_inside_an_epoch_and_continued_ends_in_the_same_bits(zoo: RunStore, straight: Run) -> None:
    run = again(zoo, straight)
    with pytest.raises(KilledError):
        train(run, killed_after(9), FEW)
    assert_ends_as(run, straight)


@pytest.mark.slow
def test_worker_killed_with_sigkill_and_continued_ends_in_the_same_bits(zoo: RunStore) -> None:
    add_dataset("coins", FASHION, train=500)  # long enough to be killed
    asked = {"dataset": "coins", "train_images": 0, "device": "cpu", "threads": 1, "epochs": 2}
    config = parse_config({**SHORT, **SETTINGS["residual"], "model": "residual", **asked})
    straight = queue.start(zoo, config)
    wait_until(lambda: worker_is_gone(straight), "the straight run ends", 240)
    assert straight.state() == "finished", straight.log_tail(5)
    (child,) = plan.resume(zoo, straight, [ResumeRequest(0, 1, {})])
    wait_until(lambda: child.status.phase == "training" or worker_is_gone(child), "the resumed run trains")
    assert child.status.process is not None
    os.kill(child.status.process.pid, signal.SIGKILL)
    wait_until(lambda: child.state() == "lost", "the kill is noticed")
    queue.continue_run(zoo, child)
    wait_until(lambda: worker_is_gone(child), "the resumed run ends", 240)
    assert child.state() == "finished", child.log_tail(5)
    assert_same_epochs_after(0, child, straight)


def test_run_keeps_the_source_as_text_and_its_digest(straight: Run) -> None:
    record = straight.record
    assert record.model_sha256 == team_models.sha256_of(record.config.model, record.description.shape)
    text = straight.model_source_path.read_text()
    for file in ("lenet_models.py", "residual_models.py", "zoo.py"):
        assert f"# {file}\n{(TEAM / file).read_text()}" in text


@pytest.fixture
def changeable(tmp_path: Path, synthetic_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Run, Path]]:
    """A stopped run of a model whose source can be changed."""
    source = tmp_path / "changeable_models.py"
    source.write_text((TEAM / "lenet_models.py").read_text())
    with zoo_store(tmp_path / "runs", synthetic_data) as store:
        monkeypatch.setenv("FASHION_MODELS", str(source))
        run = new_run(store, model="lenet", **SHORT)
        assert train(run, After(8), FEW) == "stopped"
        set_state(run, "stopped")
        yield run, source


@pytest.mark.slow
def test_changed_source_is_told_before_a_resume_and_does_not_continue(changeable: tuple[Run, Path]) -> None:
    run, source = changeable
    store, text = RunStore(run.path.parent), source.read_text()
    before = resume(store, run, 0, 1)
    assert resumption(before).verdict == "exact"

    source.write_text(text.replace("nn.ReLU()", "nn.Tanh()"))
    child = resume(store, run, 0, 1)
    assert resumption(child).verdict == "approximate"
    assert texts(resumption(child).reasons) == [
        "the source of lenet has changed since: the same weights may mean something else"
    ]
    assert any("The source of its model has changed" in note for note in inspect(run.checkpoint_path(0)).notes)
    for changed in (run, before):
        with pytest.raises(ModelError, match="The source of the model lenet has changed since run"):
            team_models.check_source(changed.record)
    with pytest.raises(ModelError, match="has changed since run"):
        queue.continue_run(store, run)

    source.write_text(text.replace("84", "85"))
    (planned,) = plan.plan_runs(run, [ResumeRequest(0, 1, {})])
    assert planned.verdict.kind == "transfer"
    assert planned.layers is not None
    assert planned.layers.names("new")
    assert {row.why for row in planned.layers.rows if row.fate == "new"} == {"shape"}
    done = command_line("resume", run.id, "0", "--epochs", "1")
    assert (done.returncode, store.runs()[0].state()) == (0, "finished"), done.stderr
    (row,) = [one for one in comparison.compare(store) if one.verdict == "transfer"]
    assert row.transferred

    source.write_text("MODELS = {")
    with pytest.raises(ModelError, match=r"changeable_models\.py can't be imported: SyntaxError"):
        resume(store, run, 0, 1)

    source.write_text(text)
    team_models.check_source(run.record)
    assert plan.plan_runs(run, [ResumeRequest(0, 1, {})])[0].verdict.kind == "exact"
