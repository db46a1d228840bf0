"""How much of the server's memory uploads may use, through a real browser."""

import random
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.store import RunStore
from fashion_core.ui.upload_limits import AWAY_SECONDS
from tests.faults.lives import Tally
from tests.support.browsing import PATIENCE_MS, Server, open_page
from tests.support.runs import new_run, train

pytestmark = [pytest.mark.slow, pytest.mark.browser]
FILE_BYTES = 20_000_000


@pytest.fixture
def address(store: RunStore, server: Server) -> str:
    run = new_run(store, epochs=1)
    train(run)
    return f"{server.url}/predict?run={run.id}&epoch=0&view=Your+own"


def files(folder: Path, count: int) -> list[Path]:
    """Files of noise: only their size matters."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        path.write_bytes(random.Random(path.name).randbytes(FILE_BYTES))
    return paths


def megabytes(server: Server) -> float:
    return psutil.Process(server.process.pid).memory_info().rss / 1e6


def wait_for_at_most(server: Server, most: float, seconds: float) -> float:
    """The megabytes that the server holds once they are at most ``most``, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while (held := megabytes(server)) > most and time.monotonic() < deadline:
        time.sleep(1)
    return held


def run_the_page_again(page: Page) -> None:
    """By opening another tab and coming back."""
    page.get_by_role("tab", name="Evaluation").click()
    expect(page.get_by_text("test images are right")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("tab", name="Your images").click()


def test_fifteen_large_uploads_at_once_leave_the_server_up_and_its_memory_back_down(
    server: Server, page: Page, address: str, tmp_path: Path, tally: Tally
) -> None:
    open_page(page, address)
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(files(tmp_path, 1))
    expect(page.get_by_text("The file is no image")).to_have_count(1, timeout=PATIENCE_MS)
    run_the_page_again(page)  # the first time it imports much
    expect(page.get_by_text("The file is no image")).to_have_count(1, timeout=PATIENCE_MS)
    before = megabytes(server)
    chooser.set_input_files(files(tmp_path, 15))
    expect(page.get_by_text("The file is no image")).to_have_count(16, timeout=4 * PATIENCE_MS)
    during = megabytes(server)
    assert during > before + 200
    page.goto("about:blank")
    after = wait_for_at_most(server, before + FILE_BYTES / 1e6, seconds=AWAY_SECONDS + 60)
    assert after < before + FILE_BYTES / 1e6
    assert server.answers()
    tally.survived(
        f"15 uploads of 20 MB at once: the server is up; memory {before:.0f}, {during:.0f}, then {after:.0f} MB"
    )


def test_session_that_holds_too_much_is_told_in_one_sentence(
    server: Server, page: Page, address: str, tmp_path: Path
) -> None:
    open_page(page, address)
    page.locator("input[type=file]").set_input_files(files(tmp_path, 18))
    refused = page.get_by_text("was not taken: you hold 320 MB here, and may hold 320")
    expect(refused).to_have_count(2, timeout=4 * PATIENCE_MS)
    expect(page.get_by_text("The file is no image")).to_have_count(16, timeout=4 * PATIENCE_MS)
    run_the_page_again(page)
    expect(page.get_by_text("The file is no image")).to_have_count(16, timeout=4 * PATIENCE_MS)
    expect(page.get_by_text("encountered an error")).to_have_count(0)
