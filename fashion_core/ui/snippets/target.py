"""The file that a script loads: what is in it, and its name once it is downloaded."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fashion_core.charts.files import weights_key
from fashion_core.formats.inspect import Inspection, Optimizer
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat

_OWN_CLASSES: Final = {
    "mlp": "fashion_core.models.NeuralNetwork",
    "cnn": "fashion_core.models.SmallCNN",
    "resnet18": "torchvision.models.resnet.ResNet",
}
"""What a whole model that was saved by this app calls its class."""


@dataclass(frozen=True)
class Target:
    """A file to load.

    Attributes:
        keys: its top-level keys.
        key: the one that leads to the weights or the model, if any.
        prefix: what precedes each name of the weights.
        class_path: what the file calls the class of a whole model.
    """

    format: str
    path: str
    model: str
    keys: frozenset[str] = frozenset()
    key: str | None = None
    prefix: str = ""
    class_path: str | None = None
    optimizer: Optimizer | None = None


def stored_target(found: Inspection | None, path: Path) -> Target | None:
    """A file as it is stored; None if it can't be loaded here."""
    if found is None or found.model is None or found.refusal:
        return None
    return Target(
        format=found.format,
        path=str(path),
        model=found.model,
        keys=frozenset(found.tree),
        key=weights_key(found),
        prefix=found.prefix,
        class_path=found.model_class,
        optimizer=found.optimizer,
    )


def export_target(checkpoint: Target, format: ExportFormat, name: str) -> Target:
    """An export of a checkpoint, downloaded under this name."""
    if format == "checkpoint":
        return replace(checkpoint, path=name)
    return Target(format, name, checkpoint.model, class_path=_OWN_CLASSES[checkpoint.model])


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
