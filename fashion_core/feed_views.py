"""The part of a page that watches a run by itself: the numbers, and what keeps them and the charts up to date."""

from pathlib import Path

import streamlit as st

from fashion_core import feed_route
from fashion_core.feed import Feed
from fashion_core.run_folders import Run

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "run_feed",
    html="<section></section>",
    css=(_HERE / "feed.css").read_text(),
    js=(_HERE / "feed.js").read_text(),
)


def show_numbers(run: Run, feed: Feed) -> None:
    """The numbers; from now on the browser asks for newer ones, and the page runs again once that is not enough."""
    address = feed_route.address(run, feed.seconds)
    data = {"numbers": feed.numbers, "drawn": feed.drawn, "seconds": feed.seconds, "address": address}
    _component(data=data, key=f"feed of {run.id}")


def show_charts(feed: Feed) -> None:
    """The losses as they come, and the accuracy of each epoch."""
    st.vega_lite_chart(feed.losses.following("losses"), alt="Losses of this run by optimizer step")
    st.vega_lite_chart(feed.accuracy.following("accuracy"), alt="Test accuracy of this run by epoch")
