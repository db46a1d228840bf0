"""Charts as a spec, which Altair builds and checks in up to 300 ms, and its rows, which are filled in within 10 ms."""

import json
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

import altair as alt
import pandas as pd
import pyarrow as pa


@dataclass(frozen=True)
class ChartSpec:
    """A finished spec, the rows for its named data sources and, where it depends on the rows, its height.

    A page that gets the same spec again hands the new rows to the drawn chart instead of drawing it anew.
    """

    spec: str  # Vega-Lite's, as JSON
    frames: dict[str, pd.DataFrame]  # the rows by their data source
    height: int | None = None  # pixels

    @property
    def empty(self) -> tuple[str, ...]:
        """The data sources without rows."""
        return tuple(name for name, frame in self.frames.items() if frame.empty)

    def to_dict(self) -> dict[str, Any]:
        """The spec with its rows in Arrow's format, in which Streamlit sends them: it passes bytes on as they are.

        A layer without rows is left out, unless it has a selection: Vega would warn of each of its fields.
        """
        return {**self._filled(), "datasets": {name: _arrow(frame) for name, frame in self.frames.items()}}

    def to_plain_dict(self) -> dict[str, Any]:
        """Like ``to_dict`` with its rows as plain JSON, for whoever draws it without a page."""
        return {**self._filled(), "datasets": {name: _records(frame) for name, frame in self.frames.items()}}

    def _filled(self) -> dict[str, Any]:
        """The spec with those layers that are drawn."""
        spec, empty = self.without_rows(), self.empty
        shown = [layer for layer in spec["layer"] if "name" in layer or _source(layer) not in empty]
        return {**spec, "layer": shown}

    def to_live_dict(self, feed: str) -> dict[str, Any]:
        """Like ``to_dict``, and let the drawn chart read new rows from this ``feed``, which the page puts on its body.

        A page runs again when another source has rows: they are drawn in layers that were left out.
        """
        spec = self.to_dict()
        bound = [{"name": n, "value": None, "bind": {"element": "body", "event": n}} for n in ("fed", "fitted")]
        drawn = dict.fromkeys(map(_source, spec["layer"]))
        taken = [{"name": f"fed_{n}", "expr": f"fed ? modify('{n}', fed.{feed}.{n}, true) : 0"} for n in drawn]
        fit = {"type": "fit", "contains": "padding", "resize": True}  # an axis that needs more room takes it
        return {**spec, "params": [*spec.get("params", []), *bound, *taken], "autosize": fit}

    def rows(self) -> str:
        """The rows, keyed by data source, as JSON with six decimals: the column names, and one list per row."""
        sources = []
        for name, frame in self.frames.items():
            rows = frame.to_json(orient="values", double_precision=6)  # orient="split" takes five times as long
            sources.append(f'{json.dumps(name)}:{{"columns":{json.dumps(list(frame))},"data":{rows}}}')
        return f"{{{','.join(sources)}}}"

    def without_rows(self) -> dict[str, Any]:
        return {**json.loads(self.spec), **({} if self.height is None else {"height": self.height})}


def _source(layer: dict[str, Any]) -> str | None:
    """The data source of its rows; None for that of all layers."""
    name: str | None = layer.get("data", {}).get("name")
    return name


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return rows


def _arrow(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def named(data: str) -> alt.Chart:
    """A chart of rows that are filled in later."""
    return alt.Chart(alt.NamedData(data))


def layered(layers: list[alt.Chart], **properties: Any) -> str:
    """The spec of these layers, back to front, without its rows."""
    spec = alt.LayerChart(layer=layers, **properties).to_dict()
    spec.pop("config", None)  # Altair's default size, which the page's width replaces
    return json.dumps(spec)


DARK: Final = "luminance(background || 'white') < 0.4"
INK: Final = alt.ExprRef(f"{DARK} ? '#F3F4F6' : '#0B1220'")
MUTED: Final = alt.ExprRef(f"{DARK} ? '#9CA3AF' : '#6B7280'")
FAINT: Final = alt.ExprRef(f"{DARK} ? '#4B4B46' : '#D1D5DB'")
PAPER: Final = alt.ExprRef("background || 'white'")

FITTED: Final = alt.AutoSizeParams(type="fit-x", contains="padding")  # as wide as the page, as high as its rows
GRID: Final[dict[str, Any]] = {"gridColor": FAINT, "gridOpacity": 0.5}
BARE: Final[dict[str, Any]] = {"domain": False, "ticks": False}
FEW_CLASSES: Final = 25  # so few that each has room for its name and numbers
EVERY_NAME: Final[dict[str, Any]] = {"labelOverlap": False, "labelFlush": False}


def themed_axis(**settings: Any) -> alt.Axis:
    """An axis whose text is readable in light and dark themes."""
    return alt.Axis(labelColor=MUTED, titleColor=MUTED, **settings)


def tick_count(each: int, least: int, most: int, width: str = "width") -> alt.ExprRef:
    """One tick per ``each`` pixels of width, computed in the browser."""
    return alt.ExprRef(f"clamp(floor({width} / {each}), {least}, {most})")


def epoch_axis(width: str = "width", **settings: Any) -> alt.Axis:
    return themed_axis(tickCount=tick_count(40, 2, 16, width), tickMinStep=1, format="d", grid=False, **settings)


def tips(columns: dict[str, str]) -> list[alt.Tooltip]:
    """What a tooltip says: columns and their titles; ``column`` is one of texts, ``column:format`` one of numbers."""
    parts = [(title, *column.partition(":")) for column, title in columns.items()]
    return [
        alt.Tooltip(f"{column}:{'Q' if form else 'N'}", title=title, format=form or alt.Undefined)
        for title, column, _, form in parts
    ]


def filled_in(template: str) -> str:
    """The Vega expression of a template whose fields are columns: "F1 {f1:.1%}" is 'F1 ' + format(datum.f1, '.1%')."""
    parts = []
    for text, field, form, _ in Formatter().parse(template):
        parts += [repr(text)] if text else []
        parts += [f"format(datum.{field}, {form!r})" if form else f"datum.{field}"] if field else []
    return " + ".join(parts)


def series_color(column: str, domain: list[Any]) -> alt.Color:
    """The theme's colours in the order of the domain: Vega uses them for a scale without a range."""
    return alt.Color(f"{column}:N", scale=alt.Scale(domain=domain), legend=None)


def shapes(column: str, by_value: dict[str, str]) -> alt.Shape:
    return alt.Shape(f"{column}:N", scale=alt.Scale(domain=list(by_value), range=list(by_value.values())), legend=None)


def hover_shade(strength: float, *fields: str) -> tuple[alt.Parameter, Any]:
    """The selection of what the pointer is over, and the opacity that shades it."""
    names = list(fields) or alt.Undefined
    hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout", empty=False, fields=names)
    return hover, alt.when(hover).then(alt.value(strength)).otherwise(alt.value(0.001))


def haloed(base: alt.Chart, **style: Any) -> list[alt.Chart]:
    """Text that stays readable where lines cross it."""
    return [base.mark_text(stroke=PAPER, strokeWidth=4, strokeJoin="round", **style), base.mark_text(**style)]


def pixels(column: str) -> alt.Y:
    """A y position in pixels, without a scale."""
    return alt.Y(f"{column}:Q", scale=None, axis=None)


def dated(rows: alt.Chart) -> alt.Chart:
    """Add `at`, the time at which the rows arrived, so that a selection can include it.

    The browser reports a selection only when it changes. A change of focus sends new rows, hence a new `at`: so a mark
    can be clicked again after another one was chosen, here or elsewhere on the page.
    """
    return rows.transform_calculate(at="now()")


def hits(rows: alt.Chart, *selections: alt.Parameter, **encoding: Any) -> alt.Chart:
    """The layer that the pointer meets, with its selections."""
    layer: alt.Chart = rows.encode(**encoding).properties(name="hits").add_params(*selections)
    return layer
