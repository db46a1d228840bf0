"""The Predict page in a real browser: upload and answer, click on an image, click on a cell, share the address."""

import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from fashion_core.config import CLASS_NAMES
from fashion_core.data import batches
from fashion_core.data.description import BUILT_IN
from fashion_core.formats.load import load
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_settled, open_page, read_text
from tests.support.runs import copied, trained

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def base(module_store: RunStore) -> Run:
    return trained(module_store, name="base", epochs=2, optimizer="adam", train_images=5000)


@pytest.fixture
def run(store: RunStore, base: Run) -> Run:
    return copied(base, store)


def address(server: Server, run: Run, view: str, **query: str) -> str:
    asked = {"run": run.id, "epoch": "1", "view": view, **query}
    return f"{server.url}/predict?" + "&".join(f"{key}={quote(value)}" for key, value in asked.items())


def write_images(folder: Path, run: Run, count: int) -> dict[Path, str]:
    """The first test images as people have them, large, dark on white, and what the last checkpoint says of each."""
    pixels = batches.load("synthetic")[1].pixels[:count]
    predicted = (
        load(run.checkpoint_path(1)).model(batches.scale(pixels, "unit", BUILT_IN["synthetic"])).argmax(1).tolist()
    )
    paths = [folder / f"my <b>{number}_ [x](y).png" for number in range(count)]
    for path, image in zip(paths, pixels[:, 0].numpy(), strict=True):
        Image.fromarray(255 - np.kron(image, np.ones((8, 8), np.uint8))).save(path)
    return dict(zip(paths, [CLASS_NAMES[index] for index in predicted], strict=True))


def test_uploaded_images_are_answered_and_a_bad_one_is_named(
    server: Server, page: Page, run: Run, tmp_path: Path
) -> None:
    images = write_images(tmp_path, run, 3)
    (tmp_path / "notes.txt").write_text("no image")
    open_page(page, address(server, run, "Your images"))
    page.locator("input[type=file]").set_input_files([*images, tmp_path / "notes.txt"])
    expect(page.get_by_text("The file is not an image")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_text("Predictions as CSV").click()
    table = pd.read_csv(download.value.path())
    assert dict(zip(table["image"], table["class"], strict=True)) == {path.name: name for path, name in images.items()}
    assert list(table["image"]) == [path.name for path in images]
    text = read_text(page)
    for path, name in images.items():
        assert re.search(re.escape(path.name) + rf"\s*· {name}, \d+\.\d%", text)
    assert text.count("so light and dark were swapped") == 3
    page.get_by_role("tab", name="Evaluation").click()
    expect(page.get_by_text("test images are right")).to_be_visible()
    expect_settled(page)  # until then a tab that is opened again shows what stood there before, which is about to go
    page.get_by_role("tab", name="Your images").click()
    expect_settled(page)
    page.get_by_text("Checkpoint history").nth(1).click()
    expect(page.get_by_label("The probability of each class by epoch, one panel per run", exact=True)).to_be_visible()


def test_a_click_on_an_image_opens_it_and_its_address_opens_the_same(server: Server, page: Page, run: Run) -> None:
    open_page(page, address(server, run, "Test images"))
    gallery = page.get_by_label("Test images with what the model predicts", exact=True)
    expect(gallery).to_be_visible()
    expect(gallery.locator("canvas, svg").first).to_be_visible()
    gallery.click(position={"x": 60, "y": 50})
    page.wait_for_url(re.compile(r"image=\d+"))
    heading = page.get_by_text(re.compile(r"^Test image \d+ · "))
    expect(heading).to_be_visible()
    shared, said = page.url, heading.inner_text()
    page.goto("about:blank")
    open_page(page, shared)
    expect(heading).to_have_text(said)
    page.get_by_role("button", name="Checkpoint history").click()
    page.wait_for_url(re.compile("view=Checkpoint"))
    expect_settled(page)  # until then the field of the other view stands there too
    expect(page.get_by_label("Test image", exact=True)).to_have_value(re.search(r"\d+", said)[0])  # type: ignore[index]


def test_a_click_on_a_cell_of_the_confusion_shows_its_images(server: Server, page: Page, run: Run) -> None:
    open_page(page, address(server, run, "Evaluation"))
    chart = page.get_by_label("True class by predicted class", exact=True)
    expect(chart).to_be_visible()
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] / 2, "y": 150})
    page.wait_for_url(re.compile(r"cell=\d-\d"))
    cell = re.search(r"cell=(\d)-(\d)", page.url)
    assert cell is not None
    true, predicted = (CLASS_NAMES[int(number)] for number in cell.groups())
    expect(page.get_by_text(f"{true} predicted as {predicted}", exact=True)).to_be_visible()
    galleries = page.get_by_label("Test images with what the model predicts", exact=True)
    expect(galleries).to_have_count(2)
