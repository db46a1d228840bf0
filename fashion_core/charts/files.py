"""Charts of saved files: tidy DataFrames in, a chart out.

A spec names every layer of a file, of which a stranger's may have any number: so no spec is cached.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import altair as alt
import pandas as pd

from fashion_core.charts import base
from fashion_core.formats.inspect import Inspection, TensorInfo
from fashion_core.formats.untrusted.blueprints import BUFFERS
from fashion_core.formats.weight_change import WeightChange

# what a layer's tensors are called, in the order of the theme's colours, and the shape of each
KINDS: Final = {"weight": "circle", "bias": "diamond", "running_mean": "triangle-up", "running_var": "triangle-down"}
_SIGNS: Final = {"circle": "●", "diamond": "◆", "triangle-up": "▲", "triangle-down": "▼"}
_ROW: Final = 18  # pixels
_NAME_WIDTH: Final = 150  # pixels of the longest layer name that is shown whole
_LETTER: Final = 7  # pixels, of the text right of the longest bar
_UNITS: Final = [(1, "bytes"), (10**3, "kB"), (10**6, "MB")]


def bar_chart(rows: pd.DataFrame, series: tuple[str, str], title: str) -> base.ChartSpec:
    """One bar per row, from the top down: a filled part, then a hollow one, then the size in words.

    ``rows`` have `layer` (str, the row's name), `first` and `second` (int64, bytes), `text` (str); ``series`` is what
    the filled and the hollow part are called, ``title`` that of the x axis, in the unit that suits the longest bar.
    """
    longest = (rows["first"] + rows["second"]).max()  # not a number where there are no rows
    size, unit = max((pair for pair in _UNITS if pair[0] <= longest), default=_UNITS[0])
    first = rows.assign(part=series[0], bytes=rows["first"], start=0.0, end=rows["first"] / size)
    second = rows.assign(part=series[1], bytes=rows["second"], start=first["end"])
    second["end"] = second["start"] + rows["second"] / size
    parts = pd.concat([first, second])[["layer", "part", "bytes", "start", "end", "text"]]
    room = _LETTER * (max(map(len, rows["text"]), default=0) + 1)
    spec = _bars_spec(_layer_axis(rows), series, f"{title} ({unit})", room)
    return base.ChartSpec(spec, {"parts": parts}, max(len(rows), 1) * _ROW)


def _bars_spec(layer: alt.Y, series: tuple[str, str], title: str, room: int) -> str:
    scale = alt.Scale(range=[0, alt.ExprRef(f"max(width - {room}, 40)")], nice=False)
    x = alt.X("start:Q", title=title, scale=scale, axis=base.themed_axis(tickCount=4, grid=False, format="~f"))
    chart = base.named("parts").encode(layer, x)
    shade = alt.when(alt.datum.part == series[0]).then(alt.value(1)).otherwise(alt.value(0.12))
    scale = alt.Scale(domain=list(series))
    fill, stroke = alt.Fill("part:N", scale=scale, legend=None), alt.Stroke("part:N", scale=scale, legend=None)
    tooltip = base.tips({"layer": " ", "part": "part", "bytes:,": "bytes"})
    parts = chart.transform_filter(alt.datum.bytes > 0)
    drawn = parts.mark_bar(strokeWidth=1.5).encode(alt.X2("end"), fill, stroke, fillOpacity=shade, tooltip=tooltip)
    total = chart.transform_filter(alt.datum.part == series[1]).encode(alt.X("end:Q"), text="text:N")
    words = total.mark_text(align="left", dx=6, fontSize=12, color=base.INK, aria=False)
    return base.layered([drawn, words], autosize=base.FITTED)


def _layer_axis(rows: pd.DataFrame) -> alt.Y:
    axis = base.themed_axis(labelLimit=_NAME_WIDTH, labelPadding=6, grid=False, **base.BARE, **base.EVERY_NAME)
    return alt.Y("layer:N", title=None, sort=list(dict.fromkeys(rows["layer"])), axis=axis)


def weight_change_chart(rows: pd.DataFrame) -> base.ChartSpec:
    """One row per layer of `weight_change_frame`, one mark per tensor: how far it moved, in percent of its old norm."""
    axis = base.themed_axis(tickCount=base.tick_count(70, 2, 8), **base.GRID)
    x = alt.X("change:Q", title="relative L2 change (%)", scale=alt.Scale(zero=True, nice=True), axis=axis)
    chart = base.named("tensors").encode(_layer_axis(rows), x)
    line = chart.mark_rule(color=base.MUTED, strokeWidth=1, aria=False).encode(alt.X("lowest:Q"), alt.X2("highest"))
    line = line.transform_aggregate(lowest="min(change)", highest="max(change)", groupby=["layer"])
    tooltip = base.tips({"tensor": "tensor", "change:.3f": "change (%)"})
    marks = chart.mark_point(filled=True, size=80, opacity=1, stroke=base.PAPER, strokeWidth=0.5)
    marks = marks.encode(base.shapes("kind", KINDS), base.series_color("kind", list(KINDS)), tooltip=tooltip)
    spec = base.layered([line, marks], autosize=base.FITTED)
    return base.ChartSpec(spec, {"tensors": rows}, max(rows["layer"].nunique(), 1) * _ROW)


def weight_change_key(rows: pd.DataFrame) -> str:
    kinds = set(rows["kind"])
    return " · ".join(f"{_SIGNS[shape]} {kind}" for kind, shape in KINDS.items() if kind in kinds)


TENSOR_COLUMNS = (
    "tensor", "layer", "part", "shape", "dtype", "bytes", "histogram", "low", "high", "mean", "std", "nan", "inf"
)  # fmt: skip
LAYER_COLUMNS = ("layer", "first", "second", "text")
WEIGHT_CHANGE_COLUMNS = ("tensor", "layer", "kind", "change")
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}  # as torch calls them; another one as the file says


class _Placed(NamedTuple):
    """A tensor of the file, its name in the model, and whether it is optimizer state for that name."""

    name: str
    part: Literal["parameters", "buffers", "optimizer", "other"]
    facts: TensorInfo
    state: str = ""  # what the optimizer calls it

    @property
    def layer(self) -> str:
        return self.name.rpartition(".")[0] or self.name


def tensors_frame(found: Inspection) -> pd.DataFrame:
    """One row per tensor of the file, in file order: ``TENSOR_COLUMNS``.

    ``part`` is "parameters", "buffers", "optimizer" or "other"; ``histogram`` is a list of counts, or None where the
    numbers were not read.
    """
    figures = ("dtype", "bytes", "low", "high", "mean", "std", "nan", "inf")
    rows = [
        {
            "tensor": f"{placed.name} · {placed.state}" if placed.state else placed.name,
            "layer": placed.layer,
            "part": placed.part,
            "shape": " × ".join(map(str, placed.facts.shape)) or "one number",
            "histogram": list(placed.facts.histogram) if placed.facts.histogram else None,
            **{key: getattr(placed.facts, key) for key in figures},
        }
        for placed in _placed(found)
    ]
    return pd.DataFrame(rows, columns=list(TENSOR_COLUMNS)).astype({"nan": "Int64", "inf": "Int64"})


def _placed(found: Inspection) -> Iterator[_Placed]:
    """Optimizer slots are numbered in the order of the model's parameters, as ``Module.parameters`` gives them."""
    keys = ".".join(map(str, found.optimizer.keys)) if found.optimizer else ""
    start = f"{keys}.state." if keys else "state."
    learned = [facts.weight for facts in found.tensors if facts.weight and not facts.weight.endswith(BUFFERS)]
    places: dict[str, int] = {}
    for facts in found.tensors:
        if facts.weight is not None:
            yield _Placed(facts.weight, "buffers" if facts.weight.endswith(BUFFERS) else "parameters", facts)
        elif found.optimizer and facts.name.startswith(start):
            parameter, _, state = facts.name.removeprefix(start).partition(".")
            place = places.setdefault(parameter, len(places))  # for torch before 1.6, which numbered by addresses
            index = int(parameter) if parameter.isdecimal() and len(parameter) < 5 else place
            yield _Placed(learned[index] if index < len(learned) else f"parameter {index}", "optimizer", facts, state)
        else:
            yield _Placed(facts.name, "other", facts)


def layers_frame(found: Inspection) -> pd.DataFrame:
    """One row per layer, in the model's order: its bytes in the weights (``first``) and in the optimizer's state."""
    sizes: dict[str, list[int]] = {}
    for placed in _placed(found):
        if placed.part != "other":
            sizes.setdefault(placed.layer, [0, 0])[placed.part == "optimizer"] += placed.facts.bytes
    rows = [(layer, *both, bytes_text(sum(both))) for layer, both in sizes.items()]
    return pd.DataFrame(rows, columns=list(LAYER_COLUMNS))


def optimizer_settings(found: Inspection) -> dict[str, Any]:
    """The settings of the first param_group in a file's optimizer state, as they stand there."""
    settings = found.optimizer.settings if found.optimizer else {}
    return {key: value for key, value in settings.items() if value is not None}


class Way(NamedTuple):
    label: str
    optimizer: bool
    epoch: bool
    builds: str
    safe: str


# the formats of ``compare_formats``: what stands in the file beside the weights, and who may open it
FORMATS: dict[str, Way] = {
    "weights": Way("weights only", False, False, "no: your code builds it", "yes, with weights_only=True"),
    "model": Way("whole model", False, False, "yes, if its class can be imported", "no: it names code to run"),
    "checkpoint": Way("checkpoint", True, True, "no: your code builds it", "yes, with weights_only=True"),
    "safetensors": Way("safetensors", False, True, "no: your code builds it", "yes: it holds only numbers"),
    "pt2": Way("pt2 program", False, True, "yes, without its class", "no: its graph can hold code"),
}


def formats_frame(measured: dict[str, Any], optimizer: str | None) -> pd.DataFrame:
    """One row per format, as ``torch_process.compare_formats`` measured it; ``optimizer`` is that of the checkpoint."""
    rows = []
    for row in measured["formats"]:
        way, state = FORMATS[row["format"]], "– none"
        if optimizer is not None:
            state = f"✓ {OPTIMIZERS.get(optimizer, optimizer)}" if way.optimizer else "– lost"
        rows.append(
            {
                "format": way.label,
                "size": bytes_text(row["bytes"]),
                "save (ms)": row["save_seconds"] * 1e3,
                "load (ms)": row["load_seconds"] * 1e3,
                "optimizer": state,
                "epoch and loss": "✓ kept" if way.epoch else "– lost",
                "builds the model": way.builds,
                "safe to share": way.safe,
                "outputs": "the same bits" if row["difference"] == 0 else f"off by up to {row['difference']:.1e}",
            }
        )
    return pd.DataFrame(rows)


def sizes_frame(sizes: Mapping[str, int], weights: int) -> pd.DataFrame:
    """One row per file for ``bar_chart``: the bytes of ``weights``, which each must hold, and those of all else."""
    parts = [(label, min(weights, size), max(0, size - weights)) for label, size in sizes.items()]
    rows = [(label, first, rest, f"{bytes_text(first)} + {bytes_text(rest)}") for label, first, rest in parts]
    return pd.DataFrame(rows, columns=list(LAYER_COLUMNS))


def format_sizes(measured: dict[str, Any]) -> dict[str, int]:
    """The bytes of each format, as ``torch_process.compare_formats`` measured it, by its label."""
    return {FORMATS[row["format"]].label: row["bytes"] for row in measured["formats"]}


def sizes_sentence(measured: dict[str, Any], optimizer: str | None) -> str:
    """What the sizes say, the tutorial's point first; ``optimizer`` as in ``formats_frame``."""
    sizes = {row["format"]: row["bytes"] for row in measured["formats"]}
    times = sizes["checkpoint"] / sizes["weights"]
    memory = f"{OPTIMIZERS.get(str(optimizer), optimizer)} keeps two numbers for each weight"
    if optimizer is None:
        memory = "it carries no optimizer"
    elif optimizer == "sgd":
        memory = "SGD keeps a momentum for each weight" if times > 1.5 else "plain SGD keeps no state"
    return (
        f"**Weights only take {bytes_text(sizes['weights'])}.** The whole model takes "
        f"{bytes_text(sizes['model'] - sizes['weights'])} more, for the names of its classes. "
        f"The checkpoint is {times:.1f} times as large: {memory}."
    )


def weight_change_sentence(moved: WeightChange, other: str) -> str:
    ranked = sorted((change, name) for name, change in moved.tensors.items() if change is not None)
    if not any(change for change, _ in ranked):
        return f"**The same weights** as {other}: no tensor moved."
    overall = "" if moved.overall is None else f"the weights moved by **{moved.overall:.2%}** of their norm"
    (least, slow), (most, fast) = ranked[0], ranked[-1]
    return f"From {other} to this file {overall}. Most: `{fast}` ({most:.2%}), least: `{slow}` ({least:.2%})."


def weight_change_frame(moved: Mapping[str, float | None]) -> pd.DataFrame:
    """One row per tensor that could be compared: ``WEIGHT_CHANGE_COLUMNS``, ``change`` in percent of its old norm."""
    rows = [(name, *name.rpartition(".")[::2], change * 100) for name, change in moved.items() if change is not None]
    return pd.DataFrame(rows, columns=list(WEIGHT_CHANGE_COLUMNS))


def bytes_text(count: int) -> str:
    """A size in powers of 1,000, such as "2.68 MB"."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            digits = f"{count / size:#.3g}".rstrip(".") if count < 999.5 * size else f"{count / size:,.0f}"
            return f"{digits} {unit}"
    return f"{count} B"
