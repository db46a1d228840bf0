"""How each model of this app looks when torch pickles it, so that a file can be judged without torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fashion_core.formats.untrusted.values import joined

Shape = tuple[int, ...]
COUNTER = "num_batches_tracked"
_NN = "torch.nn.modules"


@dataclass(frozen=True)
class Layer:
    """A module: its class, its plain attributes, the shapes of its parameters and buffers, and the modules inside.

    A parameter that it could have and does not is None, as in torch.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Shape | None] = field(default_factory=dict)
    buffers: Mapping[str, Shape] = field(default_factory=dict)
    layers: Mapping[str, "Layer"] = field(default_factory=dict)

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, "Layer"]]:
        """This one and all inside, each with its name, in torch's order."""
        yield prefix, self
        for name, layer in self.layers.items():
            yield from layer.named_layers(joined(prefix, name))

    def parameter_shapes(self) -> dict[str, Shape]:
        """What an optimizer sees, in order."""
        return {
            joined(prefix, name): shape
            for prefix, layer in self.named_layers()
            for name, shape in layer.parameters.items()
            if shape is not None
        }

    def shapes(self) -> dict[str, Shape]:
        """Names and shapes of its ``state_dict``, in order."""
        return {
            joined(prefix, name): shape
            for prefix, layer in self.named_layers()
            for name, shape in {**layer.parameters, **layer.buffers}.items()
            if shape is not None
        }


def _linear(inputs: int, outputs: int) -> Layer:
    settings = {"in_features": inputs, "out_features": outputs}
    return Layer(f"{_NN}.linear.Linear", settings, {"weight": (outputs, inputs), "bias": (outputs,)})


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> Layer:
    """A convolution without bias, padded by half its size."""
    padding = size // 2
    settings = {
        "in_channels": inputs,
        "out_channels": outputs,
        "kernel_size": (size, size),
        "stride": (stride, stride),
        "padding": (padding, padding),
        "dilation": (1, 1),
        "transposed": False,
        "output_padding": (0, 0),
        "groups": 1,
        "padding_mode": "zeros",
        "_reversed_padding_repeated_twice": (padding,) * 4,
    }
    return Layer(f"{_NN}.conv.Conv2d", settings, {"weight": (outputs, inputs, size, size), "bias": None})


def _norm(channels: int) -> Layer:
    settings = {"num_features": channels, "eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}
    return Layer(
        f"{_NN}.batchnorm.BatchNorm2d",
        settings,
        {"weight": (channels,), "bias": (channels,)},
        {"running_mean": (channels,), "running_var": (channels,), COUNTER: ()},
    )


def _pool(size: int, stride: int, padding: int) -> Layer:
    settings = {"kernel_size": size, "stride": stride, "padding": padding}
    return Layer(f"{_NN}.pooling.MaxPool2d", {**settings, "dilation": 1, "return_indices": False, "ceil_mode": False})


def _relu(inplace: bool = False) -> Layer:
    return Layer(f"{_NN}.activation.ReLU", {"inplace": inplace})


def _dropout(p: float) -> Layer:
    return Layer(f"{_NN}.dropout.Dropout", {"p": p, "inplace": False})


_FLATTEN = Layer(f"{_NN}.flatten.Flatten", {"start_dim": 1, "end_dim": -1})


def _sequential(*layers: Layer) -> Layer:
    numbered = {str(index): layer for index, layer in enumerate(layers)}
    return Layer(f"{_NN}.container.Sequential", layers=numbered)


def _mlp() -> Layer:
    stack = _sequential(_linear(784, 512), _relu(), _linear(512, 512), _relu(), _linear(512, 10))
    return Layer("NeuralNetwork", layers={"flatten": _FLATTEN, "linear_relu_stack": stack})


def _cnn() -> Layer:
    pool = _pool(2, 2, 0)
    features = (_conv(1, 32, 3), _norm(32), _relu(), pool, _conv(32, 64, 3), _norm(64), _relu(), pool)
    classifier = (_FLATTEN, _dropout(0.25), _linear(3136, 128), _relu(), _linear(128, 10))
    return Layer("SmallCNN", layers={"features": _sequential(*features), "classifier": _sequential(*classifier)})


def _block(inputs: int, outputs: int) -> Layer:
    """torchvision's ``BasicBlock``."""
    stride = 1 if inputs == outputs else 2
    layers = {
        "conv1": _conv(inputs, outputs, 3, stride),
        "bn1": _norm(outputs),
        "relu": _relu(inplace=True),
        "conv2": _conv(outputs, outputs, 3),
        "bn2": _norm(outputs),
    }
    if inputs == outputs:
        return Layer("torchvision.models.resnet.BasicBlock", {"downsample": None, "stride": 1}, layers=layers)
    layers["downsample"] = _sequential(_conv(inputs, outputs, 1, stride), _norm(outputs))
    return Layer("torchvision.models.resnet.BasicBlock", {"stride": stride}, layers=layers)


def _resnet18() -> Layer:
    kind = f"{_NN}.batchnorm.BatchNorm2d"
    settings = {"_norm_layer": kind, "inplanes": 512, "dilation": 1, "groups": 1, "base_width": 64}
    widths = ((64, 64), (64, 128), (128, 256), (256, 512))
    layers = {"conv1": _conv(1, 64, 7, 2), "bn1": _norm(64), "relu": _relu(inplace=True), "maxpool": _pool(3, 2, 1)}
    for number, (inputs, outputs) in enumerate(widths, 1):
        layers[f"layer{number}"] = _sequential(_block(inputs, outputs), _block(outputs, outputs))
    layers["avgpool"] = Layer(f"{_NN}.pooling.AdaptiveAvgPool2d", {"output_size": (1, 1)})
    return Layer("torchvision.models.resnet.ResNet", settings, layers={**layers, "fc": _linear(512, 10)})


BLUEPRINTS: Mapping[str, Layer] = {"mlp": _mlp(), "cnn": _cnn(), "resnet18": _resnet18()}
"""The models by the names that ``TrainConfig.model`` knows; ``models.py`` builds them."""
