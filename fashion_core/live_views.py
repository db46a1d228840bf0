"""The charts of a run that is watched: filled once for all who watch it, and sent to each as it stands."""

from typing import Any, Final

import pandas as pd
import streamlit as st

from fashion_core import charts, frames
from fashion_core.kept import KeptLatest
from fashion_core.live import Look

MAX_EPOCHS: Final = 400
"""So many epochs of a long run are drawn; the best and the worst of each stretch are among them."""

_specs: KeptLatest[dict[str, Any]] = KeptLatest(64)


def show_live_chart(run_id: str, look: Look, total_steps: int, loss_last: pd.DataFrame | None) -> None:
    """The losses as they come."""
    st.vega_lite_chart(live_spec(run_id, look, total_steps, loss_last), alt="Losses of this run by optimizer step")


def show_accuracy_chart(run_id: str, look: Look, span: range) -> None:
    """The accuracy of each epoch."""
    st.vega_lite_chart(accuracy_spec(run_id, look, span), alt="Test accuracy of this run by epoch")


def live_spec(run_id: str, look: Look, total_steps: int, loss_last: pd.DataFrame | None) -> dict[str, Any]:
    """``charts.live_chart``, filled."""

    def make() -> dict[str, Any]:
        epochs = frames.thin_out(look.epochs, MAX_EPOCHS)
        return charts.live_chart(look.batches, epochs, total_steps, loss_last).sent()

    line = None if loss_last is None else tuple(loss_last.iloc[0])
    return _specs.get(f"losses {run_id}", (look.version, total_steps, line), make)


def accuracy_spec(run_id: str, look: Look, span: range) -> dict[str, Any]:
    """``charts.accuracy_chart``, filled."""

    def make() -> dict[str, Any]:
        return charts.accuracy_chart(frames.thin_out(look.epochs, MAX_EPOCHS), span).sent()

    return _specs.get(f"accuracy {run_id}", (look.version, span), make)
