"""The page of checkpoints in a real browser: choose, share, upload, download, delete."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, expect

from fashion_core.files import TEMPORARY_PREFIX
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels, Parent
from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_badge, open_page, read_text, requests_outside
from tests.support.exact import same
from tests.support.impatient import impatient
from tests.support.processes import wait_until
from tests.support.runs import config, copied, trained

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def base(module_store: RunStore) -> Run:
    return trained(module_store, name="first", epochs=2)


@pytest.fixture
def run(store: RunStore, base: Run) -> Run:
    return copied(base, store)


def address(server: Server, run: Run, **query: str) -> str:
    return f"{server.url}/checkpoints?" + "&".join(f"{key}={value}" for key, value in {"run": run.id, **query}.items())


def choose_row(page: Page, row: int) -> None:
    """The box before a row of the table of files; rows are drawn on a canvas, 35 pixels high below a head as high."""
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible()
    page.wait_for_timeout(500)  # the canvas is drawn after its frame, and says so nowhere
    table.click(position={"x": 15, "y": 35 * row + 52})


def spooled(store: RunStore) -> list[Path]:
    return list(store.root.glob(f"{TEMPORARY_PREFIX}upload-*"))


def upload(page: Page, server: Server, path: Path) -> None:
    open_page(page, f"{server.url}/checkpoints?view=Import")
    page.locator("input[type=file]").set_input_files(path)


def test_file_that_was_deleted_meanwhile_is_not_called_damaged(
    store: RunStore, server: Server, page: Page, run: Run
) -> None:
    open_page(page, address(server, run, epoch="1"))
    expect(page.get_by_role("tab", name="Five ways")).to_be_visible()
    store.delete(run, run.checkpoint_path(1))
    page.get_by_role("tab", name="Five ways").click()
    expect(page.get_by_test_id("stAlert")).to_contain_text("has no saved file")
    assert "damaged" not in read_text(page)


def test_chosen_row_opens_below_and_its_address_opens_the_same(server: Server, page: Page, run: Run) -> None:
    open_page(page, f"{server.url}/checkpoints")
    choose_row(page, 1)
    expect_badge(page, "exact")
    page.wait_for_url(re.compile(rf"run={run.id}&epoch=1"))
    page.get_by_role("tab", name="Compare").click()
    sentence = page.get_by_text("to this file the weights moved by")
    expect(sentence).to_be_visible()
    page.wait_for_url(re.compile(r"show=Compare"))
    shared, said = page.url, sentence.inner_text()
    page.goto("about:blank")
    open_page(page, shared)
    expect(sentence).to_have_text(said)
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_attribute("aria-label", re.compile("How far each tensor"))
    choose_row(page, 1)  # the row of the address is chosen already: this lets it go
    expect(page.get_by_text("to see what is in a file and what you can do")).to_be_visible()


def test_filters_and_sections_do_not_lose_each_other(server: Server, page: Page, run: Run) -> None:
    open_page(page, address(server, run, epoch="1", show="Download", best="true"))
    expect(page.get_by_test_id("stDownloadButton").get_by_role("button")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^1 file,"))).to_be_visible()
    page.get_by_role("tab", name="In plain PyTorch").click()
    expect(page.get_by_test_id("stCode")).to_contain_text("weights_only=True")
    page.get_by_text("Best of each run").click()
    expect(page.get_by_text(re.compile(r"^4 files"))).to_be_visible()
    expect(page.get_by_test_id("stCode")).to_contain_text("weights_only=True")
    assert "best" not in page.url


def test_links_from_other_pages_lead_to_the_files_of_the_run(
    store: RunStore, server: Server, page: Page, run: Run
) -> None:
    trained(store, name="second", epochs=1)
    for path in (f"train?run={run.id}", f"?run={run.id}"):
        open_page(page, f"{server.url}/{path}")
        page.get_by_test_id("stMain").get_by_role("link", name="Checkpoints").click()
        page.wait_for_url(re.compile(rf"checkpoints\?of={run.id}"))
        expect(page.get_by_text(re.compile(r"^4 files"))).to_be_visible()


def test_uploaded_file_takes_the_place_of_another_is_imported_and_listed(
    store: RunStore, server: Server, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("not a model")
    path = tmp_path / "from a *colleague*.pth"
    torch.save(build_model("cnn", seed=3).state_dict(), path)
    upload(page, server, tmp_path / "text.txt")
    expect(page.get_by_test_id("stAlert")).to_contain_text("it is a text; it holds no weights")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("421,738")).to_be_visible()
    assert "weights only · Good for using the model" in read_text(page)
    assert (len(spooled(store)), store.runs()) == (1, [])
    page.get_by_role("button", name="Import").click()
    page.wait_for_url(re.compile(r"run=.*epoch=0"))
    (run,) = store.runs()
    assert (run.state(), run.title) == ("imported", path.name)
    expect(page.get_by_text(re.compile(r"^2 files"))).to_be_visible()
    expect(page.get_by_text("model_save/0", exact=True).first).to_be_visible()
    assert path.name in read_text(page)
    assert spooled(store) == []


def test_refused_upload_is_one_sentence_and_shows_the_names(
    store: RunStore, server: Server, page: Page, tmp_path: Path
) -> None:
    class Surprise:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model_state_dict": build_model("mlp", seed=0).state_dict(), "x": Surprise()}, tmp_path / "bad.pth")
    upload(page, server, tmp_path / "bad.pth")
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("The file is refused: it refers to posix.mkdir, which no saved weights need")
    expect(alert).to_have_count(1)
    expect(page.get_by_test_id("stCode").first).to_have_text("posix.mkdir")
    expect(page.get_by_role("button", name="Import")).to_have_count(0)
    assert not (tmp_path / "ran").exists()
    page.get_by_role("button", name=re.compile("Remove")).click()
    expect(alert).to_have_count(0)
    assert (spooled(store), store.runs()) == ([], [])


@pytest.mark.slow
def test_copy_of_an_upload_goes_soon_after_its_page_was_closed(store: RunStore, page: Page, tmp_path: Path) -> None:
    torch.save(build_model("mlp", seed=0).state_dict(), tmp_path / "theirs.pth")
    with impatient(tmp_path) as server:
        upload(page, server, tmp_path / "theirs.pth")
        expect(page.get_by_role("button", name="Import")).to_be_visible()
        assert len(spooled(store)) == 1
        page.close()
        wait_until(lambda: spooled(store) == [], "the copy is gone", 20)


def downloaded(page: Page, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_downloads_hold_the_same_numbers_in_every_format(server: Server, page: Page, run: Run, tmp_path: Path) -> None:
    run.write_labels(Labels(name="To share: é"))
    expected = torch.load(run.checkpoint_path(0), weights_only=True)["model_state_dict"]
    open_page(page, address(server, run, epoch="0", show="Download"))
    path = downloaded(page, tmp_path)
    assert (path.name, path.read_bytes()) == ("To-share-é-epoch-0-checkpoint.pth", run.checkpoint_path(0).read_bytes())
    page.get_by_role("radio", name="weights only").click()
    expect(page.get_by_test_id("stCaptionContainer").filter(has_text="model_weights.pth")).to_be_visible()
    path = downloaded(page, tmp_path)
    assert path.name == "To-share-é-epoch-0-model_weights.pth"
    assert same(dict(torch.load(path, weights_only=True)), dict(expected))
    page.get_by_role("radio", name="pt2 program").click()
    expect(page.get_by_test_id("stCaptionContainer").filter(has_text="model.pt2")).to_be_visible()
    images, model = torch.rand(3, 1, 28, 28), build_model("mlp", seed=0)
    model.load_state_dict(expected)
    assert torch.equal(torch.export.load(downloaded(page, tmp_path)).module()(images), model(images))


def test_file_that_was_damaged_since_the_page_was_drawn_is_not_handed_out(server: Server, page: Page, run: Run) -> None:
    open_page(page, address(server, run, epoch="0", show="Download"))
    button = page.get_by_test_id("stDownloadButton").get_by_role("button")
    expect(button).to_be_enabled()
    run.checkpoint_path(0).write_bytes(b"something else")
    button.click()
    expect(page.get_by_test_id("stDownloadButtonError")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("stAlert").first).to_contain_text("Damaged: it has 14 bytes instead of")
    expect(button).to_have_count(0)


def test_delete_names_the_resumed_runs_and_refuses_until_confirmed(
    store: RunStore, server: Server, page: Page, run: Run
) -> None:
    store.create(config(name="its child"), run.record.environment, parent=Parent(run=run.id, epoch=0))
    open_page(page, address(server, run, epoch="0"))
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Resumed from it: its child")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    assert run.epochs_saved() == [0, 1]
    dialog.get_by_text("Delete it even though other runs were resumed from it").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("to see what is in a file and what you can do")).to_be_visible()
    assert run.epochs_saved() == [1]


def test_page_fits_a_phone_and_asks_nothing_outside(server: Server, page: Page, run: Run) -> None:
    run.write_labels(Labels(name="a name as long as a name may be, with words enough to wrap twice on a phone"))
    asked = requests_outside(page, server)
    page.set_viewport_size({"width": 390, "height": 844})
    for section in ("Look inside", "In plain PyTorch", "Compare", "Download"):
        open_page(page, address(server, run, epoch="1", show=section.replace(" ", "+")))
        expect_badge(page, "exact")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert asked == []
