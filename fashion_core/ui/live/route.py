"""The WebSocket that sends updates to a run's page; each page has a ticket that only this server can make."""

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Any, Final

import streamlit as st
from itsdangerous import BadSignature, URLSafeSerializer
from starlette.websockets import WebSocket, WebSocketDisconnect

from fashion_core.access import roles as access
from fashion_core.cache import Cache
from fashion_core.errors import FashionError
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import login, run_status
from fashion_core.ui.live import snapshot

_TICKET_SECONDS: Final = 10.0  # that a client may take to send its ticket
_tickets: Final = URLSafeSerializer(secrets.token_bytes(), salt="who watches which run")
_Message = tuple[float, str, access.Roles | None]
# The message for all viewers who watch a run at the same interval, made once per tick.
_messages: Cache[asyncio.Task[_Message]] = Cache(64)


def address() -> str:
    path = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"/{path}/live" if path else "/live"


def ticket(run: Run, seconds: float) -> str:
    """A ticket with which this visitor may watch this run; the first message comes within this many ``seconds``.

    The page sends it as a message, not in the address: proxies log addresses, and it says who the visitor is.
    """
    return _tickets.dumps([run.id, seconds, login.claims()])


async def serve(socket: WebSocket) -> None:
    """Send updates until the page is closed, or has to rerun to show why they stop."""
    await socket.accept()
    with suppress(WebSocketDisconnect):
        with suppress(BadSignature, FashionError, TimeoutError):
            received = ""
            with suppress(KeyError):  # bytes are no ticket
                received = await asyncio.wait_for(socket.receive_text(), _TICKET_SECONDS)
            run_id, seconds, claims = _tickets.loads(received)
            await _send(socket, run_id, seconds, claims)
        await socket.close()


async def _send(socket: WebSocket, run_id: str, seconds: float, claims: dict[str, Any]) -> None:
    """Send a snapshot at each tick, or an empty message if nothing has changed: silence means a dead connection."""
    sent = ""
    while True:
        tick = int(time.monotonic() / seconds) + 1
        await asyncio.sleep(tick * seconds - time.monotonic())
        message = _messages.get((run_id, seconds), tick, lambda: asyncio.create_task(asyncio.to_thread(_take, run_id)))
        pace, body, roles = await asyncio.shield(message)
        if not access.may_look(claims, roles):
            return
        await socket.send_text("" if body == sent else body)
        sent, seconds = body, pace


def _take(run_id: str) -> _Message:
    store = RunStore()
    run_status.move_queue(store)
    found = snapshot.take(store, store.get(run_id))
    return found.seconds, found.body(), login.roles()
