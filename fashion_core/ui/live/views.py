"""The live part of a run's page, kept up to date by the browser."""

from pathlib import Path

import streamlit as st

from fashion_core.runs.run import Run
from fashion_core.ui.live import route, snapshot

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "live_metrics", html="<section></section>", css=(_HERE / "live.css").read_text(), js=(_HERE / "live.js").read_text()
)


def show_numbers(run: Run, found: snapshot.Snapshot | None) -> None:
    """Show the numbers. From now on the browser receives newer ones, and reruns the page when more has changed.

    Without a snapshot the page reruns until there is one, such as once somebody has fixed a damaged file.
    """
    seconds = found.seconds if found else snapshot.ACTIVE_SECONDS
    shown = {"numbers": found.numbers, "drawn": found.drawn} if found else {"numbers": "", "drawn": ""}
    where = {"address": route.address(), "ticket": route.ticket(run, seconds), "seconds": seconds}
    _component(data=shown | where, key=f"live metrics of {run.id}")
