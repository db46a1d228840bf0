"""Load any saved file, from anyone, as one of this app's own models with that file's numbers in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fashion_core.formats.inspect import format_of
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.state_dict import optimizer_state
from fashion_core.formats.untrusted.validate import check, check_finite, own_part
from fashion_core.formats.untrusted.values import SavedTensor
from fashion_core.models import build_model
from fashion_core.runs.schema import SavedFormat


@dataclass(frozen=True)
class LoadedModel:
    """What a file brought: a fresh model of this app with the file's numbers, on the CPU in ``eval`` mode."""

    model: nn.Module
    model_name: str
    format: SavedFormat
    epoch: int | None
    loss: float | None
    optimizer_state: dict[str, Any] | None  # a state_dict that fits this model's parameters
    extras: dict[str, Any]  # ``OWN_KEYS``, which only a checkpoint of this app carries for an exact resume; else empty


def load(path: Path) -> LoadedModel:
    """Load a file from anyone without running anything in it.

    Returns a model only if every name, layer, shape, dtype, checksum and number is one that this app's own model could
    have. Raises ``RefusedFileError`` with the first reason against it, ``DiskError``.
    """
    file = read_saved_file(path)
    name, weights = check(file)
    file.check_numbers()
    check_finite(file, weights)
    model = build_model(name, seed=0)
    model.load_state_dict(_with_tensors(file, weights.tensors), strict=True)
    format = format_of(file, weights)
    loss = None if format == "partial" else file.number_under("loss")
    optimizer = _with_tensors(file, optimizer_state(file.content))
    epoch, extras = file.whole_number_under("epoch"), own_part(file.content)
    return LoadedModel(model.eval(), name, format, epoch=epoch, loss=loss, optimizer_state=optimizer, extras=extras)


def _with_tensors(file: SavedFile, content: Any) -> Any:
    """Return the same tree with real tensors, on the CPU, contiguous: torch's fused steps read memory in order."""
    if isinstance(content, SavedTensor):
        if not content.numel:
            return torch.empty(content.shape, dtype=getattr(torch, content.dtype))
        flat = torch.frombuffer(file.span(content), dtype=getattr(torch, content.dtype))
        return flat.as_strided(content.shape, content.stride).contiguous()
    if isinstance(content, dict):
        return {key: _with_tensors(file, value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_with_tensors(file, value) for value in content)
    return content
