"""Find the weights of a known model in a saved file from anyone, wherever they are; without torch.

They are where a model's names and sizes are all found after one common beginning, such as ``state_dict.module.``; or,
where the layers have other names, where tensors of one dict, list or module have a model's sizes in its order.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby, takewhile

from fashion_core.config import LONGEST_MODEL_NAME, MODEL_NAME, Shape
from fashion_core.data.description import checked
from fashion_core.errors import RefusedFileError, printable
from fashion_core.formats.shapes import matches, nearest_shape, shape_of
from fashion_core.formats.untrusted.blueprints import (
    BUFFERS,
    COUNTER,
    KnownModel,
    known_models,
    sizes_of,
)
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.search import WRAPPERS, Contents, FoundTensor, Keys, parts_of
from fashion_core.formats.untrusted.values import Record, SavedTensor, listed
from fashion_core.formats.whole_model import unlikeness
from fashion_core.models import sources
from fashion_core.models.layers import Sizes
from fashion_core.runs.run import record_of

Parts = tuple[str, ...]

# Where several dicts fit, the first of these; then the first in the file.
_USUAL_KEYS = ("model_state_dict", "state_dict", "model", "model_state", "net", "network", "weights", "params")
_UNDERSTOOD = frozenset(("epoch", "loss", "position", "random_state"))  # tensors under these keys are no weights
_IN_A_LAYER = ("weight", "bias", *BUFFERS)
_MOST_IN_ORDER = 1000  # tensors of one dict that are matched by their shapes


@dataclass(frozen=True)
class Weights:
    """A state_dict found in a file, and how it was found; ``names`` and ``tensors`` are in the model's order."""

    tensors: dict[str, SavedTensor]  # by their names in the model, or in the file where no known model fits
    names: dict[str, str]  # the same tensors: what the file calls each, with all keys that lead to it
    learned: frozenset[str]  # the names of those that an optimizer updates
    known: KnownModel | None  # the model that names and sizes fit
    shape: Shape | None  # that it is made for; None where no known model fits
    root: Record | None  # the whole model, where the file holds one
    keys: Keys  # that lead to the dict or module that holds them
    prefix: str  # what every name in there began with
    matched_in_order: bool = False  # by their shapes, as the file has other names
    in_models_order: bool = True  # whether the file has the learned ones in the order of the model's
    beside: tuple[str, ...] = ()  # what else stands there, and is left out
    choices: tuple[str, ...] = ()  # the labels of all weights in the file that fit a known model
    others: tuple[str, ...] = ()  # models that they fit as well, where the file does not say which it is

    @property
    def model(self) -> str | None:
        return self.known.name if self.known else None

    @property
    def parameters(self) -> int:
        """Count the numbers that can be learned."""
        return sum(tensor.numel for name, tensor in self.tensors.items() if name in self.learned)

    @property
    def label(self) -> str:
        """The keys that lead to them, joined by dots, by which they can be chosen; a dot for the file itself."""
        before = parts_of((self.prefix.rstrip("."),)) if self.prefix else ()
        return printable(".".join([*map(str, self.keys), *before]) or ".")

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each thing that was not plain."""
        return tuple(map(printable, self._notes()))

    def _notes(self) -> Iterator[str]:
        if self.matched_in_order:
            pairs = [f"{self.names[name]} → {name}" for name in self.tensors]
            yield f"Its layers are called otherwise; they were matched in order: {listed(pairs)}."
        if others := [label for label in self.choices if label != self.label]:
            yield f"The weights under {self.label} are used; those under {listed(others)} can be chosen instead."
        if self.others:
            fitting = listed([str(self.model), *self.others], last="or")
            yield f"It does not say whether it is {fitting}: {self.model} is used."
        if self.beside:
            is_left = "is" if len(self.beside) == 1 else "are"
            yield f"Beside the weights it holds {listed(self.beside)}, which {is_left} left out."
        if self.known and len(self.tensors) < len(self.known.sizes):
            yield "Its batch norms do not say how many batches they have seen: that counts as 0."


def find_weights(file: SavedFile, choice: str | None = None) -> Weights:
    """Find the weights in a file, those labelled ``choice`` or else the likeliest.

    Raises ``RefusedFileError`` if there are none, or none of that label.
    """
    fitting = _fitting(file)
    choices = tuple(weights.label for weights in fitting)
    if choice is None:
        chosen = fitting[0] if fitting else _of_no_known_model(file.contents)
    elif choice in choices:
        chosen = fitting[choices.index(choice)]
    else:
        there = f"choose {listed(choices, 12, 'or')}" if choices else "nothing in it fits a model of this app"
        there = "the file itself is the only choice: leave this away" if choices == (".",) else there
        raise RefusedFileError(f"it has no weights of a known model under {choice}; {there}")
    taken = {name for weights in (chosen, *fitting) for name in weights.names.values()}
    return replace(chosen, choices=choices, beside=tuple(_beside(file, chosen, taken)))


def _beside(file: SavedFile, weights: Weights, taken: set[str]) -> Iterator[str]:
    """What else is there that may belong to a model: tensors, and what layers add to their state_dict themselves."""
    start = "".join(f"{key}." for key in weights.keys)
    for one in file.contents.tensors if weights.model else ():
        if one.name not in taken and _UNDERSTOOD.isdisjoint(one.keys[:1]):
            yield one.name.removeprefix(start)
    content = file.content
    for key in weights.keys if weights.root is None else ():
        content = content[key]
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(key, str) and key.endswith("_extra_state") and not isinstance(value, SavedTensor):
            yield key


def differences(file: SavedFile) -> tuple[str | None, tuple[str, ...]]:
    """The known model that has most names in common with the file, and how they differ, in phrases.

    None, and the first layers of the file, where no model has half of its names in common.
    """
    at = _by_parts(file.contents.tensors)
    known = models_of(file)
    shared = Counter(_shared(at, known))
    place, start = max(shared, key=shared.__getitem__, default=(-1, ()))
    if place < 0 or shared[place, start] < len(known[place].sizes):
        found = _of_no_known_model(file.contents).tensors
        return None, tuple(f"{name} {shape_text(tensor.shape)}" for name, tensor in found.items())
    inside = len(start)
    found = {".".join(parts[inside:]): one.tensor for parts, one in at.items() if parts[:inside] == start}
    return known[place].name, tuple(_phrases(known[place], found))


def _phrases(model: KnownModel, found: Mapping[str, SavedTensor]) -> Iterator[str]:
    known = sizes_of(model.name, nearest_shape(model, {name: tensor.shape for name, tensor in found.items()}))
    yield from (f"{name} is missing" for name in known if name not in found and not name.endswith(COUNTER))
    yield from (f"{name} is not in {model.name}" for name in found if name not in known)
    for name, sizes in known.items():
        if name in found and found[name].shape != sizes:
            yield f"{name} is {shape_text(found[name].shape)} where {model.name} has {shape_text(sizes)}"


def _shared(at: dict[Parts, FoundTensor], known: Sequence[KnownModel]) -> Iterator[tuple[int, Parts]]:
    """A model and what comes before its names: once for each name that is there, twice if its shape is the same."""
    longest = max(len(parts) for model in known for parts in model.parts.values())
    for parts, one in at.items():
        for length in range(1, min(longest, len(parts)) + 1):
            name, start = ".".join(parts[-length:]), parts[:-length]
            for place, model in enumerate(known):
                if name in model.sizes:
                    yield from [(place, start)] * (2 if matches(one.tensor.shape, model.sizes[name]) else 1)


def models_of(file: SavedFile) -> list[KnownModel]:
    """The models that its weights may belong to, the one that it is said to be first."""
    said = named_model(file)
    return sorted(known_models(*_shapes(file)), key=lambda model: model.name != said)


def _shapes(file: SavedFile) -> Iterator[Shape]:
    """What it is to be used for, and that of the dataset it was trained on, which may not be here any more."""
    if file.shape:
        yield file.shape
    if record := record_of(file.path):
        yield record.description.shape
    said = file.said_of_dataset
    with suppress(KeyError, TypeError, ValueError):
        if isinstance(said, dict):
            yield checked(Shape(said["channels"], said["height"], said["width"], len(said["classes"])))


def named_model(file: SavedFile) -> str | None:
    """What the file calls its model, or who asks, or the run whose file it is: a team's models may look the same."""
    config = file.content.get("config") if isinstance(file.content, dict) else None
    said = config.get("model") if isinstance(config, dict) else file.metadata.get("model")
    said = file.model if said is None else said
    record = record_of(file.path) if said is None and sources.named() else None
    said = record.config.model if record else said
    is_name = isinstance(said, str) and len(said) <= LONGEST_MODEL_NAME and re.fullmatch(MODEL_NAME, said)
    return said if is_name else None


def _by_parts(tensors: Iterable[FoundTensor]) -> dict[Parts, FoundTensor]:
    at: dict[Parts, FoundTensor] = {}
    for one in tensors:
        at.setdefault(one.parts, one)
    return at


def _fitting(file: SavedFile) -> list[Weights]:
    """All weights that fit a known model, the likeliest first: those with its names, then those in its order."""
    known, tensors = models_of(file), file.contents.tensors
    named = sorted(_distinct(_with_models_names(tensors, known), named_model(file)), key=_rank)
    taken = {name for weights in named for name in weights.names.values()}
    others = [one for one in tensors if one.name not in taken]
    return [*named, *sorted(_in_models_order(others, known), key=_rank)]


def _distinct(fitting: Iterable[Weights], said: object) -> Iterable[Weights]:
    """Of several models with the same weights the one that is most like the file's, and the first of those."""
    alike: dict[str, list[Weights]] = {}
    for weights in fitting:
        alike.setdefault(weights.label, []).append(weights)
    return [_likest(there, said) for there in alike.values()]


def _likest(fitting: list[Weights], said: object) -> Weights:
    if len(fitting) == 1:
        return fitting[0]
    unlike = {id(one): unlikeness(one.root, one.known, one.shape) for one in fitting}
    first, *rest = sorted(fitting, key=lambda one: unlike[id(one)])
    others = dict.fromkeys(one.model for one in rest if one.model and unlike[id(one)] == unlike[id(first)])
    others.pop(str(first.model), None)  # for images of another shape
    return first if first.model == said else replace(first, others=tuple(others))


def _rank(weights: Weights) -> list[int]:
    parts = weights.label.split(".") if weights.label != "." else []
    return [_USUAL_KEYS.index(part) if part in _USUAL_KEYS else len(_USUAL_KEYS) for part in parts]


def _with_models_names(tensors: list[FoundTensor], known: Sequence[KnownModel]) -> Iterator[Weights]:
    at = _by_parts(tensors)
    for model in known:
        names = model.parts
        first = next(iter(names.values()))
        for parts in [parts for parts in at if parts[-len(first) :] == first]:
            start = parts[: -len(first)]
            found = {name: at[start + split] for name, split in names.items() if start + split in at}
            if shape := _shape_of(model, found):
                keys, prefix = _beginning(at[parts].keys, len(start))
                yield _weights(model, shape, found, keys, prefix)


def _shape_of(model: KnownModel, found: dict[str, FoundTensor]) -> Shape | None:
    return shape_of(model, {name: one.tensor.shape for name, one in found.items()})


def _beginning(keys: Keys, length: int) -> tuple[Keys, str]:
    """Split what comes before a model's names: whole keys, and the prefix in the key after them."""
    whole = 0
    while whole < len(keys) - 1 and len(parts_of(keys[: whole + 1])) <= length:
        whole += 1
    left, words = length - len(parts_of(keys[:whole])), str(keys[whole]).split(".")
    count = 0
    while words[count] in WRAPPERS or left:
        left -= words[count] not in WRAPPERS
        count += 1
    return keys[:whole], "".join(f"{word}." for word in words[:count])


def _in_models_order(tensors: list[FoundTensor], known: Sequence[KnownModel]) -> Iterator[Weights]:
    for _, group in groupby(tensors, key=lambda one: one.holder):
        together = list(group)
        if len(together) <= _MOST_IN_ORDER:
            yield from list(_runs(together, known)) or _runs(_by_number(together), known)


def _runs(tensors: Sequence[FoundTensor], known: Sequence[KnownModel]) -> Iterator[Weights]:
    """Each stretch of tensors that has all of a model's shapes in order."""
    place = 0
    while place < len(tensors):
        for model in known:
            found = _run(model, tensors[place : place + len(model.sizes)])
            if found and (shape := _shape_of(model, found)):
                names = (str(one.keys[-1]).split(".") for one in found.values())
                shared = takewhile(lambda words: len(set(words)) == 1, zip(*names, strict=False))
                prefix = "".join(f"{words[0]}." for words in shared)
                yield replace(_weights(model, shape, found, tensors[place].holder, prefix), matched_in_order=True)
                place += len(found) - 1
                break
        place += 1


def _run(model: KnownModel, tensors: Sequence[FoundTensor]) -> dict[str, FoundTensor]:
    found: dict[str, FoundTensor] = {}
    for name, pattern in model.sizes.items():
        if len(found) < len(tensors) and matches(tensors[len(found)].tensor.shape, pattern):
            found[name] = tensors[len(found)]
        elif not name.endswith(COUNTER):
            return {}
    return found


def _by_number(tensors: list[FoundTensor]) -> list[FoundTensor]:
    """Order layers that differ in their numbers alone by these, as safetensors orders tensors by dtype and by text."""
    layers = {one.place: one.name.rpartition(".")[::2] for one in tensors}
    if len({re.sub(r"\d+", "", layer) for layer, _ in layers.values()}) > 1:
        return []

    def order(one: FoundTensor) -> tuple[list[int], int]:
        layer, name = layers[one.place]
        return [*map(int, re.findall(r"\d+", layer))], _IN_A_LAYER.index(name) if name in _IN_A_LAYER else 0

    return sorted(tensors, key=order)


def _weights(
    model: KnownModel | None, shape: Shape | None, found: dict[str, FoundTensor], keys: Keys, prefix: str
) -> Weights:
    learned = model.learned if model else frozenset(name for name in found if not name.endswith(BUFFERS))
    places = [one.place for name, one in found.items() if name in learned]
    return Weights(
        tensors={name: one.tensor for name, one in found.items()},
        names={name: one.name for name, one in found.items()},
        learned=learned,
        known=model,
        shape=shape,
        root=next(iter(found.values())).root,
        keys=keys,
        prefix=prefix,
        in_models_order=places == sorted(places),
    )


def _of_no_known_model(contents: Contents) -> Weights:
    """The dict or module with most tensors. Raises ``RefusedFileError`` if none holds any that may be weights."""
    groups = [list(group) for _, group in groupby(contents.tensors, key=lambda one: one.holder)]
    able = [group for group in groups if _may_be_weights(group)]
    if not able:
        if contents.optimizers:
            raise RefusedFileError("it holds the state of an optimizer and no weights; choose the model's own file")
        raise RefusedFileError("it holds no state_dict and no model; save the model's state_dict")
    largest = max(able, key=len)
    keys = largest[0].holder
    names = {".".join(map(str, one.keys[len(keys) :])): one for one in largest}
    return _weights(None, None, names, keys, "")


def _may_be_weights(tensors: Sequence[FoundTensor]) -> bool:
    are_named = tensors[0].root is not None or any(isinstance(key, str) for key in tensors[0].keys[-1:])
    return are_named and any(one.tensor.shape for one in tensors)


def shape_text(sizes: Sizes) -> str:
    return "×".join(map(str, sizes)) or "(one number)"
