"""What is known of a model without torch: its tensors, and how torch pickles each of its layers."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

Sizes = tuple[int, ...]

BLUEPRINTS: Final = Path(__file__).with_name("blueprints.json")
"""How torch pickles this app's own models, as tests.support.blueprints writes it."""


@dataclass(frozen=True)
class Layer:
    """A module as torch pickles it; a parameter that it could have and does not is None."""

    kind: str  # the class, with its module
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Sizes | None] = field(default_factory=dict)
    buffers: Mapping[str, Sizes | None] = field(default_factory=dict)
    layers: Mapping[str, "Layer | None"] = field(default_factory=dict)
    not_saved: tuple[str, ...] = ()  # buffers that its ``state_dict`` leaves out

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, "Layer"]]:
        """Yield this one and all inside, each with its name, in torch's order."""
        yield prefix, self
        for name, layer in self.layers.items():
            if layer:
                yield from layer.named_layers(f"{prefix}.{name}" if prefix else name)


class LayerInfo(BaseModel):
    """A layer as an image passes it: the shape that it gives, and how many numbers it can learn."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    output_shape: Sizes
    parameters: int


class ModelInfo(BaseModel):
    """A team's model, built for images and classes of one shape."""

    model_config = ConfigDict(frozen=True)

    problem: str | None = None  # why it can't be trained, as one sentence; then all else is empty
    doc: str = ""
    takes: tuple[str, ...] = ()  # which parts of a shape it is built with
    text: str = ""
    layers: tuple[LayerInfo, ...] = ()
    parameters: int = 0
    state: Mapping[str, tuple[str, Sizes]] = {}  # dtype and sizes of each tensor of its ``state_dict``, in order
    learned: tuple[str, ...] = ()  # the names of those that an optimizer updates, in its order
    without_gradient: tuple[str, ...] = ()  # of these, the ones that no loss reaches, such as frozen ones
    shared: Mapping[str, str] = {}  # the name of each tensor that is another one, too, and the first name of that
    whole: Layer | None = None
    whole_problem: str | None = None  # why it can't be saved as a whole model, as the end of a sentence


class Answer(BaseModel):
    """What a process with torch says of a module that lists models, for images of one shape."""

    model_config = ConfigDict(frozen=True)

    problem: str | None = None  # why none of them can be used, as one sentence
    torch: str
    files: Mapping[str, str] = {}  # the SHA-256 of each that was imported, by its path below ``Source.root``
    models: Mapping[str, ModelInfo] = {}

    @property
    def sha256(self) -> str:
        """Of all its files, by their names: it changes with any of them."""
        return sha256_of(self.files)


def sha256_of(files: Mapping[str, str]) -> str:
    """One digest of several, by their files' names."""
    lines = (f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
