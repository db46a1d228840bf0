"""What was found in one saved file, or about two, as tidy DataFrames and plain texts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fashion_core.formats.inspect import Inspection, TensorInfo
from fashion_core.formats.untrusted.state_dict import BUFFERS, WEIGHT_KEYS, optimizer_state
from fashion_core.formats.weight_change import TensorChange, WeightChange

TENSOR_COLUMNS = (
    "tensor", "layer", "part", "shape", "dtype", "bytes", "histogram", "low", "high", "mean", "std", "nan", "inf"
)  # fmt: skip
LAYER_COLUMNS = ("layer", "first", "second", "text")
MOVEMENT_COLUMNS = ("tensor", "layer", "kind", "change")

_SLOT = re.compile(r"optimizer_states?(?:_dict|\.0)\.state\.(\d+)\.(.+)")


@dataclass(frozen=True)
class _Placed:
    """A tensor of the file by what it is: its name in the model, and whether the optimizer keeps it for that one."""

    name: str
    part: str
    facts: TensorInfo

    @property
    def layer(self) -> str:
        return self.name.rpartition(".")[0] or self.name


def tensors_frame(found: Inspection) -> pd.DataFrame:
    """A row a tensor of the file, in its order: ``TENSOR_COLUMNS``.

    ``part`` is "parameters", "buffers", "optimizer" or "other"; ``histogram`` is a list of counts, or None where the
    numbers were not read.
    """
    rows = [
        {
            "tensor": placed.facts.name if placed.part == "other" else _label(placed),
            "layer": placed.layer,
            "part": placed.part,
            "shape": " × ".join(map(str, placed.facts.shape)) or "one number",
            "histogram": list(placed.facts.histogram) if placed.facts.histogram else None,
            **{key: getattr(placed.facts, key) for key in _FIGURES},
        }
        for placed in _placed(found)
    ]
    return pd.DataFrame(rows, columns=list(TENSOR_COLUMNS)).astype({"nan": "Int64", "inf": "Int64"})


_FIGURES = ("dtype", "bytes", "low", "high", "mean", "std", "nan", "inf")


def _label(placed: _Placed) -> str:
    slot = _SLOT.match(placed.facts.name)
    return f"{placed.name} · {slot[2]}" if slot else placed.name


def _placed(found: Inspection) -> Iterator[_Placed]:
    """Optimizer slots are numbered in the order of the model's parameters, as ``Module.parameters`` gives them."""
    key = weights_key(found)
    start = f"{key}.{found.prefix}" if key else found.prefix
    learned: list[str] = []
    for facts in found.tensors:
        slot = _SLOT.match(facts.name)
        if slot:
            index = int(slot[1])
            yield _Placed(learned[index] if index < len(learned) else f"parameter {index}", "optimizer", facts)
        elif found.parameters is not None and facts.name.startswith(start):
            name = facts.name.removeprefix(start)
            is_buffer = name.endswith(BUFFERS)
            learned.extend([] if is_buffer else [name])
            yield _Placed(name, "buffers" if is_buffer else "parameters", facts)
        else:
            yield _Placed(facts.name, "other", facts)


def weights_key(found: Inspection) -> str | None:
    """The key that leads to the weights in a file that holds more than them."""
    tree = found.tree if isinstance(found.tree, dict) else {}
    return next((key for key in WEIGHT_KEYS if isinstance(tree.get(key), dict)), None)


def layers_frame(found: Inspection) -> pd.DataFrame:
    """A row a layer, in the model's order: its bytes in the weights (``first``) and in the optimizer's state."""
    sizes: dict[str, list[int]] = {}
    for placed in _placed(found):
        if placed.part != "other":
            sizes.setdefault(placed.layer, [0, 0])[placed.part == "optimizer"] += placed.facts.bytes
    rows = [(layer, *both, bytes_text(sum(both))) for layer, both in sizes.items()]
    return pd.DataFrame(rows, columns=list(LAYER_COLUMNS))


def optimizer_settings(found: Inspection) -> dict[str, Any]:
    """The settings of the first param_group in a file's optimizer state, as they stand there."""
    state = optimizer_state(found.tree)
    first = state["param_groups"][0] if state and state["param_groups"] else {}
    return {key: value for key, value in first.items() if key != "params" and value is not None}


@dataclass(frozen=True)
class Way:
    """What one format keeps of a checkpoint, in words."""

    label: str
    optimizer: bool
    epoch: bool
    builds: str
    safe: str


WAYS: dict[str, Way] = {
    "weights": Way("weights only", False, False, "no: your code builds it", "yes, with weights_only=True"),
    "model": Way("whole model", False, False, "yes, if its class can be imported", "no: it names code to run"),
    "checkpoint": Way("checkpoint", True, True, "no: your code builds it", "yes, with weights_only=True"),
    "safetensors": Way("safetensors", False, True, "no: your code builds it", "yes: it holds numbers alone"),
    "pt2": Way("pt2 program", False, False, "yes, without its class", "only from people you trust"),
}
"""The formats of ``compare_formats``: what stands in the file beside the weights, and who may open it."""


def ways_frame(measured: dict[str, Any], optimizer: str | None) -> pd.DataFrame:
    """A row a format as ``jobs.compare_formats`` measured it.

    ``optimizer`` names the one whose state the checkpoint carries, if it carries one.
    """
    return pd.DataFrame([_way_row(row, WAYS[row["format"]], optimizer) for row in measured["formats"]])


def _way_row(row: dict[str, Any], way: Way, optimizer: str | None) -> dict[str, Any]:
    keeps_state = way.optimizer and optimizer is not None
    return {
        "format": way.label,
        "size": bytes_text(row["bytes"]),
        "save (ms)": row["save_seconds"] * 1e3,
        "load (ms)": row["load_seconds"] * 1e3,
        "optimizer": f"✓ {OPTIMIZERS.get(str(optimizer), optimizer)}"
        if keeps_state
        else "– lost"
        if optimizer
        else "– none",
        "epoch and loss": "✓ kept" if way.epoch else "– lost",
        "builds the model": way.builds,
        "safe to share": way.safe,
        "outputs": "the same bits" if row["difference"] == 0 else f"off by up to {row['difference']:.1e}",
    }


def sizes_frame(measured: dict[str, Any], weights: int) -> pd.DataFrame:
    """A row a format for ``file_charts.bars``: the ``weights`` bytes that each must hold, and what stands beside."""
    rows = [
        (
            WAYS[row["format"]].label,
            min(weights, row["bytes"]),
            max(0, row["bytes"] - weights),
            bytes_text(row["bytes"]),
        )
        for row in measured["formats"]
    ]
    return pd.DataFrame(rows, columns=list(LAYER_COLUMNS))


def sizes_sentence(measured: dict[str, Any], optimizer: str | None) -> str:
    """What the sizes say, the tutorial's point first; ``optimizer`` as in ``ways_frame``."""
    sizes = {row["format"]: row["bytes"] for row in measured["formats"]}
    times = sizes["checkpoint"] / sizes["weights"]
    return (
        f"**Weights only take {bytes_text(sizes['weights'])}.** The whole model takes "
        f"{bytes_text(sizes['model'] - sizes['weights'])} more, for the names of its classes. "
        f"The checkpoint is {times:.1f} times as large: {_memory(optimizer, times)}."
    )


def _memory(optimizer: str | None, times: float) -> str:
    if optimizer is None:
        return "it carries no optimizer"
    if optimizer == "sgd":
        return "SGD keeps its momentum of each weight" if times > 1.5 else "plain SGD remembers nothing of a weight"
    return f"{OPTIMIZERS.get(optimizer, optimizer)} keeps two numbers for each weight"


def weight_change_sentence(moved: WeightChange, other: str) -> str:
    """How far all learned tensors moved since the other file, and which tensor moved most and least."""
    ranked = sorted((one.change, one.name) for one in moved.tensors if one.change is not None)
    if not any(change for change, _ in ranked):
        return f"**The same weights** as {other}: no tensor moved."
    overall = "" if moved.overall is None else f"the weights moved by **{moved.overall:.2%}** of their length"
    (least, slow), (most, fast) = ranked[0], ranked[-1]
    return f"From {other} to this file {overall}. Most: `{fast}` ({most:.2%}), least: `{slow}` ({least:.2%})."


def weight_change_frame(moved: list[TensorChange]) -> pd.DataFrame:
    """A row a tensor that could be compared: ``MOVEMENT_COLUMNS``, ``change`` in percent of its former length."""
    rows = [
        (one.name, one.name.rpartition(".")[0], one.name.rpartition(".")[2], one.change * 100)
        for one in moved
        if one.change is not None
    ]
    return pd.DataFrame(rows, columns=list(MOVEMENT_COLUMNS))


OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
"""What torch calls them; another one is named as the file says."""


def bytes_text(count: int) -> str:
    """A size as people say it, in powers of 1,000: "2.68 MB"."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            digits = f"{count / size:#.3g}".rstrip(".") if count < 999.5 * size else f"{count / size:,.0f}"
            return f"{digits} {unit}"
    return f"{count} B"
