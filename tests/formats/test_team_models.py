"""A team's own models in all five formats, both ways to the last bit; models with the same weights are told apart."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from fashion_core.charts.files import sizes_sentence
from fashion_core.data.description import BUILT_IN
from fashion_core.errors import ConfigError, ModelError, RefusedFileError
from fashion_core.formats import export
from fashion_core.formats.import_file import import_file
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.models import build_model
from fashion_core.resume import verdict
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES
from fashion_core.runs.store import RunStore
from tests.support.exact import one_thread
from tests.support.processes import command_line, python
from tests.support.runs import FEW, finish, new_run, set_finished, train
from tests.support.zoo import TEAM, zoo_store

GARMENTS = BUILT_IN["synthetic"]
IMAGES = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(1))
MODULES = {"lenet": "lenet_models.LeNet(1, 28, 28, 10)", "residual": "residual_models.ResidualNet()"}
ALIKE = ("flat", "flat-half", "negative", "unpicklable", "hooked", "keeping", "settled", "branching")
"""Their weights have the same names and sizes."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Iterator[RunStore]:
    with zoo_store(tmp_path_factory.mktemp("zoo") / "runs", synthetic_data) as store:
        yield store


@pytest.fixture(autouse=True)
def as_scripts_compute() -> Iterator[None]:
    with one_thread():
        yield


class Trained(dict[str, Run]):
    """A short run of each model, made when it is asked for."""

    def __init__(self, store: RunStore) -> None:
        super().__init__()
        self.store = store

    def __missing__(self, model: str) -> Run:
        run = new_run(self.store, model=model, epochs=1, train_images=64, batch_size=32, optimizer="adam")
        train(run, test_images=FEW)
        set_finished(run)
        return self.setdefault(model, run)


@pytest.fixture(scope="module")
def runs(zoo: RunStore) -> Trained:
    return Trained(zoo)


def logits_of(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model.eval()(IMAGES)
    return logits


def logits_of_run(run: Run) -> Tensor:
    """By the checkpoint, with plain PyTorch."""
    model = build_model(run.record.config.model, seed=0)
    model.load_state_dict(torch.load(run.checkpoint_path(0), weights_only=True)["model_state_dict"])
    return logits_of(model)


def exported(run: Run, folder: Path) -> dict[str, Path]:
    for format, name in EXPORT_NAMES.items():
        export.export(run, 0, format, folder / name)
    return {format: folder / name for format, name in EXPORT_NAMES.items()}


@pytest.mark.parametrize("model", MODULES)
def test_every_format_is_inspected_loaded_imported_and_used_to_the_same_bits(
    zoo: RunStore, runs: Trained, tmp_path: Path, model: str
) -> None:
    run, expected = runs[model], logits_of_run(runs[model])
    probabilities = engine.probabilities(load(run.checkpoint_path(0)).model, PIXELS, "unit", GARMENTS, CPU)
    for format, path in {**exported(run, tmp_path), "own weights": run.weights_path, "own": run.model_path}.items():
        found = inspect(path)
        assert (found.model, found.refusal) == (model, None), format
        assert torch.equal(logits_of(load(path).model), expected), format
        copy = import_file(zoo, path, path.name, {})
        assert copy.record.config.model == model
        assert copy.record.model_sha256 == run.record.model_sha256
        assert torch.equal(logits_of_run(copy), expected), format
        used = engine.Models().get(path, CPU, GARMENTS)
        assert torch.equal(engine.probabilities(used, PIXELS, "unit", GARMENTS, CPU), probabilities), format


CPU = torch.device("cpu")
PIXELS = torch.randint(0, 256, (32, 1, 28, 28), generator=torch.Generator().manual_seed(2)).to(torch.uint8)

PLAIN = """
import sys
import torch
import safetensors.torch
import lenet_models, residual_models
from torch.nn.functional import cross_entropy

assert not [name for name in sys.modules if name.startswith("fashion_core")]
torch.set_num_threads(1)
folder, make = sys.argv[1:]
images = torch.load(f"{folder}/images")

def logits(model):
    with torch.inference_mode():
        return model.eval()(images)

def filled(state):
    model = eval(make)
    model.load_state_dict(state, strict=True)
    return model

ours = {
    "weights": filled(torch.load(f"{folder}/model_weights.pth", weights_only=True)),
    "model": torch.load(f"{folder}/model.pth", weights_only=False),
    "checkpoint": filled(torch.load(f"{folder}/checkpoint.pth", weights_only=True)["model_state_dict"]),
    "safetensors": filled(safetensors.torch.load_file(f"{folder}/model.safetensors")),
}
found = {format: logits(model) for format, model in ours.items()}
program = torch.export.load(f"{folder}/model.pt2").module()
with torch.inference_mode():
    found["pt2"] = program(images)
torch.save(found, f"{folder}/found")

torch.manual_seed(3)
model = eval(make)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(3):
    optimizer.zero_grad()
    cross_entropy(model.train()(images), torch.arange(len(images)) % 10).backward()
    optimizer.step()
state = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
torch.save({"epoch": 2, **state, "loss": 0.5}, f"{folder}/their checkpoint")
torch.save(model.state_dict(), f"{folder}/their weights")
safetensors.torch.save_file(model.state_dict(), f"{folder}/their safetensors")
torch.save(model, f"{folder}/their model")
program = torch.export.export(model.eval(), (images,))
torch.export.save(program, f"{folder}/their pt2.pt2")
torch.save(logits(model), f"{folder}/theirs")
"""
"""What a process does that knows torch and the team's modules, and nothing of this app."""


@pytest.mark.slow
@pytest.mark.parametrize("model", MODULES)
def test_files_go_both_ways_between_this_app_and_plain_pytorch(
    zoo: RunStore, runs: Trained, tmp_path: Path, model: str
) -> None:
    names = {path.name for path in exported(runs[model], tmp_path).values()}
    assert names == {"model_weights.pth", "model.pth", "checkpoint.pth", "model.safetensors", "model.pt2"}
    torch.save(IMAGES, tmp_path / "images")
    done = python(PLAIN, cwd=TEAM, arguments=(str(tmp_path), MODULES[model]), PYTHONPATH="", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr[-2000:]
    expected = logits_of_run(runs[model])
    for format, logits in torch.load(tmp_path / "found", weights_only=True).items():
        assert torch.equal(logits, expected), format
    theirs = torch.load(tmp_path / "theirs", weights_only=True)
    for path in tmp_path.glob("their *"):
        assert torch.equal(logits_of(load(path).model), theirs), path.name
        copy = import_file(zoo, path, path.name, {})
        (epoch,) = copy.epochs_saved()
        assert torch.equal(logits_of(load(copy.checkpoint_path(epoch)).model), theirs), path.name
    assert len([*tmp_path.glob("their *")]) == 5


@pytest.mark.slow
def test_command_answers_in_json_whatever_the_model_prints(runs: Trained) -> None:
    done = command_line("evaluate", str(runs["branching"].checkpoint_path(0)), "--json")
    assert json.loads(done.stdout), done.stderr
    assert "a team's own word" in done.stderr


@pytest.mark.parametrize("model", ALIKE)
def test_files_of_a_run_are_of_its_model_whatever_other_models_have_such_weights(runs: Trained, model: str) -> None:
    run = runs[model]
    for path in run.saved_files():
        assert load(path).model_name == inspect(path).model == model, path.name
        assert not any("It does not say" in note for note in inspect(path).notes)
    assert verdict.inspect_checkpoint(run, 0).kind == "exact"


@pytest.mark.parametrize("model", ALIKE)
def test_files_elsewhere_are_of_the_model_that_they_name(
    zoo: RunStore, runs: Trained, tmp_path: Path, model: str
) -> None:
    """A checkpoint by its settings, safetensors and .pt2 by their metadata, a whole model by its class and settings."""
    info = zoo_info(model)
    able = [format for format in EXPORT_NAMES if format != "weights" and not (format == "model" and info)]
    for format in (format for format in able if not (format == "pt2" and model == "branching")):
        path = tmp_path / EXPORT_NAMES[format]
        export.export(runs[model], 0, format, path)
        assert load(path).model_name == inspect(path).model == model, format
        assert torch.equal(logits_of(load(path).model), logits_of_run(runs[model])), format
        copy = import_file(zoo, path, path.name, {})
        assert load(copy.checkpoint_path(0)).model_name == model, format


def zoo_info(model: str) -> str | None:
    from fashion_core.config import FASHION
    from fashion_core.runs import team_models

    return team_models.info(model, FASHION).whole_problem


def test_weights_alone_are_of_the_first_that_fits_and_that_is_told(runs: Trained, tmp_path: Path) -> None:
    export.export(runs["negative"], 0, "weights", tmp_path / "w.pth")
    found = inspect(tmp_path / "w.pth")
    assert found.model == load(tmp_path / "w.pth").model_name == "flat"
    assert found.notes == ("It does not say whether it is flat, flat-half, negative or 5 more: flat is used.",)


def test_weights_alone_come_in_as_the_model_that_is_asked_for(zoo: RunStore, runs: Trained, tmp_path: Path) -> None:
    export.export(runs["negative"], 0, "weights", tmp_path / "w.pth")
    copy = import_file(zoo, tmp_path / "w.pth", "w.pth", {"model": "negative"})
    assert torch.equal(logits_of(load(copy.checkpoint_path(0)).model), logits_of_run(runs["negative"]))
    assert load(copy.original_path).model_name == "negative"
    with pytest.raises(ConfigError, match=r"^Its weights are those of flat, not of lenet: leave the model away\.$"):
        import_file(zoo, tmp_path / "w.pth", "w.pth", {"model": "lenet"})


def test_comparison_of_formats_says_which_a_model_can_not_have(runs: Trained) -> None:
    found = export.compare_formats(runs["unpicklable"], 0)
    assert [row["format"] for row in found["formats"]] == ["weights", "checkpoint", "safetensors", "pt2"]
    assert {row["difference"] for row in found["formats"]} == {0.0}
    assert list(found["left_out"]) == ["model"]
    assert sizes_sentence(found, "adam").startswith("**Weights only take ")
    assert "pt2" in export.compare_formats(runs["branching"], 0)["left_out"]


@pytest.mark.parametrize(
    ("model", "format", "told"),
    [
        ("unpicklable", "model", "unpicklable can't be saved as a whole model: it can't be pickled: AttributeError"),
        ("hooked", "model", "hooked can't be saved as a whole model: zoo.Hooked carries hooks"),
        ("keeping", "model", "keeping can't be saved as a whole model: zoo.Keeping.about is more than finite numbers"),
        ("branching", "pt2", "branching can't be exported as a program (.pt2): GuardOnDataDependentSymNode: Could not"),
    ],
)
def test_format_that_a_model_can_not_have_is_one_sentence(
    runs: Trained, tmp_path: Path, model: str, format: Any, told: str
) -> None:
    with pytest.raises(ModelError) as error:
        export.export(runs[model], 0, format, tmp_path / "out")
    assert str(error.value).startswith(told)
    assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_run_of_a_model_without_a_whole_form_finishes_without_it(runs: Trained) -> None:
    run = runs["unpicklable"]
    assert run.state() == "finished"
    assert [path.name for path in run.saved_files()] == ["0", "model_weights.pth"]


def test_weights_that_are_one_tensor_go_both_ways_and_differ_in_no_file(runs: Trained, tmp_path: Path) -> None:
    expected = logits_of_run(runs["tied"])
    for format, path in exported(runs["tied"], tmp_path).items():
        assert torch.equal(logits_of(load(path).model), expected), format
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    state["again.weight"] += 1
    torch.save(state, tmp_path / "untied")
    told = r"not usable: again.weight and middle.weight differ in it, where tied has one tensor for both\.$"
    with pytest.raises(RefusedFileError, match=told):
        load(tmp_path / "untied")
    assert "differ in it" in (inspect(tmp_path / "untied").refusal or "")


def test_optimizer_of_a_model_with_frozen_layers_is_used(zoo: RunStore, runs: Trained, tmp_path: Path) -> None:
    content = torch.load(runs["frozen"].checkpoint_path(0), weights_only=True)
    found = load(runs["frozen"].checkpoint_path(0))
    assert found.optimizer_state is not None
    assert list(found.optimizer_state["state"]) == list(content["optimizer_state_dict"]["state"]) == [0, 1]
    del content["optimizer_state_dict"]["state"][1]
    torch.save(content, tmp_path / "file")
    assert "keeps nothing for 1 of its 4 parameters" in " ".join(inspect(tmp_path / "file").notes)


def renamed(run: Run, module: str, to: str) -> bytes:
    """The whole model as it is saved where the module's classes stand elsewhere."""
    from tests.hostile.building import repickled

    return repickled(run.model_path.read_bytes(), lambda old: old.replace(f"c{module}\n".encode(), f"c{to}\n".encode()))


@pytest.mark.parametrize("to", ["__main__", "somewhere.else"])
def test_whole_model_of_anyones_copy_of_the_module_is_loaded(runs: Trained, tmp_path: Path, to: str) -> None:
    """Its own layers' classes stand beside it there, too."""
    for model, module in (("lenet", "lenet_models"), ("residual", "residual_models")):
        (tmp_path / model).write_bytes(renamed(runs[model], module, to))
        assert inspect(tmp_path / model).refusal is None
        assert torch.equal(logits_of(load(tmp_path / model).model), logits_of_run(runs[model]))


def test_files_of_a_model_that_is_no_longer_listed_are_described_and_fit_none(
    runs: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = exported(runs["lenet"], tmp_path)
    monkeypatch.delenv("FASHION_MODELS")
    for format, path in paths.items():
        found = inspect(path)
        assert (found.model, found.verdict) == (None, "not usable"), format
        with pytest.raises(RefusedFileError):
            load(path)
    assert "lenet_models.LeNet" in inspect(paths["model"]).refused


def test_files_of_models_of_this_app_are_loaded_beside_a_teams(zoo: RunStore, tmp_path: Path) -> None:
    model = build_model("mlp", 0)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    (tmp_path / "model.pth").write_bytes(buffer.getvalue())
    assert load(tmp_path / "model.pth").model_name == "mlp"
    assert finish(new_run(zoo, epochs=1)).model_path.exists()
