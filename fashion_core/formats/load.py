"""The third door: any saved file, from anyone, to one of this app's own models with that file's numbers in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fashion_core.formats.inspect import format_of, number_in, whole_number_in
from fashion_core.formats.untrusted.readers import read_saved_file
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.state_dict import optimizer_state
from fashion_core.formats.untrusted.validate import check, check_numbers, own_part
from fashion_core.formats.untrusted.values import SavedTensor
from fashion_core.models import build_model
from fashion_core.runs.schema import SavedFormat


@dataclass(frozen=True)
class LoadedModel:
    """What a file brought: a fresh model of this app with the file's numbers, on the CPU in ``eval`` mode.

    ``optimizer_state`` is a state_dict that fits this model's parameters. ``beside`` has what only a checkpoint of this
    app carries for an exact resume (``OWN_KEYS``); it is empty for anyone else's file.
    """

    model: nn.Module
    model_name: str
    format: SavedFormat
    epoch: int | None
    loss: float | None
    optimizer_state: dict[str, Any] | None
    extras: dict[str, Any]


def load(path: Path) -> LoadedModel:
    """Load a file from anyone without running anything in it.

    Gives a model only if every name, layer, shape, dtype, checksum and number is one that this app's own model could
    have. Raises ``RefusedFileError`` with the first reason against it, ``DiskError``.
    """
    file = read_saved_file(path)
    name, weights = check(file)
    check_numbers(file, weights)
    model = build_model(name, seed=0)
    model.load_state_dict({key: to_tensor(file, value) for key, value in weights.tensors.items()}, strict=True)
    return LoadedModel(
        model=model.eval(),
        model_name=name,
        format=format_of(file, weights),
        epoch=whole_number_in(file, "epoch"),
        loss=number_in(file, "loss"),
        optimizer_state=_with_tensors(file, optimizer_state(file.content)),
        extras=own_part(file.content),
    )


def _with_tensors(file: SavedFile, content: Any) -> Any:
    """The same tree with real tensors."""
    if isinstance(content, SavedTensor):
        return to_tensor(file, content)
    if isinstance(content, dict):
        return {key: _with_tensors(file, value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_with_tensors(file, value) for value in content)
    return content


def to_tensor(file: SavedFile, stored: SavedTensor) -> Tensor:
    """The tensor itself, on the CPU, contiguous: torch's fused steps read memory in order.

    Raises ``RefusedFileError`` or ``DiskError``.
    """
    dtype = getattr(torch, stored.dtype)
    if not stored.numel:
        return torch.empty(stored.shape, dtype=dtype)
    return torch.frombuffer(file.span(stored), dtype=dtype).as_strided(stored.shape, stored.stride).contiguous()
