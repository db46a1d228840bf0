"""The third door: any saved file, from anyone, to one of this app's own models with that file's numbers in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fashion_core.errors import RefusedFileError
from fashion_core.inspection import format_of, number_in, optimizer_state, outline, whole_number_in
from fashion_core.models import build_model
from fashion_core.pickles import Name, Record, StoredTensor
from fashion_core.readers import open_stored
from fashion_core.schema import SavedFormat
from fashion_core.state_dicts import check_fits, check_names, find_weights
from fashion_core.stored import StoredFile

OWN_KEYS = ("run", "config", "environment", "measured")
_CHILDREN = {"_parameters", "_buffers", "_modules"}


@dataclass(frozen=True)
class Loaded:
    """What a file brought: a fresh model of this app with the file's numbers, on the CPU in ``eval`` mode.

    ``optimizer_state`` is a state_dict that fits this model's parameters. ``beside`` has what only a checkpoint of this
    app carries for an exact resume (``OWN_KEYS``), unchecked; it is empty for anyone else's file.
    """

    model: nn.Module
    model_name: str
    format: SavedFormat
    epoch: int | None
    loss: float | None
    optimizer_state: dict[str, Any] | None
    beside: dict[str, Any]


def load(path: Path) -> Loaded:
    """Load a file from anyone without running anything in it.

    Gives a model only if every name, layer, shape, dtype, checksum and number is one that this app's own model could
    have. Raises ``RefusedFileError`` with the first reason against it, ``DiskError``.
    """
    file = open_stored(path)
    check_names(file)
    weights = find_weights(file.content)
    name = check_fits(weights)
    if weights.root is not None:
        check_module(weights.root, _reference(name), str(weights.root.name))
    file.check_numbers()
    model = build_model(name, seed=0)
    model.load_state_dict(_finite({key: to_tensor(file, value) for key, value in weights.tensors.items()}), strict=True)
    state = optimizer_state(file.content)
    return Loaded(
        model=model.eval(),
        model_name=name,
        format=format_of(file, weights),
        epoch=whole_number_in(file, "epoch"),
        loss=number_in(file, "loss"),
        optimizer_state=_optimizer_state(file, state, model) if state else None,
        beside=_beside(file.content),
    )


def _beside(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict) or not set(OWN_KEYS) <= content.keys():
        return {}
    return {key: outline(content[key]) for key in OWN_KEYS}


@cache
def _reference(name: str) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, seed=0)


def to_tensor(file: StoredFile, stored: StoredTensor) -> Tensor:
    """The tensor itself, on the CPU, with memory of its own. Raises ``RefusedFileError`` or ``DiskError``."""
    dtype = getattr(torch, stored.dtype)
    if not stored.numel:
        return torch.empty(stored.shape, dtype=dtype)
    return torch.frombuffer(file.span(stored), dtype=dtype).as_strided(stored.shape, stored.stride)


def _finite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in state.items():
        bad = int(tensor.numel() - tensor.isfinite().sum())
        if bad:
            raise RefusedFileError(f"{name} holds {bad:,} numbers that are nan or infinite")
    return state


def check_module(record: Record, module: nn.Module, where: str) -> None:
    """Whether a pickled module is built like ``module`` and carries nothing else.

    Raises ``RefusedFileError``: another class or setting, a replaced method, a hook, an attribute of its own.
    """
    if not isinstance(record.state, dict) or record.arguments or record.items:
        raise RefusedFileError(f"{where} is not pickled as torch pickles a module")
    missing = [key for key in vars(module) if not key.startswith("_") and key not in record.state]
    if missing:
        raise RefusedFileError(f"{where} has no {missing[0]}")
    for key, value in record.state.items():
        _check_attribute(str(key), value, module, where)
    for name, child in module._modules.items():
        if child is not None:
            _check_child(record.state["_modules"][name], child, f"{where}.{name}")


def _check_child(record: Record, module: nn.Module, where: str) -> None:
    if str(record.name) != _class_name(type(module)):
        raise RefusedFileError(f"{where} is a {record.name}, where this app has a {_class_name(type(module))}")
    check_module(record, module, where)


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_attribute(key: str, value: Any, module: nn.Module, where: str) -> None:
    own = vars(module)
    if key in _CHILDREN:
        if list(value) != list(own[key]):
            raise RefusedFileError(f"{where} has other parts than this app's: {', '.join(map(str, value)) or 'none'}")
    elif "hook" in key:
        if value:
            raise RefusedFileError(f"{where} carries hooks ({key}), which would run code")
    elif key == "training":
        if not isinstance(value, bool):
            raise RefusedFileError(f"{where}.training is neither true nor false")
    elif key in own:
        if not _is_same(value, own[key]):
            raise RefusedFileError(f"{where}.{key} is not {own[key]!r}, as in this app's model")
    elif hasattr(type(module), key):
        raise RefusedFileError(f"{where} replaces its method {key}")
    else:
        raise RefusedFileError(f"{where} has an attribute {key} that this app's model does not have")


def _is_same(value: Any, ours: Any) -> bool:
    if isinstance(ours, type):
        return isinstance(value, Name) and str(value) == _class_name(ours)
    if isinstance(ours, list | tuple | set):
        return isinstance(value, list | tuple) and _in_order(value) == _in_order(ours)
    return type(value) is type(ours) and bool(value == ours)


def _in_order(items: Iterable[Any]) -> list[str]:
    return [repr(item) for item in items]


def _optimizer_state(file: StoredFile, state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """The optimizer's state_dict with real tensors, each shaped like its parameter or a single number.

    Raises ``RefusedFileError`` if it belongs to another model.
    """
    parameters = list(model.parameters())
    groups, slots = state["param_groups"], state.get("state")
    indices = [index for group in groups for index in _indices(group)]
    if indices != list(range(len(parameters))) or not isinstance(slots, dict) or not set(slots) <= set(indices):
        raise RefusedFileError("its optimizer was made for a model with other parameters")
    return {
        "state": {index: _slot(file, slot, parameters[index]) for index, slot in slots.items()},
        "param_groups": [_group(group) for group in groups],
    }


def _indices(group: Any) -> list[Any]:
    indices = group.get("params") if isinstance(group, dict) else None
    if not isinstance(indices, list):
        raise RefusedFileError("its optimizer has no list of parameters")
    return indices


def _slot(file: StoredFile, slot: Any, parameter: Tensor) -> dict[str, Any]:
    if not isinstance(slot, dict):
        raise RefusedFileError("its optimizer's state is not a dict for each parameter")
    return {str(key): _slot_value(file, str(key), value, parameter) for key, value in slot.items()}


def _slot_value(file: StoredFile, key: str, value: Any, parameter: Tensor) -> Any:
    if not isinstance(value, StoredTensor):
        return _setting(key, value)
    if value.shape not in ((), tuple(parameter.shape)):
        raise RefusedFileError(f"its optimizer's {key} has another shape than the parameter it belongs to")
    return _finite({f"its optimizer's {key}": to_tensor(file, value)})[f"its optimizer's {key}"]


def _group(group: dict[str, Any]) -> dict[str, Any]:
    return {str(key): value if key == "params" else _setting(str(key), value) for key, value in group.items()}


def _setting(key: str, value: Any) -> Any:
    plain = value is None or isinstance(value, bool | int | float | str)
    if not plain and not (isinstance(value, list | tuple) and all(isinstance(item, int | float) for item in value)):
        raise RefusedFileError(f"its optimizer's {key} is neither a number nor a text")
    return value
