"""The app in a real browser, with a real server and real workers."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import ROOT, new_run, wait_until, workers
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fashion_core.runs import Run, RunStore

pytestmark = pytest.mark.browser

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
USABLE_SECONDS = 5.0
WORD_JOINER = "\u2060"
STOP_SECONDS = 2.0
PATIENCE_MS = 30_000
BAD_VALUES = (
    ("Learning rate", "-1", "0.001", "Learning rate should be greater than 0"),
    ("Learning rate", "0", "0.001", "Learning rate should be greater than 0"),
    ("Epochs", "0", "2", "Epochs should be greater than or equal to 1"),
    ("Batch size (images)", "20000", "64", "larger than the 12,000 training images"),
)


class Server:
    """``streamlit run app.py`` on a free port of this machine."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.log = log

    def start(self) -> None:
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--server.port", str(self.port)], cwd=ROOT, stdout=log, stderr=log
            )
        wait_until(self.answers, "the server answers", 20)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(store: RunStore, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server.log")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = next(
            (path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/google-chrome")) if path.exists()), None
        )
        if path is None and os.environ.get("CI") == "true":
            pytest.fail("CI needs a browser: install chromium")
        if path is None:
            pytest.skip("no chromium on this machine: install it to run the browser tests")
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_test_id("stApp")).to_be_visible(timeout=PATIENCE_MS)


def fill(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(value)
    box.press("Enter")


def start_run(page: Page, server: Server, epochs: int) -> str:
    """Start a run of the tutorial's settings in the form; gives its id."""
    open_page(page, f"{server.url}/train")
    fill(page, "Epochs", str(epochs))
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"run="), timeout=PATIENCE_MS)
    return page.url.partition("run=")[2]


def expect_state(page: Page, word: str, seconds: float = 30) -> None:
    expect(page.locator(".stMarkdownBadge").filter(has_text=word)).to_be_visible(timeout=seconds * 1000)


def epochs_done(run: Run) -> int:
    return len(run.epochs_saved())


def weights(run: Run) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run.weights_path, weights_only=True)
    return state


def drawn(page: Page) -> str | None:
    """All texts of the loss chart: its axes and its newest value."""
    return page.get_by_test_id("stVegaLiteChart").first.text_content()


def test_app_is_usable_within_five_seconds_and_asks_nothing_outside(
    store: RunStore, server: Server, page: Page
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    server.kill()
    began = time.monotonic()
    server.start()
    open_page(page, server.url)
    expect(page.get_by_role("button", name="Train a first run")).to_be_enabled()
    assert time.monotonic() - began < USABLE_SECONDS
    open_page(page, f"{server.url}/train")
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []


def test_one_button_trains_a_first_run(store: RunStore, server: Server, page: Page) -> None:
    open_page(page, server.url)
    page.get_by_role("button", name="Train a first run").click()
    expect_state(page, "finished", seconds=60)
    assert [run.state() for run in store.runs()] == ["finished"]


def test_run_outlives_reload_second_browser_and_killed_server(
    store: RunStore, server: Server, page: Page, chromium: Browser
) -> None:
    run = store.get(start_run(page, server, epochs=400))
    expect_state(page, "running")
    wait_until(lambda: epochs_done(run) >= 1, "an epoch is saved")
    before = drawn(page)
    wait_until(lambda: drawn(page) != before, "the chart moves", 10)

    page.reload()
    expect_state(page, "running")
    second = chromium.new_page()
    open_page(second, f"{server.url}/train?run={run.id}")
    expect_state(second, "running")

    worker = run.status.process
    server.kill()
    at_kill = epochs_done(run)
    wait_until(lambda: epochs_done(run) > at_kill, "training goes on without a server")
    server.start()
    open_page(second, f"{server.url}/train?run={run.id}")
    expect_state(second, "running")
    expect(second.get_by_role("link", name="Overview")).to_be_visible()
    assert run.status.process == worker
    second.close()


def test_stop_shows_within_two_seconds_and_continue_ends_in_the_same_bits(
    store: RunStore, server: Server, page: Page
) -> None:
    whole = store.get(start_run(page, server, epochs=4))
    expect_state(page, "finished", seconds=60)

    run = store.get(start_run(page, server, epochs=4))
    wait_until(lambda: epochs_done(run) >= 1, "an epoch is saved")
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "stopped", seconds=STOP_SECONDS)
    assert epochs_done(run) < 4
    page.get_by_role("button", name="Continue").click()
    expect_state(page, "finished", seconds=60)

    expected, got = weights(whole), weights(run)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_killed_worker_is_shown_as_lost_and_continue_goes_on(store: RunStore, server: Server, page: Page) -> None:
    run = store.get(start_run(page, server, epochs=4))
    wait_until(lambda: epochs_done(run) >= 1, "an epoch is saved")
    process = run.status.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    expect_state(page, "lost", seconds=5)
    page.get_by_role("button", name="Continue").click()
    expect_state(page, "finished", seconds=60)
    assert run.epochs_saved() == list(range(4))


def test_form_answers_bad_values_with_one_sentence(store: RunStore, server: Server, page: Page) -> None:
    open_page(page, f"{server.url}/train")
    for label, bad, good, sentence in BAD_VALUES:
        fill(page, label, bad)
        expect(page.get_by_test_id("stAlert")).to_contain_text(sentence)
        expect(page.get_by_role("button", name="Start")).to_be_disabled()
        fill(page, label, good)
        expect(page.get_by_test_id("stAlert")).to_have_count(0)
    assert store.runs() == []


def test_run_is_deleted_only_after_its_dialog_is_confirmed(store: RunStore, server: Server, page: Page) -> None:
    run = new_run(store, name="to be deleted")
    with run.writing():
        run.write_status(run.status.model_copy(update={"state": "stopped"}))
    open_page(page, f"{server.url}/?run={run.id}")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("to be deleted with all its checkpoints will be gone for good")
    assert store.runs() != []
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Train a first run")).to_be_visible()
    assert store.runs() == []


def test_two_browsers_that_press_continue_get_one_worker(
    store: RunStore, server: Server, page: Page, chromium: Browser
) -> None:
    run = new_run(store, name="shared", epochs=2000)
    with run.writing():
        run.write_status(run.status.model_copy(update={"state": "stopped"}))
    second = chromium.new_page()
    for browser in (page, second):
        open_page(browser, f"{server.url}/train?run={run.id}")
        expect_state(browser, "stopped")
    for browser in (page, second):
        browser.get_by_role("button", name="Continue").click(no_wait_after=True)
    for browser in (page, second):
        expect_state(browser, "running")
    assert len(workers(run)) == 1
    second.get_by_role("button", name="Stop").click()
    for browser in (page, second):
        expect_state(browser, "stopped", seconds=10)
    second.close()


def test_names_are_shown_as_text(store: RunStore, server: Server, page: Page) -> None:
    name = "<b>x</b> :red[y] $z$ ![i](http://a.org/i.png) :material/home: www.a.org &amp; x@a.org"
    run = new_run(store, name=name[:80])
    with run.writing():
        run.write_status(run.status.model_copy(update={"state": "stopped"}))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(page, f"{server.url}/train?run={run.id}")
    expect_state(page, "stopped")
    heading = page.get_by_role("heading").first
    assert heading.inner_text().replace(WORD_JOINER, "") == name[:80]
    assert heading.locator("a[href*='a.org'], img, b, [role=img]").count() == 0
    assert not [url for url in asked if "a.org" in url]


def test_two_presses_of_start_make_one_run(store: RunStore, server: Server, page: Page) -> None:
    open_page(page, f"{server.url}/train")
    page.get_by_role("button", name="Start").dblclick()
    page.wait_for_url(re.compile(r"run="), timeout=PATIENCE_MS)
    expect_state(page, "finished", seconds=60)
    assert len(store.runs()) == 1
