"""A real server and the words of a real browser, for the files of browser tests."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from helpers import ROOT, wait_until
from playwright.sync_api import Page, expect

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WORD_JOINER = "\u2060"
PATIENCE_MS = 30_000


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


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_test_id("stApp")).to_be_visible(timeout=PATIENCE_MS)


def expect_badge(page: Page, word: str, seconds: float = 30) -> None:
    expect(page.locator(".stMarkdownBadge").filter(has_text=word)).to_be_visible(timeout=seconds * 1000)
