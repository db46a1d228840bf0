"""A reverse proxy on this machine, as a team puts one in front of the server."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def proxy(port: int, *, keeps_host: bool) -> Iterator[int]:
    """The port of a proxy for the server on ``port``; it tells in ``X-Forwarded-…`` what it was asked for.

    Unless it ``keeps_host``, the server is asked under its own name, which the proxy takes back in redirections: nginx,
    as it comes.
    """
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            inner_reader, inner_writer = await asyncio.open_connection("localhost", port)
            host = re.search(r"(?im)^host: *(.*?)\r$", head)
            assert host, "a browser names the host"
            inner = host[1] if keeps_host else f"localhost:{port}"
            inner_writer.write(_forwarded(head, host[1], inner).encode("latin-1"))
            sending = asyncio.create_task(_copy(reader, inner_writer))
            answer = (await inner_reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            writer.write(answer.replace(f"http://{inner}/", f"http://{host[1]}/").encode("latin-1"))
            await asyncio.gather(sending, _copy(inner_reader, writer))

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = asyncio.start_server(serve, "127.0.0.1", 0)
    listening = asyncio.run_coroutine_threadsafe(starting, loop).result()
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end_connections(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_connections() -> None:
    serving = asyncio.all_tasks() - {asyncio.current_task()}
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


def _forwarded(head: str, host: str, inner: str) -> str:
    """One request a connection, unless it becomes a websocket."""
    if "upgrade: websocket" not in head.lower():
        head = re.sub(r"(?im)^connection:.*\r\n", "", head).replace("\r\n", "\r\nConnection: close\r\n", 1)
    told = f"Host: {inner}\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Proto: http\r\n"
    return re.sub(r"(?im)^host:.*\r\n", "", head).replace("\r\n", f"\r\n{told}", 1)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()
