"""The models that can be trained here, and their layers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fashion_core.config import FASHION, Shape
from fashion_core.models import team
from fashion_core.models.torchvision_import import import_torchvision


class NeuralNetwork(nn.Module):
    """The tutorial's network, attribute for attribute, so that weights go both ways.

    Takes (N, channels, height, width) float32, or (N, 28, 28) as the tutorial; gives (N, classes) float32 logits.
    Source: https://pytorch.org/tutorials/beginner/basics/buildmodel_tutorial.html
    """

    def __init__(self, shape: Shape = FASHION) -> None:
        super().__init__()
        inputs = shape.channels * shape.height * shape.width
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(inputs, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, shape.classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear_relu_stack(self.flatten(x))
        return logits


class SmallCNN(nn.Module):
    """Two convolution blocks, then two linear layers: (N, channels, height, width) float32 to (N, classes) logits."""

    def __init__(self, shape: Shape = FASHION) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(shape.channels, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        pooled = 64 * (shape.height // 4) * (shape.width // 4)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.25), nn.Linear(pooled, 128), nn.ReLU(), nn.Linear(128, shape.classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def resnet18(shape: Shape = FASHION) -> nn.Module:
    """Build torchvision's ResNet-18 with random weights, for images of any size."""
    model: nn.Module = import_torchvision().models.resnet18(num_classes=shape.classes)
    if shape.channels != 3:  # as torchvision has it
        model.conv1 = nn.Conv2d(shape.channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return model


for _network in (NeuralNetwork, SmallCNN):
    _network.__module__ = "fashion_core.models"  # the name that a pickled model holds, in every model.pth there is
_BUILDERS: Mapping[str, Callable[[Shape], nn.Module]] = {"mlp": NeuralNetwork, "cnn": SmallCNN, "resnet18": resnet18}


def build_model(name: str, seed: int, shape: Shape = FASHION) -> nn.Module:
    """Build the model that ``TrainConfig.model`` names, on the CPU; its first weights follow from ``seed`` alone.

    Raises ``ModelError`` where a team's own can't be built.
    """
    build = _BUILDERS.get(name) or team.builder(name)
    torch.manual_seed(seed)
    return build(shape)


def layers(model: nn.Module, shape: Shape = FASHION) -> list[dict[str, Any]]:
    """List the leaf layers as an image passes them, with its shape after each; the model is left in ``eval`` mode."""
    found: list[dict[str, Any]] = []

    def record(name: str, module: nn.Module, _inputs: object, output: object) -> None:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        about = {"name": name, "kind": type(module).__name__, "output_shape": shape}
        found.append({**about, "parameters": _count_parameters(module)})

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    hooks = [module.register_forward_hook(partial(record, name)) for name, module in leaves]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, shape.channels, shape.height, shape.width))
    for hook in hooks:
        hook.remove()
    return found


def describe(name: str, shape: Shape = FASHION) -> dict[str, Any]:
    """Describe a model, ready for JSON: ``print(model)`` as text, its layers and its number of parameters."""
    model = build_model(name, 0, shape)
    return {"text": str(model), "layers": layers(model, shape), "parameters": _count_parameters(model)}


def _count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
