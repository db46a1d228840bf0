"""What is in a saved file, without running anything in it and without torch."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fashion_core import files
from fashion_core.errors import ChangedFileError, RefusedFileError, printable
from fashion_core.formats.untrusted import validate
from fashion_core.formats.untrusted.readers import read_saved_file
from fashion_core.formats.untrusted.saved_file import Container, SavedFile, named_tensors
from fashion_core.formats.untrusted.state_dict import (
    BUFFERS,
    Weights,
    differences,
    find_weights,
    nearest_model,
    optimizer_name,
    optimizer_state,
)
from fashion_core.formats.untrusted.values import Name, Record, SavedTensor
from fashion_core.runs.schema import SavedFormat, VerdictKind

NUMBERS_READ_BYTES = 160 << 20
"""Up to this size a file's numbers are read without being asked for: the largest file that this app saves has 134 MB
and takes half a second."""

_BINS, _PIECE = 24, 1 << 18
_LONGEST_TEXT, _LONGEST_NUMBER, _MOST_ITEMS = 200, 40, 400


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: where it is in the file, dtype, shape, bytes; the rest is None until its numbers are read.

    ``histogram`` counts the finite elements in equal bins from ``low`` to ``high``.
    """

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
    histogram: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Optimizer:
    """The optimizer whose state a file carries, as far as its param_groups tell."""

    name: str
    learning_rate: float | None
    momentum: float | None
    weight_decay: float | None
    tensors: int
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """What ``inspect`` found; everything in it can be written as JSON, and no text in it drives a terminal.

    Attributes:
        format: what kind of file it is; ``unknown`` if it holds tensors but no weights of a model.
        members: name and bytes of each part of the container.
        has_checksum: whether the container lets a changed bit be noticed.
        names: each class or function that the pickle refers to.
        refusal: why it can't be loaded here, as one sentence, or None; ``refused`` are the names that are not allowed.
        model: the known model that its weights fit; ``differences`` from the nearest one if there is none.
        parameters: how many numbers can be learned, without the buffers of batch norm; None without weights.
        missing: what an exact resume would need and the file does not carry, one phrase each.
        sha256: of the whole file; None if its numbers were not read, and then ``TensorInfo`` has no figures either.
        tree: the raw key tree: dicts and lists as they are, a tensor as its dtype and shape.
    """

    bytes: int
    container: Container
    format: SavedFormat | Literal["unknown"]
    members: tuple[tuple[str, int], ...]
    has_checksum: bool
    names: tuple[str, ...]
    refusal: str | None
    refused: tuple[str, ...]
    model: str | None
    model_class: str | None
    differences: tuple[str, ...]
    prefix: str
    parameters: int | None
    epoch: int | None
    loss: float | None
    optimizer: Optimizer | None
    missing: tuple[str, ...]
    verdict: VerdictKind
    sha256: str | None
    tensors: tuple[TensorInfo, ...]
    tree: Any


def inspect(path: Path, numbers: bool | None = None) -> Inspection:
    """Look into a file from anyone.

    ``numbers``: whether to read its tensors' numbers too (checksums, SHA-256, NaN and Inf, histograms); by default
    if it has at most ``NUMBERS_READ_BYTES``. Raises ``RefusedFileError`` if it can't even be described, ``DiskError``.
    """
    file = read_saved_file(path)
    if numbers is None:
        numbers = file.size <= NUMBERS_READ_BYTES
    weights = _weights(file)
    refusal = _refusal(file, numbers)
    epoch, loss = whole_number_in(file, "epoch"), number_in(file, "loss")
    missing = _missing(file.content, weights, epoch)
    return Inspection(
        bytes=file.size,
        container=file.container,
        format=detect(file),
        members=file.members,
        has_checksum=file.has_checksum,
        names=tuple(sorted(printable(str(name)) for name in file.names)),
        refusal=str(refusal) if refusal else None,
        refused=refusal.names if refusal else (),
        model=weights.model if weights else None,
        model_class=printable(str(weights.root.name)) if weights and weights.root else None,
        differences=_differences(weights) if weights and not weights.model else (),
        prefix=weights.removed if weights else "",
        parameters=_parameters(weights) if weights else None,
        epoch=epoch,
        loss=loss,
        optimizer=_optimizer(file.content),
        missing=missing,
        verdict=_refused_verdict(refusal) if refusal else _verdict(weights, missing),
        sha256=files.digest_of(path).sha256 if numbers else None,
        tensors=tuple(_tensor_facts(file, name, tensor, numbers) for name, tensor in named_tensors(file.content)),
        tree=outline(file.content),
    )


def detect(file: SavedFile) -> SavedFormat | Literal["unknown"]:
    """What kind of file it is, by its content alone; unknown if it holds no weights of a model."""
    weights = _weights(file)
    return format_of(file, weights) if weights else "unknown"


def format_of(file: SavedFile, weights: Weights) -> SavedFormat:
    """What kind of file it is that these weights were found in."""
    if file.container in ("safetensors", "pt2"):
        return "safetensors" if file.container == "safetensors" else "pt2"
    if isinstance(file.content, dict) and "pytorch-lightning_version" in file.content:
        return "lightning"
    if isinstance(file.content, dict) and "model_state_dict" in file.content:
        return "checkpoint"
    return "model" if weights.root else "weights"


def _weights(file: SavedFile) -> Weights | None:
    try:
        return find_weights(file.content)
    except RefusedFileError:
        return None


def _refusal(file: SavedFile, numbers: bool) -> RefusedFileError | None:
    try:
        if numbers:
            file.check_numbers()
        _, weights = validate.check(file)
        if numbers:
            validate.check_finite(file, weights)
    except RefusedFileError as error:
        return error
    return None


def _refused_verdict(refusal: RefusedFileError) -> VerdictKind:
    return "damaged" if isinstance(refusal, ChangedFileError) else "not usable"


def _differences(weights: Weights) -> tuple[str, ...]:
    return tuple(map(printable, differences(weights.tensors, nearest_model(weights.tensors))))


def _parameters(weights: Weights) -> int:
    return sum(t.numel for name, t in weights.tensors.items() if not name.endswith(BUFFERS))


def whole_number_in(file: SavedFile, key: str) -> int | None:
    """A whole number of at least 0 under this key, as ``number_in`` finds it; else None."""
    value = number_in(file, key)
    return int(value) if value is not None and value == int(value) and 0 <= value < 2**31 else None


def number_in(file: SavedFile, key: str) -> float | None:
    """A finite number under this key, or as text in the metadata of a safetensors file of this app; else None."""
    value = file.content.get(key) if isinstance(file.content, dict) else None
    if file.container == "safetensors":
        value = file.metadata.get(key)
    if isinstance(value, SavedTensor) and value.numel == 1:
        value = file.numbers(value).item()
    try:
        number = float(value) if _could_be_number(value) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _could_be_number(value: Any) -> TypeGuard[int | float | str]:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _LONGEST_NUMBER)


def _optimizer(content: Any) -> Optimizer | None:
    state = optimizer_state(content)
    group = state["param_groups"][0] if state and state["param_groups"] else None
    if state is None or not isinstance(group, dict):
        return None
    tensors = [tensor for _, tensor in named_tensors(state)]
    return Optimizer(
        name=optimizer_name(group),
        learning_rate=_setting(group, "lr"),
        momentum=_setting(group, "momentum"),
        weight_decay=_setting(group, "weight_decay"),
        tensors=len(tensors),
        bytes=sum(tensor.bytes for tensor in tensors),
    )


def _setting(group: dict[str, Any], key: str) -> float | None:
    value = group.get(key)
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None


def _missing(content: Any, weights: Weights | None, epoch: int | None) -> tuple[str, ...]:
    """What ``training`` needs to go on with the same bits."""
    own = validate.own_part(content)
    needed = {
        "the weights of a model": weights is not None,
        "the epoch": epoch is not None,
        "the optimizer's state": optimizer_state(content) is not None,
        "the settings, with the seed that decides order and randomness": "config" in own,
        "what it was computed with (device, processor, threads, torch)": "environment" in own,
    }
    return tuple(what for what, is_there in needed.items() if not is_there)


def _verdict(weights: Weights | None, missing: tuple[str, ...]) -> VerdictKind:
    if weights is None:
        return "not usable"
    if "the optimizer's state" in missing:
        return "weights only"
    return "approximate" if missing else "exact"


def _tensor_facts(file: SavedFile, name: str, tensor: SavedTensor, numbers: bool) -> TensorInfo:
    facts = TensorInfo(printable(name), tensor.dtype, tensor.shape, tensor.bytes)
    return _with_figures(facts, file.numbers(tensor)) if numbers and tensor.numel else facts


def _with_figures(facts: TensorInfo, values: NDArray[Any]) -> TensorInfo:
    finite = np.isfinite(values)
    count = int(finite.sum())
    good = values.ravel() if count == values.size else values[finite]
    nan = 0 if count == values.size else int(np.isnan(values).sum())
    figures = _distribution(good) if count else {}
    return replace(facts, nan=nan, inf=values.size - count - nan, **figures)


def _distribution(values: NDArray[Any]) -> dict[str, Any]:
    """Of finite numbers, piece by piece so that a large tensor needs no second copy; too large sums are None."""
    low, high = float(values.min()), float(values.max())
    squares, counts = 0.0, np.zeros(_BINS, np.int64)
    with np.errstate(all="ignore"):
        mean = float(values.mean(dtype=np.float64))
        for start in range(0, values.size, _PIECE):
            piece = values[start : start + _PIECE].astype(np.float64)
            squares += float(((piece - mean) ** 2).sum())
            counts += _histogram(piece, low, high)
    sums = {"mean": mean, "std": math.sqrt(squares / values.size)}
    finite = {key: value if math.isfinite(value) else None for key, value in sums.items()}
    return {"low": low, "high": high, **finite, "histogram": tuple(map(int, counts))}


def _histogram(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.int64]:
    """How many are in each of ``_BINS`` equal bins; the difference of halves is always finite.

    ``numpy.histogram`` refuses ranges that are very wide or very narrow for their dtype.
    """
    width = high / 2 - low / 2
    places = (values / 2 - low / 2) / width * _BINS if width else np.zeros_like(values)
    return np.bincount(np.minimum(places.astype(np.int64), _BINS - 1), minlength=_BINS)


def outline(value: Any) -> Any:
    """The key tree as JSON: long lists and texts are cut, a tensor is its dtype and shape, a record its class."""
    if isinstance(value, SavedTensor):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, dict):
        return _cut({_short(str(key)): outline(inner) for key, inner in list(value.items())[:_MOST_ITEMS]}, len(value))
    if isinstance(value, list | tuple):
        shown = [outline(inner) for inner in value[:_MOST_ITEMS]]
        return shown if len(value) <= _MOST_ITEMS else [*shown, f"… {len(value) - _MOST_ITEMS:,} more"]
    if isinstance(value, Record):
        inside = value.state if value.state is not None else [*value.arguments, *value.items]
        return {_short(f"<{value.name}>"): outline(inside)}
    return _plain(value)


def _cut(shown: dict[str, Any], count: int) -> dict[str, Any]:
    return shown if count <= _MOST_ITEMS else {**shown, "…": f"{count - _MOST_ITEMS:,} more"}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return _short(str(value[:_LONGEST_TEXT]))
    return _short(f"<{value}>" if isinstance(value, Name) else str(value))


def _short(text: str) -> str:
    shown = printable(text[:_LONGEST_TEXT])
    return shown if len(text) <= _LONGEST_TEXT else f"{shown}…"
