"""Charts of saved files: tidy DataFrames in, a chart out.

A spec names every layer of a file, of which a stranger's may have any number: so no spec is cached.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import altair as alt
import pandas as pd

from fashion_core.charts import base, texts
from fashion_core.formats.inspect import Inspection, TensorInfo
from fashion_core.formats.untrusted.blueprints import BUFFERS
from fashion_core.formats.weight_change import WeightChange

# what a layer's tensors are called, in the order of the theme's colours, and the shape of each
KINDS: Final = {"weight": "circle", "bias": "diamond", "running_mean": "triangle-up", "running_var": "triangle-down"}
_SIGNS: Final = {"circle": "●", "diamond": "◆", "triangle-up": "▲", "triangle-down": "▼"}
_ROW: Final = 18  # pixels
_NAME_WIDTH: Final = 150  # pixels of the longest layer name that is shown whole
_LETTER: Final = 7  # pixels, of the text right of the longest bar
_UNITS: Final = [(1, texts.BYTES), (10**3, "kB"), (10**6, "MB")]


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
    spec = _bars_spec(_layer_axis(rows), series, texts.SIZE_AXIS.format(title=title, unit=unit), room)
    return base.ChartSpec(spec, {"parts": parts}, max(len(rows), 1) * _ROW)


def _bars_spec(layer: alt.Y, series: tuple[str, str], title: str, room: int) -> str:
    scale = alt.Scale(range=[0, alt.ExprRef(f"max(width - {room}, 40)")], nice=False)
    x = alt.X("start:Q", title=title, scale=scale, axis=base.themed_axis(tickCount=4, grid=False, format="~f"))
    chart = base.named("parts").encode(layer, x)
    shade = alt.when(alt.datum.part == series[0]).then(alt.value(1)).otherwise(alt.value(0.12))
    scale = alt.Scale(domain=list(series))
    fill, stroke = alt.Fill("part:N", scale=scale, legend=None), alt.Stroke("part:N", scale=scale, legend=None)
    tooltip = base.tips({"layer": " ", "part": texts.PART, "bytes:,": texts.BYTES})
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
    x = alt.X("change:Q", title=texts.WEIGHT_CHANGE_AXIS, scale=alt.Scale(zero=True, nice=True), axis=axis)
    chart = base.named("tensors").encode(_layer_axis(rows), x)
    line = chart.mark_rule(color=base.MUTED, strokeWidth=1, aria=False).encode(alt.X("lowest:Q"), alt.X2("highest"))
    line = line.transform_aggregate(lowest="min(change)", highest="max(change)", groupby=["layer"])
    tooltip = base.tips({"tensor": texts.TENSOR, "change:.3f": texts.CHANGE_PERCENT})
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
            "shape": " × ".join(map(str, placed.facts.shape)) or texts.ONE_NUMBER,
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
            name = learned[index] if index < len(learned) else texts.UNNAMED_PARAMETER.format(index=index)
            yield _Placed(name, "optimizer", facts, state)
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
    "weights": Way(texts.WEIGHTS_ONLY, False, False, texts.BUILT_BY_CODE, texts.SAFE_WEIGHTS_ONLY),
    "model": Way(texts.WHOLE_MODEL, False, False, texts.BUILT_FROM_CLASS, texts.UNSAFE_NAMES),
    "checkpoint": Way(texts.CHECKPOINT, True, True, texts.BUILT_BY_CODE, texts.SAFE_WEIGHTS_ONLY),
    "safetensors": Way(texts.SAFETENSORS, False, True, texts.BUILT_BY_CODE, texts.SAFE_NUMBERS),
    "pt2": Way(texts.PT2_PROGRAM, False, True, texts.BUILT_WITHOUT_CLASS, texts.UNSAFE_GRAPH),
}


def formats_frame(measured: dict[str, Any], optimizer: str | None) -> pd.DataFrame:
    """One row per format, as ``torch_process.compare_formats`` measured it; ``optimizer`` is that of the checkpoint."""
    rows = []
    for row in measured["formats"]:
        way, state = FORMATS[row["format"]], texts.NONE_TO_KEEP
        if optimizer is not None:
            name = OPTIMIZERS.get(optimizer, optimizer)
            state = texts.OPTIMIZER_KEPT.format(optimizer=name) if way.optimizer else texts.LOST
        off = row["difference"]
        rows.append(
            {
                texts.FORMAT: way.label,
                texts.SIZE: bytes_text(row["bytes"]),
                texts.SAVE_TIME: row["save_seconds"] * 1e3,
                texts.LOAD_TIME: row["load_seconds"] * 1e3,
                texts.OPTIMIZER: state,
                texts.EPOCH_AND_LOSS: texts.KEPT if way.epoch else texts.LOST,
                texts.BUILDS_MODEL: way.builds,
                texts.SAFE_TO_SHARE: way.safe,
                texts.OUTPUTS: texts.SAME_BITS if off == 0 else texts.OFF_BY.format(difference=off),
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
    weights, more = bytes_text(sizes["weights"]), bytes_text(sizes.get("model", 0) - sizes["weights"])
    checkpoint = texts.SIZE_WITH_STATE
    if optimizer is None:
        checkpoint = texts.SIZE_WITHOUT_OPTIMIZER
    elif optimizer == "sgd":
        checkpoint = texts.SIZE_WITH_MOMENTUM if times > 1.5 else texts.SIZE_WITHOUT_STATE
    checkpoint = checkpoint.format(times=times, optimizer=OPTIMIZERS.get(str(optimizer), optimizer))
    said = texts.SIZES if "model" in sizes else texts.SIZES_WITHOUT_WHOLE
    return f"{said.format(weights=weights, more=more)} {checkpoint}"


def weight_change_sentence(moved: WeightChange, other: str) -> str:
    ranked = sorted((change, name) for name, change in moved.tensors.items() if change is not None)
    if not any(change for change, _ in ranked):
        return texts.WEIGHT_CHANGE_NONE.format(other=other)
    (least, slow), (most, fast) = ranked[0], ranked[-1]
    said = texts.WEIGHT_CHANGE_FROM_ZERO if moved.overall is None else texts.WEIGHT_CHANGE
    return said.format(other=other, overall=moved.overall, fast=fast, most=most, slow=slow, least=least)


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
