"""Pages of runs on datasets that were added: many classes, names that look like Markdown, datasets that are gone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.access import audit
from fashion_core.cli.main import main
from fashion_core.config import Shape
from fashion_core.data.description import FILE, folder_of
from fashion_core.inference.client import PREDICTOR
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import common
from tests.support.commands import Capture
from tests.support.datasets import add_dataset
from tests.support.pages import as_read, dashboard, labels, open_page, press, widget, words
from tests.support.runs import resume, train, trained

MARKDOWN = "**kind** ![0](http://example.org/0.png)"
PAGES = {
    "overview": {},
    "train": {"run": "{run}"},
    "checkpoints": {"of": "{run}"},
    "resume": {"run": "{run}"},
    "predict": {"run": "{run}", "image": "0"},
}


@pytest.fixture(autouse=True)
def datasets(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    PREDICTOR.close()  # it knows the data folder of whoever asked first
    monkeypatch.setenv("FASHION_DATA", str(tmp_path / "data"))
    add_dataset("many", Shape(3, 8, 8, 40), train=80, test=80)
    description = folder_of("many") / FILE
    said = json.loads(description.read_text())
    said["classes"][0] = MARKDOWN
    description.write_text(json.dumps(said))
    yield
    PREDICTOR.close()


@pytest.fixture
def run(store: RunStore) -> Run:
    return trained(store, dataset="many", train_images=0, batch_size=40, epochs=1)


def test_form_offers_added_datasets_by_their_labels_and_takes_their_form(store: RunStore) -> None:
    app = open_page("train")
    assert list(widget(app, "Dataset").options) == ["synthetic garments", "Fashion-MNIST", "Many"]
    app.selectbox(key="train demo dataset").select("many").run()
    assert not app.exception
    assert 'batches.load("many")' in app.code[0].value
    assert "inputs = 3 * 8 * 8" in app.code[0].value


def adding() -> AppTest:
    app = dashboard("train")
    app.session_state["add data"] = True  # its expander is open
    return app.run()


def asked_to_remove() -> AppTest:
    def script() -> None:
        from fashion_core.runs.store import RunStore
        from fashion_core.ui.data.remove import ask_to_remove

        ask_to_remove(RunStore(), "many")

    return AppTest.from_function(script).run()


def test_another_preset_leaves_the_dataset_that_was_added(store: RunStore) -> None:
    app = open_page("train")
    app.selectbox(key="train demo dataset").select("many").run()
    widget(app, "Preset").select("accurate-cnn").run()
    assert not app.exception
    assert app.selectbox(key="train accurate-cnn dataset").value == "many"
    app.selectbox(key="train accurate-cnn dataset").select("synthetic").run()
    widget(app, "Preset").select("accurate-mlp").run()
    assert app.selectbox(key="train accurate-mlp dataset").value != "many"


def test_dataset_is_removed_once_it_was_said_what_uses_it_and_confirmed(store: RunStore, run: Run) -> None:
    app = asked_to_remove()
    assert app.warning[0].value.startswith("1 run was trained on it: it stays")
    assert app.button[0].disabled
    app.checkbox[0].check().run()
    assert folder_of("many").exists()
    press(app, "Remove")
    assert not folder_of("many").exists()
    assert [entry.what for entry in audit.read(store.root)] == ["remove data"]


def test_dataset_that_nothing_uses_needs_no_more_than_a_click_to_be_removed(store: RunStore) -> None:
    app = asked_to_remove()
    assert not app.warning
    press(app, "Remove")
    assert not folder_of("many").exists()


def test_removal_is_offered_for_datasets_that_were_added_alone(store: RunStore) -> None:
    assert list(widget(adding(), "Datasets that were added").options) == ["Many"]
    shutil.rmtree(folder_of("many"))
    assert "Remove…" not in labels(adding())


def test_model_that_is_large_for_a_dataset_is_told_before_it_is_trained(store: RunStore, capsys: Capture) -> None:
    add_dataset("large", Shape(3, 256, 256, 5), train=10, test=5)
    said = "NeuralNetwork (MLP) for 256 × 256 colour images has 100,929,029 parameters, and each checkpoint takes"
    app = open_page("train")
    app.selectbox(key="train demo dataset").select("large")
    widget(app, "Batch size").set_value(5).run()
    assert [one.value for one in app.warning if said in one.value]
    asked = ("train", "--dataset=large", "--batch-size=5", "--no-start")
    assert main(asked) == 0
    assert f"{said} 0.4 GB" in capsys.readouterr().err


def test_evaluation_of_forty_classes_shows_what_is_confused_and_scrolls_the_rest(run: Run) -> None:
    app = open_page("predict", run=run.id, view="Evaluation")
    assert not app.error
    charts = [chart.proto.spec for chart in app.get("vega_lite_chart")]
    assert len(charts) >= 3
    assert all("kind 39" in spec for spec in charts[:2])
    assert '"text": {"field": "count"' not in charts[0]
    assert len(widget(app, "Cell").options) <= 201


def test_class_names_are_shown_as_text(run: Run) -> None:
    app = open_page("predict", run=run.id, image="0")
    assert app.header[0].value == f"Test image 0 · {common.plain(MARKDOWN)}"
    assert MARKDOWN not in words(open_page("predict", run=run.id, view="Evaluation"))


@pytest.mark.parametrize("page", PAGES)
def test_page_of_a_run_whose_dataset_is_gone_is_whole_or_says_so(run: Run, page: str) -> None:
    shutil.rmtree(folder_of("many"))
    PREDICTOR.close()
    app = open_page(page, **{name: value.format(run=run.id) for name, value in PAGES[page].items()})
    said = [error.value for error in app.error]
    assert not app.exception
    assert all("There is no dataset many here" in text for text in said)
    assert bool(said) == (page in ("resume", "predict"))


def test_label_that_is_markdown_is_shown_as_it_is(store: RunStore) -> None:
    description = folder_of("many") / FILE
    description.write_text(json.dumps({**json.loads(description.read_text()), "label": MARKDOWN}))
    run = trained(store, dataset="many", train_images=0, batch_size=40, epochs=2)
    child = resume(store, run, 0, 1)
    train(child)
    for page, query in (("train", {"run": run.id}), ("resume", {"run": run.id}), ("checkpoints", {"of": run.id})):
        app = open_page(page, **query)
        shown = [one.value for one in (*app.markdown, *app.header, *app.caption)]
        shown += [value for table in app.table for _, value in table.value.itertuples(index=False)]
        assert not [text for text in shown if MARKDOWN in str(text)]
        assert page != "train" or [text for text in shown if MARKDOWN in as_read(str(text))]
