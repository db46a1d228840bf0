"""The Predict page through AppTest; uploads and clicks on charts are in test_browser_predict.py."""

from collections.abc import Iterator

import pytest
from helpers import new_run, train
from streamlit.testing.v1 import AppTest
from test_pages import open_page
from test_resume_page import texts, widget

from fashion_core.predict_client import predictor
from fashion_core.runs import Run, RunStore
from fashion_core.schema import Parent


@pytest.fixture(scope="module", autouse=True)
def one_process() -> Iterator[None]:
    """The process that answers knows the data folder of these tests, and does not outlive them."""
    predictor().close()
    yield
    predictor().close()


@pytest.fixture
def run(store: RunStore) -> Run:
    run = new_run(store, name="base", epochs=2, optimizer="adam")
    assert train(run) == "finished"
    return run


def opened(**query: str) -> AppTest:
    app = open_page("predict", **query)
    assert not app.exception
    return app


def test_empty_store_offers_one_button(store: RunStore) -> None:
    assert [button.label for button in opened().button] == ["Train a first run"]


def test_without_an_address_the_best_checkpoint_of_the_newest_run_is_used(store: RunStore, run: Run) -> None:
    app = opened()
    assert widget(app, "Run").value == run.id
    assert widget(app, "File").value == f"model_save/{run.best_epoch()}"


@pytest.mark.parametrize("file", ["model_save/0", "model_save/1", "model_weights.pth", "model.pth"])
def test_every_kind_of_file_can_be_used(store: RunStore, run: Run, file: str) -> None:
    app = opened(run=run.id, file=file, view="How good is it?")
    assert not app.error
    assert "of 2,000 test images are right" in texts(app)


def test_accuracy_is_that_of_the_run(store: RunStore, run: Run) -> None:
    facts = run.facts(run.checkpoint_path(1))
    assert facts is not None
    assert facts.accuracy is not None
    app = opened(run=run.id, epoch="1", view="How good is it?")
    assert f"**{facts.accuracy:.1%}** of 2,000" in texts(app)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"run": "nope"}, "No run in"),
        ({"epoch": "9"}, "no saved file 'model_save/9'"),
        ({"epoch": "x"}, "An epoch is a whole number"),
        ({"file": "../run.json"}, "no saved file"),
        ({"image": "2000"}, "A test image is a number from 0 to 1,999"),
        ({"image": "-1"}, "A test image is a number from 0 to 1,999"),
        ({"view": "How good is it?", "cell": "10-0"}, "A cell is two classes"),
        ({"view": "Two models", "with": "nope/x"}, "No run in"),
    ],
)
def test_wrong_address_is_one_sentence(store: RunStore, run: Run, query: dict[str, str], sentence: str) -> None:
    app = opened(**{"run": run.id, **query})
    assert len(app.error) == 1
    assert sentence in app.error[0].value.replace("\\", "").replace("\u2060", "")


def test_damaged_file_is_refused_with_its_reason(store: RunStore, run: Run) -> None:
    path = run.checkpoint_path(1)
    path.write_bytes(path.read_bytes()[:-1])
    app = opened(run=run.id, epoch="1")
    assert len(app.error) == 1
    assert "is damaged" in app.error[0].value


def test_a_byte_changed_without_a_change_of_size_is_noticed(store: RunStore, run: Run) -> None:
    content = bytearray(run.checkpoint_path(1).read_bytes())
    content[len(content) // 2] ^= 1
    run.checkpoint_path(1).write_bytes(content)
    app = opened(run=run.id, epoch="1")
    assert len(app.error) == 1


def test_two_models_say_which_is_better_and_where_they_differ(store: RunStore, run: Run) -> None:
    app = opened(run=run.id, epoch="1", view="Two models")
    assert not app.error
    assert "McNemar" in texts(app)
    assert "Where they differ" in texts(app)


def test_a_file_beside_itself_differs_nowhere(store: RunStore, run: Run) -> None:
    app = opened(run=run.id, epoch="1", view="Two models", **{"with": f"{run.id}/model.pth"})
    assert not app.error
    assert "(0 images)" in texts(app)


def test_opinions_are_of_the_run_and_of_what_was_resumed_from_it(store: RunStore, run: Run) -> None:
    from fashion_core.opinion_views import family_of

    child = store.create(run.record.config, run.record.environment, parent=Parent(run=run.id, epoch=0))
    grandchild = store.create(run.record.config, run.record.environment, parent=Parent(run=child.id, epoch=1))
    new_run(store, name="another")
    assert [member.id for member in family_of(store, run)] == [run.id, child.id, grandchild.id]
    app = opened(run=run.id, view="Every checkpoint's opinion", image="7")
    assert not app.error
    assert widget(app, "Test image").value == 7


def test_forgotten_images_are_counted_over_all_checkpoints(store: RunStore, run: Run) -> None:
    app = opened(run=run.id, view="Every checkpoint's opinion")
    app.toggle[0].set_value(True).run()
    assert not app.exception
    _, labels = predictor().test_images("synthetic")
    first, last = (
        predictor().evaluate(run.checkpoint_path(epoch), "synthetic", "unit").argmax(1) == labels for epoch in (0, 1)
    )
    assert f"**{(first & ~last).sum()}** of 2,000 images" in texts(app)


def test_a_run_with_one_checkpoint_says_that_forgetting_needs_two(store: RunStore) -> None:
    run = new_run(store, epochs=1)
    train(run)
    app = opened(run=run.id, view="Every checkpoint's opinion")
    assert "this run has only one" in texts(app)
    assert not app.toggle


def test_a_run_without_a_file_says_what_to_do(store: RunStore, run: Run) -> None:
    queued = new_run(store)
    app = opened(run=queued.id)
    assert len(app.error) == 1
    assert "no saved file yet" in app.error[0].value
