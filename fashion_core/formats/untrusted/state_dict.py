"""Find the weights in a saved file from anyone, and the known model that they fit; without torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fashion_core.config import CLASSES, MODEL_CLASSES, SIDE
from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.values import Name, Record, SavedTensor, joined

Shape = tuple[int, ...]

WEIGHT_KEYS = ("model_state_dict", "state_dict", "model")  # of this app, of Lightning, of anyone else
COUNTER = "num_batches_tracked"
STATISTICS = ("running_mean", "running_var")
BUFFERS = (*STATISTICS, COUNTER)  # of a batch norm, which no optimizer learns
_PREFIXES = ("module.", "_orig_mod.", "model.")
_MOST_PREFIXES = 4
# What changes the rule of an optimizer; this app's have none of them on.
_OTHER_OPTIONS = ("amsgrad", "nesterov", "dampening", "maximize", "differentiable")
_NN = "torch.nn.modules"
_BATCH_NORM = f"{_NN}.batchnorm.BatchNorm2d"


@dataclass(frozen=True)
class Layer:
    """A module as torch pickles it; a parameter that it could have and does not is None."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Shape | None] = field(default_factory=dict)
    buffers: Mapping[str, Shape] = field(default_factory=dict)
    layers: Mapping[str, "Layer"] = field(default_factory=dict)

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, "Layer"]]:
        """Yield this one and all inside, each with its name, in torch's order."""
        yield prefix, self
        for name, layer in self.layers.items():
            yield from layer.named_layers(joined(prefix, name))

    def shapes(self, buffers: bool = True) -> dict[str, Shape]:
        """Names and shapes of its ``state_dict``, or of its parameters alone, in order."""
        return {
            joined(prefix, name): shape
            for prefix, layer in self.named_layers()
            for name, shape in {**layer.parameters, **(layer.buffers if buffers else {})}.items()
            if shape is not None
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


def _resnet18() -> Layer:
    settings = {"_norm_layer": _BATCH_NORM, "inplanes": 512, "dilation": 1, "groups": 1, "base_width": 64}
    widths = ((64, 64), (64, 128), (128, 256), (256, 512))
    layers = {"conv1": _conv(1, 64, 7, 2), "bn1": _norm(64), "relu": _relu(inplace=True), "maxpool": _pool(3, 2, 1)}
    for number, (inputs, outputs) in enumerate(widths, 1):
        layers[f"layer{number}"] = _sequential(_block(inputs, outputs), _block(outputs, outputs))
    layers["avgpool"] = Layer(f"{_NN}.pooling.AdaptiveAvgPool2d", {"output_size": (1, 1)})
    return Layer("torchvision.models.resnet.ResNet", settings, layers={**layers, "fc": _linear(512, CLASSES)})


_FLATTEN = Layer(f"{_NN}.flatten.Flatten", {"start_dim": 1, "end_dim": -1})
_STACK = _sequential(_linear(SIDE * SIDE, 512), _relu(), _linear(512, 512), _relu(), _linear(512, CLASSES))
_POOL, _DROPOUT = _pool(2, 2, 0), Layer(f"{_NN}.dropout.Dropout", {"p": 0.25, "inplace": False})
_FEATURES = (_conv(1, 32, 3), _norm(32), _relu(), _POOL, _conv(32, 64, 3), _norm(64), _relu(), _POOL)
_CLASSIFIER = (_FLATTEN, _DROPOUT, _linear(3136, 128), _relu(), _linear(128, CLASSES))
BLUEPRINTS: Mapping[str, Layer] = {
    "mlp": Layer("NeuralNetwork", layers={"flatten": _FLATTEN, "linear_relu_stack": _STACK}),
    "cnn": Layer("SmallCNN", layers={"features": _sequential(*_FEATURES), "classifier": _sequential(*_CLASSIFIER)}),
    "resnet18": _resnet18(),
}
KNOWN = {name: blueprint.shapes() for name, blueprint in BLUEPRINTS.items()}


def model_of_class(name: Name) -> str | None:
    """The known model that a class of this name stands for, whichever module it is from."""
    if name.name == "ResNet" and name.module != "torchvision.models.resnet":
        return None
    return next((model for model, kind in MODEL_CLASSES.items() if kind == name.name), None)


@dataclass(frozen=True)
class Weights:
    """A state_dict found in a file: its tensors under their names in the model, and how it was found."""

    tensors: dict[str, SavedTensor]
    model: str | None  # the known model that names and shapes fit
    root: Record | None  # the whole model, where the file holds one
    prefix: str  # what every name began with

    @property
    def parameters(self) -> int:
        """Count the numbers that can be learned."""
        return sum(tensor.numel for name, tensor in self.tensors.items() if not name.endswith(BUFFERS))

    def differences(self) -> tuple[str, list[str]]:
        """The known model that shares most names and shapes, and how these tensors differ from it, in phrases."""
        found = {name: tensor.shape for name, tensor in self.tensors.items()}
        model = max(KNOWN, key=lambda name: (len(found.items() & KNOWN[name].items()), -len(KNOWN[name])))
        known = KNOWN[model]
        differing = [name for name in known if name in found and found[name] != known[name]]
        return model, [
            *(f"{name} is missing" for name in known if name not in found),
            *(f"{name} is not in {model}" for name in found if name not in known),
            *(f"{name} is {_shape(found[name])} where {model} has {_shape(known[name])}" for name in differing),
        ]


def find_weights(content: Any) -> Weights:
    """Find the state_dict in what was read. Raises ``RefusedFileError`` if there is none."""
    root, tensors = _locate(content)
    prefix = ""
    for _ in range(_MOST_PREFIXES):
        shared = next((p for p in _PREFIXES if tensors and all(key.startswith(p) for key in tensors)), "")
        tensors = {key.removeprefix(shared): value for key, value in tensors.items()}
        prefix += shared
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return Weights(tensors, next((model for model, known in KNOWN.items() if known == shapes), None), root, prefix)


def _locate(content: Any) -> tuple[Record | None, dict[str, SavedTensor]]:
    if isinstance(content, Record):
        return content, _module_state(content)
    if isinstance(content, dict):
        for key in WEIGHT_KEYS:
            if isinstance(content.get(key), dict | Record):
                return _locate(content[key])
        if content and all(isinstance(value, SavedTensor) for value in content.values()):
            return None, {str(key): value for key, value in content.items()}
    raise RefusedFileError("it holds no state_dict and no model")


def _module_state(record: Record, prefix: str = "") -> dict[str, SavedTensor]:
    """The state_dict of a pickled module: parameters, persistent buffers, and those of its children."""
    own = {**_part(record, "_parameters"), **_part(record, "_buffers")}
    passing = record.state.get("_non_persistent_buffers_set") or ()
    if not isinstance(passing, list | tuple) or not all(isinstance(name, str) for name in passing):
        raise RefusedFileError(f"{record.name} in it is not a torch.nn.Module")
    passing = frozenset(passing)
    found = {joined(prefix, name): value for name, value in own.items() if value is not None and name not in passing}
    if not all(isinstance(value, SavedTensor) for value in found.values()):
        raise RefusedFileError(f"a parameter of {record.name} in it is not a tensor")
    for name, child in layers_of(record).items():
        found |= _module_state(child, joined(prefix, name))
    return found


def layers_of(record: Record) -> dict[Any, Record]:
    """The modules inside a pickled module. Raises ``RefusedFileError`` if one is something else."""
    layers = {name: child for name, child in _part(record, "_modules").items() if child is not None}
    if not all(isinstance(child, Record) for child in layers.values()):
        raise RefusedFileError(f"a layer of {record.name} in it is not a torch.nn.Module")
    return layers


def _part(record: Record, part: str) -> dict[Any, Any]:
    found = record.state.get(part, {}) if isinstance(record.state, dict) else None
    if not isinstance(found, dict):
        raise RefusedFileError(f"{record.name} in it is not a torch.nn.Module")
    return found


def optimizer_state(content: Any) -> dict[str, Any] | None:
    """The optimizer's state_dict in a checkpoint of this app, of the tutorial or of Lightning."""
    if not isinstance(content, dict):
        return None
    several = content.get("optimizer_states")
    state = content.get("optimizer_state_dict", several[0] if isinstance(several, list) and several else None)
    return state if isinstance(state, dict) and isinstance(state.get("param_groups"), list) else None


def optimizer_name(group: Mapping[str, Any]) -> str:
    """Recognize what made a param_group by its keys: sgd, adam or adamw as this app makes them, else unknown."""
    if any(group.get(option) for option in _OTHER_OPTIONS):
        return "unknown"
    if "amsgrad" in group:  # AdamW of torch before 2.7 looks like Adam
        return "adamw" if group.get("decoupled_weight_decay") else "adam"
    return "sgd" if "nesterov" in group else "unknown"


def _shape(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "one number"
