"""The guard, as browsers meet it: pages elsewhere are kept out, and those of this server work behind a proxy too."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.browser.test_live import expect_epoch, expect_newest, watched, write_epoch
from tests.support.browsing import Server, open_page
from tests.support.logins import ANNA, log_in, provider, shown, write_secrets
from tests.support.processes import wait_until
from tests.support.proxy import proxy

pytestmark = pytest.mark.browser

CONNECTS = """(address) => new Promise((tell) => {
  const socket = new WebSocket(address);
  socket.onopen = () => tell(true);
  socket.onclose = () => tell(false);
})"""


def open_elsewhere(page: Page, url: str) -> None:
    """Open a page of another site."""
    page.route(f"{url}/", lambda route: route.fulfill(content_type="text/html", body="<p>elsewhere</p>"))
    page.goto(url)


@pytest.mark.parametrize("path", ["_stcore/stream", "live"])
@pytest.mark.parametrize("elsewhere", ["http://localhost:9999", "http://evil.test"])
def test_page_elsewhere_does_not_connect_and_own_page_does(
    server: Server, page: Page, elsewhere: str, path: str
) -> None:
    address = f"ws://localhost:{server.port}/{path}"
    open_elsewhere(page, elsewhere)
    assert not page.evaluate(CONNECTS, address)
    open_page(page, server.url)
    assert page.evaluate(CONNECTS, address)


def test_page_elsewhere_whose_name_leads_here_is_told_what_to_do(server: Server, page: Page) -> None:
    """DNS rebinding, as the server sees it: the right machine under a wrong name."""
    answer = page.goto(f"http://rebound.localhost:{server.port}")
    assert answer
    assert answer.status == 403
    expect(page.get_by_text(f"open http://localhost:{server.port} on its machine")).to_be_visible()


def test_page_elsewhere_does_not_frame_this_one(server: Server, page: Page) -> None:
    open_elsewhere(page, "http://evil.test")
    page.evaluate("(url) => { document.body.innerHTML = `<iframe src='${url}'></iframe>` }", server.url)
    wait_until(lambda: not page.title() and page.frames[-1].url.startswith("chrome-error:"), "the frame stays empty")


@pytest.mark.parametrize("keeps_host", [True, False], ids=["host kept", "host replaced"])
def test_login_and_live_metrics_through_a_proxy_below_a_path(
    store: RunStore, tmp_path: Path, page: Page, keeps_host: bool
) -> None:
    secrets = tmp_path / "secrets.toml"
    server = Server(tmp_path / "log", "--secrets.files", str(secrets), "--server.baseUrlPath", "deep/down")
    server.url += "/deep/down"
    with provider() as issuer, proxy(server.port, keeps_host=keeps_host) as port:
        write_secrets(secrets, server.port, issuer, [ANNA])
        public = f"dash.localhost:{port}"
        secrets.write_text(secrets.read_text().replace(f"localhost:{server.port}/", f"{public}/deep/down/"))
        server.start({} if keeps_host else {"FASHION_HOSTS": public})
        try:
            server.url = f"http://{public}/deep/down"
            log_in(page, server, ANNA)
            expect(page.get_by_text(shown(ANNA, "operator"))).to_be_visible()
            expect_to_follow(page, server, watched(store))
        finally:
            server.kill()


def test_live_metrics_through_a_proxy_without_a_login(store: RunStore, tmp_path: Path, page: Page) -> None:
    server = Server(tmp_path / "log")
    with proxy(server.port, keeps_host=True) as port:
        server.start({"FASHION_HOSTS": "dash.localhost"})
        try:
            server.url = f"http://dash.localhost:{port}"
            expect_to_follow(page, server, watched(store))
            expect(page.get_by_test_id("stAlert")).to_contain_text("Read-only")
        finally:
            server.kill()


def expect_to_follow(page: Page, server: Server, run: Run) -> None:
    open_page(page, f"{server.url}/train?run={run.id}")
    expect_newest(page, "4.000")
    page.wait_for_function("document.body.value")  # its first run is over, and the live metrics have begun
    write_epoch(run)
    expect_epoch(page)
