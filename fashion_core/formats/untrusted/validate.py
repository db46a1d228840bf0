"""The third stage, without torch: is what a file holds one of this app's models, and nothing else?

``inspect`` asks the same questions to say what ``load`` will do, so both always agree.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from fashion_core.config import Shape, parse_config
from fashion_core.data.description import MOST_CLASSES, Description, describe
from fashion_core.errors import (
    ConfigError,
    DamagedFileError,
    DataError,
    DiskError,
    RefusedFileError,
    UnfitFileError,
)
from fashion_core.formats.shapes import misfit
from fashion_core.formats.untrusted.blueprints import (
    COUNTER,
    KnownModel,
    dtype_of,
    is_class_in,
    is_class_of,
    names_in,
    shared_in,
)
from fashion_core.formats.untrusted.optimizer import FLOATS, is_plain
from fashion_core.formats.untrusted.rebuild import PLAIN_NAMES
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.state_dict import Weights, differences, find_weights, models_of, named_model
from fashion_core.formats.untrusted.values import listed
from fashion_core.formats.whole_model import check_whole, records_in
from fashion_core.runs.schema import Environment

_BECOMES = {"int64": frozenset({"int64", "int32", "int16", "int8", "uint8"}), "float32": FLOATS}
"""The dtypes that become another without a change of any number."""
OWN_KEYS = ("run", "config", "environment", "measured")  # beside the tutorial's four, for an exact resume


def check(file: SavedFile, choice: str | None = None, dataset: Description | None = None) -> tuple[str, Shape, Weights]:
    """Return the model that a file holds, the shape that it is made for, and its weights, without reading numbers.

    Of several weights those that are labelled ``choice``, or the likeliest. The optimizer beside them does not count.
    Where a dataset is given, the model must be made for its images and classes. Raises ``RefusedFileError``.
    """
    known = models_of(file)
    if strange := _strange(file, known):
        said = f"it refers to {listed(strange)}, which no saved weights need{_advice(file)}"
        raise RefusedFileError(said, tuple(strange))
    file.check_usable()
    weights = find_weights(file, choice)
    model, shape = _check_fits(file, weights)
    if file.records != (records_in(weights.root) if weights.root else 0):
        raise RefusedFileError("it creates objects that are not part of a model's weights; save only the state_dict")
    if weights.root is not None:
        check_whole(weights.root, model, shape)
    if dataset and (reason := misfit(model, shape, dataset)):
        raise UnfitFileError(reason)
    own = dataset or described(file)
    return model, own.shape if own and not misfit(model, shape, own) else shape, weights


def _strange(file: SavedFile, known: Sequence[KnownModel]) -> list[str]:
    """What its pickle refers to, and no saved weights of a known model need."""
    allowed = PLAIN_NAMES.union(*map(names_in, known))
    others = (name for name in file.names if str(name) not in allowed)
    return sorted(str(name) for name in others if not any(is_class_in(name, model) for model in known))


def _advice(file: SavedFile) -> str:
    """How to save the file so that it comes in, or what else is against it."""
    try:
        weights = find_weights(file)
    except RefusedFileError:
        return ""
    if weights.model is None:
        return f"; nor are its layers those of {listed(_names(models_of(file)), 9, 'or')}"
    problem = _dtype_problem(weights)
    return f"; and {problem}" if problem else "; save the state_dict alone"


def _names(known: Sequence[KnownModel]) -> list[str]:
    return list(dict.fromkeys(model.name for model in known))


def _check_fits(file: SavedFile, weights: Weights) -> tuple[str, Shape]:
    """Return the model that the weights fit. Raises ``RefusedFileError`` that says which layers differ, and how."""
    unfit = UnfitFileError if file.records == 0 else RefusedFileError  # objects may hide more than they show
    if weights.model is None or weights.shape is None:
        if (said := named_model(file)) and said not in _names(models_of(file)):
            raise unfit(f"its model is {said}, which is not here: set FASHION_MODELS to the module that lists it")
        nearest, phrases = differences(file)
        of_none = f"those of none of {listed(_names(models_of(file)), 9)}: it has"
        of_which = f"not those of {nearest}:" if nearest else of_none
        raise unfit(f"its layers are {of_which} {listed(phrases)}")
    if problem := _dtype_problem(weights):
        raise unfit(problem)
    known = weights.root is None or (weights.known is not None and is_class_of(weights.root.name, weights.known))
    if weights.root is not None and (not known or weights.matched_in_order):
        what = "uses other names" if known else "is not known here"
        raise RefusedFileError(
            f"its class {weights.root.name} {what}, though its layers are those of {weights.model}; "
            "save the state_dict instead"
        )
    return weights.model, weights.shape


def _dtype_problem(weights: Weights) -> str | None:
    for name, tensor in weights.tensors.items():
        ours = _dtype(weights, name)
        if tensor.dtype not in _BECOMES.get(ours, {ours}):
            advice = "; convert it with .float(), which rounds, and save again" if ours == "float32" else ""
            return f"{name} is {tensor.dtype}, which can't become {ours} without losing digits{advice}"
    return None


def _dtype(weights: Weights, name: str) -> str:
    if weights.model and weights.shape:
        return dtype_of(weights.model, weights.shape, name)
    return "int64" if name.endswith(COUNTER) else "float32"


def check_finite(file: SavedFile, weights: Weights) -> None:
    """Refuse weights that are nan or infinite, or differ where the model has one tensor.

    Raises ``UnfitFileError``, ``DiskError``.
    """
    for name, tensor in weights.tensors.items():
        if bad := tensor.numel - int(np.isfinite(file.numbers(tensor)).sum()) if tensor.numel else 0:
            raise UnfitFileError(
                f"{name} holds {bad:,} numbers that are nan or infinite; use a checkpoint from before it diverged"
            )
    shared = shared_in(weights.model, weights.shape) if weights.model and weights.shape else {}
    for name, first in shared.items():
        one, other = weights.tensors.get(name), weights.tensors.get(first)  # a counter may be missing
        if one and other and not np.array_equal(file.numbers(one), file.numbers(other)):
            raise UnfitFileError(f"{name} and {first} differ in it, where {weights.model} has one tensor for both")


def own_part(content: Any) -> dict[str, Any]:
    """The values under ``OWN_KEYS`` if all are present and valid; else an empty dict."""
    if not isinstance(content, dict) or not set(OWN_KEYS) <= content.keys() or not isinstance(content["run"], str):
        return {}
    own = {key: content[key] for key in OWN_KEYS}
    parts = own["config"], own["environment"], own["measured"]
    are_plain = all(isinstance(part, dict) and all(map(is_plain, part.values())) for part in parts)
    if not are_plain or not all(isinstance(value, int | float) for value in own["measured"].values()):
        return {}
    try:
        parse_config(own["config"])
        Environment.model_validate(own["environment"])
    except (ConfigError, ValidationError):
        return {}
    return own


def described(file: SavedFile) -> Description | None:
    """What a file of this app says of the dataset that it was trained on, if that was added; else None."""
    said = file.said_of_dataset
    if not isinstance(said, dict) or not _may_describe(said):
        return None
    try:
        found = Description.model_validate(said)
    except ValidationError:
        return None
    return found if found.is_from_elsewhere else None


def _may_describe(said: dict[Any, Any]) -> bool:
    """Whether it has a description's keys, and nothing in it takes long to check."""
    return said.keys() == Description.model_fields.keys() and all(map(_is_small, said.values()))


def _is_small(value: Any) -> bool:
    return len(value) <= MOST_CLASSES and all(map(is_plain, value)) if isinstance(value, list) else is_plain(value)


def dataset_of(file: SavedFile, name: str) -> Description | None:
    """The dataset that a file calls so: as it says itself, else what has that name here; None if nothing has."""
    said = described(file)
    if said and said.name == name:
        return said
    try:
        return describe(name)
    except (DataError, DamagedFileError, DiskError):
        return None


def trained_on(file: SavedFile) -> dict[str, str]:
    """The dataset and the pixels that a file of this app says; nothing if one of them is missing or not known here."""
    own = own_part(file.content)
    try:
        said = own["config"] if own else {name: file.metadata[name] for name in ("dataset", "pixels")}
        config = parse_config(said)
    except (KeyError, ConfigError):
        return {}
    return config.trained_on if dataset_of(file, config.dataset) else {}
