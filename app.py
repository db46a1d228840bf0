"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

# Importing most of what pages stand on takes a second: the server does it before it answers, and no visitor waits.
from fashion_core import charts, feed_route, serving, ui  # noqa: F401

app = st.App(serving.DASHBOARD, lifespan=serving.lifespan, routes=[feed_route.route()])
