"""The known models as torch pickles them, for images and classes of any shape; without torch.

Those of this app are written down, as pickling each once has shown; of a team's own, a process with torch is asked.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from pydantic import TypeAdapter

from fashion_core.config import FASHION, MODEL_CLASSES, Shape
from fashion_core.data.description import shapes_here
from fashion_core.errors import ModelError
from fashion_core.formats.untrusted.values import Name, joined
from fashion_core.models import sources
from fashion_core.models.layers import BLUEPRINTS, Layer, ModelInfo, Sizes
from fashion_core.runs import team_models

Pattern = tuple[int | None, ...]

COUNTER: Final = "num_batches_tracked"
STATISTICS: Final = ("running_mean", "running_var")
BUFFERS: Final = (*STATISTICS, COUNTER)  # of a batch norm, which no optimizer learns
_TEMPLATES: Final[Mapping[str, Any]] = json.loads(BLUEPRINTS.read_text())
_LAYER: Final = TypeAdapter(Layer)
_OTHER: Final = Shape(3, 32, 32, 5)
_INPUTS: Mapping[str, Callable[[Shape], int]] = {  # of the first linear layer
    "mlp": lambda shape: shape.channels * shape.height * shape.width,
    "cnn": lambda shape: 64 * (shape.height // 4) * (shape.width // 4),
}


def parts_of(model: str, shape: Shape) -> dict[str, int]:
    """The numbers in a model of this app that depend on the shape, by what ``blueprints.json`` calls them."""
    inputs = {"<inputs>": _INPUTS[model](shape)} if model in _INPUTS else {}
    return {"<channels>": shape.channels, "<classes>": shape.classes, **inputs}


@lru_cache(maxsize=64)
def _own(model: str, shape: Shape) -> Layer:
    return _LAYER.validate_python(_filled(_TEMPLATES[model], parts_of(model, shape)))


def blueprint(model: str, shape: Shape) -> Layer:
    """How torch pickles a model that is made for this shape. Raises ``ModelError``, also where it can't."""
    if model in _TEMPLATES:
        return _own(model, shape)
    info = team_models.info(model, shape)
    if info.whole is None:
        raise ModelError(f"{model} can't be saved as a whole model: {info.whole_problem}.")
    return info.whole


def _filled(value: Any, parts: Mapping[str, int | None]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, parts) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, parts) for one in value]
    return parts.get(value, value) if isinstance(value, str) else value


@lru_cache(maxsize=64)
def _own_sizes(model: str, shape: Shape) -> Mapping[str, Sizes]:
    return {
        joined(prefix, name): sizes
        for prefix, layer in _own(model, shape).named_layers()
        for name, sizes in {**layer.parameters, **layer.buffers}.items()
        if sizes is not None
    }


def sizes_of(model: str, shape: Shape) -> Mapping[str, Sizes]:
    """Names and sizes of the ``state_dict`` of a model that is made for this shape, in order. Raises ``ModelError``."""
    if model in _TEMPLATES:
        return _own_sizes(model, shape)
    return {name: sizes for name, (_, sizes) in team_models.info(model, shape).state.items()}


def learned_in(model: str, shape: Shape) -> Sequence[str]:
    """The names of what an optimizer updates, in its order. Raises ``ModelError``."""
    if model in _TEMPLATES:
        return [name for name in _own_sizes(model, shape) if not name.endswith(BUFFERS)]
    return team_models.info(model, shape).learned


def without_gradient_in(model: str, shape: Shape) -> frozenset[str]:
    """The names of those among them that no loss reaches, so that no optimizer has a state of them."""
    return frozenset() if model in _TEMPLATES else frozenset(team_models.info(model, shape).without_gradient)


def shared_in(model: str, shape: Shape) -> Mapping[str, str]:
    """The name of each tensor of its ``state_dict`` that is another one, too, and the first name of that."""
    return {} if model in _TEMPLATES else team_models.info(model, shape).shared


def dtype_of(model: str, shape: Shape, name: str) -> str:
    """The dtype of a tensor in its ``state_dict``. Raises ``ModelError``."""
    if model in _TEMPLATES:
        return "int64" if name.endswith(COUNTER) else "float32"
    return team_models.info(model, shape).state[name][0]


@dataclass(frozen=True)
class KnownModel:
    """A model that weights may belong to: the sizes of its tensors, in order, None where they depend on the shape."""

    name: str
    sizes: Mapping[str, Pattern]
    learned: frozenset[str]  # the names of those that an optimizer updates
    shape: Shape | None = None  # a team's is known only for the shapes that it was built for

    @cached_property
    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """The names of its tensors, each in parts."""
        return {name: tuple(name.split(".")) for name in self.sizes}


def _own_patterns(model: str) -> dict[str, Pattern]:
    """Two shapes that differ in all that sizes depend on."""
    one, other = (_own_sizes(model, shape) for shape in (FASHION, _OTHER))
    return {
        name: tuple(size if size == twin else None for size, twin in zip(sizes, other[name], strict=True))
        for name, sizes in one.items()
    }


OWN: Final = {
    model: KnownModel(model, _own_patterns(model), frozenset(learned_in(model, FASHION))) for model in _TEMPLATES
}


def known_models(*shapes: Shape) -> list[KnownModel]:
    """This app's, and the team's for images and classes of these shapes and of the datasets here."""
    team = team_models.infos((*shapes, *shapes_here())) if sources.named() else ()
    return [*OWN.values(), *(_of_team(*found) for found in team)]


def _of_team(name: str, shape: Shape, info: ModelInfo) -> KnownModel:
    sizes: dict[str, Pattern] = {key: sizes for key, (_, sizes) in info.state.items()}
    return KnownModel(name, sizes, frozenset(info.learned), shape)


def is_class_of(name: Name, model: KnownModel) -> bool:
    """Whether a class of this name, whichever module it is from, may be that of a whole model."""
    if model.shape:
        whole = team_models.info(model.name, model.shape).whole
        return whole is not None and whole.kind.rpartition(".")[2] == name.name
    is_known = model.name != "resnet18" or name.module == "torchvision.models.resnet"
    return is_known and MODEL_CLASSES[model.name] == name.name


def is_class_in(name: Name, model: KnownModel) -> bool:
    """Whether a class of this name may be that of a whole model, or of a layer that is defined beside it."""
    if is_class_of(name, model):
        return True
    whole = _whole(model) if model.shape else None
    return whole is not None and f"{whole.kind.rpartition('.')[0]}.{name.name}" in _kinds(whole)


def _whole(model: KnownModel) -> Layer | None:
    return team_models.info(model.name, model.shape).whole if model.shape else _own(model.name, FASHION)


def _kinds(whole: Layer) -> set[str]:
    return {layer.kind for _, layer in whole.named_layers()}


def names_in(model: KnownModel) -> Iterator[str]:
    """Every class and function that torch may name where it pickles the whole model."""
    if whole := _whole(model):
        yield from _kinds(whole)
        for _, layer in whole.named_layers():
            yield from _texts(layer.settings)


def _texts(value: Any) -> Iterator[str]:
    """A function among the settings is there by its name."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _texts(one)
