"""The part of a page that watches a run by itself: the numbers, and what keeps them and the charts up to date."""

from pathlib import Path

import streamlit as st

from fashion_core.runs.run import Run
from fashion_core.ui.live import route
from fashion_core.ui.live.live_metrics import ACTIVE_SECONDS, LiveMetrics

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "live_metrics",
    html="<section></section>",
    css=(_HERE / "live.css").read_text(),
    js=(_HERE / "live.js").read_text(),
)


def show_numbers(run: Run, found: LiveMetrics | None) -> None:
    """The numbers; from now on the browser hears newer ones, and the page runs again once that is not enough.

    Where nothing could be found out the page runs again and again, until somebody has mended it.
    """
    seconds = found.seconds if found else ACTIVE_SECONDS
    told = {"numbers": found.numbers, "drawn": found.drawn} if found else {"numbers": "", "drawn": ""}
    where = {"address": route.address(), "ticket": route.ticket(run, seconds), "seconds": seconds}
    _component(data=told | where, key=f"live metrics of {run.id}")


def show_charts(found: LiveMetrics) -> None:
    """The losses as they come, and the accuracy of each epoch."""
    st.vega_lite_chart(found.losses.to_live_dict("losses"), alt="Losses of this run by optimizer step")
    st.vega_lite_chart(found.accuracy.to_live_dict("accuracy"), alt="Test accuracy of this run by epoch")
