"""Who may upload how much: decided before the body is read. Uploads are let go of once their owner has left."""

import asyncio
import gc
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fashion_core.access.roles import Role
from fashion_core.errors import RequestRefusedError
from fashion_core.ui import streamlit_internals
from fashion_core.ui.server import texts

MIB: Final = 2**20
IMAGE_MIB: Final = 20  # the largest image to predict for, and all that viewers upload
AWAY_SECONDS = 30.0  # how long a browser may be cut off and find its uploads again
_TOTALS: Final = {"operator": 1000 * MIB, "viewer": 500 * MIB}  # of all uploads: viewers leave room for operators
_FRAMING: Final = MIB  # around the file in its request, as Streamlit allows


@dataclass
class _Owner:
    """One open page: the role it was last run for, and the bytes of its uploads, by their ids or while they arrive."""

    role: Role
    sizes: dict[object, int] = field(default_factory=dict)
    kept: dict[Any, Any] = field(default_factory=dict)


_owners: Final[dict[str, _Owner]] = {}  # by the id of the session


def admit(role: Role) -> None:
    """Let the session whose script runs upload what this role may; for a stranger that is nothing."""
    if session := streamlit_internals.session_id():
        _owners.setdefault(session, _Owner(role)).role = role


def kept() -> dict[Any, Any]:
    """What the session whose script runs keeps of its uploads until it leaves; Streamlit keeps its state for longer."""
    return _owners.setdefault(str(streamlit_internals.session_id()), _Owner("stranger")).kept


async def pass_on(app: ASGIApp, scope: Scope, receive: Receive, send: Send, session: str, file: str) -> None:
    """Pass on an upload, or the removal of one, and keep count of what Streamlit keeps.

    Raises ``RequestRefusedError``: at once, or as soon as too much has come of an upload that did not say its size.
    """
    owner, arriving, is_done = _owners.get(session, _Owner("stranger")), object(), False

    async def answer(message: Message) -> None:
        nonlocal is_done
        is_done = is_done or message.get("status") == 204
        await send(message)

    async def take() -> Message:
        message = await receive()
        owner.sizes[arriving] += len(message.get("body", b""))
        _check(owner if _owners.get(session) is owner else _Owner("stranger"), owner.sizes[arriving], 0)
        return message

    if scope["method"] == "PUT":
        declared = int(Headers(scope=scope).get("content-length", 0))
        _check(owner, declared, declared)
    owner.sizes[arriving] = 0
    try:
        await app(scope, take, answer)
    finally:
        size = owner.sizes.pop(arriving)
    if is_done:
        owner.sizes.pop(file, None)
        if scope["method"] == "PUT":
            owner.sizes[file] = size


def _check(owner: _Owner, size: int, more: int) -> None:
    """Raise ``RequestRefusedError`` if an upload of this size, or ``more`` bytes beside what is here, is too much."""
    if owner.role == "stranger":
        raise RequestRefusedError(403, texts.NO_OPEN_PAGE)
    largest = int(st.get_option("server.maxUploadSize"))
    largest = largest if owner.role == "operator" else min(IMAGE_MIB, largest)
    if size > largest * MIB + _FRAMING:
        raise RequestRefusedError(413, texts.TOO_LARGE.format(most=largest))
    if sum(sum(one.sizes.values()) for one in [*_owners.values()]) + more > _TOTALS[owner.role]:
        raise RequestRefusedError(503, texts.TOO_MUCH)


def release_later() -> None:
    """After a while, let go of the uploads of those who have left by now and did not come back."""
    if left := [session for session in [*_owners] if not streamlit_internals.is_connected(session)]:
        asyncio.get_running_loop().call_later(AWAY_SECONDS, _release, left)


def _release(sessions: Iterable[str]) -> None:
    away = [session for session in sessions if session in _owners and not streamlit_internals.is_connected(session)]
    held = [session for session in away if _owners.pop(session).sizes]
    for session in held:
        streamlit_internals.close_session(session)
    if held:
        gc.collect()  # Streamlit's closed sessions, which refer to their uploads, are circles
