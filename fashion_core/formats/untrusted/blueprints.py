"""The known models as torch pickles them, layer by layer, for images of any shape; without torch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fashion_core.config import FASHION, MODEL_CLASSES, Shape
from fashion_core.formats.untrusted.values import Name, joined

Sizes = tuple[int, ...]

COUNTER = "num_batches_tracked"
STATISTICS = ("running_mean", "running_var")
BUFFERS = (*STATISTICS, COUNTER)  # of a batch norm, which no optimizer learns
_NN = "torch.nn.modules"
_BATCH_NORM = f"{_NN}.batchnorm.BatchNorm2d"


@dataclass(frozen=True)
class Layer:
    """A module as torch pickles it; a parameter that it could have and does not is None."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Sizes | None] = field(default_factory=dict)
    buffers: Mapping[str, Sizes] = field(default_factory=dict)
    layers: Mapping[str, "Layer"] = field(default_factory=dict)

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, "Layer"]]:
        """Yield this one and all inside, each with its name, in torch's order."""
        yield prefix, self
        for name, layer in self.layers.items():
            yield from layer.named_layers(joined(prefix, name))

    def sizes(self, buffers: bool = True) -> dict[str, Sizes]:
        """Names and sizes of its ``state_dict``, or of its parameters alone, in order."""
        return {
            joined(prefix, name): sizes
            for prefix, layer in self.named_layers()
            for name, sizes in {**layer.parameters, **(layer.buffers if buffers else {})}.items()
            if sizes is not None
        }


def _linear(inputs: int, outputs: int) -> Layer:
    settings = {"in_features": inputs, "out_features": outputs}
    return Layer(f"{_NN}.linear.Linear", settings, {"weight": (outputs, inputs), "bias": (outputs,)})


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> Layer:
    """A convolution without bias, padded by half its size."""
    settings = {
        "in_channels": inputs, "out_channels": outputs, "kernel_size": (size, size), "stride": (stride, stride),
        "padding": (size // 2,) * 2, "dilation": (1, 1), "transposed": False, "output_padding": (0, 0), "groups": 1,
        "padding_mode": "zeros", "_reversed_padding_repeated_twice": (size // 2,) * 4,
    }  # fmt: skip
    return Layer(f"{_NN}.conv.Conv2d", settings, {"weight": (outputs, inputs, size, size), "bias": None})


def _norm(channels: int) -> Layer:
    settings = {"num_features": channels, "eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}
    buffers = {**dict.fromkeys(STATISTICS, (channels,)), COUNTER: ()}
    return Layer(_BATCH_NORM, settings, {"weight": (channels,), "bias": (channels,)}, buffers)


def _pool(size: int, stride: int, padding: int) -> Layer:
    settings = {"kernel_size": size, "stride": stride, "padding": padding}
    return Layer(f"{_NN}.pooling.MaxPool2d", {**settings, "dilation": 1, "return_indices": False, "ceil_mode": False})


def _relu(inplace: bool = False) -> Layer:
    return Layer(f"{_NN}.activation.ReLU", {"inplace": inplace})


def _sequential(*layers: Layer) -> Layer:
    return Layer(f"{_NN}.container.Sequential", layers={str(index): layer for index, layer in enumerate(layers)})


def _block(inputs: int, outputs: int) -> Layer:
    stride = 1 if inputs == outputs else 2
    layers = {"conv1": _conv(inputs, outputs, 3, stride), "bn1": _norm(outputs), "relu": _relu(inplace=True)}
    layers |= {"conv2": _conv(outputs, outputs, 3), "bn2": _norm(outputs)}
    if stride == 2:
        layers["downsample"] = _sequential(_conv(inputs, outputs, 1, stride), _norm(outputs))
    settings = {"stride": 2} if stride == 2 else {"downsample": None, "stride": 1}
    return Layer("torchvision.models.resnet.BasicBlock", settings, layers=layers)


def _resnet18(shape: Shape) -> Layer:
    settings = {"_norm_layer": _BATCH_NORM, "inplanes": 512, "dilation": 1, "groups": 1, "base_width": 64}
    widths = ((64, 64), (64, 128), (128, 256), (256, 512))
    layers = {"conv1": _conv(shape.channels, 64, 7, 2), "bn1": _norm(64), "relu": _relu(inplace=True)}
    layers["maxpool"] = _pool(3, 2, 1)
    for number, (inputs, outputs) in enumerate(widths, 1):
        layers[f"layer{number}"] = _sequential(_block(inputs, outputs), _block(outputs, outputs))
    layers["avgpool"] = Layer(f"{_NN}.pooling.AdaptiveAvgPool2d", {"output_size": (1, 1)})
    return Layer("torchvision.models.resnet.ResNet", settings, layers={**layers, "fc": _linear(512, shape.classes)})


def _mlp(shape: Shape) -> Layer:
    inputs = shape.channels * shape.height * shape.width
    stack = _sequential(_linear(inputs, 512), _relu(), _linear(512, 512), _relu(), _linear(512, shape.classes))
    return Layer("NeuralNetwork", layers={"flatten": _FLATTEN, "linear_relu_stack": stack})


def _cnn(shape: Shape) -> Layer:
    pool, pooled = _pool(2, 2, 0), 64 * (shape.height // 4) * (shape.width // 4)
    first, second = _conv(shape.channels, 32, 3), _conv(32, 64, 3)
    features = _sequential(first, _norm(32), _relu(), pool, second, _norm(64), _relu(), pool)
    classifier = _sequential(_FLATTEN, _DROPOUT, _linear(pooled, 128), _relu(), _linear(128, shape.classes))
    return Layer("SmallCNN", layers={"features": features, "classifier": classifier})


_FLATTEN = Layer(f"{_NN}.flatten.Flatten", {"start_dim": 1, "end_dim": -1})
_DROPOUT = Layer(f"{_NN}.dropout.Dropout", {"p": 0.25, "inplace": False})
_BLUEPRINTS: Mapping[str, Callable[[Shape], Layer]] = {"mlp": _mlp, "cnn": _cnn, "resnet18": _resnet18}


@lru_cache(maxsize=64)
def blueprint(model: str, shape: Shape) -> Layer:
    """How torch pickles a known model for images and classes of this shape."""
    return _BLUEPRINTS[model](shape)


@lru_cache(maxsize=64)
def sizes_of(model: str, shape: Shape) -> Mapping[str, Sizes]:
    """Names and sizes of its ``state_dict``."""
    return blueprint(model, shape).sizes()


KNOWN = {model: sizes_of(model, FASHION) for model in _BLUEPRINTS}
"""The names in each model's ``state_dict``, the same for all shapes, in torch's order; sizes as for Fashion-MNIST."""


def model_of_class(name: Name) -> str | None:
    """The known model that a class of this name stands for, whichever module it is from."""
    if name.name == "ResNet" and name.module != "torchvision.models.resnet":
        return None
    return next((model for model, kind in MODEL_CLASSES.items() if kind == name.name), None)
