"""What the browser tests share."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.benchmarks.serving import Server as Server

UNNEEDED = ("gpu", "quic", "background-networking", "component-update", "sync")
CHROMIUM_OPTIONS = ["--no-sandbox", "--no-first-run", *(f"--disable-{part}" for part in UNNEEDED)]
WORD_JOINER = "\u2060"
PATIENCE_MS = 30_000


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_test_id("stApp")).to_be_visible(timeout=PATIENCE_MS)


def fill(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(value)
    box.press("Enter")


def expect_badge(page: Page, word: str, seconds: float = 30) -> None:
    expect(page.locator(".stMarkdownBadge").filter(has_text=word)).to_be_visible(timeout=seconds * 1000)


def expect_settled(page: Page) -> None:
    """Wait until no script runs: it may be about to replace what a test wants to click."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def requests_outside(page: Page, server: Server) -> list[str]:
    """The addresses elsewhere that the page asks for from now on."""
    found: list[str] = []
    here = server.url, "data:", "blob:"
    page.on("request", lambda request: found.extend([] if request.url.startswith(here) else [request.url]))
    return found


def outside_address() -> str:
    """An address of this machine that is not a loopback one."""
    cards = psutil.net_if_addrs().values()
    addresses = [one.address for card in cards for one in card if one.family == socket.AF_INET]
    outside = [address for address in addresses if not address.startswith("127.")]
    return outside[0] if outside else pytest.skip("this machine has no address but its loopback ones")


def reachable_server(log: Path, *options: str) -> Server:
    """A server that other machines can reach."""
    here = outside_address()
    server = Server(log, "--server.address", here, *options)
    server.url = f"http://{here}:{server.port}"
    return server


def read_text(page: Page) -> str:
    return page.get_by_test_id("stApp").inner_text().replace(WORD_JOINER, "")


@contextmanager
def chromium_running() -> Iterator[BrowserContext]:
    """A browser with a profile of its own, so that it keeps the app's scripts as it compiled them.

    The tests are skipped where there is none, but not in CI.
    """
    expect.set_options(timeout=PATIENCE_MS)
    paths = [path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()]
    if not paths and os.environ.get("CI") == "true":
        pytest.fail("CI needs a browser: install chromium")
    if not paths:
        pytest.skip("no chromium on this machine: install it to run the browser tests")
    with TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=paths[0], args=CHROMIUM_OPTIONS, viewport={"width": 1280, "height": 900}
        )
        browser.set_default_timeout(PATIENCE_MS)
        yield browser
        browser.close()


def page_of_another_browser(page: Page) -> Page:
    """A page that shares nothing with this one: as in a browser on another machine."""
    assert page.context.browser
    context = page.context.browser.new_context(viewport=page.viewport_size)
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


def forget(browser: BrowserContext) -> None:
    """Close all pages but the one that keeps the browser open, and let go of what their sites have stored."""
    first, *others = browser.pages
    storage = browser.new_cdp_session(first)
    for page in others:
        storage.send("Storage.clearDataForOrigin", {"origin": page.url, "storageTypes": "local_storage"})
        page.close()
    storage.detach()
    browser.clear_cookies()
    assert browser.browser
    for other in browser.browser.contexts:
        if other is not browser:
            other.close()
