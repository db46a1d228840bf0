"""How torch pickles a model, found by pickling it once and reading that as a stranger's file."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from fashion_core.errors import RefusedFileError
from fashion_core.formats import save
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.values import Name, Record, SavedTensor
from fashion_core.formats.whole_model import check_layers
from fashion_core.models.layers import Layer, Sizes

# What every module has; the last ones came with later versions of torch, or are told in other words.
_COMMON = {*vars(nn.Module()), "_non_persistent_buffers_set"}


def pickled_layers(model: nn.Module, folder: Path) -> Layer:
    """Save the whole model once, below ``folder``, and return what the file says of each of its layers.

    Raises ``RefusedFileError`` if that could not be told from a stranger's, and what pickling it raises.
    """
    path = folder / "model.pth"
    save.save(path, model)
    file = read_saved_file(path)
    file.check_usable()
    if not isinstance(file.content, Record):
        raise RefusedFileError(f"{type(model).__name__} is pickled as something else than a torch.nn.Module")
    layers = _layer(file.content)
    check_layers(file.content, layers)
    return layers


def _layer(record: Record) -> Layer:
    state = record.state
    if not isinstance(state, dict) or not {"_parameters", "_buffers", "_modules"} <= state.keys():
        raise RefusedFileError(f"{record.name} in it is not pickled as a torch.nn.Module")
    return Layer(
        str(record.name),
        {str(key): _plain(value, f"{record.name}.{key}") for key, value in state.items() if key not in _COMMON},
        dict(_sizes(state["_parameters"])),
        dict(_sizes(state["_buffers"])),
        {name: _layer(layer) if layer else None for name, layer in state["_modules"].items()},
        tuple(sorted(state.get("_non_persistent_buffers_set", ()))),
    )


def _sizes(tensors: dict[str, SavedTensor | None]) -> Iterator[tuple[str, Sizes | None]]:
    for name, tensor in tensors.items():
        yield name, tensor.shape if tensor else None


def _plain(value: Any, where: str) -> Any:
    """A setting as JSON has it; a class or function is its name. Raises ``RefusedFileError`` for other objects."""
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(one, where) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(one, where) for key, one in value.items()}
    raise RefusedFileError(f"{where} is more than finite numbers, texts and lists of them")
