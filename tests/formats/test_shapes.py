"""Models for images of any shape and any number of classes: every format both ways, and files that fit no dataset."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core.config import FASHION, Shape
from fashion_core.data.description import BUILT_IN, Description
from fashion_core.errors import ConfigError, DataError, RefusedFileError, UnfitFileError
from fashion_core.formats import export, save
from fashion_core.formats.import_file import import_file
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.formats.shapes import misfit, shape_of
from fashion_core.formats.untrusted.blueprints import OWN, sizes_of
from fashion_core.formats.untrusted.saved_file import DESCRIPTION_KEY
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat
from fashion_core.runs.store import RunStore
from tests.support.datasets import COLOUR, SHAPES, add_dataset, data_folder
from tests.support.processes import python
from tests.support.runs import finish, new_run, resume, train, trained

EPOCH: dict[str, Any] = {"epochs": 1, "train_images": 120, "batch_size": 40, "optimizer": "adam"}
GARMENTS = BUILT_IN["fashion-mnist"]


def name_of(shape: Shape) -> str:
    return "set-" + "-".join(map(str, shape))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Shape, Description]]:
    """A data folder with a dataset of each shape."""
    with data_folder(tmp_path_factory.mktemp("data")):
        yield {shape: add_dataset(name_of(shape), shape) for shape in SHAPES}


@pytest.fixture(autouse=True)
def added(data: dict[Shape, Description]) -> None:
    """Every test here sees these datasets, whatever it is about."""


@pytest.fixture
def runs(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture(scope="module")
def colour(data: dict[Shape, Description], tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = RunStore(tmp_path_factory.mktemp("colour"))
    return trained(store, **EPOCH, dataset=name_of(COLOUR), model="cnn")


def some_images(shape: Shape) -> Tensor:
    return torch.rand(4, *shape[:3], generator=torch.Generator().manual_seed(0))


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(images)
    return logits


MODELS = ("mlp", "cnn", pytest.param("resnet18", marks=pytest.mark.slow))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", MODELS)
def test_every_format_gives_the_same_bits_and_needs_no_dataset(
    runs: RunStore, tmp_path: Path, model: str, shape: Shape
) -> None:
    run = trained(runs, **EPOCH, dataset=name_of(shape), model=model)
    images, expected = some_images(shape), load(run.checkpoint_path(0)).model
    paths = {format: tmp_path / name for format, name in EXPORT_NAMES.items()}
    for format, path in paths.items():
        export.export(run, 0, format, path)
    for path in (*paths.values(), run.weights_path, run.model_path):
        found = load(path)
        assert sizes_of(model, found.shape) == sizes_of(model, shape), path
        assert torch.equal(logits_of(found.model, images), logits_of(expected, images)), path
    program = torch.export.load(paths["pt2"]).module()
    assert torch.equal(logits_of(program, images), logits_of(expected, images))
    whole = torch.load(paths["model"], weights_only=False)
    assert torch.equal(logits_of(whole, images), logits_of(expected, images))


PLAIN = """
import sys

import torch
from torch import nn

model = nn.Sequential(
    nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Dropout(0.25), nn.Linear(4096, 128), nn.ReLU(), nn.Linear(128, 5),
)
state = torch.load(sys.argv[1], weights_only=True)["model_state_dict"]
model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
torch.set_num_threads(int(sys.argv[3]))
with torch.inference_mode():
    torch.save(model.eval()(images), sys.argv[2])
"""


def test_plain_pytorch_computes_the_same_with_a_checkpoint(colour: Run, tmp_path: Path) -> None:
    arguments = (str(colour.checkpoint_path(0)), str(tmp_path / "out"), str(torch.get_num_threads()))
    done = python(PLAIN, arguments=arguments)
    assert done.returncode == 0, done.stderr
    expected = logits_of(load(colour.checkpoint_path(0)).model, some_images(COLOUR))
    assert torch.equal(torch.load(tmp_path / "out"), expected)


def test_checkpoint_alone_says_its_shape_and_class_names(
    colour: Run, data: dict[Shape, Description], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    found = inspect(colour.checkpoint_path(0))
    assert (found.shape, found.refusal, found.verdict) == (COLOUR, None, "exact")
    assert found.dataset is not None
    assert found.dataset["classes"] == [f"kind {number}" for number in range(5)]
    assert found.trained_on == {"dataset": name_of(COLOUR), "pixels": "unit"}
    assert load(colour.checkpoint_path(0)).dataset == data[COLOUR]


@pytest.mark.parametrize("format", ["safetensors", "pt2"])
def test_exported_file_alone_says_its_dataset(
    colour: Run, data: dict[Shape, Description], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: ExportFormat
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    export.export(colour, 0, format, tmp_path / "out")
    assert load(tmp_path / "out").dataset == data[COLOUR]
    assert inspect(tmp_path / "out").trained_on == {"dataset": name_of(COLOUR), "pixels": "unit"}


def test_exported_description_of_no_sense_is_passed_over(colour: Run, tmp_path: Path) -> None:
    loaded = replace(load(colour.checkpoint_path(0)), dataset=None)
    for text in ("{", "[1]", '{"name": "mine"}', '{"name": "\\ud800"}', "[" * 100_000):
        said = replace(loaded, trained_on={DESCRIPTION_KEY: text})
        (tmp_path / "file").write_bytes(export.as_safetensors(said))
        assert (inspect(tmp_path / "file").dataset, inspect(tmp_path / "file").refusal) == (None, None)


def test_checkpoint_of_a_dataset_that_is_built_in_has_the_keys_it_always_had(
    runs: RunStore, synthetic_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(synthetic_data))
    run = trained(runs, epochs=1)
    own = {"measured", "run", "config", "environment"}
    assert set(save.load_checkpoint(run.checkpoint_path(0))) == save.CHECKPOINT_KEYS | own
    assert inspect(run.checkpoint_path(0)).dataset is None


NO_SENSE: dict[str, dict[str, Any]] = {
    "one class": {"classes": ["only one"]},
    "a label that a terminal obeys": {"label": "a\x1b[0m"},
    "the name of another": {"name": "fashion-mnist"},
    "a long text": {"source": "x" * 5000},
    "a long number": {"train": 1 << 60},
    "a key more": {"more": 1},
}


@pytest.mark.parametrize("change", NO_SENSE)
def test_description_of_no_sense_is_passed_over(colour: Run, tmp_path: Path, change: str) -> None:
    content = save.load_checkpoint(colour.checkpoint_path(0))
    torch.save({**content, "dataset": {**content["dataset"], **NO_SENSE[change]}}, tmp_path / "file")
    assert (inspect(tmp_path / "file").dataset, inspect(tmp_path / "file").refusal) == (None, None)


def test_description_that_the_model_does_not_fit_does_not_change_its_shape(
    colour: Run, data: dict[Shape, Description], tmp_path: Path
) -> None:
    content = save.load_checkpoint(colour.checkpoint_path(0))
    torch.save({**content, "dataset": data[SHAPES[-1]].model_dump(mode="json")}, tmp_path / "file")
    assert load(tmp_path / "file").shape == COLOUR


def test_weights_of_a_shape_come_in_as_a_run_on_a_dataset_of_it_and_train_on(
    runs: RunStore, colour: Run, data: dict[Shape, Description]
) -> None:
    run = import_file(runs, colour.weights_path, "w.pth", {"dataset": name_of(COLOUR)})
    assert run.record.description == data[COLOUR]
    child = finish(resume(runs, run, 0, 1, device="cpu", threads=1))
    assert child.epochs_saved() == [1]


def test_checkpoint_comes_in_where_its_dataset_is_not(
    runs: RunStore, colour: Run, data: dict[Shape, Description], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    run = import_file(runs, colour.checkpoint_path(0), "c.pth", {})
    assert run.record.description == data[COLOUR]
    assert load(run.checkpoint_path(0)).dataset == data[COLOUR]


def test_file_that_does_not_fit_the_dataset_is_refused_and_leaves_nothing(runs: RunStore, colour: Run) -> None:
    with pytest.raises(UnfitFileError, match="the model has 5 outputs, Fashion-MNIST has 10 classes"):
        import_file(runs, colour.weights_path, "w.pth", {"dataset": "fashion-mnist"})
    with pytest.raises(UnfitFileError, match="synthetic garments has 10 classes; say which dataset it was trained on"):
        import_file(runs, colour.weights_path, "w.pth", {})
    with pytest.raises(DataError, match="There is no dataset boots here"):
        import_file(runs, colour.weights_path, "w.pth", {"dataset": "boots"})
    with pytest.raises(ConfigError, match="The file says that its dataset was set-3-32-32-5"):
        import_file(runs, colour.checkpoint_path(0), "w.pth", {"dataset": name_of(SHAPES[-1])})
    assert runs.ids() == []


def described(shape: Shape) -> Description:
    classes = tuple(map(str, range(shape.classes)))
    sizes = {"channels": shape.channels, "height": shape.height, "width": shape.width, "classes": classes}
    numbers = {"mean": (0.5,) * shape.channels, "std": (0.5,) * shape.channels}
    return Description.model_validate({**GARMENTS.model_dump(), "label": "Shoes", **sizes, **numbers})


@pytest.mark.parametrize(
    ("model", "made_for", "dataset", "why"),
    [
        ("mlp", COLOUR, COLOUR, None),
        ("mlp", Shape(1, 32, 32, 5), Shape(1, 16, 64, 5), None),
        ("cnn", Shape(1, 28, 28, 10), Shape(1, 31, 30, 10), None),
        ("resnet18", Shape(3, 28, 28, 10), Shape(3, 256, 8, 10), None),
        ("mlp", FASHION, Shape(1, 28, 28, 1000), "the model has 10 outputs, Shoes has 1,000 classes"),
        ("cnn", FASHION, Shape(3, 28, 28, 10), "the model takes images of 1 channel, those of Shoes have 3"),
        ("resnet18", Shape(3, 9, 9, 10), FASHION, "the model takes images of 3 channels, those of Shoes have 1"),
        (
            "mlp",
            FASHION,
            Shape(3, 32, 32, 10),
            "linear_relu_stack.0.weight of the model takes 784 numbers, and images of Shoes (3 × 32 × 32) make 3,072",
        ),
        (
            "cnn",
            FASHION,
            Shape(1, 32, 64, 10),
            "classifier.2.weight of the model takes 3,136 numbers, and images of Shoes (1 × 32 × 64) make 8,192",
        ),
    ],
)
def test_model_fits_a_dataset_or_the_clause_says_why_not(
    model: str, made_for: Shape, dataset: Shape, why: str | None
) -> None:
    assert misfit(model, made_for, described(dataset)) == why


def test_model_is_loaded_for_a_dataset_only_if_it_fits(colour: Run, data: dict[Shape, Description]) -> None:
    assert load(colour.weights_path, dataset=data[COLOUR]).shape == COLOUR
    with pytest.raises(UnfitFileError, match=r"not usable: the model has 5 outputs, Set-1-8-8-2 has 2 classes\."):
        load(colour.weights_path, dataset=data[SHAPES[2]])


@pytest.mark.parametrize("shape", [*SHAPES, Shape(1, 8, 8, 1000), Shape(3, 256, 256, 2)])
@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet18"])
def test_shape_that_is_found_makes_a_model_of_the_same_sizes(model: str, shape: Shape) -> None:
    sizes = sizes_of(model, shape)
    found = shape_of(OWN[model], sizes)
    assert found is not None
    assert sizes_of(model, found) == sizes


def changed_mlp(inputs: int = 784, hidden: int = 512, bias: int = 512, outputs: int = 10, last: int = 10) -> Any:
    sizes = [(hidden, inputs), (bias,), (512, 512), (512,), (outputs, 512), (last,)]
    return {name: torch.zeros(size) for name, size in zip(sizes_of("mlp", FASHION), sizes, strict=True)}


NO_MODELS: dict[str, tuple[dict[str, int], str]] = {
    "one class": ({"outputs": 1, "last": 1}, "linear_relu_stack.4.weight is 1×512"),
    "a class too many": ({"outputs": 1001, "last": 1001}, "linear_relu_stack.4.weight is 1001×512"),
    "no classes": ({"outputs": 0, "last": 0}, "linear_relu_stack.4.weight is 0×512"),
    "a bias for other classes": ({"outputs": 12}, "linear_relu_stack.4.weight is 12×512 where mlp has 10×512"),
    "pixels of no image": ({"inputs": 785}, "linear_relu_stack.0.weight is 512×785"),
    "pixels of too small an image": ({"inputs": 49}, "linear_relu_stack.0.weight is 512×49"),
    "pixels of too large an image": ({"inputs": 4 * 256 * 256}, "linear_relu_stack.0.weight is 512×262144"),
    "another hidden layer": ({"hidden": 256, "bias": 256}, "linear_relu_stack.0.weight is 256×784"),
    "layers that do not go together": ({"hidden": 300}, "linear_relu_stack.0.weight is 300×784"),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_sizes_of_no_model_are_refused_by_the_layer(tmp_path: Path, name: str) -> None:
    changes, said = NO_MODELS[name]
    torch.save(changed_mlp(**changes), tmp_path / "file")
    with pytest.raises(UnfitFileError, match=said):
        load(tmp_path / "file")
    assert inspect(tmp_path / "file", numbers=False).shape is None


def test_small_cnn_whose_layers_take_other_images_is_refused(tmp_path: Path) -> None:
    state = build_model("cnn", 0, COLOUR).state_dict()
    for name, value in (("features.0.weight", torch.zeros(32, 2, 3, 3)), ("classifier.2.weight", torch.zeros(128, 65))):
        torch.save({**state, name: value}, tmp_path / "file")
        with pytest.raises(UnfitFileError, match=name):
            load(tmp_path / "file")


CHANGES = {
    "in_features": ("linear_relu_stack.0", "in_features", 784, "in_features is not 3072"),
    "out_features": ("linear_relu_stack.4", "out_features", 10, "out_features is not 5"),
    "a method": ("linear_relu_stack.0", "forward", "relu", "carries forward"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whole_colour_model_with_something_changed_is_refused(tmp_path: Path, change: str) -> None:
    layer, key, value, said = CHANGES[change]
    model = build_model("mlp", 0, COLOUR)
    vars(model.get_submodule(layer))[key] = value
    torch.save(model, tmp_path / "file")
    with pytest.raises(RefusedFileError, match=said):
        load(tmp_path / "file")


def test_numbers_that_the_file_does_not_hold_make_no_model(tmp_path: Path) -> None:
    """A weight of 400 MB in a few hundred bytes: it is repeated, and no model is built for it."""
    state = changed_mlp(inputs=16)
    state["linear_relu_stack.0.weight"] = torch.zeros(1, 1).expand(512, 3 * 256 * 256)
    torch.save(state, tmp_path / "file")
    with pytest.raises(RefusedFileError, match="repeats its numbers"):
        load(tmp_path / "file")


RESUMED: dict[str, dict[str, Any]] = {
    "mlp": {"augmentation": "flip and shift", "pixels": "standard", "schedule": "cosine"},
    "cnn": {"augmentation": "flip and shift", "optimizer": "adamw"},
    "resnet18": {"pixels": "standard", "optimizer": "sgd", "momentum": 0.9},
}


@pytest.mark.parametrize("model", MODELS)
def test_resumed_run_in_colour_ends_in_the_same_bits(runs: RunStore, model: str) -> None:
    settings = {**EPOCH, "epochs": 3, "dataset": name_of(COLOUR), "model": model, **RESUMED[model]}
    straight = new_run(runs, **settings)
    train(straight)
    child = resume(runs, straight, 0)
    train(child)
    ours, theirs = (save.load_checkpoint(run.checkpoint_path(2)) for run in (child, straight))
    for part in ("model_state_dict", "optimizer_state_dict", "loss", "dataset"):
        one, other = io.BytesIO(), io.BytesIO()
        torch.save(ours[part], one)
        torch.save(theirs[part], other)
        assert one.getvalue() == other.getvalue(), part
    check = child.load_check
    assert check is not None
    assert (check.loss_check, check.comparable) == (check.loss_last, True)
