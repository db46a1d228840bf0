"""The third stage, without torch: is what a file holds one of this app's models, and nothing else?

``inspect`` asks the same questions to say what ``load`` will do, so both always agree.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from fashion_core.config import parse_config
from fashion_core.errors import ConfigError, RefusedFileError
from fashion_core.formats.untrusted import state_dict
from fashion_core.formats.untrusted.rebuild import PLAIN_NAMES
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.state_dict import BLUEPRINTS, Layer, Shape, Weights, layers_of, optimizer_state
from fashion_core.formats.untrusted.values import MAX_KEY, Name, Record, SavedTensor, tensors_in
from fashion_core.runs.schema import Environment

_WEIGHT_DTYPES = {"float32", "float16", "bfloat16"}  # what becomes float32 without a change of any number
OWN_KEYS = ("run", "config", "environment", "measured")  # beside the tutorial's four, for an exact resume
_LAYERS = {layer.kind for model in BLUEPRINTS.values() for _, layer in model.named_layers()}
_ALLOWED = PLAIN_NAMES | {kind for kind in _LAYERS if "." in kind}
_ADAM = frozenset({"step", "exp_avg", "exp_avg_sq"})  # what an optimizer keeps for each parameter
_SLOTS = {"sgd": frozenset({"momentum_buffer"}), "adam": _ADAM, "adamw": _ADAM}
_SHOWN = 3


def check(file: SavedFile) -> tuple[str, Weights]:
    """Return the model that a file holds, and its weights, without reading numbers. Raises ``RefusedFileError``."""
    strange = (name for name in file.names if str(name) not in _ALLOWED and not state_dict.model_of_class(name))
    if refused := sorted(map(str, strange)):
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise RefusedFileError(
            f"it refers to {', '.join(refused[:_SHOWN])}{more}, which no saved weights need; save the state_dict alone",
            tuple(refused),
        )
    file.check_usable()
    weights = state_dict.find_weights(file.content)
    if file.records != (len(_records_in(weights.root)) if weights.root else 0):
        raise RefusedFileError("it creates objects that are not part of a model's weights; save only the state_dict")
    model = _check_fits(weights)
    if weights.root is not None:
        _check_module(weights.root, BLUEPRINTS[model], str(weights.root.name))
    if (state := optimizer_state(file.content)) is not None:
        _check_optimizer(state, list(BLUEPRINTS[model].shapes(buffers=False).values()))
    return model, weights


def _records_in(record: Record) -> set[int]:
    """The identities of a pickled module and of all its layers, shared ones once."""
    return {id(record)}.union(*(_records_in(child) for child in layers_of(record).values()))


def _check_fits(weights: Weights) -> str:
    """Return the model that the weights fit. Raises ``RefusedFileError`` that says which layers differ, and how."""
    if weights.model is None:
        nearest, found = weights.differences()
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise RefusedFileError(f"its layers are not those of {nearest}: {'; '.join(found[:_SHOWN])}{more}")
    if weights.root is not None and state_dict.model_of_class(weights.root.name) != weights.model:
        raise RefusedFileError(
            f"its class {weights.root.name} is not known here, though its layers are those of {weights.model}; "
            "save the state_dict instead"
        )
    for name, tensor in weights.tensors.items():
        ours, allowed = ("int64", {"int64"}) if name.endswith(state_dict.COUNTER) else ("float32", _WEIGHT_DTYPES)
        if tensor.dtype not in allowed:
            raise RefusedFileError(f"{name} is {tensor.dtype}, which can't become {ours} without losing digits")
    return weights.model


def _check_module(record: Record, ours: Layer, where: str) -> None:
    """Refuse another class or setting, a replaced method, a hook, an attribute of its own."""
    state = record.state
    if not isinstance(state, dict) or record.arguments or record.items:
        raise RefusedFileError(f"{where} is not pickled as torch pickles a module")
    if missing := [key for key in ("training", *ours.settings) if key not in state and not key.startswith("_")]:
        raise RefusedFileError(f"{where} has no {missing[0]}")
    layers = layers_of(record)
    _check_parts(layers, ours.layers, where)
    for key, value in state.items():
        _check_attribute(str(key), value, ours, where)
    for name, layer in ours.layers.items():
        if str(layers[name].name) != layer.kind:
            raise RefusedFileError(f"{where}.{name} is a {layers[name].name}, where this app has a {layer.kind}")
        _check_module(layers[name], layer, f"{where}.{name}")


def _check_attribute(key: str, value: Any, ours: Layer, where: str) -> None:
    parts = {"_parameters": ours.parameters, "_buffers": ours.buffers, "_modules": ours.layers}
    if key in parts:
        _check_parts(value, parts[key], where)
    elif "hook" in key:
        if value:
            raise RefusedFileError(f"{where} carries hooks ({key}), which would run code")
    elif key == "_non_persistent_buffers_set":
        if value:
            raise RefusedFileError(f"{where} has buffers that are not saved, and this app's model has none")
    elif key == "training":
        if not isinstance(value, bool):
            raise RefusedFileError(f"{where}.training is neither true nor false")
    elif key not in ours.settings:
        raise RefusedFileError(f"{where} carries {key}: a replaced method, or something that this app's model lacks")
    elif not _is_same(value, ours.settings[key]):
        raise RefusedFileError(f"{where}.{key} is not {ours.settings[key]!r}, as in this app's model")


def _check_parts(found: Mapping[Any, Any], expected: Mapping[str, Any], where: str) -> None:
    if list(found) != list(expected):
        shown = ", ".join(map(str, list(found)[:_SHOWN])) or "none"
        raise RefusedFileError(f"{where} has different parts from this app's, or in a different order: {shown}")


def _is_same(value: Any, ours: Any) -> bool:
    """Compare piece by piece, guided by our value, so that an untrusted one is never traversed."""
    if isinstance(value, Name):
        return str(value) == str(ours)
    if isinstance(ours, tuple):
        return isinstance(value, list | tuple) and len(value) == len(ours) and all(map(_is_same, value, ours))
    return type(value) is type(ours) and bool(value == ours)


def _check_optimizer(state: Mapping[str, Any], parameters: list[Shape]) -> None:
    """Check that an optimizer's state_dict has one group with all parameters of these shapes, and numbers for each."""
    groups = state["param_groups"]
    if len(groups) != 1 or not isinstance(groups[0], dict):
        raise RefusedFileError("its optimizer does not have exactly one group of parameters, as this app's does")
    indices = groups[0].get("params")
    if not isinstance(indices, list) or not _is_same(indices, tuple(range(len(parameters)))):
        raise RefusedFileError("its optimizer was made for a model with other parameters")
    for key, value in groups[0].items():
        if key != "params":
            _check_setting(str(key), value)
    expected = _SLOTS.get(state_dict.optimizer_name(groups[0]))
    if expected and "betas" in groups[0]:  # torch accepts any values, and fails on the first step
        betas, eps = groups[0]["betas"], groups[0].get("eps")
        numbers = [*betas, eps] if isinstance(betas, list | tuple) and len(betas) == 2 else [None]
        if not all(isinstance(number, float) and 0 <= number < 1 for number in numbers):
            raise RefusedFileError("its optimizer's betas and eps are not numbers from 0 to 1")
    _check_slots(state.get("state"), parameters, expected)


def _check_slots(slots: Any, parameters: list[Shape], expected: frozenset[str] | None) -> None:
    if not isinstance(slots, dict) or not all(isinstance(slot, dict) for slot in slots.values()):
        raise RefusedFileError("its optimizer's state is not a dict for each parameter")
    every = set(range(len(parameters)))
    if not set(slots) <= every or (expected and slots and set(slots) != every):
        raise RefusedFileError("its optimizer was made for a model with other parameters")
    for index, slot in slots.items():
        if expected and set(slot) != expected:
            raise RefusedFileError(f"its optimizer's state does not hold exactly {', '.join(sorted(expected))}")
        for key, value in slot.items():
            _check_slot(str(key), value, parameters[index], exact=expected is not None)


def _check_slot(key: str, value: Any, parameter: Shape, exact: bool) -> None:
    """With ``exact``, allow only what torch's fused steps may read: they trust shapes, and read into other memory."""
    if not isinstance(value, SavedTensor):
        _check_setting(key, value)
        old_step = key == "step" and type(value) in (int, float) and value >= 0  # of torch before 1.12
        if exact and not old_step and not (key == "momentum_buffer" and value is None):
            raise RefusedFileError(f"its optimizer's {key} is not a tensor")
    elif (exact and value.shape != (() if key == "step" else parameter)) or value.shape not in ((), parameter):
        raise RefusedFileError(f"its optimizer's {key} has a different shape from its parameter")
    elif value.shape == parameter and value.dtype not in _WEIGHT_DTYPES:
        raise RefusedFileError(f"its optimizer's {key} is {value.dtype}, which can't become float32")


def _check_setting(key: str, value: Any) -> None:
    values = value if isinstance(value, list | tuple) else [value]
    if not all(map(_is_plain, values)):
        raise RefusedFileError(f"its optimizer's {key} is neither a number nor a text")


def _is_plain(value: Any) -> bool:
    """None, true, false, a short text, or a finite number that fits 64 bits."""
    if isinstance(value, str):
        return len(value) <= MAX_KEY
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < 2**63)


def check_finite(file: SavedFile, weights: Weights) -> None:
    """Refuse weights or an optimizer's state that are nan or infinite. Raises ``RefusedFileError``, ``DiskError``."""
    state = [("its optimizer's state", tensor) for tensor in tensors_in(optimizer_state(file.content))]
    for name, tensor in [*weights.tensors.items(), *state]:
        if bad := tensor.numel - int(np.isfinite(file.numbers(tensor)).sum()) if tensor.numel else 0:
            raise RefusedFileError(f"{name} holds {bad:,} numbers that are nan or infinite")


def own_part(content: Any) -> dict[str, Any]:
    """The values under ``OWN_KEYS`` if all are present and valid; else an empty dict."""
    if not isinstance(content, dict) or not set(OWN_KEYS) <= content.keys() or not isinstance(content["run"], str):
        return {}
    own = {key: content[key] for key in OWN_KEYS}
    parts = own["config"], own["environment"], own["measured"]
    are_plain = all(isinstance(part, dict) and all(map(_is_plain, part.values())) for part in parts)
    if not are_plain or not all(isinstance(value, int | float) for value in own["measured"].values()):
        return {}
    try:
        parse_config(own["config"])
        Environment.model_validate(own["environment"])
    except (ConfigError, ValidationError):
        return {}
    return own
