"""The dashboard: ``streamlit run app.py``, or ``fashion-core app`` of an installed package."""

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

from fashion_core.config import APP
from fashion_core.ui.live import route  # imports most of what pages need, a second before any visitor
from fashion_core.ui.server import guard, start

app = st.App(
    APP.parent / "pages" / "dashboard.py",
    lifespan=start.lifespan,
    routes=[WebSocketRoute(route.address(), route.serve)],
    middleware=[Middleware(guard.Guard)],
)
