"""The models that can be trained here, and their layers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fashion_core.config import CLASSES, SIDE
from fashion_core.models.torchvision_import import import_torchvision


class NeuralNetwork(nn.Module):
    """The tutorial's network, attribute for attribute, so that weights go both ways.

    Takes (N, 1, 28, 28) or (N, 28, 28) float32; gives (N, 10) float32 logits.
    Source: https://pytorch.org/tutorials/beginner/basics/buildmodel_tutorial.html
    """

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(28 * 28, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear_relu_stack(self.flatten(x))
        return logits


class SmallCNN(nn.Module):
    """Two convolution blocks, then two linear layers: (N, 1, 28, 28) float32 to (N, 10) float32 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def resnet18() -> nn.Module:
    """Build torchvision's ResNet-18 with random weights, one input channel and ten classes."""
    model: nn.Module = import_torchvision().models.resnet18(num_classes=CLASSES)
    model.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return model


_BUILDERS: Mapping[str, Callable[[], nn.Module]] = {"mlp": NeuralNetwork, "cnn": SmallCNN, "resnet18": resnet18}


def build_model(name: str, seed: int) -> nn.Module:
    """Build the model that ``TrainConfig.model`` names, on the CPU; its first weights follow from ``seed`` alone."""
    torch.manual_seed(seed)
    return _BUILDERS[name]()


def layers(model: nn.Module) -> list[dict[str, Any]]:
    """List the leaf layers as an image passes them, with its shape after each; the model is left in ``eval`` mode."""
    found: list[dict[str, Any]] = []

    def record(name: str, module: nn.Module, _inputs: object, output: Tensor) -> None:
        shape, parameters = tuple(output.shape[1:]), _count_parameters(module)
        found.append({"name": name, "kind": type(module).__name__, "output_shape": shape, "parameters": parameters})

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    hooks = [module.register_forward_hook(partial(record, name)) for name, module in leaves]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 1, SIDE, SIDE))
    for hook in hooks:
        hook.remove()
    return found


def describe(name: str) -> dict[str, Any]:
    """Describe a model, ready for JSON: ``print(model)`` as text, its layers and its number of parameters."""
    model = build_model(name, seed=0)
    return {"text": str(model), "layers": layers(model), "parameters": _count_parameters(model)}


def _count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
