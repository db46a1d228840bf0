"""Describe a team's models for images of one shape, by building each, and trying one step, in this process."""

import inspect
import pickle
import random
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy

from fashion_core import files
from fashion_core.config import Shape
from fashion_core.errors import ModelError, RefusedFileError, one_line
from fashion_core.formats.pickled_layers import pickled_layers
from fashion_core.formats.untrusted.values import PLAIN_DTYPES
from fashion_core.models import sources, team
from fashion_core.models.layers import Answer, Layer, LayerInfo, ModelInfo
from fashion_core.models.networks import layers

_IMAGES = 2  # what a batch norm needs at least
_LONGEST_DOC = 300  # characters


def describe(named: str, shape: Shape) -> Answer:
    """Import a module and describe its models for this shape; what is wrong with it or with one of them is told.

    Raises ``ModelError`` if there is no such module.
    """
    source, version = sources.find(named), metadata.version("torch")
    try:
        found = team.load(source)
        infos = {name: _described(name, make, shape) for name, make in found.models.items()}
        return Answer(files=team.digests(source, found.files), torch=version, models=infos)
    except ModelError as error:
        return Answer(problem=str(error), torch=version, files=team.digests(source, team.files_in(source, error)))


def _described(name: str, make: Callable[..., Any], shape: Shape) -> ModelInfo:
    doc = one_line(" ".join((inspect.getdoc(make) or "").split()))[:_LONGEST_DOC]
    try:
        model = _built(name, make, shape)
        _check_initial(name, model, _built(name, make, shape))
        with files.scratch_folder(files.path_of("FASHION_RUNS", "runs")) as folder:
            whole, problem = _pickled(model, folder)
            _try_step(name, model, shape)
            if whole and _pickled(model.eval(), folder)[0] != whole:
                raise ModelError(f"{name} changes its own attributes as it trains: keep such state in a buffer.")
    except ModelError as error:
        return ModelInfo(problem=str(error), doc=doc)
    with team.explained(f"{name} can't be described"):
        return ModelInfo(
            doc=doc,
            takes=team.parts_taken(make),
            text=str(model),
            layers=tuple(LayerInfo(**layer) for layer in layers(model, shape)),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            state={key: (_dtype(tensor), tuple(tensor.shape)) for key, tensor in model.state_dict().items()},
            learned=tuple(key for key, _ in model.named_parameters()),
            whole=whole,
            whole_problem=problem,
        )


def _built(name: str, make: Callable[..., Any], shape: Shape) -> nn.Module:
    torch.manual_seed(0)
    model = team.build(name, make, shape)
    if odd := next((key for key, value in model.state_dict().items() if not isinstance(value, Tensor)), None):
        raise ModelError(f"The state_dict of {name} holds {odd}, which is no tensor: keep it in a buffer.")
    for key, value in model.state_dict().items():
        if is_lazy(value):
            raise ModelError(f"{key} of {name} has no shape before its first batch: give its layer all sizes.")
        if _dtype(value) not in PLAIN_DTYPES:
            raise ModelError(f"{key} of {name} is {_dtype(value)}, which can't be saved in every format here.")
    if not any(True for _ in model.parameters()):
        raise ModelError(f"{name} has no parameters: there is nothing to train.")
    return model


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _check_initial(name: str, model: nn.Module, again: nn.Module) -> None:
    """A run can be repeated only if its seed decides its first weights."""
    others = again.state_dict()
    for key, value in model.state_dict().items():
        if key not in others or not torch.equal(value, others[key]):
            raise ModelError(f"{key} of {name} begins otherwise with the same seed: draw its numbers with torch.")


def _pickled(model: nn.Module, folder: Path) -> tuple[Layer | None, str | None]:
    """How torch pickles it, or why it can't be saved as a whole; the other formats need only its weights."""
    try:
        with team.explained("it can't be pickled"):
            return pickled_layers(model, folder), None
    except ModelError as error:
        cause = error.__cause__
        return None, cause.reason if isinstance(cause, RefusedFileError) else str(error).rstrip(".")


def _try_step(name: str, model: nn.Module, shape: Shape) -> None:
    """Check what it gives, in both modes, and that a loss reaches its parameters. Raises ``ModelError``."""
    images = torch.rand(_IMAGES, *shape[:3])
    labels = torch.arange(_IMAGES) % shape.classes
    before = _other_generators()
    for is_training in (False, True):
        with team.explained(f"{name} can't use images of {' × '.join(map(str, shape[:3]))}"):
            logits = model.train(is_training)(images)
        for problem in _problems(logits, shape):
            raise ModelError(f"{name} gives {problem}.")
    with team.explained(f"{name} can't be trained"):
        functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    if all(parameter.grad is None for parameter in model.parameters()):
        raise ModelError(f"No parameter of {name} gets a gradient from its loss: there is nothing to train.")
    if before != _other_generators():
        raise ModelError(f"{name} draws from Python's or NumPy's random numbers: draw from torch's, which a run keeps.")


def _problems(logits: object, shape: Shape) -> Iterator[str]:
    if not isinstance(logits, Tensor):
        yield f"a {type(logits).__name__} for a batch of images: it should give a tensor of logits"
    elif tuple(logits.shape) != (_IMAGES, shape.classes):
        given, needed = tuple(logits.shape), (_IMAGES, shape.classes)
        yield f"logits of shape {given} for {_IMAGES} images of {shape.classes:,} classes: it should be {needed}"
    elif not logits.is_floating_point():
        yield f"logits of {_dtype(logits)}: they should be float32"
    elif not logits.isfinite().all():
        yield "logits that are nan or infinite with its first weights"


def _other_generators() -> list[object]:
    """The states of the generators that a checkpoint does not hold."""
    return [random.getstate(), pickle.dumps(np.random.get_state())]
