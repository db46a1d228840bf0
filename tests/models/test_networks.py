"""The three models: names, shapes, parameters, and first weights that follow from the seed."""

import pytest
import torch
from torch import nn

from fashion_core.models import networks

MODELS = ("mlp", "cnn", "resnet18")


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


def some_images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))


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


@pytest.mark.parametrize("name", MODELS)
def test_layers_add_up_to_the_model_which_gives_a_logit_a_class(name: str) -> None:
    model, described = networks.build_model(name, 0), networks.describe(name)
    logits = model.eval()(some_images())
    assert (logits.shape, bool(logits.isfinite().all())) == ((4, 10), True)
    assert described["layers"][-1]["output_shape"] == (10,)
    assert described["text"] == str(model)
    assert described["parameters"] == sum(layer["parameters"] for layer in described["layers"])
    assert described["parameters"] == sum(parameter.numel() for parameter in model.parameters())


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
