"""What is in a saved file, without running anything in it and without torch."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.config import MODEL_LABELS, Shape
from fashion_core.data.description import Description
from fashion_core.errors import ChangedFileError, RefusedFileError, UnfitFileError, printable
from fashion_core.formats.shapes import misfit
from fashion_core.formats.untrusted import validate
from fashion_core.formats.untrusted.optimizer import SavedOptimizer, find_optimizer
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.saved_file import MAX_TENSORS, Container, SavedFile
from fashion_core.formats.untrusted.state_dict import Weights, differences, find_weights
from fashion_core.formats.untrusted.values import Entry, Record, Walk, bytes_of, in_short, named_tensors
from fashion_core.runs import team_models
from fashion_core.runs.run import record_of
from fashion_core.runs.schema import SavedFormat, VerdictKind

NUMBERS_READ_BYTES = 160 << 20  # the largest file whose numbers are read by default; 134 MB take half a second
_BINS, _PIECE = 24, 1 << 18
_LONGEST_TEXT, _MOST_ITEMS, _MOST_SHOWN = 200, 400, 20_000
_MOST_TENSORS_READ = 2048
_GRAPH = "Its graph is not examined and never run here, because code can hide in it: only its weights are read."
_OTHER_SOURCE = "The source of its model has changed since its run was made: the same weights may mean something else."
MISSING = {
    "weights": "the weights of a model",
    "epoch": "the epoch",
    "end of epoch": "the end of its epoch (it was stopped inside: only its own run continues from here)",
    "optimizer": "the optimizer's state",
    "usable optimizer": "a state of the optimizer that can be used here",
    "settings": "the settings, with the seed that decides order and randomness",
    "environment": "the environment it was trained in (device, processor, threads, torch)",
}
"""What an exact resume needs, by the words of ``Inspection.missing``."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor, by the keys that lead to it in the file; what follows ``bytes`` is None until its numbers are read."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    nan: int | None = None
    inf: int | None = None
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None
    histogram: tuple[int, ...] | None = None  # of the finite elements, in equal bins from ``low`` to ``high``
    weight: str | None = None  # what the model calls it, if it is one of its weights


@dataclass(frozen=True)
class Optimizer:
    name: str  # sgd, adam or adamw as this app makes them, else unknown
    learning_rate: float | None  # None, as the next two, where its param_groups don't tell
    momentum: float | None
    weight_decay: float | None
    tensors: int
    bytes: int
    keys: tuple[str | int, ...]  # that lead to its state_dict
    settings: dict[str, Any]  # of its first group of parameters, as they stand in the file
    problem: str | None  # why its state can't be used, so that resuming starts a fresh one: the end of a sentence


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What ``inspect`` found; everything in it can be written as JSON, and its text is safe to print to a terminal."""

    bytes: int
    container: Container
    format: SavedFormat | Literal["unknown"]  # unknown if it holds tensors but no weights of a model
    members: tuple[tuple[str, int], ...]  # name and bytes of each part of the container
    has_checksum: bool  # whether the container lets a changed bit be noticed
    names: tuple[str, ...]  # each class or function that the pickle refers to
    refusal: str | None  # why it can't be loaded here, as one sentence
    unfit: bool  # whether that is because no model of this app can have its weights: nothing speaks of harm
    refused: tuple[str, ...]  # the names that are not allowed
    model: str | None = None  # the known model that its weights fit
    model_class: str | None = None
    differences: tuple[str, ...] = ()  # from the nearest known model, if there is none that fits
    weights: str | None = None  # the keys that lead to its weights, joined by dots; "." where they are the file
    choices: tuple[str, ...] = ()  # the same for all weights in it that fit a known model; any can be chosen
    keys: tuple[str | int, ...] = ()  # that lead to the dict or the model that its weights are in
    prefix: str = ""  # what every name of its weights begins with in there, such as ``module.``
    matched_in_order: bool = False  # whether its layers have other names and were matched by their shapes
    expected: int | None = None  # how many tensors the known model has: a batch norm's counter may be missing
    parameters: int | None = None  # how many numbers can be learned, without the buffers of batch norm
    epoch: int | None
    loss: float | None  # after that epoch; None inside one
    trained_on: dict[str, str]  # its dataset and pixels, if the file says them
    dataset: dict[str, Any] | None  # what it says of a dataset that was added, as ``dataset.json`` has it
    shape: Shape | None  # that its model is made for; of several that are the same model, the likeliest
    optimizer: Optimizer | None
    missing: tuple[str, ...]  # what an exact resume would need and the file does not carry, of ``MISSING``
    verdict: VerdictKind
    notes: tuple[str, ...]  # what else people should know before they use it, one sentence each
    sha256: str | None  # of the whole file; None if its numbers were not read
    tensors: tuple[TensorInfo, ...]
    tree: Any  # the key tree as JSON: dicts and lists as they are, a tensor as its dtype and shape


def inspect(path: Path, numbers: bool | None = None, choice: str | None = None) -> Inspection:
    """Describe a file from anyone.

    ``numbers``: whether to read its tensors' numbers too (checksums, SHA-256, NaN and Inf, histograms); by default
    if it has at most ``NUMBERS_READ_BYTES``. ``choice``: which weights are meant where it holds several. Raises
    ``RefusedFileError`` if it can't even be described, ``DiskError``.
    """
    file = read_saved_file(path)
    numbers = file.size <= NUMBERS_READ_BYTES if numbers is None else numbers
    try:
        weights = find_weights(file, choice)
    except RefusedFileError:
        weights = None
    optimizer = find_optimizer(file, weights, numbers)
    format = format_of(file, weights, optimizer) if weights else "unknown"
    refusal = _refusal(file, numbers, choice)
    epoch = file.whole_number_under("epoch")
    said = validate.described(file)
    missing = _missing(file.content, format, epoch, optimizer)
    called = {printable(theirs): printable(ours) for ours, theirs in weights.names.items()} if weights else {}
    return Inspection(
        bytes=file.size,
        container=file.container,
        format=format,
        members=tuple((printable(name), size) for name, size in file.members),
        has_checksum=file.has_checksums or file.checksum is not None,
        names=tuple(sorted(printable(str(name)) for name in file.names)),
        refusal=str(refusal) if refusal else None,
        unfit=isinstance(refusal, UnfitFileError),
        refused=refusal.names if refusal else (),
        **(_of_weights(file, weights) if weights else {}),
        epoch=epoch,
        loss=None if format == "partial" else file.number_under("loss"),
        trained_on=validate.trained_on(file),
        dataset=said.model_dump(mode="json") if said else None,
        shape=_shape(weights, said),
        optimizer=_optimizer(optimizer) if optimizer else None,
        missing=missing,
        verdict=_verdict(refusal, weights, missing),
        notes=(
            *([_GRAPH] if file.container == "pt2" else []),
            *(notes_on(weights, optimizer) if weights else ()),
            *([_OTHER_SOURCE] if weights and weights.model and _has_other_source(path, weights.model) else []),
        ),
        sha256=files.digest_of(path).sha256 if numbers else None,
        tensors=tuple(replace(one, weight=called.get(one.name)) for one in _tensor_infos(file, numbers)),
        tree=_Outline().of(file.content),
    )


def _has_other_source(path: Path, model: str) -> bool:
    """Whether it is of a run of a team's own model whose source has changed since."""
    record = record_of(path) if model not in MODEL_LABELS else None
    return record is not None and record.model_sha256 != team_models.sha256_of(model, record.description.shape)


def _shape(weights: Weights | None, said: Description | None) -> Shape | None:
    if weights is None or weights.model is None or weights.shape is None:
        return None
    is_fitting = said is not None and misfit(weights.model, weights.shape, said) is None
    return said.shape if said and is_fitting else weights.shape


def _of_weights(file: SavedFile, weights: Weights) -> dict[str, Any]:
    """What ``Inspection`` says of the weights, whether a known model has them or not."""
    return {
        "model": weights.model,
        "model_class": printable(str(weights.root.name)) if weights.root else None,
        "differences": () if weights.model else _differences(file),
        "weights": weights.label,
        "choices": weights.choices,
        "keys": tuple(map(_shown_key, weights.keys)),
        "prefix": printable(weights.prefix),
        "matched_in_order": weights.matched_in_order,
        "expected": len(weights.known.sizes) if weights.known else None,
        "parameters": weights.parameters,
    }


def format_of(file: SavedFile, weights: Weights, optimizer: SavedOptimizer | None) -> SavedFormat:
    """Tell what kind of file it is that these weights were found in, by its content alone."""
    if file.container == "safetensors" or file.container == "pt2":
        return file.container
    keys = file.content if isinstance(file.content, dict) else {}
    if "pytorch-lightning_version" in keys:
        return "lightning"
    if "model_state_dict" in keys:  # a position inside an epoch holds the loss of the epoch before
        return "partial" if {"position", "random_state"} <= keys.keys() else "checkpoint"
    if weights.root:
        return "model"
    return "checkpoint" if optimizer and weights.keys else "weights"


def notes_on(weights: Weights, optimizer: SavedOptimizer | None) -> tuple[str, ...]:
    return (*weights.notes, *([optimizer.note] if optimizer and optimizer.note else []))


def _differences(file: SavedFile) -> tuple[str, ...]:
    """From the nearest known model; nothing where none is near."""
    nearest, phrases = differences(file)
    return tuple(map(printable, phrases)) if nearest else ()


def _shown_key(key: str | int) -> str | int:
    return printable(key) if isinstance(key, str) else key


def _refusal(file: SavedFile, numbers: bool, choice: str | None) -> RefusedFileError | None:
    try:
        if numbers:
            file.check_numbers()
        *_, weights = validate.check(file, choice)
        if numbers:
            validate.check_finite(file, weights)
    except RefusedFileError as error:
        return error
    return None


def _optimizer(found: SavedOptimizer) -> Optimizer:
    rate, momentum, decay = [
        float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None
        for value in map(found.settings.get, ("lr", "momentum", "weight_decay"))
    ]
    settings, keys = _Outline().of(found.settings), tuple(map(_shown_key, found.keys))
    size = sum(tensor.bytes for tensor in found.tensors)
    return Optimizer(found.name, rate, momentum, decay, len(found.tensors), size, keys, settings, found.problem)


def _missing(content: Any, format: str, epoch: int | None, optimizer: SavedOptimizer | None) -> tuple[str, ...]:
    own = validate.own_part(content)
    needed = {
        "weights": format != "unknown",
        "epoch": epoch is not None,
        "end of epoch": format != "partial",
        "optimizer": optimizer is not None,
        "usable optimizer": optimizer is None or optimizer.problem is None,
        "settings": own,
        "environment": own,
    }
    return tuple(what for what, is_there in needed.items() if not is_there)


def _verdict(refusal: RefusedFileError | None, weights: Weights | None, missing: tuple[str, ...]) -> VerdictKind:
    if refusal or weights is None:
        return "damaged" if isinstance(refusal, ChangedFileError) else "not usable"
    if not {"optimizer", "usable optimizer", "end of epoch"}.isdisjoint(missing):
        return "weights only"
    return "approximate" if missing else "exact"


def _tensor_infos(file: SavedFile, numbers: bool) -> Iterator[TensorInfo]:
    """Each tensor's row; numbers are read as far as that takes no longer than reading the file twice."""
    left = 2 * file.size if numbers else 0
    for index, (name, tensor) in enumerate(islice(named_tensors(file.content), MAX_TENSORS)):
        info = TensorInfo(printable(name), tensor.dtype, tensor.shape, tensor.bytes)
        if tensor.numel and index < _MOST_TENSORS_READ and file.shows(tensor):
            left -= bytes_of(tensor.dtype, max(tensor.numel, tensor.span))
            info = _with_numbers(info, file.numbers(tensor)) if left >= 0 else info
        yield info


def _with_numbers(info: TensorInfo, values: NDArray[Any]) -> TensorInfo:
    finite = np.isfinite(values)
    count = int(finite.sum())
    good = values.ravel() if count == values.size else values[finite]
    nan = 0 if count == values.size else int(np.isnan(values).sum())
    has_order = count and not np.iscomplexobj(values)
    return replace(info, nan=nan, inf=values.size - count - nan, **(_distribution(good) if has_order else {}))


def _distribution(values: NDArray[Any]) -> dict[str, Any]:
    """Describe finite numbers, piece by piece so that a large tensor needs no second copy; too large sums are None."""
    low, high = float(values.min()), float(values.max())
    width = high / 2 - low / 2  # a difference of halves is always finite
    squares, counts = 0.0, np.zeros(_BINS, np.int64)
    with np.errstate(all="ignore"):
        mean = float(values.mean(dtype=np.float64))
        for start in range(0, values.size, _PIECE):
            piece = values[start : start + _PIECE].astype(np.float64)
            squares += float(((piece - mean) ** 2).sum())
            places = (piece / 2 - low / 2) / width * _BINS if width else np.zeros_like(piece)
            # numpy.histogram refuses ranges that are very wide or very narrow for their dtype
            counts += np.bincount(np.minimum(places.astype(np.int64), _BINS - 1), minlength=_BINS)
    sums = {"mean": mean, "std": math.sqrt(squares / values.size)}
    finite = {key: value if math.isfinite(value) else None for key, value in sums.items()}
    return {"low": low, "high": high, **finite, "histogram": tuple(map(int, counts))}


class _Outline:
    """The key tree as JSON: long lists and texts are cut, a tensor is its dtype and shape, a record its class.

    What a file shares without end, or holds inside itself, is shown once.
    """

    def __init__(self) -> None:
        self.walk, self.left = Walk(), _MOST_SHOWN

    def of(self, value: Any) -> Any:
        self.left -= 1
        if not isinstance(value, dict | list | tuple | Record):
            return _plain(value)
        if self.left < 0:
            return "…"
        if not self.walk.enter(value):
            return f"… ({in_short(value, 0)} again)"
        shown = self.inside(value)
        self.walk.leave(value)
        return shown

    def inside(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self.pairs(value.items())
        if isinstance(value, Record):
            state = [] if value.state is None else [value.state]
            pairs = [item for item in value.items if isinstance(item, Entry)]
            rest = [*value.arguments, *state, *(item for item in value.items if not isinstance(item, Entry))]
            parts = [self.of(part) for part in rest[:_MOST_ITEMS]] + ([self.pairs(pairs)] if pairs else [])
            return {_short(f"<{value.name}>"): parts[0] if len(parts) == 1 else parts}
        items = [self.of(inner) for inner in value[:_MOST_ITEMS]]
        return items if len(value) <= _MOST_ITEMS else [*items, f"… {len(value) - _MOST_ITEMS:,} more"]

    def pairs(self, pairs: Collection[tuple[Any, Any]]) -> dict[str, Any]:
        shown = {_short(str(key)): self.of(inner) for key, inner in islice(pairs, _MOST_ITEMS)}
        return shown if len(pairs) <= _MOST_ITEMS else {**shown, "…": f"{len(pairs) - _MOST_ITEMS:,} more"}


def _plain(value: Any) -> Any:
    is_short = isinstance(value, int) and value.bit_length() < 10_000  # Python writes no longer ones
    if value is None or is_short or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _short(in_short(value))


def _short(text: str) -> str:
    shown = printable(text[:_LONGEST_TEXT])
    return shown if len(text) <= _LONGEST_TEXT else f"{shown}…"
