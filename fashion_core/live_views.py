"""The charts of a run that is watched: filled once for all who watch it, and sent to each as it stands."""

from collections.abc import Callable
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import streamlit as st

from fashion_core import charts, frames
from fashion_core.filled import Filled
from fashion_core.kept import KeptLatest
from fashion_core.live import Look

MAX_EPOCHS: Final = 400
"""So many epochs of a long run are drawn; the best and the worst of each stretch are among them."""

_specs: KeptLatest[dict[str, Any]] = KeptLatest(64)


def show_live_chart(run_id: str, look: Look, total_steps: int, loss_last: pd.DataFrame | None) -> None:
    """The losses as they come."""
    line = None if loss_last is None else tuple(loss_last.iloc[0])
    epochs = frames.thin_out(look.epochs, MAX_EPOCHS)
    _show(
        f"losses {run_id}",
        (look.version, total_steps, line),
        lambda: charts.live_chart(look.batches, epochs, total_steps, loss_last),
        "Losses of this run by optimizer step",
    )


def show_accuracy_chart(run_id: str, look: Look) -> None:
    """The accuracy of each epoch."""
    epochs = frames.thin_out(look.epochs, MAX_EPOCHS)
    _show(
        f"accuracy {run_id}",
        look.version,
        lambda: charts.accuracy_chart(epochs),
        "Test accuracy of this run by epoch",
    )


def _show(key: str, made_from: object, make: Callable[[], Filled], alt_text: str) -> None:
    spec = _specs.get(key, made_from, lambda: _as_sent(make()))
    st.vega_lite_chart(spec, alt=alt_text)


def _as_sent(chart: Filled) -> dict[str, Any]:
    """With its rows in Arrow's format, in which Streamlit sends them: it passes bytes on as they are."""
    return {**chart.empty(), "datasets": {name: _arrow(frame) for name, frame in chart.frames.items()}}


def _arrow(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
