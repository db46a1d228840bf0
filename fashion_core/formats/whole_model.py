"""Whether a whole model from anyone is layer for layer one that is known here; without torch."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from fashion_core.config import Shape
from fashion_core.errors import ModelError, RefusedFileError
from fashion_core.formats.untrusted.blueprints import KnownModel, blueprint, is_class_of
from fashion_core.formats.untrusted.values import Name, Record, listed
from fashion_core.models.layers import Layer


def check_whole(root: Record, model: str, shape: Shape) -> None:
    """Refuse a whole model that is not this one, or more than it. Raises ``RefusedFileError``."""
    try:
        ours = blueprint(model, shape)
    except ModelError as error:
        raise RefusedFileError(f"{str(error).rstrip('.')}; save its state_dict instead") from error
    check_layers(root, ours)


def unlikeness(root: Record | None, model: KnownModel | None, shape: Shape | None) -> int:
    """0 unless the file holds a whole model with other settings than this one, or of another class."""
    if root is None or model is None or shape is None:
        return 0
    with suppress(RefusedFileError):
        check_whole(root, model.name, shape)
        return 1 - is_class_of(root.name, model)
    return 2 - is_class_of(root.name, model)


def check_layers(root: Record, ours: Layer) -> None:
    """Refuse whatever is not as torch pickles this module. Raises ``RefusedFileError``."""
    _check_module(root, ours, str(root.name), Modules(root.name.module, ours.kind.rpartition(".")[0]))


class Modules(NamedTuple):
    """In which module the classes of a model stand that are defined beside its own: anyone's copy may be elsewhere."""

    theirs: str
    ours: str

    def have(self, name: Name, kind: str) -> bool:
        """Whether a class of theirs has the name of this one of ours."""
        return str(name) == kind or (name.module == self.theirs and f"{self.ours}.{name.name}" == kind)


def _check_module(record: Record, ours: Layer, where: str, modules: Modules) -> None:
    """Refuse another class or setting, a replaced method, a hook, an attribute of its own."""
    state = record.state
    if not isinstance(state, dict) or record.arguments or record.items:
        raise RefusedFileError(f"{where} is not pickled as torch pickles a module")
    if missing := [key for key in ("training", *ours.settings) if key not in state and not key.startswith("_")]:
        raise RefusedFileError(f"{where} has no {missing[0]}")
    layers = _layers_of(record)
    _check_parts(layers, {name: layer for name, layer in ours.layers.items() if layer}, where)
    for key, value in state.items():
        _check_attribute(str(key), value, ours, where)
    for name, layer in ours.layers.items():
        if layer and not modules.have(layers[name].name, layer.kind):
            raise RefusedFileError(f"{where}.{name} is a {layers[name].name}, where this app has a {layer.kind}")
        if layer:
            _check_module(layers[name], layer, f"{where}.{name}", modules)


def _check_attribute(key: str, value: Any, ours: Layer, where: str) -> None:
    parts = {"_parameters": ours.parameters, "_buffers": ours.buffers, "_modules": ours.layers}
    if key in parts:
        _check_parts(value, parts[key], where)
    elif "hook" in key and key not in ours.settings:
        if value:
            raise RefusedFileError(f"{where} carries hooks ({key}), which would run code")
    elif key == "_non_persistent_buffers_set":
        names = value if isinstance(value, list | tuple) else [value]  # a set is read as a list
        if len(names) != len(ours.not_saved) or any(one not in ours.not_saved for one in names):
            raise RefusedFileError(f"{where} has other buffers that are not saved than this app's model")
    elif key == "training":
        if not isinstance(value, bool):
            raise RefusedFileError(f"{where}.training is neither true nor false")
    elif key not in ours.settings:
        raise RefusedFileError(f"{where} carries {key}: a replaced method, or something that this app's model lacks")
    elif not _is_same(value, ours.settings[key]):
        raise RefusedFileError(f"{where}.{key} is not {ours.settings[key]!r}, as in this app's model")


def _check_parts(found: Any, expected: Mapping[str, Any], where: str) -> None:
    if not isinstance(found, dict) or list(found) != list(expected):
        shown = listed(list(map(str, found))) if isinstance(found, dict) and found else "none"
        raise RefusedFileError(f"{where} has different parts from this app's, or in a different order: {shown}")


def _is_same(value: Any, ours: Any) -> bool:
    """Compare piece by piece, guided by our value, so that an untrusted one is never traversed."""
    if isinstance(value, Name):
        return str(value) == str(ours)
    if isinstance(ours, list | tuple):
        return isinstance(value, list | tuple) and len(value) == len(ours) and all(map(_is_same, value, ours))
    if isinstance(ours, dict):
        is_alike = isinstance(value, dict) and value.keys() == ours.keys()
        return is_alike and all(_is_same(value[key], one) for key, one in ours.items())
    return type(value) is type(ours) and bool(value == ours)


def records_in(root: Record) -> int:
    """Count a pickled module and all its layers, shared ones once."""
    seen, waiting = set(), [root]
    while waiting:
        record = waiting.pop()
        if id(record) not in seen:
            seen.add(id(record))
            waiting.extend(_layers_of(record).values())
    return len(seen)


def _layers_of(record: Record) -> dict[Any, Record]:
    """The modules inside a pickled module. Raises ``RefusedFileError`` if one is something else."""
    inside = record.state.get("_modules", {}) if isinstance(record.state, dict) else None
    if not isinstance(inside, dict):
        raise RefusedFileError(f"{record.name} in it is not a torch.nn.Module")
    layers = {name: child for name, child in inside.items() if child is not None}
    if not all(isinstance(child, Record) for child in layers.values()):
        raise RefusedFileError(f"a layer of {record.name} in it is not a torch.nn.Module")
    return layers
