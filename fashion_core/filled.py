"""Charts whose spec is built and checked once, which takes Altair 300 ms; filling in rows takes 10."""

import json
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa


class Filled(alt.LayerChart):
    """A spec that was written before, with the rows for its named data sources and, where rows decide it, its height.

    A page that gets the same spec again hands the new rows to the drawn chart instead of drawing it anew.

    Attributes:
        frames: the rows by their data source.
    """

    frames: dict[str, pd.DataFrame]

    def __init__(self, spec: str, frames: dict[str, pd.DataFrame], height: int | None = None) -> None:
        super().__init__()
        # Altair's own __setattr__ would make a property of the spec of it.
        object.__setattr__(self, "_filled", (spec, {} if height is None else {"height": height}))
        object.__setattr__(self, "frames", frames)

    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The spec with its rows."""
        return {**self.empty(), "datasets": {name: frame.to_dict("records") for name, frame in self.frames.items()}}

    def sent(self) -> dict[str, Any]:
        """The spec with its rows in Arrow's format, in which Streamlit sends them: it passes bytes on as they are."""
        return {**self.empty(), "datasets": {name: _arrow(frame) for name, frame in self.frames.items()}}

    def empty(self) -> dict[str, Any]:
        """The spec without them."""
        spec, height = self._filled
        return {**json.loads(spec), **height}


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
