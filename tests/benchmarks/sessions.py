"""The browser's side of Streamlit's websocket without a browser: open a page, let timers ask, hear its live metrics."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Ran:
    """One run of a page's script, or of a fragment: how long until its last message, and the errors that it shows."""

    seconds: float
    problems: tuple[str, ...]


@dataclass
class Session:
    """One open page.

    Attributes:
        id: by which the server knows the session; empty before its first message.
        prompt: whether each message is acknowledged at once. Streamlit leaves Nagle's algorithm on, so a server holds
            back all messages but the first until that one is acknowledged, which a browser's system does 40 ms later.
        fragment: the fragment that asks to be run again, and every so many seconds; None if there is none.
        cached: hashes of the messages that a browser would have kept, which the server then only names.
        widgets: the ids of buttons and boxes by their labels.
        fragments: the fragments that hold them, for those in one.
        live_metrics: where the page of a run hears what is new, and what it was drawn for; empty on another page.
    """

    connection: ClientConnection
    page: str
    query: str
    prompt: bool
    id: str = ""
    script: str = ""
    fragment: tuple[str, float] | None = None
    cached: set[str] = field(default_factory=set)
    widgets: dict[str, str] = field(default_factory=dict)
    fragments: dict[str, str] = field(default_factory=dict)
    live_metrics: dict[str, Any] = field(default_factory=dict)

    async def run(self, fragment: str | None = None) -> Ran:
        """Ask for a run as the frontend does, and wait until it is done."""
        if fragment is None:
            self.live_metrics = {}
        return await self._ask(BackMsg(), fragment)

    async def press(self, button: str, choices: Mapping[str, str] = {}) -> Ran:
        """Press a button with these options or texts in boxes, all by their labels."""
        message = BackMsg()
        widgets = message.rerun_script.widget_states.widgets
        widgets.add(id=self.widgets[button], trigger_value=True)
        for label, option in choices.items():
            widgets.add(id=self.widgets[label], string_value=option)
        return await self._ask(message, self.fragments.get(self.widgets[button]))

    async def _ask(self, message: BackMsg, fragment: str | None = None) -> Ran:
        state = message.rerun_script
        state.query_string, state.page_name, state.page_script_hash = self.query, self.page, self.script
        state.cached_message_hashes.extend(self.cached)
        if fragment is not None:
            state.fragment_id, state.is_auto_rerun = fragment, not state.widget_states.widgets
        began = time.perf_counter()
        await self.connection.send(message.SerializeToString())
        return await asyncio.wait_for(self._finish(began), PATIENCE_SECONDS)

    async def stay(self) -> Ran | None:
        """Stay on the page for a while: take what the live metrics or the timer bring, or run the page again."""
        if not self.live_metrics:
            return await self.run(self.fragment[0] if self.fragment else None)
        async with asyncio.timeout(PATIENCE_SECONDS), aclosing(self.hear()) as live_metrics:
            async for _ in live_metrics:
                return None
        return await self.run()

    async def hear(self) -> AsyncGenerator[str]:
        """What the page's live metrics bring, as it comes: JSON, or nothing where nothing has changed."""
        assert self.live_metrics, f"nothing on {self.page} listens"
        host, port = self.connection.remote_address[:2]
        address = f"ws://{host}:{port}{self.live_metrics['address']}"
        async with connect(address, max_size=None, compression=None) as connection:
            await connection.send(self.live_metrics["ticket"])
            async for message in connection:
                yield str(message)

    async def _finish(self, began: float) -> Ran:
        problems, refreshes = [], False
        while True:
            data = await self.connection.recv()
            assert isinstance(data, bytes)
            if self.prompt and hasattr(
                socket, "TCP_QUICKACK"
            ):  # Linux; elsewhere what was sent together comes together
                held: socket.socket = self.connection.transport.get_extra_info("socket")
                held.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            message = ForwardMsg.FromString(data)
            if message.metadata.cacheable:
                self.cached.add(message.hash)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.id = message.new_session.initialize.session_id
            elif kind == "navigation":
                self.script = message.navigation.page_script_hash
            elif kind == "auto_rerun":
                refreshes = True
                self.fragment = message.auto_rerun.fragment_id, message.auto_rerun.interval
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "delta":
                element = message.delta.new_element
                problems.append(
                    element.alert.body if element.alert.format == Alert.ERROR else element.exception.message
                )
                for widget in (element.button, element.selectbox, element.text_input):
                    if widget.id:
                        self.widgets[widget.label] = widget.id
                        self.fragments |= {widget.id: message.delta.fragment_id} if message.delta.fragment_id else {}
                if element.bidi_component.json:
                    self.live_metrics = json.loads(element.bidi_component.json)
            elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY and not refreshes:
                    self.fragment = None  # the whole page was made again, without it
                return Ran(time.perf_counter() - began, tuple(filter(None, problems)))


async def open_session(
    port: int, page: str, query: Mapping[str, str | Sequence[str]], *, prompt: bool, **headers: str
) -> tuple[Session, Ran]:
    """Open a page of the app on this port, and wait for its first picture."""
    address = f"ws://localhost:{port}/_stcore/stream"
    connection = await connect(
        address,
        subprotocols=["streamlit"],  # type: ignore[list-item]
        additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
        max_size=None,
        compression=None,
    )
    session = Session(connection, page, urlencode(query, doseq=True), prompt)
    return session, await session.run()
