"""Load any saved file, from anyone, as one of this app's own models with that file's numbers in it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fashion_core.config import Shape
from fashion_core.data.description import Description
from fashion_core.formats.inspect import format_of, notes_on
from fashion_core.formats.untrusted.blueprints import sizes_of
from fashion_core.formats.untrusted.optimizer import SavedOptimizer, find_optimizer, frozen_in
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.validate import check, check_finite, described, own_part, trained_on
from fashion_core.formats.untrusted.values import SavedTensor
from fashion_core.models import build_model
from fashion_core.runs.schema import SavedFormat


@dataclass(frozen=True)
class LoadedModel:
    """What a file brought: a fresh model of this app with the file's numbers, on the CPU in ``eval`` mode."""

    model: nn.Module
    model_name: str
    shape: Shape  # that it is made for; of several that are the same model, the likeliest
    format: SavedFormat
    epoch: int | None
    loss: float | None
    optimizer_state: dict[str, Any] | None  # a state_dict that fits this model's parameters
    extras: dict[str, Any]  # ``OWN_KEYS``, which only a checkpoint of this app carries for an exact resume; else empty
    optimizer: SavedOptimizer | None = None  # as it is in the file, whether or not its state can be used
    notes: tuple[str, ...] = ()  # a sentence for each thing that was not plain
    trained_on: dict[str, str] = field(default_factory=dict)  # its dataset and pixels, if the file says them
    dataset: Description | None = None  # what the file says of a dataset that was added
    frozen: tuple[str, ...] = ()  # the tensors that a checkpoint of this app says were not trained


def load(
    path: Path, weights: str | None = None, dataset: Description | None = None, model: str | None = None
) -> LoadedModel:
    """Load a file from anyone without running anything in it.

    ``weights`` says which are meant where a file holds several: one of ``Inspection.choices``. ``dataset`` is what the
    model is to be used for: it must be made for its images and classes. ``model`` is which it is where it fits several
    and does not say.

    Returns a model only if every name, layer, shape, dtype, checksum and number is one that this app's own model could
    have. Whatever is wrong with the optimizer, its state alone is left out. Raises ``RefusedFileError`` with the first
    reason against the file, ``DiskError``.
    """
    file = replace(read_saved_file(path), model=model, shape=dataset.shape if dataset else None)
    name, shape, found = check(file, weights, dataset)
    file.check_numbers()
    check_finite(file, found)
    optimizer = find_optimizer(file, found)
    built = build_model(name, 0, shape)
    counters = {missing: torch.tensor(0) for missing in sizes_of(name, shape).keys() - found.tensors.keys()}
    built.load_state_dict(counters | _with_tensors(file, found.tensors), strict=True)
    format = format_of(file, found, optimizer)
    loss = None if format == "partial" else file.number_under("loss")
    return LoadedModel(
        built.eval(),
        name,
        shape,
        format,
        epoch=file.whole_number_under("epoch"),
        loss=loss,
        optimizer_state=_with_tensors(file, optimizer.state) if optimizer else None,
        extras=own_part(file.content),
        optimizer=optimizer,
        notes=notes_on(found, optimizer),
        trained_on=trained_on(file),
        dataset=described(file),
        frozen=_frozen(file, built),
    )


def _frozen(file: SavedFile, model: nn.Module) -> tuple[str, ...]:
    """In the model's order; nothing where that would leave nothing to train."""
    said = frozen_in(file.content) if own_part(file.content) else frozenset()
    trains = any(name not in said for name, _ in model.named_parameters())
    return tuple(name for name in model.state_dict() if name in said) if trains else ()


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
