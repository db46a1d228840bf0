"""Many large uploads at once, through a real browser."""

import os
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.store import RunStore
from tests.faults.lives import Tally
from tests.support.browsing import PATIENCE_MS, Server, open_page
from tests.support.runs import trained

pytestmark = [pytest.mark.slow, pytest.mark.browser]
FILE_BYTES = 20_000_000


def files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        path.write_text(path.name)
        os.truncate(path, FILE_BYTES)
    return paths


def megabytes(server: Server) -> float:
    return psutil.Process(server.process.pid).memory_info().rss / 1e6


def test_fifteen_large_uploads_at_once_leave_the_server_up(
    store: RunStore, server: Server, page: Page, tmp_path: Path, tally: Tally
) -> None:
    run = trained(store, epochs=1)
    open_page(page, f"{server.url}/predict?run={run.id}&epoch=0&view=Your+images")
    before = megabytes(server)
    page.locator("input[type=file]").set_input_files(files(tmp_path, 15))
    expect(page.get_by_text("The file is not an image")).to_have_count(15, timeout=4 * PATIENCE_MS)
    assert server.answers()
    expect(page.get_by_text("encountered an error")).to_have_count(0)
    tally.survived(
        f"15 uploads of 20 MB at once: the server is up; memory {before:.0f}, then {megabytes(server):.0f} MB"
    )
