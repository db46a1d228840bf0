"""The nginx of docs/deploy.md, as printed there, in front of the server that is started as is written below it."""

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from fashion_core.runs.store import RunStore
from tests.benchmarks.serving import Server
from tests.benchmarks.sessions import Session
from tests.support.engines import daemon, free_ports, unavailable
from tests.support.processes import ROOT, wait_until
from tests.support.runs import new_run, set_state

pytestmark = [pytest.mark.slow, pytest.mark.anyio]
HOST, PATH, MIB = "fashion.example.org", "/fashion", 2**20
GUIDE = (ROOT / "docs" / "deploy.md").read_text()
AROUND = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/fashion-core.conf;
}}
"""


def printed(what: str) -> str:
    found = re.search(rf"<!-- {what} -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, module_store: RunStore, synthetic_data: Path) -> Iterator[int]:
    """The port of nginx, in front of a server in which everyone may do everything: what it lets through is seen."""
    if not (nginx := shutil.which("nginx", path="/usr/sbin:/usr/local/bin:/opt/homebrew/bin:/usr/bin")):
        unavailable("no nginx here: install Debian's nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    given = re.fullmatch(r"(\w+)=(\S+) fashion-core app (.*)\n", printed("behind nginx"))
    assert given
    server = Server(folder / "log", *given[3].split())
    server.url += PATH
    server.start(
        {given[1]: given[2], "FASHION_ACCESS": "everyone", "FASHION_RUNS": str(module_store.root),
         "FASHION_DATA": str(synthetic_data)}
    )  # fmt: skip
    [front] = free_ports(1)
    _configure(folder, front, server.port)
    try:
        with daemon(folder / "log", nginx, "-c", str(folder / "nginx.conf")):
            wait_until(lambda: _answers(front), f"nginx answers: {(folder / 'log').read_text()}", 10)
            yield front
    finally:
        server.kill()


def _configure(folder: Path, front: int, back: int) -> None:
    """Only ports, places of certificates, and the address to listen at differ from what is printed."""
    asked = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made = ["-subj", f"/CN={HOST}", "-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    subprocess.run([*asked, *made], check=True, capture_output=True)
    text = printed("nginx")
    for before, after in (
        ("listen 443 ssl", f"listen 127.0.0.1:{front} ssl"),
        (f"/etc/ssl/certs/{HOST}.pem", str(folder / "certificate")),
        (f"/etc/ssl/private/{HOST}.key", str(folder / "key")),
        ("localhost:8501", f"localhost:{back}"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "fashion-core.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(port: int, method: str, path: str, *, host: str = HOST, body: bytes = b"", **headers: str) -> HTTPResponse:
    connection = HTTPSConnection("127.0.0.1", port, context=_trusting(), timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, {"Host": host, **names})
    return connection.getresponse()


def _answers(port: int) -> bool:
    try:
        return ask(port, "GET", f"{PATH}/_stcore/health").status == 200
    except OSError:
        return False


@asynccontextmanager
async def socket(port: int, path: str, **more: Any) -> AsyncIterator[ClientConnection]:
    options: dict[str, Any] = {"ssl": _trusting(), "host": "127.0.0.1", "port": port, "max_size": None}
    async with connect(f"wss://{HOST}{path}", **{"origin": f"https://{HOST}", **options, **more}) as connection:
        yield connection


async def test_page_and_its_live_metrics_come_through(port: int, module_store: RunStore) -> None:
    run = new_run(module_store)
    set_state(run, "running")
    async with socket(port, f"{PATH}/_stcore/stream", subprotocols=["streamlit"]) as stream:
        session = Session(stream, "train", f"run={run.id}", prompt=False)
        assert (await session.run()).problems == ()
        assert session.live_metrics["address"] == f"{PATH}/live"
        async with socket(port, session.live_metrics["address"]) as live:
            await live.send(session.live_metrics["ticket"])
            assert await asyncio.wait_for(live.recv(), 20) != ""


@pytest.mark.parametrize("path", [f"{PATH}/_stcore/stream", f"{PATH}/live"])
async def test_page_of_another_site_connects_to_no_websocket(port: int, path: str) -> None:
    with pytest.raises(InvalidStatus) as raised:
        async with socket(port, path, origin="https://evil.example.org"):
            pass
    assert raised.value.response.status_code == 403


def test_other_names_are_refused_and_the_address_without_its_slash_leads_there(port: int) -> None:
    assert ask(port, "GET", f"{PATH}/", host="evil.example.org").status == 403
    moved = ask(port, "GET", PATH)
    assert (moved.status, moved.headers["Location"]) == (308, f"https://{HOST}/fashion/")
    assert ask(port, "GET", f"{PATH}/").status == 200


async def test_upload_within_the_limit_arrives_and_a_larger_one_ends_at_the_proxy(port: int) -> None:
    async with socket(port, f"{PATH}/_stcore/stream", subprotocols=["streamlit"]) as stream:
        session = Session(stream, "checkpoints", "", prompt=False)
        await session.run()
        upload = f"{PATH}/_stcore/upload_file/{session.id}/one"
        assert await asyncio.to_thread(_put, port, upload, 21 * MIB) == (204, "")
        status, text = await asyncio.to_thread(_put, port, upload, 0, length=162 * MIB)
        assert status == 413
        assert "nginx" in text, "the app has its own sentence"


def _put(port: int, path: str, size: int, length: int = 0) -> tuple[int, str]:
    """The status and the text that answer an upload of this size, or one that says it has another."""
    cookie = ask(port, "GET", f"{PATH}/_stcore/health").headers["Set-Cookie"].partition(";")[0]
    start = b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = start + bytes(size) + b"\r\n--line--\r\n"
    headers = {"Cookie": cookie, "X_Xsrftoken": cookie.partition("=")[2], "Origin": f"https://{HOST}"}
    headers |= {"Content_Type": "multipart/form-data; boundary=line", "Content_Length": str(length or len(body))}
    answer = ask(port, "PUT", path, body=body, **headers)
    return answer.status, answer.read().decode()
