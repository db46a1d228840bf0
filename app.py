"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

# Importing most of what pages stand on takes a second: the server does it before it answers, and no visitor waits.
from fashion_core.ui import (
    common,  # noqa: F401
    server,
)
from fashion_core.ui.live import route

app = st.App(server.DASHBOARD, lifespan=server.lifespan, routes=[route.route()])
