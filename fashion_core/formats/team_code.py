"""The lines of a script that build a team's own model, or allow what its whole model names."""

import json
from collections.abc import Iterable
from typing import Final

from fashion_core.config import MODEL_LABELS, Shape
from fashion_core.errors import ModelError
from fashion_core.formats.untrusted.blueprints import blueprint
from fashion_core.models.sources import Source
from fashion_core.runs import team_models

_MUST_BE_IMPORTABLE: Final = "# must be importable: keep {file} beside this script, or install it"


def is_teams(model: str) -> bool:
    return model not in MODEL_LABELS


def building_lines(model: str, shape: Shape) -> str:
    """Import the module, which must be importable, and build the model for this shape."""
    try:
        info, (source, _) = team_models.info(model, shape), team_models.find(model, shape)
    except ModelError as error:
        return f"# {error}\nmodel = ..."
    parts = ", ".join(f"{part}={getattr(shape, part)}" for part in info.takes)
    return (
        f"from {source.module} import MODELS  {_MUST_BE_IMPORTABLE.format(file=_beside(source))}\n\n"
        f'model = MODELS["{model}"]({parts})'
    )


def allowing_lines(model: str, shape: Shape, class_path: str | None) -> str:
    """List the classes that a file of the whole model names; ``class_path`` is what it calls the model's own."""
    try:
        whole, (source, _) = blueprint(model, shape), team_models.find(model, shape)
    except ModelError as error:
        return f"# {error}\nclasses = []"
    own, named = _module(whole.kind), _module(class_path or whole.kind)
    classes = dict.fromkeys(layer.kind for _, layer in whole.named_layers())
    modules = dict.fromkeys(_module(kind) for kind in classes if not kind.startswith("torch."))
    settings = [value for _, layer in whole.named_layers() for value in layer.settings.values()]
    functions = [one for one in settings if isinstance(one, str) and _module(one) and _is_known(one, modules)]
    entries = [_entry(name, own, named) for name in dict.fromkeys((*classes, *functions))]
    told = _MUST_BE_IMPORTABLE.format(file=_beside(source))
    imports = [f"import {module}" + (f"  {told}" if module == own else "") for module in modules]
    return "\n".join([*imports, "", "classes = [", *(f"    {entry}," for entry in entries), "]"])


def _beside(source: Source) -> str:
    """What has to lie beside a script: the file, or the whole package."""
    package, _, module = source.module.partition(".")
    return f"{package}/" if module else source.path.name


def _module(path: str) -> str:
    return path.rpartition(".")[0]


def _is_known(name: str, modules: Iterable[str]) -> bool:
    return name.startswith("torch.") or _module(name) in modules


def _entry(name: str, own: str, named: str) -> str:
    """The class, and what the file calls it where that differs: a stranger's file may call its module anything."""
    rest = name.removeprefix(f"{own}.")
    return f"({name}, {json.dumps(f'{named}.{rest}')})" if rest != name and named != own else name
