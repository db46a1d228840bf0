"""The plain PyTorch that loads a saved file outside the app, as it stands; only text is made here."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from fashion_core.charts.files import OPTIMIZERS, weights_key
from fashion_core.formats.inspect import Inspection, Optimizer
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat
from fashion_core.ui.snippets.training import MODEL_CLASSES, class_source, model_lines

_PIXELS = {
    "unit": "pixels from 0 to 1",
    "raw": "pixels from 0 to 255",
    "standard": "(pixels from 0 to 1 − 0.2860) / 0.3530",
}
_RESNET_PARTS = ("AdaptiveAvgPool2d", "BatchNorm2d", "Conv2d", "Linear", "MaxPool2d", "ReLU", "Sequential")
OWN_CLASSES = {
    **{model: f"fashion_core.models.{name}" for model, name in MODEL_CLASSES.items()},
    "resnet18": "torchvision.models.resnet.ResNet",
}
"""What a whole model that was saved by this app calls its class."""


@dataclass(frozen=True)
class Target:
    """A file to load: what kind it is, where it is, and which model is in it.

    ``keys`` are those beside the weights, ``key`` leads to the weights, ``prefix`` stands before each of their names,
    and ``class_path`` is what the file calls the class of a whole model.
    """

    format: str
    path: str
    model: str
    keys: frozenset[str] = frozenset()
    key: str | None = None
    prefix: str = ""
    class_path: str | None = None
    optimizer: Optimizer | None = None


def stored_target(found: Inspection, path: Path) -> Target | None:
    """A file as it lies on the disk; None if it can't be loaded here."""
    if found.model is None or found.refusal:
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
    """What an export of a checkpoint is, once it has been downloaded under this name."""
    if format == "checkpoint":
        return replace(checkpoint, path=name)
    return Target(format, name, checkpoint.model, class_path=OWN_CLASSES[checkpoint.model])


def download_name(run_name: str, format: ExportFormat, epoch: int) -> str:
    """What a downloaded export is called: its run, its epoch, and what it is."""
    return f"{plain_name(run_name)}-epoch-{epoch}-{EXPORT_NAMES[format]}"


def stored_name(run_name: str, file: str, format: str, epoch: int) -> str:
    """What a stored file is called once it is downloaded; those of the tutorial have no suffix of their own."""
    if format == "checkpoint":
        return download_name(run_name, "checkpoint", epoch)
    name = Path(file).name
    return f"{plain_name(run_name)}-{name}" if "." in name else f"{plain_name(run_name)}-{name}.pth"


def plain_name(run_name: str) -> str:
    """What a file may be called after a run, on any disk."""
    return re.sub(r"[^\w.]+", "-", run_name)[:60].strip("-.") or "run"


def loading_script(target: Target, pixels: str) -> str:
    """A script that ends with ``model`` loaded and in ``eval`` mode."""
    write = {"model": _whole_model, "pt2": _program}.get(target.format, _weights)
    return f"{write(target)}\n\n# model(images) gives logits; images: (N, 1, 28, 28), float32, {_PIXELS[pixels]}\n"


def _program(target: Target) -> str:
    return f"import torch\n\nmodel = torch.export.load({_quoted(target.path)}).module()"


def _whole_model(target: Target) -> str:
    """The class is written out and told to torch under the name that the file has for it, so nothing else may run."""
    index = f"[{_quoted(target.key)}]" if target.key else ""
    return "\n".join(
        [
            "import torch",
            *_classes(target),
            "",
            "# A whole model names the classes it is made of. Only these are allowed here; without weights_only=True",
            "# torch.load would run whatever a file names, so that is for files that you made yourself.",
            "with torch.serialization.safe_globals(classes):",
            f"    model = torch.load({_quoted(target.path)}, weights_only=True){index}",
            "model.eval()",
        ]
    )


def _classes(target: Target) -> list[str]:
    if target.model == "resnet18":
        parts = ", ".join(["ResNet", "BasicBlock", *(f"nn.{part}" for part in _RESNET_PARTS)])
        imports = ["from torch import nn", "from torchvision.models.resnet import BasicBlock, ResNet"]
        return [*imports, "", *_wrapped(parts)]
    name = MODEL_CLASSES[target.model]
    source = class_source(name)
    layers = sorted({f"nn.{layer}" for layer in re.findall(r"nn\.(\w+)\(", source)})
    return ["from torch import Tensor, nn", "", "", source, "", "",
            *_wrapped(", ".join([f"({name}, {_quoted(target.class_path)})", *layers]))]  # fmt: skip


def _wrapped(items: str) -> list[str]:
    return ["classes = [", f"    {items},", "]"]


def _weights(target: Target) -> str:
    gap = [] if target.model == "resnet18" else [""]
    return "\n".join([*_imports(target), *gap, model_lines(target.model), *_load(target), "model.eval()"])


def _imports(target: Target) -> list[str]:
    names = "nn" if target.model == "resnet18" else "Tensor, nn"
    first = "from safetensors.torch import load_file" if target.format == "safetensors" else "import torch"
    return [first, f"from torch import {names}"]


def _load(target: Target) -> list[str]:
    if target.format == "safetensors":
        return ["", f"weights = load_file({_quoted(target.path)})", *_into_model(target, "weights")]
    read = f"torch.load({_quoted(target.path)}, weights_only=True)"
    if target.format in ("checkpoint", "lightning"):
        weights = f"checkpoint[{_quoted(target.key)}]"
        return [*_make_optimizer(target), "", f"checkpoint = {read}", *_into_model(target, weights), *_beside(target)]
    index = f"[{_quoted(target.key)}]" if target.key else ""
    return ["", f"weights = {read}{index}", *_into_model(target, "weights")]


def _into_model(target: Target, weights: str) -> list[str]:
    if not target.prefix:
        return [f"model.load_state_dict({weights})"]
    names = f"{{name.removeprefix({_quoted(target.prefix)}): tensor for name, tensor in {weights}.items()}}"
    return [f"model.load_state_dict({names})"]


def _make_optimizer(target: Target) -> list[str]:
    known = OPTIMIZERS.get(target.optimizer.name) if target.optimizer else None
    if target.optimizer is None or known is None:
        return []
    rate, momentum = target.optimizer.learning_rate, target.optimizer.momentum
    settings = [f"lr={rate:g}"] if rate else []
    settings += [f"momentum={momentum:g}"] if momentum else []
    return [f"optimizer = torch.optim.{known}({', '.join(['model.parameters()', *settings])})"]


def _beside(target: Target) -> list[str]:
    """The tutorial's other three keys, as far as the file has them."""
    state = '["optimizer_state_dict"]' if "optimizer_state_dict" in target.keys else '["optimizer_states"][0]'
    lines = [f"optimizer.load_state_dict(checkpoint{state})"] if _make_optimizer(target) else []
    names = {"epoch": "epoch", "loss": "loss_last"}
    return [*lines, *(f"{name} = checkpoint[{_quoted(key)}]" for key, name in names.items() if key in target.keys)]


def _quoted(text: str | None) -> str:
    """The text as a Python literal: paths and the names in a stranger's file may hold any character."""
    return json.dumps(text or "", ensure_ascii=False)
