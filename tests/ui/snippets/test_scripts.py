"""The plain PyTorch that the pages show, run as it stands in a process of its own."""

import ast
import fractions
import gc
import itertools
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fashion_core.config import Shape, parse_config, settings
from fashion_core.data import batches, fashion_mnist
from fashion_core.data.description import BUILT_IN
from fashion_core.formats import export, save
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.inference.prepare import prepare
from fashion_core.loops import make_optimizer
from fashion_core.models import build_model, class_source
from fashion_core.resume import plan
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat
from fashion_core.runs.store import RunStore
from fashion_core.ui.snippets import scripts
from tests.benchmarks.stores import info_of
from tests.hostile.building import members_of, remade
from tests.support.datasets import add_dataset
from tests.support.exact import same
from tests.support.processes import ROOT, python
from tests.support.runs import config, new_run, train, trained
from tests.support.zoo import TEAM, ZOO

AS_HERE = """
from fashion_core.models.torch_internals import leave_compiler_out
from fashion_core.models.torchvision_import import import_torchvision
import_torchvision()
leave_compiler_out()
"""
"""The script expects torch and torchvision builds that match; beside a CPU build of torch they don't. And torch's
compiler, which no script uses, would take longer to import than most of them take.
"""
CPU = torch.device("cpu")
TOLERANCE = 0.02
"""The script draws its own random order and first weights, so its losses are near, not equal."""
slow = pytest.mark.slow
CNN = {"model": "cnn", "optimizer": "adam", "schedule": "cosine", "pixels": "standard", "epochs": 1}
AUGMENTED = {"optimizer": "adamw", "precision": "bf16", "augmentation": "flip and shift", "weight_decay": 0.1}


def ran(code: str, folder: Path, **environment: Any) -> str:
    done = python(AS_HERE + code, cwd=folder, PYTHONPATH=f"{ROOT}:{TEAM}", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def target_of(path: Path) -> scripts.Target:
    target = scripts.stored_target(inspect(path), path)
    assert target is not None
    return target


def test_script_of_every_choice_is_python() -> None:
    choices = {setting.name: setting.choices for setting in settings() if setting.choices and setting.name != "keep"}
    choices["train_images"] = ("0", "500")
    for values in itertools.product(*choices.values()):
        ast.parse(scripts.training_script(parse_config(dict(zip(choices, values, strict=True)))))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, CNN, AUGMENTED])
def test_script_run_as_it_stands_measures_what_the_app_measures(
    store: RunStore, tmp_path: Path, changes: dict[str, object]
) -> None:
    printed = ran(scripts.training_script(config(**changes)), tmp_path)
    script_losses = [float(loss) for loss in re.findall(r"test loss ([\d.]+)", printed)]
    app_losses = [epoch["loss"] for epoch in epoch_records(trained(store, **changes))]
    assert script_losses == pytest.approx(app_losses, rel=TOLERANCE * (10 if changes else 1))
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["model.pth", "model_weights.pth"]


@pytest.fixture
def shoes(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a dataset in colour, for this test and the scripts that it runs."""
    monkeypatch.setenv("FASHION_DATA", str(tmp_path / "data"))
    add_dataset("shoes")
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet18"])
def test_script_for_colour_images_measures_what_the_app_measures(
    store: RunStore, tmp_path: Path, shoes: Path, model: str
) -> None:
    """With steps so small that the order of the images, which differs, changes nothing that is printed."""
    changes = {"dataset": "shoes", "model": model, "train_images": 0, "batch_size": 40, "pixels": "standard"}
    run = trained(store, **changes, learning_rate=1e-7, epochs=1)
    (tmp_path / "there").mkdir()
    printed = ran(scripts.training_script(run.record.config), tmp_path / "there", FASHION_DATA=str(shoes))
    script_losses = [float(loss) for loss in re.findall(r"test loss ([\d.]+)", printed)]
    assert script_losses == pytest.approx([epoch["loss"] for epoch in epoch_records(run)], rel=1e-3)
    moved = scripts.training_script(run.record.config.model_copy(update={"augmentation": "flip and shift"}))
    assert "test loss" in ran(moved, tmp_path / "there", FASHION_DATA=str(shoes))


@pytest.mark.slow
def test_lines_for_colour_images_give_the_bits_of_the_app(store: RunStore, tmp_path: Path, shoes: Path) -> None:
    run = trained(store, dataset="shoes", model="cnn", train_images=0, batch_size=40, pixels="standard", epochs=1)
    file, test = run.checkpoint_path(0), batches.load("shoes")[1]
    Image.fromarray(test.pixels[3].permute(1, 2, 0).numpy()).save(tmp_path / "picture.png")
    texts = {
        name: scripts.using_script(name, target_of(file), run.record.config) for name in ("predicting", "evaluating")
    }
    found = probabilities_of(texts, tmp_path, shoes)
    expected = engine.probabilities(load(file).model, test.pixels, "standard", test.description, CPU).numpy()
    np.testing.assert_array_equal(found["evaluating"], expected)
    np.testing.assert_allclose(found["predicting"], expected[3:4], atol=1e-5)


RUN_EACH = """
import runpy, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
images = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
for script in sorted(Path().glob("*.py")):
    names = runpy.run_path(str(script), run_name="__main__")
    with torch.no_grad():
        torch.save(names["model"](images), script.with_suffix(".logits"))
    told = {key: names[key] for key in ("epoch", "loss_last") if key in names}
    assert told in ({}, {"epoch": 3}, {"epoch": 3, "loss_last": 0.25}), told
    if "optimizer" in names:
        assert names["optimizer"].state_dict()["state"], script
"""
"""Runs every script of a folder as it stands, and keeps what its model makes of the same images."""


def saved_run(store: RunStore, model_name: str) -> tuple[Run, nn.Module]:
    """A run with a checkpoint after one step of Adam, its weights and its whole model, as training leaves them."""
    run = new_run(store, name=model_name, model=model_name, optimizer="adam", epochs=4)
    model = build_model(model_name, seed=1)
    optimizer = make_optimizer(run.record.config, model)
    model(torch.rand(4, 1, 28, 28)).sum().backward()
    optimizer.step()
    model.eval()
    states = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    contents: dict[Path, Any] = {run.checkpoint_path(3): {"epoch": 3, **states, "loss": 0.25}}
    contents |= {run.weights_path: model.state_dict(), run.model_path: model}
    for path, content in contents.items():
        run.write_info(path, info_of(digest=save.save(path, content)))
    return run, model


def expect_logits(folder: Path, model: nn.Module, count: int) -> None:
    """Run the scripts of a folder: each model's logits are the bits of this one's."""
    ran(RUN_EACH, folder)
    logits = {path.stem: torch.load(path, weights_only=True) for path in folder.glob("*.logits")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as above: sums of another number of threads are rounded otherwise
    with torch.no_grad():
        expected = model(torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    torch.set_num_threads(threads)
    assert len(logits) == count
    assert [name for name, values in logits.items() if not torch.equal(values, expected)] == []


@slow
@pytest.mark.parametrize("model_name", ["cnn", "resnet18", "residual"])
def test_loading_script_of_every_file_and_export_gives_the_same_bits(
    store: RunStore, tmp_path: Path, model_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_MODELS", str(ZOO))
    run, model = saved_run(store, model_name)
    folder = tmp_path / "scripts"
    folder.mkdir()
    for path in run.saved_files():
        (folder / f"stored {path.stem}.py").write_text(scripts.loading_script(target_of(path), "unit"))
    checkpoint = target_of(run.checkpoint_path(3))
    for format in EXPORT_NAMES:
        name = scripts.download_name('It\'s "mine"', format, 3)
        export.export(run, 3, format, folder / name)
        script = scripts.loading_script(scripts.export_target(checkpoint, format, name), "unit")
        (folder / f"export {format}.py").write_text(script)
    expect_logits(folder, model, count=3 + 5)


def state_of_sgd(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    slots = {number: {"momentum_buffer": torch.ones_like(tensor)} for number, tensor in enumerate(weights.values())}
    optimizer = torch.optim.SGD([torch.nn.Parameter(tensor.clone()) for tensor in weights.values()], momentum=0.9)
    return {**optimizer.state_dict(), "state": slots}


@pytest.mark.slow
def test_loading_script_of_files_from_elsewhere_gives_the_same_bits(tmp_path: Path) -> None:
    model = build_model("mlp", seed=2).eval()
    weights = model.state_dict()
    inner = {f"model.{key}": value for key, value in weights.items()}
    contents: dict[str, Any] = {
        "parallel": {f"module.{key}": value for key, value in weights.items()},
        "nested": {"state_dict": weights},
        "lightning": {"epoch": 3, "state_dict": inner, "pytorch-lightning_version": "2.5"},
        "bare": {"model_state_dict": weights},
        "inside": {"model": model},
        "beside": {**weights, "n_averaged": torch.tensor(3)},
        "numbered": {"net": {str(number): tensor for number, tensor in enumerate(weights.values())}},
        "a list": {"shadow": list(weights.values())},
        "an optimizer": {"net": weights, "epoch": 3, "opt": [state_of_sgd(weights)]},
    }
    for name, content in {**contents, "legacy": weights}.items():
        path = tmp_path / f'{name} "é" \\.pth'
        torch.save(content, path, _use_new_zipfile_serialization=name != "legacy")
        (tmp_path / f"{name}.py").write_text(scripts.loading_script(target_of(path), "unit"))
    expect_logits(tmp_path, model, count=10)


GRAPH = "archive/models/model.json"


@pytest.mark.slow
def test_the_graph_of_a_pt2_from_elsewhere_is_not_run_by_its_script(tmp_path: Path) -> None:
    model, sign, path = build_model("mlp", seed=2).eval(), tmp_path / "it ran", tmp_path / "theirs.pt2"
    program, code = (
        export.as_program(model, {}),
        json.dumps(f"__import__('pathlib').Path({str(sign)!r}).touch()").encode(),
    )
    graph = re.sub(rb'("expr_str":\s*)"[^"]*"', lambda found: found[1] + code, members_of(program)[GRAPH])
    path.write_bytes(remade(program, {GRAPH: graph}))
    (tmp_path / "script.py").write_text(scripts.loading_script(target_of(path), "unit"))
    expect_logits(tmp_path, model, count=1)
    assert not sign.exists()
    python("import sys, torch; torch.export.load(sys.argv[1])", arguments=(str(path),))
    assert sign.exists(), "torch's own loader runs such a graph no longer: then this shows nothing"


def test_only_a_pt2_that_is_exported_for_the_script_is_loaded_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(export.as_program(build_model("cnn", seed=2), {}))
    theirs = target_of(tmp_path / "model.pt2")
    assert "torch.export.load" in scripts.loading_script(scripts.export_target(theirs, "pt2", "model.pt2"), "unit")
    assert "export.load" not in scripts.loading_script(theirs, "unit")
    assert "export.load" not in scripts.using_script("predicting", theirs, config(model="cnn"))
    assert "export.load" not in scripts.using_script("evaluating", theirs, config(model="cnn"))


def test_no_loading_script_is_shown_for_a_refused_file(tmp_path: Path) -> None:
    content = {"model_state_dict": build_model("mlp", seed=0).state_dict(), "more": fractions.Fraction(1, 2)}
    torch.save(content, tmp_path / "file")
    found = inspect(tmp_path / "file")
    assert (found.model, found.refused) == ("mlp", ("fractions.Fraction",))
    assert scripts.stored_target(found, tmp_path / "file") is None


@pytest.mark.parametrize("name", ["../../etc/passwd", 'a"; import os #', "/", "", "语言 模型", "x" * 300])
def test_download_names_are_one_plain_file_name(name: str) -> None:
    given = scripts.download_name(name, "weights", 3)
    assert re.fullmatch(r"[\w.-]{1,90}", given)
    assert given.endswith("-epoch-3-model_weights.pth")
    assert not given.startswith((".", "-"))


@pytest.fixture(scope="module")
def parent(module_store: RunStore) -> Run:
    return trained(module_store, epochs=2, optimizer="adam", train_images=3_000)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"learning_rate": 0.002}, {"optimizer": "sgd"}])
def test_resuming_script_run_as_it_stands_begins_at_loss_last_and_ends_near_loss_now(
    module_store: RunStore, parent: Run, tmp_path: Path, changes: dict[str, object]
) -> None:
    resumed = plan.resumed_config(parent, 0, 1, changes)
    fresh = resumed.optimizer != parent.record.config.optimizer
    printed = ran(scripts.resuming_script(resumed, scripts.Resumed(parent.checkpoint_path(0), fresh)), tmp_path)
    said = {name: float(value) for name, value in re.findall(r"(loss_last|loss_now|test loss) ([\d.]+)", printed)}
    stored = parent.file_info(parent.checkpoint_path(0))
    assert stored is not None
    assert said["loss_last"] == stored.loss
    assert re.findall(r"test loss ([\d.]+)", printed)[0] == f"{stored.loss:.4f}"
    (child,) = plan.create(module_store, parent, [ResumeRequest(0, 1, changes)])
    train(child)
    assert said["loss_now"] == pytest.approx(epoch_records(child)[-1]["loss"], rel=TOLERANCE * 10)


TRAINED = ("classifier.4.weight", "classifier.4.bias")


@pytest.mark.parametrize("is_fresh", [False, True])
@pytest.mark.parametrize("is_transfer", [False, True])
@pytest.mark.parametrize("trained_ones", [(), TRAINED])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_resuming_script_of_every_kind_is_python(
    is_fresh: bool, is_transfer: bool, trained_ones: tuple[str, ...], schedule: str
) -> None:
    other_classes = TRAINED if is_transfer and is_fresh else ()
    resumed = scripts.Resumed(Path("it's 0"), is_fresh, is_transfer, other_classes, trained_ones)
    script = scripts.resuming_script(config(model="cnn", schedule=schedule), resumed)
    ast.parse(script)
    assert ("strict=False" in script, "layer.eval()" in script) == (is_transfer, bool(trained_ones))


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["coins", "stamps"])  # of 5 classes, and of 10 with other names
def test_transfer_script_run_as_it_stands_keeps_and_freezes_what_the_app_does(
    store: RunStore, synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    (folder := tmp_path / "data").mkdir()
    for path in synthetic_data.iterdir():
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv("FASHION_DATA", str(folder))
    add_dataset(dataset, Shape(1, 28, 28, 5 if dataset == "coins" else 10))
    parent = trained(store, model="cnn", optimizer="adam", train_images=500, epochs=1)
    request = ResumeRequest(0, 2, {"dataset": dataset, "optimizer": "adamw", "weight_decay": 0.1}, freeze=True)
    (planned,) = plan.plan_runs(parent, [request])
    other_classes = TRAINED if dataset == "stamps" else ()
    resumed = scripts.Resumed(parent.checkpoint_path(0), True, True, other_classes, TRAINED)
    printed = ran(scripts.resuming_script(planned.config, resumed), tmp_path, FASHION_DATA=str(folder))
    assert f"new {[*TRAINED]}" in printed
    (child,) = plan.create(store, parent, [request])
    train(child)
    theirs, before = (
        torch.load(path, weights_only=True)["model_state_dict"]
        for path in (tmp_path / "model_save" / "2", parent.checkpoint_path(0))
    )
    assert {name for name in before if not same(before[name], theirs[name])} == {*TRAINED}
    loss_now = float(re.findall(r"loss_now ([\d.]+)", printed)[0])
    assert loss_now == pytest.approx(epoch_records(child)[-1]["loss"], rel=TOLERANCE * 10)


PREDICT_EACH = """
import runpy
from pathlib import Path
import numpy
for script in sorted(Path().glob("*.py")):
    numpy.save(script.stem, runpy.run_path(str(script))["probabilities"].numpy())
"""


@pytest.fixture(scope="module")
def runs(module_store: RunStore) -> dict[str, Run]:
    return {pixels: trained(module_store, epochs=1, pixels=pixels) for pixels in ("unit", "raw", "standard")}


def probabilities_of(texts: dict[str, str], folder: Path, data_folder: Path) -> dict[str, np.ndarray]:
    for name, script in texts.items():
        (folder / f"{name}.py").write_text(script)
    ran(PREDICT_EACH, folder, FASHION_DATA=str(data_folder))
    return {name: np.load(folder / f"{name}.npy") for name in texts}


@pytest.mark.slow
def test_lines_for_one_image_give_the_bits_of_the_app(
    runs: dict[str, Run], tmp_path: Path, synthetic_data: Path
) -> None:
    image = Image.fromarray(255 - batches.load("synthetic")[1].pixels[3, 0].numpy()).resize((300, 250))
    image.save(tmp_path / "picture.png")
    prepared = torch.from_numpy(prepare(tmp_path / "picture.png").pixels)[None]
    texts = {
        pixels: scripts.using_script("predicting", target_of(run.checkpoint_path(0)), run.record.config)
        for pixels, run in runs.items()
    }
    for pixels, found in probabilities_of(texts, tmp_path, synthetic_data).items():
        expected = engine.probabilities(
            load(runs[pixels].checkpoint_path(0)).model, prepared, pixels, BUILT_IN["synthetic"], CPU
        )
        np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.slow
def test_lines_for_all_test_images_give_the_bits_of_the_app(
    runs: dict[str, Run], tmp_path: Path, synthetic_data: Path
) -> None:
    run, texts = runs["unit"], {}
    formats: tuple[ExportFormat, ...] = ("weights", "safetensors", "pt2")
    for format in formats:
        export.export(run, 0, format, tmp_path / format)
        texts[f"of {format}"] = scripts.using_script("evaluating", target_of(tmp_path / format), run.record.config)
    test = batches.load("synthetic")[1]
    expected = engine.probabilities(
        load(run.checkpoint_path(0)).model, test.pixels, "unit", BUILT_IN["synthetic"], CPU
    ).numpy()
    for found in probabilities_of(texts, tmp_path, synthetic_data).values():
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_lines_for_fashion_mnist_read_torchvisions_copy(
    runs: dict[str, Run], tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    real = runs["standard"].record.config.model_copy(update={"dataset": "fashion-mnist"})
    path = runs["standard"].checkpoint_path(0)
    raw = tmp_path / "data" / "FashionMNIST" / "raw"  # where torchvision unpacks them
    raw.mkdir(parents=True)
    for archive in fashion_mnist.ARCHIVES:
        is_read = archive.unpacked_name.startswith("t10k")  # of the others it asks only whether they are there
        (raw / archive.unpacked_name).write_bytes(fashion_mnist.unpack(archive) if is_read else b"")
    script = scripts.using_script("evaluating", target_of(path), real).replace("download=True, ", "")
    found = probabilities_of({"script": script}, tmp_path, real_data)["script"]
    pixels = batches.load("fashion-mnist")[1].pixels
    np.testing.assert_array_equal(
        found, engine.probabilities(load(path).model, pixels, "standard", BUILT_IN["synthetic"], CPU).numpy()
    )


def test_many_who_open_a_page_at_once_see_the_source() -> None:
    """Python 3.11's parser fails where another thread gets into it: here one does whenever garbage is collected."""

    def let_another_go_on(phase: str, info: dict[str, int]) -> None:
        time.sleep(1e-5)

    class_source._sources.clear()
    thresholds = gc.get_threshold()
    gc.set_threshold(50)
    gc.callbacks.append(let_another_go_on)
    try:
        with ThreadPoolExecutor(8) as visitors:
            found = set(visitors.map(class_source.class_source, ["mlp"] * 64))
    finally:
        gc.callbacks.remove(let_another_go_on)
        gc.set_threshold(*thresholds)
    assert len(found) == 1
