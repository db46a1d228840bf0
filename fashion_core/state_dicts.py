"""Where the weights are in a saved file from anyone, and which known model they fit; without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fashion_core.errors import RefusedFileError
from fashion_core.pickles import PLAIN_NAMES, Name, Record, StoredTensor
from fashion_core.stored import StoredFile

StateDict = dict[str, StoredTensor]
Shapes = Mapping[str, tuple[int, ...]]

WEIGHT_DTYPES = frozenset({"float32", "float16", "bfloat16"})
"""What becomes float32 without a change of any number."""
MODEL_CLASSES: Mapping[str, str] = {"NeuralNetwork": "mlp", "SmallCNN": "cnn", "ResNet": "resnet18"}
_PARTS = frozenset({"torchvision.models.resnet.BasicBlock"})
_LAYERS = frozenset(
    f"torch.nn.modules.{layer}"
    for layer in (
        "flatten.Flatten", "linear.Linear", "activation.ReLU", "container.Sequential", "conv.Conv2d",
        "batchnorm.BatchNorm2d", "pooling.MaxPool2d", "pooling.AdaptiveAvgPool2d", "dropout.Dropout",
    )
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "model.")
_WEIGHT_KEYS = ("model_state_dict", "state_dict", "model")
_SHOWN = 3


def refused_names(names: frozenset[Name]) -> tuple[str, ...]:
    """The names that neither tensors, plain containers nor a model of this app need, in order."""
    return tuple(sorted(str(name) for name in names if not _is_allowed(name)))


def _is_allowed(name: Name) -> bool:
    return str(name) in PLAIN_NAMES | _LAYERS | _PARTS or model_of_class(name) is not None


def model_of_class(name: Name) -> str | None:
    """The known model that a class of this name stands for, whoever's module it is from."""
    if name.name == "ResNet" and name.module != "torchvision.models.resnet":
        return None
    return MODEL_CLASSES.get(name.name)


def check_names(file: StoredFile) -> None:
    """Raises ``RefusedFileError`` that names what is not allowed."""
    refused = refused_names(file.names)
    if refused:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise RefusedFileError(
            f"it refers to {', '.join(refused[:_SHOWN])}{more}, which no saved weights need; save the state_dict alone",
            refused,
        )


@dataclass(frozen=True)
class Weights:
    """A state_dict found in a file: its tensors under their names in the model, and how it was found.

    Attributes:
        model: the known model that names and shapes fit, or None.
        root: the record of the whole model, where the file holds one.
        removed: the prefix that stood before every name.
    """

    tensors: StateDict
    model: str | None
    root: Record | None
    removed: str


def find_weights(content: Any) -> Weights:
    """The state_dict in what was read. Raises ``RefusedFileError`` if there is none."""
    root, tensors = _locate(content)
    stripped, removed = _without_prefix(tensors)
    return Weights(stripped, fitting_model(stripped), root, removed)


def _locate(content: Any) -> tuple[Record | None, StateDict]:
    if isinstance(content, Record):
        return content, module_state(content)
    if isinstance(content, dict):
        for key in _WEIGHT_KEYS:
            if isinstance(content.get(key), dict | Record):
                return _locate(content[key])
        if content and all(isinstance(value, StoredTensor) for value in content.values()):
            return None, {str(key): value for key, value in content.items()}
    raise RefusedFileError("it holds no state_dict and no model")


def module_state(record: Record, prefix: str = "") -> StateDict:
    """The state_dict of a pickled module: parameters, persistent buffers, and those of its children.

    Raises ``RefusedFileError`` if it is not built as ``torch.nn.Module`` builds one.
    """
    state = record.state
    if not isinstance(state, dict) or not all(isinstance(state.get(part, {}), dict) for part in _MODULE_PARTS):
        raise RefusedFileError(f"{record.name} in it is no torch.nn.Module")
    passing = state.get("_non_persistent_buffers_set") or ()
    own = {**state.get("_parameters", {}), **state.get("_buffers", {})}
    found = {f"{prefix}{name}": value for name, value in own.items() if value is not None and name not in passing}
    if not all(isinstance(value, StoredTensor) for value in found.values()):
        raise RefusedFileError(f"a parameter of {record.name} in it is no tensor")
    for name, child in state.get("_modules", {}).items():
        if not isinstance(child, Record):
            raise RefusedFileError(f"a layer of {record.name} in it is no torch.nn.Module")
        found |= module_state(child, f"{prefix}{name}.")
    return found


_MODULE_PARTS = ("_parameters", "_buffers", "_modules")


def _without_prefix(tensors: StateDict) -> tuple[StateDict, str]:
    removed = ""
    while prefix := next((p for p in _PREFIXES if tensors and all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
        removed += prefix
    return tensors, removed


def fitting_model(tensors: StateDict) -> str | None:
    """The known model with exactly these names and shapes, or None."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return next((model for model, known in KNOWN.items() if known == shapes), None)


def nearest_model(tensors: StateDict) -> str:
    """The known model that shares most names and shapes with these tensors."""
    shapes = {(name, tensor.shape) for name, tensor in tensors.items()}
    return max(KNOWN, key=lambda model: (len(shapes & set(KNOWN[model].items())), -len(KNOWN[model])))


def differences(tensors: StateDict, model: str) -> list[str]:
    """How the names and shapes differ from those of a known model, one phrase each."""
    known, found = KNOWN[model], {name: tensor.shape for name, tensor in tensors.items()}
    return [
        *(f"{name} is missing" for name in known if name not in found),
        *(f"{name} is not in {model}" for name in found if name not in known),
        *(
            f"{name} is {_shape(found[name])} where {model} has {_shape(known[name])}"
            for name in known
            if name in found and found[name] != known[name]
        ),
    ]


def check_fits(weights: Weights) -> str:
    """The model that the weights fit. Raises ``RefusedFileError`` that says which layers differ, and how."""
    if weights.model is None:
        nearest = nearest_model(weights.tensors)
        found = differences(weights.tensors, nearest)
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise RefusedFileError(f"its layers are not those of {nearest}: {'; '.join(found[:_SHOWN])}{more}")
    if weights.root is not None and model_of_class(weights.root.name) != weights.model:
        raise RefusedFileError(
            f"its class {weights.root.name} is not known here, though its layers are those of {weights.model}; "
            "save the state_dict instead"
        )
    for name, tensor in weights.tensors.items():
        if tensor.dtype not in WEIGHT_DTYPES and not (tensor.dtype == "int64" and tensor.shape == ()):
            raise RefusedFileError(f"{name} is {tensor.dtype}, which can't become float32 without losing digits")
    return weights.model


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, channels: int) -> Shapes:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{vector}": (channels,) for vector in vectors}, f"{name}.num_batches_tracked": ()}


def _block(name: str, inputs: int, outputs: int) -> Shapes:
    downsample = {f"{name}.downsample.0.weight": (outputs, inputs, 1, 1), **_norm(f"{name}.downsample.1", outputs)}
    return {
        f"{name}.conv1.weight": (outputs, inputs, 3, 3),
        **_norm(f"{name}.bn1", outputs),
        f"{name}.conv2.weight": (outputs, outputs, 3, 3),
        **_norm(f"{name}.bn2", outputs),
        **(downsample if inputs != outputs else {}),
    }


def _resnet18() -> Shapes:
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 1, 7, 7), **_norm("bn1", 64)}
    for layer, (inputs, outputs) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
        shapes |= {**_block(f"layer{layer}.0", inputs, outputs), **_block(f"layer{layer}.1", outputs, outputs)}
    return {**shapes, **_linear("fc", 512, 10)}


KNOWN: Mapping[str, Shapes] = {
    "mlp": {
        **_linear("linear_relu_stack.0", 784, 512),
        **_linear("linear_relu_stack.2", 512, 512),
        **_linear("linear_relu_stack.4", 512, 10),
    },
    "cnn": {
        "features.0.weight": (32, 1, 3, 3),
        **_norm("features.1", 32),
        "features.4.weight": (64, 32, 3, 3),
        **_norm("features.5", 64),
        **_linear("classifier.2", 3136, 128),
        **_linear("classifier.4", 128, 10),
    },
    "resnet18": _resnet18(),
}
"""The state_dict of each model of this app, names and shapes, so that a file can be judged without torch."""
