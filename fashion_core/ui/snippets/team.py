"""The lines of a script that build a team's own model, or allow what its whole model names."""

from typing import Final

from fashion_core.config import MODEL_LABELS, Shape
from fashion_core.errors import ModelError
from fashion_core.models.layers import Layer
from fashion_core.runs import team_models

_MUST_BE_IMPORTABLE: Final = "# must be importable: keep {file} beside this script, or install it"


def is_teams(model: str) -> bool:
    return model not in MODEL_LABELS


def building_lines(model: str, shape: Shape) -> str:
    """Import the module, which must be importable, and build the model for this shape."""
    try:
        info, (source, _) = team_models.info(model, shape), team_models.found(model, shape)
    except ModelError as error:
        return f"# {error}\nmodel = ..."
    parts = ", ".join(f"{part}={getattr(shape, part)}" for part in info.takes)
    return (
        f"from {source.module} import MODELS  {_MUST_BE_IMPORTABLE.format(file=source.path.name)}\n\n"
        f'model = MODELS["{model}"]({parts})'
    )


def allowing_lines(model: str, shape: Shape, class_path: str | None) -> str:
    """List the classes that a file of the whole model names; ``class_path`` is what it calls the model's own."""
    whole = team_models.info(model, shape).whole
    assert whole is not None
    module = whole.kind.rpartition(".")[0]
    named = (class_path or whole.kind).rpartition(".")[0]
    names = dict.fromkeys(name for name in _names(whole) if name.startswith(("torch.", f"{module}.")))
    entries = [_entry(name, module, named) for name in names]
    source, _ = team_models.found(model, shape)
    imports = f"import {module}  {_MUST_BE_IMPORTABLE.format(file=source.path.name)}"
    return "\n".join([imports, "", "classes = [", *(f"    {entry}," for entry in entries), "]"])


def _names(whole: Layer) -> list[str]:
    layers = [layer for _, layer in whole.named_layers()]
    settings = [value for layer in layers for value in layer.settings.values() if isinstance(value, str)]
    return [*(layer.kind for layer in layers), *settings]


def _entry(name: str, module: str, named: str) -> str:
    """The class, and what the file calls it where that differs."""
    rest = name.removeprefix(f"{module}.")
    return f'({name}, "{named}.{rest}")' if rest != name and named != module else name
