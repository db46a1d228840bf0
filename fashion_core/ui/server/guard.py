"""Refuse requests before Streamlit sees them: those of other sites' pages, and uploads of too much or by strangers."""

import logging
import re
from collections.abc import Set as AbstractSet
from typing import Final

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fashion_core.access import addresses
from fashion_core.access.addresses import Address
from fashion_core.config import variable
from fashion_core.errors import ConfigError, RequestRefusedError, printable
from fashion_core.ui import login
from fashion_core.ui.server import texts, uploads

# What pages use of Streamlit's own addresses. The others (metrics, an API for agents, what versions to come add) tell
# or do more than a page may.
_USED: Final = {"health", "host-config", "stream", "upload_file", "bidi-components"}
_OWN_ADDRESS: Final = re.compile(r"/_stcore/+([^/]*)/*([^/]*)/*([^/]*)")
_READING: Final = {"GET", "HEAD", "OPTIONS"}
_MOST_WARNINGS: Final = 20  # in the log: their text comes from anyone


class Guard:
    """ASGI middleware in front of Streamlit; ``docs/security.md`` gives its rules."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._warned: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def answer_unframed(message: Message) -> None:
            if message["type"] == "http.response.start":  # a page elsewhere could lay this one under a visitor's click
                MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
            await send(message)

        try:
            await self._pass_on(_with_checked_addresses(scope), receive, answer_unframed)
        except RequestRefusedError as refused:
            self._warn(str(refused))
            # Closing the connection leaves unread what is still to come of a body.
            answer = PlainTextResponse(str(refused), refused.status, {"Connection": "close"})
            await answer(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _OWN_ADDRESS.search(scope["path"])
        used, session, file = found.groups() if found else ("", "", "")
        if found and used not in _USED:
            raise RequestRefusedError(404, texts.CLOSED)
        if used == "upload_file" and scope["type"] == "http" and scope["method"] not in _READING:
            await uploads.pass_on(self._app, scope, receive, send, session, file)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "websocket":
                uploads.release_later()

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(sentence)
            logging.getLogger(__name__).warning(sentence)


def _with_checked_addresses(scope: Scope) -> Scope:
    """Check under which name, and from which page, the server was asked. Raises ``RequestRefusedError``."""
    headers = Headers(scope=scope)
    try:
        allowed = addresses.parse_hosts(variable("FASHION_HOSTS"))
    except ConfigError as error:
        raise RequestRefusedError(500, str(error)) from error
    _check_host(headers.getlist("host"), allowed)
    origins = headers.getlist("origin")
    if not origins or scope.get("method") in _READING:  # no page, or one that may not read what it is answered
        return scope
    _check_origin(origins, headers.getlist("host"), allowed)
    # Streamlit compares the two letter by letter. If they differ, it asks the internet for this machine's address
    # before it refuses, and answers nobody meanwhile.
    host = b"host", origins[0].partition("://")[2].encode("latin-1")
    return {**scope, "headers": [host, *(pair for pair in scope["headers"] if pair[0] != b"host")]}


def _check_host(hosts: list[str], allowed: AbstractSet[Address]) -> None:
    """Refuse names that a site elsewhere may have made to lead here (DNS rebinding): its page could read all answers.

    A login protects from that, as the browser keeps it for another name. Only programs send no Host.
    """
    address = addresses.parse(hosts[0]) if len(hosts) == 1 else None
    name = address.name if address else ""
    if not hosts or addresses.is_loopback(name) or name in {one.name for one in allowed}:
        return
    if (allowed or addresses.is_loopback(st.get_option("server.address"))) and not _has_login():
        sentence = texts.UNKNOWN_HOST.format(hosts=printable(", ".join(hosts)), address=_local_address())
        raise RequestRefusedError(403, sentence)


def _check_origin(origins: list[str], hosts: list[str], allowed: AbstractSet[Address]) -> None:
    own = [address for host in hosts if (address := addresses.parse(host))]
    if len(origins) > 1 or not any(addresses.is_origin_of(origins[0], one) for one in (*own, *allowed)):
        named = {"origins": printable(", ".join(origins)), "hosts": printable(", ".join(hosts))}
        raise RequestRefusedError(403, texts.OTHER_ORIGIN.format(**named))


def _local_address() -> str:
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"http://localhost:{st.get_option('server.port')}/{base}".rstrip("/")


def _has_login() -> bool:
    """Whether people must log in; while the secrets can't be read, pages show that and nothing else."""
    try:
        return login.roles() is not None
    except ConfigError:
        return True
