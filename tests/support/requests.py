"""Requests as no browser would send them: raw, slow, too large, or ended early."""

import select
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse

_BOUNDARY = "a-line-that-is-in-no-file"
_CHUNK = 65_536
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Answered:
    """``seconds`` is the time from the first byte of the request to the head of the answer.

    Of an answer that came before all was sent, ``text`` may be lost: the system drops what has come as soon as the
    server has closed the connection.
    """

    status: int
    text: str
    seconds: float
    sent: int


def raw(port: int, head: str, body: Iterator[bytes] = iter(())) -> Answered:  # noqa: B008 -- it is empty
    """Send a request line and headers as they are, and then the body until there is an answer."""
    with socket.create_connection(("localhost", port), PATIENCE_SECONDS) as connection:
        began, sent = time.perf_counter(), 0
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n")
        for part in body:
            if select.select([connection], [], [], 0)[0]:
                break
            try:
                connection.sendall(part)
            except OSError:  # closed: what was answered before can be read all the same
                break
            sent += len(part)
        answer = HTTPResponse(connection)
        answer.begin()
        seconds, text = time.perf_counter() - began, b""
        with suppress(ConnectionResetError):
            text = answer.read()
        return Answered(answer.status, text.decode("latin-1"), seconds, sent)


def upload(port: int, session: str, file: str, size: int, *, chunked: bool = False, method: str = "PUT") -> Answered:
    """Upload a file of so many zeros for this session, with or without saying beforehand how large it is."""
    token = _xsrf_token(port)
    start = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    whole = len(start) + size + len(end)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {whole}"
    head = (
        f"{method} /_stcore/upload_file/{session}/{file} HTTP/1.1\nHost: localhost:{port}\n{length}\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\n"
        f"Cookie: _streamlit_xsrf={token}\nX-Xsrftoken: {token}"
    )
    parts = [start, *_zeros(size), end]
    return raw(port, head, iter([*map(_as_chunk, parts), b"0\r\n\r\n"] if chunked else parts))


def _zeros(size: int) -> list[bytes]:
    return [bytes(min(_CHUNK, size - done)) for done in range(0, size, _CHUNK)]


def _as_chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


def _xsrf_token(port: int) -> str:
    with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health") as answer:
        return str(answer.headers["Set-Cookie"]).partition("_streamlit_xsrf=")[2].partition(";")[0]
