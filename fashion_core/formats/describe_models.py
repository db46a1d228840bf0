"""Describe a team's models for images of one shape, by building each, and trying one step, in this process."""

import pickle
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
_MOST_SECONDS = 45  # less than who asks waits, the start of torch included


def describe(named: str, shape: Shape, seconds: int = _MOST_SECONDS) -> Answer:
    """Import a module and describe its models for this shape; what is wrong with it or with one of them is told.

    All of it may take so many ``seconds``, and each model its share of what is left.
    Raises ``ModelError`` if there is no such module.
    """
    source, version = sources.find(named), metadata.version("torch")
    try:
        end = time.monotonic() + seconds
        with _limited(f"The import of {source.name}", seconds):
            found = team.load(source)
        infos: dict[str, ModelInfo] = {}
        with _one_thread():
            for name, make in found.models.items():
                share = (end - time.monotonic()) / (len(found.models) - len(infos))
                infos[name] = _described(name, make, shape, max(1, int(share)))
        return Answer(files=team.digests(source, found.files), torch=version, models=infos)
    except ModelError as error:
        return Answer(problem=str(error), torch=version, files=team.digests(source, team.files_in(source, error)))


@contextmanager
def _limited(what: str, seconds: int) -> Iterator[None]:
    """End what a team's code does without end. Raises ``ModelError``; where there is no alarm, who asks gives up."""

    def give_up(*_: object) -> None:
        raise ModelError(f"{what} does not end within {seconds} s.")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """For two images others cost more than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _described(name: str, make: Callable[..., Any], shape: Shape, seconds: int) -> ModelInfo:
    described = make.func if isinstance(make, partial) else make
    doc = one_line(" ".join((described.__doc__ or "").split()))[:_LONGEST_DOC]
    try:
        with _limited(f"A step of {name}", seconds), team.explained(f"{name} can't be described"):
            return _tried(name, make, shape, doc)
    except ModelError as error:
        return ModelInfo(problem=str(error), doc=doc)


def _tried(name: str, make: Callable[..., Any], shape: Shape, doc: str) -> ModelInfo:
    model, twin = _built(name, make, shape), _built(name, make, shape)
    _check_initial(name, model, twin)
    with files.scratch_folder(files.path_of("FASHION_RUNS", "runs")) as folder:
        whole, problem = _pickled(model, folder)
        _try_step(name, model, shape)
        if whole and _pickled(model, folder)[0] != whole:
            raise ModelError(f"{name} changes its own attributes as it trains: keep such state in a buffer.")
    _check_state(name, model, twin, shape)
    return ModelInfo(
        doc=doc,
        takes=team.parts_taken(make),
        text=str(model),
        layers=tuple(LayerInfo(**layer) for layer in layers(model, shape)),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        state={key: (_dtype(tensor), tuple(tensor.shape)) for key, tensor in model.state_dict().items()},
        learned=tuple(key for key, _ in model.named_parameters()),
        without_gradient=tuple(key for key, one in model.named_parameters() if one.grad is None),
        shared=_shared(model),
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
        if value.is_floating_point() and not value.isfinite().all():
            raise ModelError(f"{key} of {name} begins with nan or infinite numbers, which no saved file may hold here.")
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
    images, labels = _batch(shape)
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


def _check_state(name: str, model: nn.Module, twin: nn.Module, shape: Shape) -> None:
    """Continuing is exact only if all that a step changes is in the ``state_dict``. Raises ``ModelError``."""
    with team.explained(f"The state_dict of {name} can't be loaded again"):
        twin.load_state_dict(model.state_dict(), strict=True)
    after, again = (_next_step(one, shape) for one in (model, twin))
    if not all(torch.equal(one, other) for one, other in zip(after, again, strict=True)):
        raise ModelError(
            f"{name} does not go on in the same way from its state_dict: keep all that changes as it trains in a "
            "buffer that is saved, and draw from torch's own random numbers."
        )


def _next_step(model: nn.Module, shape: Shape) -> list[Tensor]:
    """What it gives for one batch, the gradients, what it keeps then, and what it gives after training."""
    torch.manual_seed(1)
    images, labels = _batch(shape)
    model.train().zero_grad()
    logits: Tensor = model(images)
    functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    return [logits, *gradients, *model.state_dict().values(), model.eval()(images)]


def _batch(shape: Shape) -> tuple[Tensor, Tensor]:
    return torch.rand(_IMAGES, *shape[:3]), torch.arange(_IMAGES) % shape.classes


def _shared(model: nn.Module) -> dict[str, str]:
    first: dict[object, str] = {}
    tensors = {key: one for key, one in model.state_dict().items() if one.numel()}
    places = {key: (one.data_ptr(), one.shape, one.stride()) for key, one in tensors.items()}
    names = {key: first.setdefault(place, key) for key, place in places.items()}
    return {key: name for key, name in names.items() if key != name}


def _problems(logits: object, shape: Shape) -> Iterator[str]:
    if not isinstance(logits, Tensor):
        yield f"a {type(logits).__name__} for a batch of images: it should give a tensor of logits"
    elif tuple(logits.shape) != (_IMAGES, shape.classes):
        given, needed = tuple(logits.shape), (_IMAGES, shape.classes)
        yield f"logits of shape {given} for {_IMAGES} images of {shape.classes:,} classes: it should be {needed}"
    elif logits.dtype is not torch.float32:
        yield f"logits of {_dtype(logits)}: they should be float32"
    elif not logits.isfinite().all():
        yield "logits that are nan or infinite with its first weights"


def _other_generators() -> list[object]:
    """The states of the generators that a checkpoint does not hold."""
    return [random.getstate(), pickle.dumps(np.random.get_state())]
