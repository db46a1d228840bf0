"""Where pages that watch a run hear what is new: one address a viewer and a run, which nobody else can make."""

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Any, Final

import streamlit as st
from itsdangerous import BadSignature, URLSafeSerializer
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from fashion_core import access, access_views, feed, ui
from fashion_core.access import Roles
from fashion_core.errors import FashionError
from fashion_core.run_folders import Run

_tickets: Final = URLSafeSerializer(secrets.token_bytes(), salt="who watches which run")
_Key = tuple[str, float]
_Told = tuple[str, Roles | None]
_ticks: dict[_Key, tuple[int, asyncio.Task[_Told]]] = {}
"""What all who watch a run at one pace are told at a tick of the clock, made once."""


def route() -> WebSocketRoute:
    """For the server, below the path that all its pages have."""
    return WebSocketRoute(f"{_base()}/feed/{{ticket}}", tell)


def address(run: Run, seconds: float) -> str:
    """Where whoever looks at this page hears of this run, once in so many seconds."""
    return f"{_base()}/feed/{_tickets.dumps([run.id, seconds, access_views.claims()])}"


def _base() -> str:
    path = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"/{path}" if path else ""


async def tell(socket: WebSocket) -> None:
    """Send what is new, again and again, until nobody listens or the page has to run again to say why it ends."""
    await socket.accept()
    with suppress(WebSocketDisconnect):
        with suppress(BadSignature, FashionError):
            run_id, seconds, claims = _tickets.loads(socket.path_params["ticket"])
            await _tell(socket, (run_id, seconds), claims)
        await socket.close()


async def _tell(socket: WebSocket, key: _Key, claims: dict[str, Any]) -> None:
    _, seconds = key
    while True:
        await asyncio.sleep(seconds - time.monotonic() % seconds)
        body, roles = await _newest(key)
        if not access.may_look(claims, roles):
            return
        await socket.send_text(body)


async def _newest(key: _Key) -> _Told:
    run_id, seconds = key
    tick = round(time.monotonic() / seconds)
    if key not in _ticks or _ticks[key][0] != tick:
        _ticks[key] = tick, asyncio.create_task(asyncio.to_thread(_look, run_id))
    return await asyncio.shield(_ticks[key][1])


def _look(run_id: str) -> _Told:
    store = ui.store()
    ui.move_queue(store)
    return feed.look(store, store.get(run_id)).body(), access_views.roles()
