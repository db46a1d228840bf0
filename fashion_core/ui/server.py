"""What a server does when it starts."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import streamlit as st
from streamlit import cli_util, config, errors
from streamlit.web.server import server_util

DASHBOARD = Path(__file__).resolve().parents[2] / "pages" / "dashboard.py"


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Open a browser, unless the server is headless: Streamlit does so for a script, but for no ``st.App``.

    What has been imported by now stays: garbage is looked for elsewhere, which spares all visitors pauses of 0.1 s.
    So does the folder of the pages in ``sys.path``: Streamlit would put it there for each run of a script and take it
    out after it, while the script of another visitor goes through that list to find a module, and skips one place.
    """
    sys.path.append(str(DASHBOARD.parent))
    gc.collect()
    gc.freeze()
    if not st.get_option("server.headless"):
        with suppress(OSError, errors.Error):  # where none can be opened, the terminal says the address all the same
            cli_util.open_browser(server_util.get_url(_host()))  # the socket of `streamlit run` listens already
    yield


def _host() -> str:
    """The one that Streamlit prints."""
    if config.is_manually_set("browser.serverAddress"):
        return str(st.get_option("browser.serverAddress"))
    return server_util.get_display_address(st.get_option("server.address") or "localhost")
