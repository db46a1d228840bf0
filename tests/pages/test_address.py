"""What an address names, on each page: it fills itself in, changes by clicks, and says what it can't mean."""

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.config import CLASS_NAMES
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address
from fashion_core.ui.checkpoints.saved_file import Chosen
from fashion_core.ui.predict.predictions import evaluate
from tests.support.pages import filled_in, labels, open_page, press, widget, words
from tests.support.processes import ROOT
from tests.support.runs import copied, trained

NOBODY = "20260101-000000-000-0000"


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, name="base", epochs=2)


@pytest.fixture
def run(store: RunStore, trained_once: Run) -> Run:
    return copied(trained_once, store)


@pytest.mark.parametrize("page", ["resume", "predict"])
def test_page_that_is_opened_without_an_address_fills_it_in(run: Run, page: str) -> None:
    app = open_page(page)
    epoch = widget(app, "Checkpoint").value if page == "resume" else run.best_epoch()
    assert filled_in(app) == {"run": run.id, "epoch": str(epoch)}
    assert app.query_params == {}  # Streamlit would make it a step of the history
    assert not filled_in(open_page(page, run=run.id, epoch="0"))


def test_every_page_but_the_first_is_known_by_its_name() -> None:
    pages = {path.stem for path in (ROOT / "pages").glob("*.py") if "main()" in path.read_text()}
    assert {page or "overview" for page in address.PARAMETERS} == pages


@pytest.mark.parametrize(
    ("page", "query", "sentence", "way_on"),
    [
        ("train", {"run": NOBODY}, "No run in", "Set up a run"),
        ("lesson", {"run": NOBODY}, "No run in", "Take the lesson"),
        ("lesson", {"run": "{run}"}, "is not part of a lesson", "Take the lesson"),
        ("resume", {"group": "nonsense"}, "No run belongs to the group nonsense", "Choose a checkpoint"),
    ],
)
def test_address_of_what_is_not_there_says_so_and_leads_on(
    run: Run, page: str, query: dict[str, str], sentence: str, way_on: str
) -> None:
    app = open_page(page, **{name: value.format(run=run.id) for name, value in query.items()})
    assert sentence in words(app)
    press(app, way_on)
    assert sentence not in words(app)
    assert app.query_params == {}


@pytest.mark.parametrize(
    ("page", "query", "sentence"),
    [
        ("overview", {"run": NOBODY}, "No run in"),
        ("overview", {"present": "2"}, "present=2, which this page does not know. It is taken as off."),
        ("overview", {"page": "9"}, "page=9, which is no whole number from 1 to 1. Page 1 is shown instead."),
        ("overview", {"dataset": "nonsense"}, "dataset=nonsense, which this page does not know. All are shown"),
        ("overview", {"tag": "nonsense"}, "tag=nonsense, which this page does not know. All are shown"),
        ("overview", {"sort": "nonsense"}, "sort=nonsense, which this page does not know. It shows 'newest first'"),
        ("checkpoints", {"of": NOBODY}, "The files of all runs are listed."),
        ("checkpoints", {"view": "nonsense"}, "view=nonsense, which this page does not know. It shows 'Saved files'"),
        ("checkpoints", {"format": "nonsense"}, "format=nonsense, which this page does not know. All are shown"),
        ("checkpoints", {"at": "nonsense"}, "at=nonsense, which is no whole number"),
        ("checkpoints", {"best": "nonsense"}, "best=nonsense, which this page does not know. It is taken as off."),
        ("checkpoints", {"show": "nonsense", "run": "{run}", "epoch": "0"}, "It shows 'Look inside' instead."),
        ("train", {"like": NOBODY}, "The form begins with a preset instead."),
        ("resume", {"run": NOBODY, "epoch": "1"}, "Another run is used instead."),
        ("resume", {"run": "{run}", "epoch": "9"}, "The newest one is used instead."),
        ("resume", {"view": "Import"}, "It shows 'Resume' instead."),
        ("predict", {"run": NOBODY}, "Another file is used instead."),
        ("predict", {"view": "Import"}, "It shows 'Test images' instead."),
        ("predict", {"show": "nonsense"}, "It shows 'all' instead."),
        ("predict", {"class": "nonsense"}, "class=nonsense, which this page does not know. All are shown"),
        ("predict", {"image": "nonsense"}, "Choose an image above."),
        ("overview", {"foo": "1", "bar": "2"}, "says foo=1, bar=2, which this page does not know. That changes"),
        ("train", {"foo": ""}, "says foo=, which this page does not know. That changes nothing here."),
        ("checkpoints", {"focus": "{run}"}, "says focus={run}, which this page does not know."),
        ("predict", {"trees": "1"}, "says trees=1, which this page does not know."),
        ("lesson", {"x" * 400: "1"}, "x…, which this page does not know."),
    ],
)
def test_unknown_part_of_an_address_is_one_sentence_beside_what_is_shown_instead(
    run: Run, page: str, query: dict[str, str], sentence: str
) -> None:
    query = {name: value.format(run=run.id) for name, value in query.items()}
    app = open_page(page, **query)
    assert len(app.error) == 1
    assert sentence.format(run=run.id) in words(app)
    assert app.query_params == query  # until a click


def test_parts_of_other_views_and_those_of_streamlit_are_known(run: Run) -> None:
    assert not open_page("resume", view="Lineage", focus=run.id, sort="change", embed="true").error
    assert not open_page("train", run=run.id, present="1", embed_options="show_toolbar").error


def test_form_begins_with_a_preset_where_the_record_of_the_run_is_damaged(run: Run) -> None:
    run.record_path.write_text("{")
    app = open_page("train", like=run.id)
    assert len(app.error) == 1
    assert "is damaged" in words(app)
    assert "The form begins with a preset instead." in words(app)
    assert "Start" in labels(app)


def test_choice_in_a_box_changes_the_address_at_once_and_keeps_the_rest(run: Run) -> None:
    app = open_page("checkpoints", run=run.id, epoch="1", best="true", page="1")
    widget(app, "Format").select("model").run()
    assert app.query_params == {"run": run.id, "epoch": "1", "best": "true", "format": "model"}
    app.toggle[0].set_value(False).run()
    assert app.query_params == {"run": run.id, "epoch": "1", "format": "model"}


def test_address_holds_ids_and_people_read_labels() -> None:
    def script() -> None:
        import streamlit as st

        from fashion_core.ui import address

        views: dict[str, address.View] = {
            "one": ("Eins", lambda: st.write("1")),
            "two": ("Zwei", lambda: st.write("2")),
        }
        address.show_tabs(views)

    app = AppTest.from_function(script)
    app.query_params["view"] = "two"
    app.run()
    assert [tab.label for tab in app.tabs] == ["Eins", "Zwei"]
    assert [text.value for text in app.markdown] == ["2"]
    app.query_params["view"] = "Zwei"
    app.run()
    assert "It shows 'Eins' instead." in words(app)


def test_gallery_filters_without_a_match_can_be_cleared(store: RunStore, run: Run) -> None:
    answers = evaluate(Chosen(store, run, run.checkpoint_path(1)))
    missed = next(name for number, name in enumerate(CLASS_NAMES) if number not in answers.labels[answers.correct])
    app = open_page("predict", run=run.id, epoch="1", show="right", **{"class": missed})
    assert "No test image passes these filters." in words(app)
    assert "Clear filters" in labels(app)
    press(app, "Clear filters")
    assert app.query_params == {"run": run.id, "epoch": "1"}
