"""Where the weights are in a saved file from anyone, and which known model they fit; without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.blueprints import BLUEPRINTS
from fashion_core.formats.untrusted.values import Name, Record, StoredTensor, joined

StateDict = dict[str, StoredTensor]

MODEL_CLASSES: Mapping[str, str] = {"NeuralNetwork": "mlp", "SmallCNN": "cnn", "ResNet": "resnet18"}
_PREFIXES = ("module.", "_orig_mod.", "model.")
_MOST_PREFIXES = 4
_WEIGHT_KEYS = ("model_state_dict", "state_dict", "model")

KNOWN = {name: blueprint.shapes() for name, blueprint in BLUEPRINTS.items()}
"""The state_dict of each model of this app: names and shapes."""


def model_of_class(name: Name) -> str | None:
    """The known model that a class of this name stands for, whoever's module it is from."""
    if name.name == "ResNet" and name.module != "torchvision.models.resnet":
        return None
    return MODEL_CLASSES.get(name.name)


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
    own = {**_part(record, "_parameters"), **_part(record, "_buffers")}
    passing = _passing(record)
    found = {joined(prefix, name): value for name, value in own.items() if value is not None and name not in passing}
    if not all(isinstance(value, StoredTensor) for value in found.values()):
        raise RefusedFileError(f"a parameter of {record.name} in it is no tensor")
    for name, child in layers_of(record).items():
        found |= module_state(child, joined(prefix, name))
    return found


def layers_of(record: Record) -> dict[Any, Record]:
    """The modules inside a pickled module. Raises ``RefusedFileError`` if one is something else."""
    layers = {name: child for name, child in _part(record, "_modules").items() if child is not None}
    if not all(isinstance(child, Record) for child in layers.values()):
        raise RefusedFileError(f"a layer of {record.name} in it is no torch.nn.Module")
    return layers


def _part(record: Record, part: str) -> dict[Any, Any]:
    found = record.state.get(part, {}) if isinstance(record.state, dict) else None
    if not isinstance(found, dict):
        raise RefusedFileError(f"{record.name} in it is no torch.nn.Module")
    return found


def _passing(record: Record) -> frozenset[str]:
    """The names of the buffers that belong to no state_dict."""
    names = record.state.get("_non_persistent_buffers_set") or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise RefusedFileError(f"{record.name} in it is no torch.nn.Module")
    return frozenset(names)


def optimizer_state(content: Any) -> dict[str, Any] | None:
    """The optimizer's state_dict in a checkpoint of this app, of the tutorial or of Lightning."""
    if not isinstance(content, dict):
        return None
    several = content.get("optimizer_states")
    first = several[0] if isinstance(several, list) and several else None
    state = content.get("optimizer_state_dict", first)
    return state if isinstance(state, dict) and isinstance(state.get("param_groups"), list) else None


def optimizer_name(group: Mapping[str, Any]) -> str:
    """What made a param_group, by its keys: sgd, adam or adamw as this app makes them, else unknown.

    AdamW of torch before 2.7 can't be told from Adam: it counts as adam.
    """
    if any(group.get(option) for option in _OTHER_OPTIONS):
        return "unknown"
    if "amsgrad" in group:
        return "adamw" if group.get("decoupled_weight_decay") else "adam"
    return "sgd" if "nesterov" in group else "unknown"


_OTHER_OPTIONS = ("amsgrad", "nesterov", "dampening", "maximize", "differentiable")
"""What makes another rule of an optimizer; this app's have none of them on."""


def _without_prefix(tensors: StateDict) -> tuple[StateDict, str]:
    removed = ""
    for _ in range(_MOST_PREFIXES):
        prefix = next((p for p in _PREFIXES if tensors and all(key.startswith(p) for key in tensors)), "")
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


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"
