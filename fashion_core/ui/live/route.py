"""Where pages that watch a run hear what is new, each with a ticket that only their server can make."""

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Any, Final

import streamlit as st
from itsdangerous import BadSignature, URLSafeSerializer
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from fashion_core.access import roles as access
from fashion_core.access.roles import Roles
from fashion_core.cache import Cache
from fashion_core.errors import FashionError
from fashion_core.runs.run import Run
from fashion_core.ui import common, login, run_status
from fashion_core.ui.live import live_metrics

_TICKET_SECONDS: Final = 10.0
"""For so long somebody who has connected may be silent."""
_tickets: Final = URLSafeSerializer(secrets.token_bytes(), salt="who watches which run")
_Told = tuple[float, str, Roles | None]
_looks: Cache[asyncio.Task[_Told]] = Cache(64)
"""What all who watch a run at one pace are told at a tick of the clock, made once."""


def address() -> str:
    """The path of the feeds, below that of all pages."""
    path = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"/{path}/live" if path else "/live"


def route() -> WebSocketRoute:
    """The feeds, for the server."""
    return WebSocketRoute(address(), tell)


def ticket(run: Run, seconds: float) -> str:
    """Lets whoever looks at this page hear of this run, for the first time within so many seconds.

    It goes into a message, not into the address: proxies log those, and it says who they are.
    """
    return _tickets.dumps([run.id, seconds, login.claims()])


async def tell(socket: WebSocket) -> None:
    """Send what is new, again and again, until nobody listens or the page has to run again to say why it ends."""
    await socket.accept()
    with suppress(WebSocketDisconnect):
        with suppress(BadSignature, FashionError, TimeoutError):
            run_id, seconds, claims = _tickets.loads(await _shown(socket))
            await _tell(socket, run_id, seconds, claims)
        await socket.close()


async def _shown(socket: WebSocket) -> str:
    with suppress(KeyError):  # somebody sent bytes, which are no ticket
        return await asyncio.wait_for(socket.receive_text(), _TICKET_SECONDS)
    return ""


async def _tell(socket: WebSocket, run_id: str, seconds: float, claims: dict[str, Any]) -> None:
    """At each tick what there is to hear, or an empty message if that was heard last: silence means a dead feed."""
    heard = ""
    while True:
        tick = int(time.monotonic() / seconds) + 1
        await asyncio.sleep(tick * seconds - time.monotonic())
        look = _looks.get((run_id, seconds), tick, lambda: asyncio.create_task(asyncio.to_thread(_look, run_id)))
        pace, body, roles = await asyncio.shield(look)
        if not access.may_look(claims, roles):
            return
        await socket.send_text("" if body == heard else body)
        heard, seconds = body, pace


def _look(run_id: str) -> _Told:
    store = common.store()
    run_status.move_queue(store)
    found = live_metrics.read(store, store.get(run_id))
    return found.seconds, found.body(), login.roles()
