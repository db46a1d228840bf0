"""A run goes from one dashboard to another in a real browser: bundled, downloaded, imported into an empty store."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.store import RunStore
from tests.benchmarks.serving import serving
from tests.support.browsing import Server, expect_settled, open_page
from tests.support.bundles import small_run

pytestmark = pytest.mark.browser


@pytest.mark.timeout(120)
def test_bundle_is_downloaded_here_and_imported_there(
    store: RunStore, server: Server, page: Page, tmp_path: Path
) -> None:
    first = small_run(store, name="the first")
    second = small_run(store, first, name="the second")
    open_page(page, f"{server.url}/?run={second.id}")
    expect_settled(page)
    page.get_by_role("button", name="Bundle…").click()
    expect(page.get_by_text("2 runs with their checkpoints")).to_be_visible()
    expect_settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    path = tmp_path / "runs.zip"
    download.value.save_as(path)
    other = tmp_path / "elsewhere"
    other.mkdir()
    with serving(other, FASHION_RUNS=str(other / "runs")) as there:
        open_page(page, there.url)
        page.get_by_text("Import runs from a bundle").click()
        page.locator("input[type=file]").set_input_files(path)
        keep = page.get_by_role("button", name="Import 2 runs")
        expect(keep).to_be_enabled()
        expect_settled(page)
        assert not (other / "runs" / first.id).exists()
        keep.click()
        expect(page.get_by_text("Imported 2 runs.")).to_be_visible()
        expect(page.get_by_role("heading", name="All runs")).to_be_visible()
    assert set(RunStore(other / "runs").ids()) == {first.id, second.id}
