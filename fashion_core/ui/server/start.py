"""What a server does when it starts."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st

from fashion_core.ui import streamlit_internals

DASHBOARD = Path(__file__).resolve().parents[3] / "pages" / "dashboard.py"


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Open a browser, unless the server is headless.

    The garbage collector skips what has been imported by now, which saves visitors pauses of 0.1 s.
    The folder of the pages stays in ``sys.path``: Streamlit would add it for each run of a script and remove it after,
    while another visitor's script walks that list to find a module, and skips an entry.
    """
    sys.path.append(str(DASHBOARD.parent))
    gc.collect()
    gc.freeze()
    if not st.get_option("server.headless"):
        streamlit_internals.open_browser()  # the socket of `streamlit run` listens already
    yield
