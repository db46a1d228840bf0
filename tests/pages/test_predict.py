"""The Predict page through AppTest; uploads and clicks on charts are in browser/test_predict.py."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.config import CLASS_NAMES, Shape
from fashion_core.inference import scores
from fashion_core.inference.client import PREDICTOR
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.checkpoints.saved_file import Chosen
from fashion_core.ui.predict import choose, gallery
from fashion_core.ui.predict.checkpoint_history import family_of
from fashion_core.ui.predict.texts import ORDER_LABELS
from tests.benchmarks.stores import write
from tests.support.datasets import add_dataset
from tests.support.files import flip_a_bit
from tests.support.pages import open_page, sent, texts, widget, words
from tests.support.processes import python
from tests.support.runs import copied, new_run, on_other_images, on_real_data, trained


@pytest.fixture(scope="module", autouse=True)
def one_process() -> Iterator[None]:
    """The process that answers knows the data folder of these tests, and does not outlive them."""
    PREDICTOR.close()
    yield
    PREDICTOR.close()


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, name="base", epochs=2, optimizer="adam")


@pytest.fixture(scope="module")
def other_once(trained_once: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(RunStore(tmp_path_factory.mktemp("runs")), name="base", epochs=2, seed=5)


@pytest.fixture
def looked_at(store: RunStore, trained_once: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The one run of a store that is only read: what its models say is asked once."""
    monkeypatch.setenv("FASHION_RUNS", str(trained_once.path.parent))
    return trained_once


@pytest.fixture
def run(store: RunStore, trained_once: Run) -> Run:
    return copied(trained_once, store)


@pytest.fixture
def other(store: RunStore, other_once: Run) -> Run:
    return copied(other_once, store)


def opened(**query: str) -> AppTest:
    return open_page("predict", **query)


def test_best_checkpoint_of_the_newest_run_is_used_or_of_the_run_in_the_address(run: Run, other: Run) -> None:
    for query, used in (({}, other), ({"run": run.id, "epoch": "99"}, run)):
        app = opened(**query)
        assert (widget(app, "Run").value, widget(app, "File").value) == (used.id, f"model_save/{used.best_epoch()}")


def test_second_file_is_a_neighbour_of_the_first_also_once_that_is_gone(store: RunStore) -> None:
    run = new_run(store, epochs=3)
    for epoch in range(3):
        run.checkpoint_path(epoch).write_bytes(b"")
        run.info_path(run.checkpoint_path(epoch)).write_text("{}")
    of = [Chosen(store, run, run.checkpoint_path(epoch)) for epoch in range(3)]
    assert [saved_file.neighbour(chosen).epoch for chosen in of] == [1, 0, 1]
    run.remove_saved(run.checkpoint_path(1))
    assert saved_file.neighbour(of[1]).epoch == 2
    store.delete(run)
    assert not choose.is_on(run, "synthetic")


@pytest.mark.parametrize("file", ["model_save/0", "model_save/1", "model_weights.pth", "model.pth"])
def test_every_kind_of_file_has_the_accuracy_that_its_run_measured(looked_at: Run, file: str) -> None:
    info = looked_at.file_info(looked_at.saved_file(file))
    assert info is not None
    app = opened(run=looked_at.id, file=file, view="Evaluation")
    assert not app.error
    assert f"**{info.accuracy:.1%}** of 2,000 test images are right" in texts(app)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"run": "nope"}, "No run in"),
        ({"epoch": "9"}, "no saved file 'model_save/9'"),
        ({"epoch": "x"}, "An epoch is a whole number"),
        ({"file": "../run.json"}, "no saved file"),
        ({"image": "2000"}, "image=2000, which is no whole number from 0 to 1,999"),
        ({"image": "-1"}, "image=-1, which is no whole number from 0 to 1,999"),
        ({"view": "Evaluation", "cell": "10-0"}, "cell should be two classes"),
        ({"view": "Two models", "with": "nope/x"}, "No run in"),
    ],
)
def test_wrong_address_is_one_sentence(looked_at: Run, query: dict[str, str], sentence: str) -> None:
    app = opened(**{"run": looked_at.id, **query})
    assert len(app.error) == 1
    assert sentence in words(app)


def test_damaged_file_is_refused_with_its_reason_whether_its_size_changed_or_a_byte(run: Run) -> None:
    cut, flipped = run.checkpoint_path(0), run.checkpoint_path(1)
    cut.write_bytes(cut.read_bytes()[:-1])
    flip_a_bit(flipped)
    for epoch in "01":
        (error,) = opened(run=run.id, epoch=epoch).error
        assert "is damaged" in error.value


@pytest.mark.parametrize("other", ["model.pth", "model_save/1"])
def test_the_same_model_and_the_same_file_differ_nowhere(looked_at: Run, other: str) -> None:
    app = opened(run=looked_at.id, epoch="1", view="Two models", image="3", **{"with": f"{looked_at.id}/{other}"})
    assert not app.error
    assert "Both models predict the same class for every image." in texts(app)


def test_two_runs_of_one_name_are_told_apart(run: Run, other: Run) -> None:
    query = {"with": f"{other.id}/model_save/0"}
    text = texts(opened(run=run.id, epoch="0", view="Two models", image="3", **query)).replace("\\", "")
    assert f"base · model_save/0 · {run.id}" in text
    assert f"base · model_save/0 · {other.id}" in text


def second(app: AppTest) -> tuple[str, str]:
    assert not app.error
    return widget(app, "Second run").value, widget(app, "Second file").value


def set_parent(run: Run, parent: Run, epoch: int) -> None:
    record = run.record.model_copy(update={"parent": Parent(run=parent.id, epoch=epoch)})
    write(run.record_path, record)


def test_second_model_is_at_first_the_checkpoint_resumed_from_else_the_best_of_another_run(
    run: Run, other: Run
) -> None:
    assert second(opened(run=run.id, epoch="1", view="Two models")) == (other.id, f"model_save/{other.best_epoch()}")
    set_parent(other, run, 0)
    assert second(opened(run=other.id, view="Two models")) == (run.id, "model_save/0")


@pytest.mark.parametrize("file", ["model_save/1", "model_weights.pth", "model.pth"])
def test_second_model_of_an_only_run_is_another_one_also_for_a_file_of_the_same_weights(
    looked_at: Run, file: str
) -> None:
    assert second(opened(run=looked_at.id, file=file, view="Two models")) == (looked_at.id, "model_save/0")


def test_an_only_model_is_not_compared_with_itself(store: RunStore, run: Run) -> None:
    store.delete(run, run.checkpoint_path(0))
    app = opened(run=run.id, file="model.pth", view="Two models")
    assert "There is no other model for this dataset yet." in words(app)
    assert not app.error


def test_two_models_are_each_credited_with_what_they_alone_get_right(looked_at: Run) -> None:
    first, second = (answers_of(looked_at, epoch).correct for epoch in (1, 0))
    app = opened(run=looked_at.id, epoch="1", view="Two models")  # the second one is the neighbour
    assert not app.error
    said = words(app)
    assert "McNemar" in said
    assert "Where they differ" in said
    alone = f"only model_save/1 is right on {(first & ~second).sum()} only model_save/0 on {(~first & second).sum()}"
    assert alone in said.replace(",", "")


def test_predictions_are_of_the_run_and_of_what_was_resumed_from_it(store: RunStore, run: Run) -> None:
    child = store.create(run.record.config, run.record.environment, parent=Parent(run=run.id, epoch=0))
    grandchild = store.create(run.record.config, run.record.environment, parent=Parent(run=child.id, epoch=1))
    new_run(store, name="another")
    assert [one.id for one in store.descendants(run)] == [child.id, grandchild.id]
    app = opened(run=run.id, view="Checkpoint history", image="7")
    assert not app.error
    assert widget(app, "Test image").value == 7
    assert "dashed" not in words(app)


def test_history_of_a_resumed_run_has_its_parents_part_and_no_more(run: Run, other: Run) -> None:
    run.write_labels(run.labels.model_copy(update={"name": "the first"}))
    flip_a_bit(run.checkpoint_path(1))  # which would be told if it were used
    set_parent(other, run, 0)
    app = opened(run=other.id, view="Checkpoint history", image="7")
    assert not app.error
    assert not app.warning
    assert "resumed from the first" in sent(app)
    assert "dashed: the checkpoint that was resumed" in words(app)


def test_history_has_no_checkpoint_of_other_classes(
    store: RunStore, run: Run, other: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_parent(other, run, 0)
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    add_dataset("coins", Shape(1, 28, 28, 5))
    transferred = new_run(store, dataset="coins", train_images=200)
    set_parent(transferred, run, 0)
    store.index.refresh(whole=True)
    assert family_of(store, transferred) == [transferred]
    assert {one.id for one in family_of(store, run)} == {run.id, other.id}


def test_a_run_with_one_checkpoint_says_that_forgetting_needs_two(store: RunStore, run: Run) -> None:
    store.delete(run, run.checkpoint_path(0))
    app = opened(run=run.id, view="Checkpoint history")
    assert "from the second checkpoint of a run on" in texts(app)
    assert not app.main.toggle


def test_run_without_a_file_is_no_mistake_of_the_address(store: RunStore, run: Run) -> None:
    app = opened(run=new_run(store).id)
    assert "has no saved file yet. Another file is used instead." in words(app)
    assert not app.error


def answers_of(run: Run, epoch: int) -> scores.Answers:
    _, labels = PREDICTOR.test_images("synthetic")
    config = run.record.config
    return scores.Answers(
        PREDICTOR.evaluate(run.checkpoint_path(epoch), "synthetic", config.pixels), labels, CLASS_NAMES
    )


def counted(app: AppTest) -> list[str]:
    return [caption.value for caption in app.caption if re.match(r"\d[\d,]* images", caption.value)]


def test_right_and_wrong_images_and_those_of_a_class_are_as_many_as_the_model_has(looked_at: Run) -> None:
    said = answers_of(looked_at, 1)
    app = opened(run=looked_at.id, epoch="1", show="right")
    assert counted(app)[0].startswith(f"{said.correct.sum():,} images")
    app = opened(run=looked_at.id, epoch="1", show="wrong")
    assert counted(app)[0].startswith(f"{(~said.correct).sum():,} images")
    widget(app, "True class").set_value(["Coat"]).run()
    assert counted(app)[0].startswith(f"{(~said.correct & (said.labels == 4)).sum()} images")


def test_each_order_of_images_is_what_it_is_called(looked_at: Run) -> None:
    said = answers_of(looked_at, 1)
    order = gallery.ORDERS
    assert [*order] == [*ORDER_LABELS]
    assert list(order["all"](said)) == list(range(2000))
    assert list(order["most confident mistakes"](said)) == list(scores.misclassified(said))
    assert list(order["least sure"](said)) == list(scores.smallest_margins(said))


def test_a_cell_has_as_many_images_as_it_says(looked_at: Run) -> None:
    matrix = scores.confusion_matrix(answers_of(looked_at, 1))
    true, predicted = next((t, p) for t in range(10) for p in range(10) if matrix[t, p] not in (0, matrix[p, t]))
    app = opened(run=looked_at.id, epoch="1", view="Evaluation", cell=f"{true}-{predicted}")
    assert counted(app)[0].startswith(f"{matrix[true, predicted]:,} images")


@pytest.mark.slow
def test_a_model_of_raw_pixels_is_asked_with_raw_pixels(store: RunStore) -> None:
    run = trained(store, epochs=2, pixels="raw", learning_rate=1e-5)
    facts = run.file_info(run.checkpoint_path(1))
    assert facts is not None
    assert f"**{facts.accuracy:.1%}** of 2,000" in texts(opened(run=run.id, epoch="1", view="Evaluation"))
    first, last = (answers_of(run, epoch).correct for epoch in (0, 1))
    app = opened(run=run.id, view="Checkpoint history")
    app.toggle[0].set_value(True).run()
    assert f"**{(first & ~last).sum()}** of 2,000 images" in texts(app)


def test_a_replaced_file_is_asked_anew_by_every_view(run: Run, other: Run) -> None:
    text = texts(opened(run=run.id, epoch="1", view="Evaluation"))
    app = opened(run=run.id, view="Checkpoint history", image="3")
    app.toggle[0].set_value(True).run()
    before = history_chart(app), texts(app)
    for epoch in (0, 1):
        run.checkpoint_path(epoch).write_bytes(other.checkpoint_path(epoch).read_bytes())
        facts = other.file_info(other.checkpoint_path(epoch))
        assert facts is not None
        run.write_info(run.checkpoint_path(epoch), facts)
    assert texts(opened(run=run.id, epoch="1", view="Evaluation")) != text
    app.run()
    assert history_chart(app) != before[0]
    assert texts(app) != before[1]


def history_chart(app: AppTest) -> str:
    return next(str(one.proto) for one in app.main if "one panel per run" in str(getattr(one, "proto", "")))


def test_a_damaged_checkpoint_is_named_and_hides_no_other(run: Run) -> None:
    flip_a_bit(run.checkpoint_path(0))
    app = opened(run=run.id, epoch="1", view="Checkpoint history")
    assert not app.error
    assert app.warning[0].value.startswith("Left out: epoch 0 of base")
    run.checkpoint_path(0).unlink()
    app.run()
    assert "the file is missing" in app.warning[0].value
    app.toggle[0].set_value(True).run()
    assert "right at none of the 1" in texts(app)


def test_a_file_that_goes_while_it_is_chosen_is_one_sentence(store: RunStore, run: Run) -> None:
    app = opened(run=run.id, epoch="1")
    store.delete(run, run.checkpoint_path(0))
    widget(app, "File").set_value("model_save/0").run()
    assert "no saved file 'model_save/0'" in words(app)


def test_run_on_another_dataset_does_not_take_over_the_image(store: RunStore, run: Run, real_data: Path) -> None:
    real = on_real_data(store, run)
    app = opened(run=run.id, image="1999", view="In plain PyTorch")
    widget(app, "Run").set_value(real.id).run()
    assert not app.error
    assert "image" not in app.query_params


def test_run_on_other_images_of_the_same_name_says_that_its_loss_is_of_those(store: RunStore, run: Run) -> None:
    query = {"run": run.id, "view": "In plain PyTorch"}
    assert not opened(**query).warning
    on_other_images(run)
    app = opened(**query)
    assert "synthetic garments (images 1a2b3c4d)" in words(app)
    assert "the loss above is of its own test images, everything below of those here" in app.warning[0].value


@pytest.mark.slow  # tests/test_architecture.py says at once which import would bring torch
@pytest.mark.usefixtures("looked_at")
def test_pages_do_their_work_without_torch() -> None:
    done = python("""
import sys
from tests.support.pages import open_page
open_page("checkpoints")
for view in ("Test images", "Evaluation", "Checkpoint history", "Two models", "In plain PyTorch"):
    assert not open_page("predict", view=view, image="5").error, view
assert "torch" not in sys.modules
""")
    assert done.returncode == 0, done.stderr
