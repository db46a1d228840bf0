"""Writes how torch pickles this app's models, for any shape: ``python -m tests.support.blueprints``.

Each is built for a shape of numbers that stand nowhere else in it; where they are found, the shape's parts are named.
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fashion_core.config import MODEL_LABELS, Shape
from fashion_core.formats.pickled_layers import pickled_layers
from fashion_core.formats.untrusted.blueprints import parts_of
from fashion_core.models import build_model
from fashion_core.models.layers import BLUEPRINTS

_ODD = Shape(channels=5, height=36, width=52, classes=11)


def blueprints() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return {model: _named(model, asdict(_pickled(model, Path(folder)))) for model in MODEL_LABELS}


def _pickled(model: str, folder: Path) -> Any:
    return pickled_layers(build_model(model, 0, _ODD), folder)


def _named(model: str, value: Any) -> Any:
    names = {number: name for name, number in parts_of(model, _ODD).items()}
    if isinstance(value, dict):
        return {key: _named(model, one) for key, one in value.items() if one or key not in ("buffers", "not_saved")}
    if isinstance(value, list | tuple):
        return [_named(model, one) for one in value]
    return names.get(value, value) if type(value) is int else value


def current() -> str:
    return BLUEPRINTS.read_text()


def written() -> str:
    lines = (f"{json.dumps(model)}: {json.dumps(layers)}" for model, layers in blueprints().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    BLUEPRINTS.write_text(written())
