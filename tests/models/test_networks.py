"""The three models: names, shapes, parameters, and first weights that follow from the seed."""

import hashlib
import io
import zipfile

import pytest
import torch
from torch import nn

from fashion_core.config import FASHION, Shape
from fashion_core.models import networks
from fashion_core.models.torchvision_import import import_torchvision
from tests.support.datasets import SHAPES

MODELS = ("mlp", "cnn", "resnet18")
WEIGHTS = {
    ("mlp", 0): "ff535fe72efc02b175953ab2e54346fadf948769ffa0858edfae70a4e474f3b4",
    ("mlp", 7): "53cd24b266addc641ca6f10f1f35e9ad1d0a4498403b10977723e2284e861c78",
    ("cnn", 0): "604a2a2a13e911e5d59f2b6f838a10b12a5e49015f7b1e48f14659117947564b",
    ("cnn", 7): "dbb2e93483f439a68f49b73928ce44c481a8b9e33d3a8a2779c318651ce20810",
    ("resnet18", 0): "73fdbb72e7b49e89828e26b53fc880ac93018363d50522719361cad20ab6a9d7",
    ("resnet18", 7): "35af2144d08041e2fcc8082190413ee6cb6fe1fa1a9da14e377622264961db92",
}
"""SHA-256 of the names and numbers of the first weights for Fashion-MNIST, as they have always been."""


class TutorialsNetwork(nn.Module):
    """A copy of https://pytorch.org/tutorials/beginner/basics/buildmodel_tutorial.html."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(28 * 28, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.flatten(x)
        logits: torch.Tensor = self.linear_relu_stack(x)
        return logits


def some_images(count: int = 4, shape: Shape = FASHION) -> torch.Tensor:
    return torch.rand(count, *shape[:3], generator=torch.Generator().manual_seed(0))


def test_weights_go_both_ways_between_ours_and_the_tutorials_which_prints_the_same() -> None:
    assert str(networks.NeuralNetwork()) == str(TutorialsNetwork()).replace("TutorialsNetwork", "NeuralNetwork")
    ours, theirs = networks.build_model("mlp", 1), TutorialsNetwork()
    for source, target in ((ours, theirs), (theirs, networks.build_model("mlp", 2))):
        target.load_state_dict(source.state_dict())
        assert torch.equal(source(some_images()), target(some_images()))


@pytest.mark.parametrize("name", MODELS)
def test_first_weights_follow_from_the_seed_alone(name: str) -> None:
    first = networks.build_model(name, 3).state_dict()
    torch.rand(5)
    again, other = networks.build_model(name, 3).state_dict(), networks.build_model(name, 4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("name", "seed"), WEIGHTS)
def test_first_weights_for_fashion_mnist_are_what_they_always_were(name: str, seed: int) -> None:
    found = hashlib.sha256()
    for key, tensor in networks.build_model(name, seed).state_dict().items():
        found.update(key.encode() + tensor.numpy().tobytes())
    assert found.hexdigest() == WEIGHTS[name, seed]


@pytest.mark.parametrize("name", MODELS)
def test_asking_for_fashion_mnists_shape_changes_nothing_in_a_saved_model(name: str) -> None:
    one, other = io.BytesIO(), io.BytesIO()
    torch.save(networks.build_model(name, 0), one)
    torch.save(networks.build_model(name, 0, Shape(channels=1, height=28, width=28, classes=10)), other)
    assert one.getvalue() == other.getvalue()
    with zipfile.ZipFile(one) as file:
        assert b"shape" not in file.read("archive/data.pkl")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_layers_add_up_to_the_model_which_gives_a_logit_a_class(name: str, shape: Shape) -> None:
    model, described = networks.build_model(name, 0, shape), networks.describe(name, shape)
    logits = model.eval()(some_images(4, shape))
    assert (logits.shape, bool(logits.isfinite().all())) == ((4, shape.classes), True)
    assert described["layers"][-1]["output_shape"] == (shape.classes,)
    assert described["text"] == str(model)
    assert described["parameters"] == sum(layer["parameters"] for layer in described["layers"])
    assert described["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_resnet_for_colour_images_is_torchvisions_own() -> None:
    torch.manual_seed(5)
    theirs = import_torchvision().models.resnet18(num_classes=7)
    ours = networks.build_model("resnet18", 5, Shape(3, 224, 224, 7))
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_largest_images_and_most_classes_make_a_hundred_million_parameters_at_most() -> None:
    with torch.device("meta"):
        models = [networks.build_model(name, 0, Shape(3, 256, 256, 1000)) for name in MODELS]
    assert [sum(one.numel() for one in model.parameters()) // 10**6 for model in models] == [101, 33, 11]


def test_layers_of_the_tutorials_network() -> None:
    assert [tuple(layer.values()) for layer in networks.layers(networks.NeuralNetwork())] == [
        ("flatten", "Flatten", (784,), 0),
        ("linear_relu_stack.0", "Linear", (512,), 401_920),
        ("linear_relu_stack.1", "ReLU", (512,), 0),
        ("linear_relu_stack.2", "Linear", (512,), 262_656),
        ("linear_relu_stack.3", "ReLU", (512,), 0),
        ("linear_relu_stack.4", "Linear", (10,), 5_130),
    ]


def test_looking_at_layers_leaves_the_model_as_it_was() -> None:
    model, same = networks.build_model("cnn", 0), networks.build_model("cnn", 0)
    networks.layers(model)
    assert all(map(torch.equal, same.state_dict().values(), model.state_dict().values()))
    assert not any(module._forward_hooks for module in model.modules())
