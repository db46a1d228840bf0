"""Pages of a store with more runs than a list shows: they say so, and every run can be found and opened."""

import shutil

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.resume.tables import lineage_parts
from fashion_core.runs import tables
from fashion_core.runs.index.index import AT_ONCE, index_of
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from fashion_core.ui import texts
from fashion_core.ui.overview.texts import READING
from tests.benchmarks.stores import fill_with_links, run_path
from tests.support.pages import open_page, widget, words
from tests.support.runs import config

RUNS = 2 * AT_ONCE + 3
SAID = texts.NEWEST_RUNS.format(shown=AT_ONCE, count=RUNS)


@pytest.fixture(scope="module")
def filled(module_store: RunStore) -> RunStore:
    fill_with_links(module_store, RUNS)
    return module_store


@pytest.fixture
def many(filled: RunStore, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("FASHION_RUNS", str(filled.root))
    filled.index.refresh(whole=True)
    return filled


@pytest.mark.parametrize(
    ("page", "view"),
    [
        ("resume", "Resume"),
        ("resume", "Helped"),
        ("resume", "Lineage"),
        ("checkpoints", "Saved files"),
        ("checkpoints", "Verify and tidy up"),
        ("predict", "Test images"),
    ],
)
def test_a_list_of_the_newest_runs_says_so(many: RunStore, page: str, view: str) -> None:
    assert SAID in words(open_page(page, view=view))


def test_a_list_of_all_runs_does_not_say_that_it_is_of_some(store: RunStore) -> None:
    fill_with_links(store, 2)
    assert "This lists the newest" not in words(open_page("resume"))


def test_a_box_of_runs_holds_the_newest_ones_and_the_one_that_the_address_names(many: RunStore) -> None:
    oldest = run_path(many, 0)
    assert len(widget(open_page("resume"), "Run").options) == AT_ONCE
    box = widget(open_page("resume", run=oldest.name), "Run")
    assert (len(box.options), box.value) == (AT_ONCE + 1, oldest.name)


def test_the_files_of_an_older_run_are_listed_where_the_address_names_it(many: RunStore) -> None:
    oldest = run_path(many, 0)
    app = open_page("checkpoints", of=oldest.name)
    assert widget(app, "Run").value == oldest.name
    assert list(app.dataframe[0].value["file"]) == ["model_save/0", "model_save/1", "model_save/2"]


def test_overview_finds_the_oldest_run(many: RunStore) -> None:
    oldest = run_path(many, 0)
    app = open_page("overview", text=oldest.name)
    assert len(app.dataframe[0].value) == 1
    assert f"1 of {RUNS:,} runs" in words(app)


def bars(app: AppTest) -> str:
    return "".join(bar.proto.text for bar in app.get("progress"))


def test_overview_says_how_far_the_store_has_been_read(many: RunStore) -> None:
    shutil.rmtree(many.root / ".index", ignore_errors=True)
    index_of.cache_clear()
    app = open_page("overview")
    assert READING.format(known=0, count=RUNS) in bars(app)
    assert len(app.dataframe[0].value) > 0
    for _ in range(RUNS // AT_ONCE):
        app.run()
    assert bars(app) == ""
    assert f"500 of {RUNS:,} runs" in words(app)


def test_a_tree_begins_with_the_run_that_its_newest_runs_came_from(many: RunStore) -> None:
    oldest = many.at(run_path(many, 0).name)
    child = many.create(config(), oldest.record.environment, parent=Parent(run=oldest.id, epoch=2))
    child.metrics_path.write_bytes(oldest.metrics_path.read_bytes())
    trees = [[lane.run for lane in tree] for part in lineage_parts(many) for tree in part]
    assert [oldest.id, child.id] in trees
    assert len(tables.saved_frame(many)["run"].unique()) == AT_ONCE - 1
    many.delete(child)


def test_what_was_resumed_from_an_older_run_is_counted(many: RunStore) -> None:
    oldest, child = many.at(run_path(many, 0).name), many.at(run_path(many, 1).name)
    record = child.record
    child.record_path.unlink()  # its link to the one file of all
    child.write_record(record.model_copy(update={"parent": Parent(run=oldest.id, epoch=2)}))
    many.index.refresh(every=True)
    saved = tables.saved_frame(many, [oldest])
    assert saved[saved["run"] == oldest.id]["resumed"].tolist() == [0, 0, 1]
    child.write_record(record)
