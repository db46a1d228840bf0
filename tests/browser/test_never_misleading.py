"""What the pages say is so: one test for each way in which they have misled before."""

import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from fashion_core.config import CLASS_NAMES
from fashion_core.data import batches
from fashion_core.formats.load import load
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.benchmarks.comparison import made_run
from tests.support.browsing import WORD_JOINER, Server, expect_settled, fill, open_page
from tests.support.runs import (
    batch_row,
    copied,
    epoch_row,
    finish,
    new_run,
    resume,
    save_again,
    set_running,
    set_state,
    trained,
)

pytestmark = pytest.mark.browser

HELPED = "resume?view=Helped"
LONG = "n" * 81


@pytest.fixture(scope="module")
def family(module_store: RunStore) -> tuple[Run, Run]:
    """A trained run, and one that was resumed from its first checkpoint."""
    parent = trained(module_store, name="parent", epochs=2, optimizer="adam")
    return parent, finish(resume(module_store, parent, 0, 1, name="child"))


def choose(page: Page, box: str, option: str) -> None:
    expect_settled(page)
    page.get_by_role("combobox", name=box, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()
    expect_settled(page)


def test_losses_of_different_datasets_are_never_ranked_or_drawn_as_one(
    store: RunStore, server: Server, page: Page
) -> None:
    easy, hard = made_run(store, [0.3], name="easy"), made_run(store, [0.8], name="hard", dataset="fashion-mnist")
    made_run(store, [0.2], easy, 0), made_run(store, [0.7], hard, 0)
    made_run(store, [0.1], hard, 0, dataset="synthetic")
    open_page(page, f"{server.url}/{HELPED}")
    app = page.get_by_test_id("stApp")
    for answer in (
        "lowest loss now 0.700",
        "lowest loss now 0.200",
        "resumed onto another dataset, model or source is not counted",
    ):
        expect(app).to_contain_text(answer)
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(4)
    open_page(page, f"{server.url}/resume?view=Lineage")
    best = page.get_by_test_id("stVegaLiteChart").get_by_text("best", exact=True)
    expect(best).to_have_count(4)  # one a dataset, each with its halo
    open_page(page, server.url)
    expect(page.locator("canvas [role=columnheader]", has_text="best loss, Fashion-MNIST")).to_be_attached()


def test_form_begins_with_what_works_and_promises_nothing_that_is_missing(
    store: RunStore, server: Server, page: Page
) -> None:
    open_page(page, f"{server.url}/train")
    main, start = page.get_by_test_id("stMain"), page.get_by_role("button", name="Start", exact=True)
    expect(page.get_by_role("combobox", name="Preset", exact=True)).to_have_value("Quick demo")
    expect(start).to_be_enabled()
    page.get_by_role("combobox", name="Preset", exact=True).click()
    page.get_by_role("option").filter(has_text="utorial").click()
    expect(main).to_contain_text("Expect no more than chance")
    choose(page, "Preset", "Accurate CNN")
    expect(page.get_by_role("combobox", name="Dataset", exact=True)).to_have_value("Fashion-MNIST")
    expect(main.get_by_text(re.compile("copy its four .gz files into .*/raw.$"))).to_be_visible()
    expect(page.get_by_role("button", name="Download Fashion-MNIST")).to_be_enabled()
    expect(start).to_be_disabled()


def test_epochs_read_the_same_and_all_of_a_stopped_run_is_shown(store: RunStore, server: Server, page: Page) -> None:
    run = new_run(store, epochs=40)
    for row in (*map(epoch_row, range(7)), batch_row(7, 2, [1.0] * 3)):
        metrics.append_row(run.metrics_path, row)
    set_running(run)
    run.write_status(run.status.model_copy(update={"epoch": 7, "batch": 3}))
    main, charts = page.get_by_test_id("stMain"), page.get_by_test_id("stVegaLiteChart")
    open_page(page, server.url)
    expect(main).to_contain_text("epoch 7 (8 of 40), batch 3 of 8")
    set_state(run, "stopped")
    open_page(page, f"{server.url}/train?run={run.id}")
    expect(main).to_contain_text("epoch 7 (8 of 40), batch 3 of 8")
    expect(main).to_contain_text("3 min 19 s")  # seven epochs of a second, and 192 images at one a second
    expect(charts.first).to_contain_text("300")  # of 320 steps
    expect(charts.nth(1)).to_contain_text(re.compile("3[5-9]"))  # of 39


def test_model_stands_beside_another_one_and_its_history_begins_before_it_was_resumed(
    store: RunStore, server: Server, page: Page, family: tuple[Run, Run]
) -> None:
    _, child = (copied(run, store) for run in family)
    model = f"{server.url}/predict?run={child.id}&epoch=1"
    open_page(page, f"{model}&view=Two+models")
    expect(page.get_by_test_id("stMain")).to_contain_text("parent · model_save/0")
    open_page(page, f"{model}&view=Checkpoint+history&image=0")
    history = page.get_by_label("The probability of each class by epoch, one panel per run", exact=True)
    expect(history).to_contain_text("child")
    expect(history).to_contain_text("parent")


def test_file_that_can_not_be_used_is_called_so_and_shows_no_empty_tables(
    store: RunStore, server: Server, page: Page, family: tuple[Run, Run], tmp_path: Path
) -> None:
    run, main = copied(family[0], store), page.get_by_test_id("stMain")
    content = torch.load(run.checkpoint_path(1), weights_only=True)
    content["model_state_dict"]["linear_relu_stack.0.bias"][0] = float("nan")
    save_again(run, 1, content)
    open_page(page, f"{server.url}/checkpoints?run={run.id}&epoch=1")
    expect(main).to_contain_text("not usable")
    torch.save({"state": Path("code")}, tmp_path / "hostile.pth")
    open_page(page, f"{server.url}/checkpoints?view=Import")
    page.locator("input[type=file]").set_input_files(tmp_path / "hostile.pth")
    expect(page.get_by_test_id("stAlert")).to_contain_text("pathlib")
    expect(main).to_contain_text("SHA-256")
    expect_settled(page)
    expect(page.get_by_test_id("stMetric")).to_have_count(1)  # its size
    expect(page.get_by_test_id("stDataFrame")).to_have_count(0)


@pytest.mark.parametrize("unknown", ["?sort=x", "resume?view=x"])
def test_unknown_part_of_an_address_gets_its_sentence(
    store: RunStore, server: Server, page: Page, family: tuple[Run, Run], unknown: str
) -> None:
    copied(family[0], store)
    open_page(page, f"{server.url}/{unknown}")
    expect(page.get_by_test_id("stAlert").filter(has_text="x")).to_be_visible()


def test_what_is_typed_is_answered_and_what_is_copied_is_whole(
    store: RunStore, server: Server, page: Page, family: tuple[Run, Run]
) -> None:
    run = copied(family[0], store)
    open_page(page, f"{server.url}/?run={run.id}")
    name, save, alerts = page.get_by_label("Name", exact=True), page.get_by_role("button", name="Save"), "stAlert"
    name.fill(LONG)
    save.click()
    expect(page.get_by_test_id(alerts)).to_contain_text("at most 80 characters, not 81")
    expect(name).to_have_value(LONG)
    name.fill("a:b@c")
    save.click()
    expect(page.get_by_test_id("stToast")).to_contain_text("Saved")
    open_page(page, f"{server.url}/checkpoints?of={run.id}&epoch=1&run={run.id}")
    heading = page.get_by_role("heading", level=2)
    expect(heading).to_contain_text("model_save/1")
    assert "a:b@c" in heading.inner_text()
    assert WORD_JOINER not in page.get_by_test_id("stApp").inner_text()
    fill(page, "Epoch", "99")
    expect(page.get_by_test_id(alerts)).to_contain_text("No saved file passes these filters.")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_text(re.compile(r"^\d files, "))).to_be_visible()


def test_one_image_is_one_image(store: RunStore, server: Server, page: Page, family: tuple[Run, Run]) -> None:
    run = copied(family[0], store)
    images = batches.load("synthetic")[1]
    predicted = load(run.checkpoint_path(1)).model(batches.scale(images.pixels, "unit", images.description)).argmax(1)
    pairs = Counter(zip(images.labels.tolist(), predicted.tolist(), strict=True))
    true, wrong = next(pair for pair, count in pairs.items() if count == 1)
    open_page(page, f"{server.url}/predict?run={run.id}&epoch=1&view=Evaluation&cell={true}-{wrong}")
    expect(page.get_by_text(f"{CLASS_NAMES[true]} predicted as {CLASS_NAMES[wrong]}")).to_be_visible()
    expect(page.get_by_text("1 image", exact=True)).to_be_visible()
