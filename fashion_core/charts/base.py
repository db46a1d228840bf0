"""Charts as a spec, which Altair builds and checks in up to 300 ms, and its rows, which are filled in within 10."""

import json
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa


@dataclass(frozen=True)
class ChartSpec:
    """A spec that was written before, with the rows for its named data sources and, where rows decide it, its height.

    A page that gets the same spec again hands the new rows to the drawn chart instead of drawing it anew.

    Attributes:
        spec: Vega-Lite's, as JSON.
        frames: the rows by their data source.
        height: pixels.
    """

    spec: str
    frames: dict[str, pd.DataFrame]
    height: int | None = None

    def sent(self) -> dict[str, Any]:
        """The spec with its rows in Arrow's format, in which Streamlit sends them: it passes bytes on as they are."""
        return {**self.empty(), "datasets": {name: _arrow(frame) for name, frame in self.frames.items()}}

    def following(self, feed: str) -> dict[str, Any]:
        """As sent; and the drawn chart takes the rows of this ``feed`` that the page's script puts on its body.

        Streamlit would add its rows to those of the feed where it had sent none before; another spec is drawn anew.
        """
        bound = [
            {"name": name, "value": None, "bind": {"element": "body", "event": name}} for name in ("fed", "fitted")
        ]
        taken = [
            {"name": f"fed_{name}", "expr": f"fed ? modify('{name}', fed.{feed}.{name}, true) : 0"}
            for name in self.frames
        ]
        spec = self.sent()
        fit = {"type": "fit", "contains": "padding", "resize": True}  # an axis that needs more room takes it
        empty = {"empty": [name for name, frame in self.frames.items() if frame.empty]}
        return {**spec, "params": [*spec.get("params", []), *bound, *taken], "autosize": fit, "usermeta": empty}

    def rows(self) -> str:
        """The rows by their data source, as JSON with six decimals: the names of the columns, and a list a row."""
        return f"{{{','.join(f'{json.dumps(name)}:{_written_rows(frame)}' for name, frame in self.frames.items())}}}"

    def empty(self) -> dict[str, Any]:
        """The spec without them."""
        return {**json.loads(self.spec), **({} if self.height is None else {"height": self.height})}


def _written_rows(frame: pd.DataFrame) -> str:
    rows = frame.to_json(orient="values", double_precision=6)  # orient="split" takes five times as long
    return f'{{"columns":{json.dumps(list(frame))},"data":{rows}}}'


def _arrow(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def named(data: str) -> alt.Chart:
    """A chart of rows that are filled in later."""
    return alt.Chart(alt.NamedData(data))


def written(layers: list[alt.Chart], **properties: Any) -> str:
    """The spec of these layers, from back to front, to be filled."""
    spec = alt.LayerChart(layer=layers, **properties).to_dict()
    spec.pop("config", None)  # Altair's default size, which the page's width replaces
    return json.dumps(spec)
