"""Plain PyTorch that does what the app does, ready to copy: only text is made here, so nothing needs torch."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fashion_core.charts.files import OPTIMIZERS
from fashion_core.config import MODEL_CLASSES, TrainConfig
from fashion_core.data.description import BUILT_IN, Description, describe
from fashion_core.formats import team_code as team
from fashion_core.formats.inspect import Inspection, Optimizer
from fashion_core.models.class_source import class_source
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat

# What a whole model that was saved by this app calls its class.
_OWN_CLASSES: Final = {
    "mlp": "fashion_core.models.NeuralNetwork",
    "cnn": "fashion_core.models.SmallCNN",
    "resnet18": "torchvision.models.resnet.ResNet",
}
_TUTORIALS: Final = BUILT_IN["fashion-mnist"]


@dataclass(frozen=True)
class Target:
    format: str
    path: str
    model: str
    keys: frozenset[str] = frozenset()  # its top-level keys
    index: str = ""  # what leads to the weights or the model in it, such as ``["state_dict"]``
    prefix: str = ""  # what precedes each name of the weights
    names: Mapping[str, str | int] = field(default_factory=dict)  # of the model's, where more than the prefix differs
    class_path: str | None = None  # what the file calls the class of a whole model
    optimizer: Optimizer | None = None
    optimizer_index: str = ""
    made_here: bool = False  # exported by this app for this very script: any other file may be a stranger's


def training_script(config: TrainConfig, dataset: Description | None = None) -> str:
    """A script that trains on a dataset, by default the one of that name here. Raises ``DataError``."""
    return _render("training", config.model, config.pixels, dataset or describe(config.dataset), config=config)


@dataclass(frozen=True)
class Resumed:
    """What a script takes from a checkpoint."""

    checkpoint: Path
    fresh_optimizer: bool = False
    is_transfer: bool = False
    other_classes: tuple[str, ...] = ()  # tensors that would fit, but stand for other classes
    trained: tuple[str, ...] = ()  # all other tensors are frozen; none where nothing is

    @property
    def path(self) -> str:
        return repr(str(self.checkpoint))


def resuming_script(config: TrainConfig, resumed: Resumed, dataset: Description | None = None) -> str:
    dataset = dataset or describe(config.dataset)
    return _render("resuming", config.model, config.pixels, dataset, config=config, resumed=resumed)


def loading_script(target: Target, pixels: str, dataset: Description = _TUTORIALS) -> str:
    """A script that ends with ``model`` loaded and in ``eval`` mode."""
    return _render("loading", target.model, pixels, dataset, target=target)


def using_script(
    name: Literal["predicting", "evaluating"], target: Target, config: TrainConfig, dataset: Description | None = None
) -> str:
    """A script that ends with ``probabilities``: (1, C) of ``picture.png``, or (N, C) of all test images."""
    alone, dataset = replace(target, optimizer=None, keys=frozenset()), dataset or describe(config.dataset)
    return _render(name, target.model, config.pixels, dataset, target=alone, config=config)


def _render(name: str, model: str, pixels: str, dataset: Description, **values: object) -> str:
    template = _templates.get_template(f"{name}.py.j2")
    return template.render(model=model, pixels=_in_words_and_code(pixels, dataset), dataset=dataset, **values)


def _in_words_and_code(pixels: str, dataset: Description) -> dict[str, str]:
    """What a value of ``TrainConfig.pixels`` is in words, in torchvision, from uint8, and for a black pixel."""
    if pixels == "raw":
        transform = "transforms.Compose([transforms.PILToTensor(), lambda image: image.float()])"
        return {"words": "pixels from 0 to 255", "transform": transform, "scale": "", "black": "0"}
    if pixels == "unit":
        return {
            "words": "pixels from 0 to 1", "transform": "transforms.ToTensor()", "scale": ".div_(255)", "black": "0",
        }  # fmt: skip
    means, stds = (", ".join(f"{number:.4f}" for number in numbers) for numbers in (dataset.mean, dataset.std))
    grey = dataset.channels == 1
    mean, std = (one if grey else f"torch.tensor([{one}]).view(-1, 1, 1)" for one in (means, stds))
    black = [f"-{mean:.4f} / {std:.4f}" for mean, std in zip(dataset.mean, dataset.std, strict=True)]
    return {
        "words": f"(pixels from 0 to 1 − {means}) / {stds}" if grey else f"(0 to 1 − ({means})) / ({stds}) by channel",
        "transform": f"transforms.Compose([transforms.ToTensor(), transforms.Normalize({means}, {stds})])",
        "scale": f".div_(255).sub_({mean}).div_({std})",
        "black": black[0] if grey else f"[{', '.join(black)}]",
    }


def _layer_classes(model: str) -> str:
    """The classes of torch that a whole model names besides its own."""
    return ", ".join(sorted({f"nn.{layer}" for layer in re.findall(r"nn\.(\w+)\(", class_source(model))}))


def stored_target(found: Inspection | None, path: Path) -> Target | None:
    if found is None or found.model is None or found.refusal:
        return None
    if (names := _names(found)) is None:
        return None
    optimizer = found.optimizer if found.optimizer and not found.optimizer.problem else None
    return Target(
        format=found.format,
        path=str(path),
        model=found.model,
        keys=frozenset(found.tree if isinstance(found.tree, dict) else ()),
        index=_index(found.keys),
        prefix=found.prefix,
        names=names,
        class_path=found.model_class,
        optimizer=optimizer,
        optimizer_index=_index(optimizer.keys if optimizer else ()),
    )


def _index(keys: Iterable[str | int]) -> str:
    return "".join(f"[{_literal(key)}]" for key in keys)


def _literal(value: str | int | None) -> str:
    """As Python source, whatever the names in a stranger's file and its path hold."""
    return json.dumps("" if value is None else value, ensure_ascii=False)


def _names(found: Inspection) -> dict[str, str | int] | None:
    """What the file calls each tensor; empty if the prefix alone differs, None if they are in several dicts."""
    holder: Any = found.tree
    for key in found.keys:
        holder = holder[int(key)] if isinstance(holder, list) else holder.get(str(key), {})
    start = "".join(f"{key}." for key in found.keys)
    names: dict[str, str | int] = {
        one.weight: one.name.removeprefix(start) for one in found.tensors if one.weight is not None
    }
    if found.format == "model":
        return {}
    if isinstance(holder, list):
        return {name: int(place) for name, place in names.items()}
    if not set(names.values()) <= holder.keys():
        return None
    is_plain = len(names) == found.expected == len(holder)
    return {} if is_plain and all(theirs == found.prefix + name for name, theirs in names.items()) else names


def export_target(checkpoint: Target, format: ExportFormat, name: str) -> Target:
    if format == "checkpoint":
        return replace(checkpoint, path=name)
    own_class = _OWN_CLASSES.get(checkpoint.model)
    return Target(format=format, path=name, model=checkpoint.model, class_path=own_class, made_here=True)


def download_name(run_name: str, format: ExportFormat, epoch: int) -> str:
    return f"{plain_name(run_name)}-epoch-{epoch}-{EXPORT_NAMES[format]}"


def stored_name(run_name: str, file: str, format: str, epoch: int) -> str:
    """The name under which a stored file is downloaded; the tutorial's checkpoints have no suffix of their own."""
    if format == "checkpoint":
        return download_name(run_name, "checkpoint", epoch)
    name = Path(file).name
    return f"{plain_name(run_name)}-{name}" if "." in name else f"{plain_name(run_name)}-{name}.pth"


def plain_name(run_name: str) -> str:
    """A run's name as part of a file name, valid on any system."""
    return re.sub(r"[^\w.]+", "-", run_name)[:60].strip("-.") or "run"


_templates = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
_templates.loader, _templates.auto_reload = FileSystemLoader(Path(__file__).parent / "templates"), False
_templates.filters.update(literal=_literal, number="{:g}".format)
_templates.globals.update(class_source=class_source, layer_classes=_layer_classes)
_templates.globals.update(is_teams=team.is_teams, building=team.building_lines, allowing=team.allowing_lines)
_templates.globals.update(MODEL_CLASSES=MODEL_CLASSES, OPTIMIZERS=OPTIMIZERS)
