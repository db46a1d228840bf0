"""How large a model is, and each of its checkpoints: told before it is trained where that is much; without torch."""

import math
from typing import Final

from fashion_core.config import MODEL_LABELS, Shape, TrainConfig, model_label
from fashion_core.formats.untrusted.blueprints import learned_in, sizes_of

_MANY: Final = 20_000_000  # parameters: more than any model has for 28 × 28 images
_NUMBER_BYTES: Final = 4
_CAUTION: Final = (
    "{model} for {height} × {width} {colours} images has {parameters:,} parameters, and each checkpoint takes {size}"
    "{advice}."
)


def parameters(model: str, shape: Shape) -> int:
    """How many numbers such a model learns. Raises ``ModelError``."""
    sizes = sizes_of(model, shape)
    return sum(math.prod(sizes[name]) for name in learned_in(model, shape))


def caution(config: TrainConfig, shape: Shape) -> str | None:
    """A sentence where a model for images of this shape is large. Raises ``ModelError``."""
    count = parameters(config.model, shape)
    if count <= _MANY:
        return None
    size = f"{count * _NUMBER_BYTES * (1 + _kept_for_each(config)) / 1e9:.1f} GB"
    return _CAUTION.format(
        model=model_label(config.model),
        height=shape.height,
        width=shape.width,
        colours="grey" if shape.channels == 1 else "colour",
        parameters=count,
        size=size,
        advice=_advice(config.model, shape),
    )


def _advice(model: str, shape: Shape) -> str:
    if model not in MODEL_LABELS:
        return ""
    is_smaller = model != "resnet18" and parameters("resnet18", shape) <= _MANY
    return ": choose smaller images" + (" or ResNet-18" if is_smaller else "")


def _kept_for_each(config: TrainConfig) -> int:
    """How many numbers the optimizer keeps beside each parameter."""
    return 2 if config.optimizer != "sgd" else int(config.momentum > 0)
