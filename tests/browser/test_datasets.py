"""A team's own images and model in a real browser: from a zip to a run, what it confuses, and another head."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from fashion_core.data.description import describe, folder_of
from fashion_core.runs.store import RunStore
from tests.benchmarks.serving import serving
from tests.support.browsing import Server, expect_badge, expect_settled, fill, open_page
from tests.support.images import stored
from tests.support.processes import end_workers
from tests.support.team import readme_models

pytestmark = pytest.mark.browser
COLOURS = {"boots": (160, 60, 40), "heels <b>": (40, 90, 180), "loafers": (60, 160, 80)}


def zipped(path: Path) -> Path:
    """Three classes of photos, each of a colour of its own, and one file that is none."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for name, colour in COLOURS.items():
            for number in range(40):
                pixels = np.array(colour) + rng.integers(0, 60, (20 + number % 5, 24, 3))
                archive.writestr(f"shoes/{name}/{number}.png", stored(pixels.astype(np.uint8)))
        archive.writestr("shoes/boots/broken.jpg", b"no picture")
    return path


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with a data folder of its own: in that of the others, every test would find one more dataset."""
    places = {"FASHION_RUNS": str(tmp_path / "runs"), "FASHION_DATA": str(tmp_path / "data")}
    places["FASHION_MODELS"] = str(readme_models(tmp_path))
    for name, place in places.items():
        monkeypatch.setenv(name, place)
    with serving(tmp_path, **places) as server:
        yield server
    end_workers(RunStore())


@pytest.mark.timeout(120)
def test_zip_is_previewed_added_trained_on_evaluated_and_transferred(alone: Server, page: Page, tmp_path: Path) -> None:
    open_page(page, f"{alone.url}/train")
    page.get_by_text("Train on your own images").click()
    page.locator("input[type=file]").set_input_files(zipped(tmp_path / "photos.zip"))
    expect(page.get_by_text("photos.zip")).to_be_visible()
    page.get_by_label("Name", exact=True).last.fill("shoes")
    page.get_by_label("Name", exact=True).last.press("Enter")
    expect_settled(page)
    add = page.get_by_role("button", name="Add", exact=True)
    expect(add).to_be_disabled()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("shoes (32 × 32 colour, 3 classes)")).to_be_visible()
    expect(page.get_by_text("boots/broken.jpg")).to_be_visible()
    expect(page.get_by_alt_text("heels <b>")).to_be_visible()
    assert not folder_of("shoes").exists()
    add.click()
    expect(page.get_by_text(re.compile("^shoes was added: "))).to_be_visible()
    assert describe("shoes").classes == tuple(sorted(COLOURS))

    expect(page.get_by_text(str(folder_of("shoes")))).to_be_visible()
    expect(add).to_be_disabled()
    expect(page.get_by_label("Name", exact=True).last).to_have_value("")
    expect(page.get_by_text("photos.zip")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Dataset", exact=True)).to_have_value("shoes")
    expect_settled(page)
    page.get_by_role("combobox", name="Model").scroll_into_view_if_needed()  # scrolling would close its list
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="lenet").click()
    expect(page.get_by_text("LeNet-5 with ReLU and max pooling.")).to_be_visible()
    fill(page, "Epochs", "2")
    fill(page, "Batch size", "16")
    expect_settled(page)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"run="))
    expect_badge(page, "finished", seconds=60)
    (run,) = RunStore().runs()
    assert (run.record.description, run.record.config.model) == (describe("shoes"), "lenet")
    open_page(page, f"{alone.url}/predict?run={run.id}&image=0")
    expect(page.get_by_role("heading", name=re.compile("^Test image 0 · (boots|heels <b>|loafers)$"))).to_be_visible()
    page.get_by_role("tab", name="Evaluation").click()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_contain_text("loafers")

    open_page(page, f"{alone.url}/resume?run={run.id}&epoch=1")
    expect_badge(page, "exact")
    expect_settled(page)
    page.get_by_role("combobox", name="Dataset").click()
    page.get_by_role("option", name="synthetic garments").click()
    expect_badge(page, "transfer")
    expect(page.get_by_text("Layers: 4 of 8 tensors are kept, 4 are new")).to_be_visible()
    expect_settled(page)
    page.get_by_text("Freeze the layers that are kept").click()
    expect(page.get_by_text("4 of 8 tensors are frozen: training leaves them as they are")).to_be_visible()
    fill(page, "Batch size", "500")
    expect_settled(page)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/train\?.*run="))
    expect_badge(page, "finished", seconds=60)
    expect_badge(page, "transfer")
    child = RunStore().runs()[0]
    assert (child.record.is_transfer, len(child.record.frozen)) == (True, 4)
