"""What a server does when it starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import streamlit as st
from streamlit import cli_util
from streamlit.web.server import server_util

_LOOK_SECONDS = 0.02


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Open a browser, unless the server is headless: Streamlit does so for a script, but for no ``st.App``."""
    opening = None if st.get_option("server.headless") else asyncio.create_task(_open_browser())
    yield
    if opening:
        opening.cancel()


async def _open_browser() -> None:
    host = server_util.get_display_address(st.get_option("server.address"))
    await _answers(host, st.get_option("server.port"))
    cli_util.open_browser(server_util.get_url(host))


async def _answers(host: str, port: int) -> None:
    """Return as soon as something listens there; until then its socket refuses."""
    while True:
        with suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        await asyncio.sleep(_LOOK_SECONDS)
