"""The third door's questions, without torch: is what a file holds one of this app's models, and nothing else?

``inspection`` asks them to say what ``loading`` will do, so that both always agree.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from fashion_core.config import parse_config
from fashion_core.errors import ConfigError, RefusedFileError
from fashion_core.formats.untrusted.pickle import PLAIN_NAMES
from fashion_core.formats.untrusted.saved_file import SavedFile, tensors_in
from fashion_core.formats.untrusted.state_dict import (
    BLUEPRINTS,
    COUNTER,
    Layer,
    Shape,
    Weights,
    differences,
    find_weights,
    layers_of,
    model_of_class,
    nearest_model,
    optimizer_name,
    optimizer_state,
)
from fashion_core.formats.untrusted.values import MAX_KEY, Name, Record, SavedTensor
from fashion_core.runs.schema import Environment

WEIGHT_DTYPES = frozenset({"float32", "float16", "bfloat16"})
"""What becomes float32 without a change of any number."""
OWN_KEYS = ("run", "config", "environment", "measured")
"""What a checkpoint of this app carries beside the tutorial's four keys, for an exact resume."""
_LAYERS = frozenset(layer.kind for model in BLUEPRINTS.values() for _, layer in model.named_layers())
_ALLOWED = PLAIN_NAMES | {kind for kind in _LAYERS if "." in kind}
_INSIDE = {"_parameters", "_buffers", "_modules"}
_ADAM = frozenset({"step", "exp_avg", "exp_avg_sq"})
_SLOTS = {"sgd": frozenset({"momentum_buffer"}), "adam": _ADAM, "adamw": _ADAM}
"""What the optimizers of this app keep for each parameter."""
_SHOWN = 3


def check(file: SavedFile) -> tuple[str, Weights]:
    """The model that a file holds, and its weights; the numbers are not read.

    Raises ``RefusedFileError`` with the first reason against it.
    """
    check_names(file)
    weights = find_weights(file.content)
    _check_records(file, weights)
    model = check_fits(weights)
    blueprint = BLUEPRINTS[model]
    if weights.root is not None:
        check_module(weights.root, blueprint, str(weights.root.name))
    state = optimizer_state(file.content)
    if state is not None:
        check_optimizer(state, list(blueprint.parameter_shapes().values()))
    return model, weights


def refused_names(names: frozenset[Name]) -> tuple[str, ...]:
    """The names that neither tensors, plain containers nor a model of this app need, in order."""
    return tuple(sorted(str(name) for name in names if str(name) not in _ALLOWED and model_of_class(name) is None))


def check_names(file: SavedFile) -> None:
    """Raises ``RefusedFileError`` that names what is not allowed."""
    refused = refused_names(file.names)
    if refused:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise RefusedFileError(
            f"it refers to {', '.join(refused[:_SHOWN])}{more}, which no saved weights need; save the state_dict alone",
            refused,
        )


def _check_records(file: SavedFile, weights: Weights) -> None:
    """The pickle makes no object but the layers of the one model that it holds."""
    if file.records != (len(_records_in(weights.root)) if weights.root else 0):
        raise RefusedFileError("it makes objects that are no part of a model's weights; save the state_dict alone")


def _records_in(record: Record) -> set[int]:
    """The identities of a pickled module and of all its layers, shared ones once."""
    return {id(record)}.union(*(_records_in(child) for child in layers_of(record).values()))


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
        ours = "int64" if name.endswith(COUNTER) else "float32"
        if tensor.dtype not in ({ours} if ours == "int64" else WEIGHT_DTYPES):
            raise RefusedFileError(f"{name} is {tensor.dtype}, which can't become {ours} without losing digits")
    return weights.model


def check_module(record: Record, ours: Layer, where: str) -> None:
    """Whether a pickled module is built like ours and carries nothing else.

    Raises ``RefusedFileError``: another class or setting, a replaced method, a hook, an attribute of its own.
    """
    state = record.state
    if not isinstance(state, dict) or record.arguments or record.items:
        raise RefusedFileError(f"{where} is not pickled as torch pickles a module")
    for key in ("training", *ours.settings):
        if key not in state and not key.startswith("_"):
            raise RefusedFileError(f"{where} has no {key}")
    layers = layers_of(record)
    _check_order("_modules", layers, ours, where)
    for key, value in state.items():
        _check_attribute(str(key), value, ours, where)
    for name, layer in ours.layers.items():
        _check_layer(layers[name], layer, f"{where}.{name}")


def _check_layer(record: Record, ours: Layer, where: str) -> None:
    if str(record.name) != ours.kind:
        raise RefusedFileError(f"{where} is a {record.name}, where this app has a {ours.kind}")
    check_module(record, ours, where)


def _check_attribute(key: str, value: Any, ours: Layer, where: str) -> None:
    if key in _INSIDE:
        _check_order(key, value, ours, where)
    elif "hook" in key:
        if value:
            raise RefusedFileError(f"{where} carries hooks ({key}), which would run code")
    elif key == "_non_persistent_buffers_set":
        if value:
            raise RefusedFileError(f"{where} has buffers that are not saved, as this app's model does not")
    elif key == "training":
        if not isinstance(value, bool):
            raise RefusedFileError(f"{where}.training is neither true nor false")
    elif key not in ours.settings:
        raise RefusedFileError(f"{where} carries {key}: a replaced method, or something that this app's model lacks")
    elif not _is_same(value, ours.settings[key]):
        raise RefusedFileError(f"{where}.{key} is not {ours.settings[key]!r}, as in this app's model")


def _check_order(key: str, value: Mapping[Any, Any], ours: Layer, where: str) -> None:
    expected = {"_parameters": ours.parameters, "_buffers": ours.buffers, "_modules": ours.layers}[key]
    if list(value) != list(expected):
        found = ", ".join(map(str, list(value)[:_SHOWN])) or "none"
        raise RefusedFileError(f"{where} has other parts than this app's, or in another order: {found}")


def _is_same(value: Any, ours: Any) -> bool:
    """Compared piece by piece with what is ours, so that nothing of theirs is walked through."""
    if isinstance(value, Name):
        return str(value) == str(ours)
    if isinstance(ours, tuple):
        return isinstance(value, list | tuple) and len(value) == len(ours) and all(map(_is_same, value, ours))
    return type(value) is type(ours) and bool(value == ours)


def check_optimizer(state: Mapping[str, Any], parameters: list[Shape]) -> None:
    """Whether an optimizer's state_dict has one group with all parameters of these shapes, and numbers for each.

    Raises ``RefusedFileError``.
    """
    groups = state["param_groups"]
    if len(groups) != 1 or not isinstance(groups[0], dict):
        raise RefusedFileError("its optimizer has not one group of parameters, as this app's has")
    indices = groups[0].get("params")
    if not isinstance(indices, list) or not _is_same(indices, tuple(range(len(parameters)))):
        raise RefusedFileError("its optimizer was made for a model with other parameters")
    for key, value in groups[0].items():
        if key != "params":
            _check_setting(str(key), value)
    expected = _SLOTS.get(optimizer_name(groups[0]))
    if expected and "betas" in groups[0]:
        _check_betas(groups[0])
    _check_slots(state.get("state"), parameters, expected)


def _check_betas(group: Mapping[str, Any]) -> None:
    """Torch takes any numbers, and fails on the first step."""
    betas, eps = group["betas"], group.get("eps")
    numbers = [*betas, eps] if isinstance(betas, list | tuple) and len(betas) == 2 else [None]
    if not all(isinstance(number, float) and 0 <= number < 1 for number in numbers):
        raise RefusedFileError("its optimizer's betas and eps are not numbers from 0 to 1")


def _check_slots(slots: Any, parameters: list[Shape], expected: frozenset[str] | None) -> None:
    if not isinstance(slots, dict) or not all(isinstance(slot, dict) for slot in slots.values()):
        raise RefusedFileError("its optimizer's state is not a dict for each parameter")
    every = set(range(len(parameters)))
    if not set(slots) <= every or (expected and slots and set(slots) != every):
        raise RefusedFileError("its optimizer was made for a model with other parameters")
    for index, slot in slots.items():
        if expected and set(slot) != expected:
            raise RefusedFileError(f"its optimizer's state has not just {', '.join(sorted(expected))}")
        for key, value in slot.items():
            _check_slot(str(key), value, parameters[index], exact=expected is not None)


def _check_slot(key: str, value: Any, parameter: Shape, exact: bool) -> None:
    """With ``exact`` just what torch's fused steps may read: they trust shapes, and read on into other memory."""
    if not isinstance(value, SavedTensor):
        _check_setting(key, value)
        if exact and not _may_be_plain(key, value):
            raise RefusedFileError(f"its optimizer's {key} is no tensor")
    elif (exact and value.shape != (() if key == "step" else parameter)) or value.shape not in ((), parameter):
        raise RefusedFileError(f"its optimizer's {key} has another shape than the parameter it belongs to")
    elif value.shape == parameter and value.dtype not in WEIGHT_DTYPES:
        raise RefusedFileError(f"its optimizer's {key} is {value.dtype}, which can't become float32")


def _may_be_plain(key: str, value: Any) -> bool:
    """A step of torch before 1.12, and a momentum that has not begun."""
    if key == "step":
        return type(value) in (int, float) and value >= 0
    return key == "momentum_buffer" and value is None


def _check_setting(key: str, value: Any) -> None:
    values = value if isinstance(value, list | tuple) else [value]
    if not all(map(_is_plain, values)):
        raise RefusedFileError(f"its optimizer's {key} is neither a number nor a text")


def _is_plain(value: Any) -> bool:
    """None, true, false, a short text, or a number that a computation can go on with."""
    if isinstance(value, str):
        return len(value) <= MAX_KEY
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < 2**63)


def check_numbers(file: SavedFile, weights: Weights) -> None:
    """Read the file's numbers: its checksums are right, its weights and its optimizer's state are finite.

    Raises ``RefusedFileError`` or ``DiskError``.
    """
    file.check_numbers()
    check_finite(file, weights)


def check_finite(file: SavedFile, weights: Weights) -> None:
    """Raises ``RefusedFileError`` that names what is nan or infinite, or ``DiskError``."""
    for name, tensor in weights.tensors.items():
        _check_finite(file, tensor, name)
    for tensor in tensors_in(optimizer_state(file.content)):
        _check_finite(file, tensor, "its optimizer's state")


def _check_finite(file: SavedFile, tensor: SavedTensor, name: str) -> None:
    bad = tensor.numel - int(np.isfinite(file.numbers(tensor)).sum()) if tensor.numel else 0
    if bad:
        raise RefusedFileError(f"{name} holds {bad:,} numbers that are nan or infinite")


def own_part(content: Any) -> dict[str, Any]:
    """What ``OWN_KEYS`` hold, if all are there and are what this app writes; else nothing."""
    if not isinstance(content, dict) or not set(OWN_KEYS) <= content.keys() or not isinstance(content["run"], str):
        return {}
    if not all(_is_flat(content[key]) for key in OWN_KEYS if key != "run"):
        return {}
    if not all(isinstance(value, int | float) for value in content["measured"].values()):
        return {}
    try:
        parse_config(content["config"])
        Environment.model_validate(content["environment"])
    except (ConfigError, ValidationError):
        return {}
    return {key: content[key] for key in OWN_KEYS}


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_plain, value.values()))
