"""What the browser tests share."""

from playwright.sync_api import Page, expect

from tests.benchmarks.serving import Server as Server

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


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_test_id("stApp")).to_be_visible(timeout=PATIENCE_MS)


def expect_badge(page: Page, word: str, seconds: float = 30) -> None:
    expect(page.locator(".stMarkdownBadge").filter(has_text=word)).to_be_visible(timeout=seconds * 1000)
