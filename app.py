"""The dashboard: ``streamlit run app.py``."""

import streamlit as st
from starlette.routing import WebSocketRoute

from fashion_core.ui import server
from fashion_core.ui.live import route  # imports most of what pages need, a second before any visitor

app = st.App(server.DASHBOARD, lifespan=server.lifespan, routes=[WebSocketRoute(route.address(), route.serve)])
