"""The Resume page and the lesson's through AppTest; clicks on charts and deep links are in browser/test_resume.py."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Toggle

from fashion_core.config import Shape
from fashion_core.resume.comparison import compare, relative_change
from fashion_core.resume.labels import percent
from fashion_core.runs import queue
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from tests.benchmarks.comparison import made_run
from tests.support.datasets import add_dataset
from tests.support.pages import (
    as_read,
    filled_in,
    open_page,
    press,
    rows_of_charts,
    sent,
    shown_numbers,
    texts,
    widget,
    words,
)
from tests.support.runs import (
    copied,
    finish,
    new_run,
    on_other_images,
    resume,
    set_finished,
    set_running,
    set_state,
    train,
    trained,
)


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, name="base", epochs=3, optimizer="adam")


@pytest.fixture
def parent(store: RunStore, trained_once: Run) -> Run:
    return copied(trained_once, store)


@pytest.fixture
def datasets(store: RunStore, synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The synthetic garments, and coins of 5 classes."""
    (folder := tmp_path / "data").mkdir()
    for path in synthetic_data.iterdir():
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv("FASHION_DATA", str(folder))
    add_dataset("coins", Shape(1, 28, 28, 5))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epoch": "9"}, "no checkpoint of epoch 9; it has those of epoch 0, 1, 2. The newest one is used instead."),
        ({"epoch": "x"}, "whole number"),
        ({"run": "20260101-000000-000-0000"}, "Another run is used instead."),
    ],
)
def test_wrong_address_is_one_sentence_and_something_else_is_used(
    store: RunStore, parent: Run, changes: dict[str, str], sentence: str
) -> None:
    app = open_page("resume", **{"run": parent.id, "epoch": "1", **changes})
    assert len(app.error) == 1
    assert sentence in words(app)
    assert (widget(app, "Run").value, widget(app, "Checkpoint").value) == (parent.id, 2)


def test_verdict_stands_before_the_click_and_follows_the_overrides(store: RunStore, parent: Run) -> None:
    app = open_page("resume", run=parent.id, epoch="0")
    assert "exact" in texts(app)
    widget(app, "Learning rate").set_value(0.01).run()
    assert "approximate" in texts(app)
    assert "learning rate 0.001 → 0.01" in texts(app).replace("\\", "")


def freeze_switch(app: AppTest) -> Toggle:
    return next(toggle for toggle in app.toggle if toggle.label == "Freeze the layers that are kept")


def test_transfer_shows_its_layers_and_a_switch_that_freezes_before_the_click(
    store: RunStore, parent: Run, datasets: None
) -> None:
    app = open_page("resume", run=parent.id, epoch="0")
    assert "Freeze the layers that are kept" not in [toggle.label for toggle in app.toggle]
    widget(app, "Dataset").select("coins").run()
    assert not app.exception
    shown = sent(app)
    assert "transfer" in texts(app)
    for part in ("Layers: 4 of 6 tensors are kept, 2 are new: linear_relu_stack.4", "(10, 512)", "(5, 512)", "◆ new"):
        assert part in shown
    assert "frozen" not in words(app)
    freeze_switch(app).set_value(True).run()
    assert "4 of 6 tensors are frozen: training leaves them as they are" in words(app)
    assert "■ kept, frozen" in sent(app)
    set_running(new_run(store))  # so that it waits
    press(app, "Start")
    child = store.children(parent)[0]
    assert (child.record.is_transfer, len(child.record.frozen)) == (True, 4)
    assert f"Resumed from it: {child.title} (transfer)" in words(open_page("checkpoints", run=parent.id, epoch="0"))


def test_resume_of_a_run_with_frozen_layers_offers_to_train_them_too(store: RunStore, parent: Run) -> None:
    parent.write_record(parent.record.model_copy(update={"frozen": ("linear_relu_stack.0.weight",)}))
    app = open_page("resume", run=parent.id, epoch="0")
    assert "exact" in texts(app)
    assert freeze_switch(app).value is True
    freeze_switch(app).set_value(False).run()
    assert "approximate" in texts(app)
    assert "1 of 6 tensors were frozen and are trained too" in words(app)


def test_model_of_which_nothing_is_kept_is_one_sentence(store: RunStore, parent: Run) -> None:
    app = open_page("resume", run=parent.id, epoch="0")
    widget(app, "Model").select("cnn").run()
    assert [error.value.replace("\\", "")[:57] for error in app.error] == [
        "Nothing of the checkpoint's mlp fits cnn for synthetic ga"
    ]


def test_damaged_checkpoint_is_called_so(store: RunStore, parent: Run) -> None:
    path = parent.checkpoint_path(1)
    path.write_bytes(path.read_bytes()[:-1])
    app = open_page("resume", run=parent.id, epoch="1")
    assert "damaged" in texts(app)
    assert len(press(app, "Start").error) == 1
    assert [run.id for run in store.runs()] == [parent.id]


def test_zero_additional_epochs_is_one_sentence_and_starts_nothing(store: RunStore, parent: Run) -> None:
    app = open_page("resume", run=parent.id, epoch="1")
    widget(app, "Additional epochs").set_value(0).run()
    assert [error.value for error in app.error] == ["Additional epochs should be at least 1, not 0."]
    assert next(button for button in app.button if button.label == "Start").disabled


@pytest.mark.slow
def test_start_resumes_what_was_shown_though_newer_checkpoints_have_come(store: RunStore, parent: Run) -> None:
    app = open_page("resume")
    app.query_params.update(filled_in(app))
    train(new_run(store, name="later", epochs=1))
    press(app, "Start")
    assert store.runs()[0].record.parent == Parent(run=parent.id, epoch=2)


def test_start_resumes_what_the_address_names(store: RunStore, parent: Run) -> None:
    new_run(store, name="another")
    app = open_page("resume", run=parent.id, epoch="1")
    assert [widget(app, label).value for label in ("Run", "Checkpoint", "Additional epochs")] == [parent.id, 1, 1]
    press(app, "Start")
    record = store.runs()[0].record
    assert (record.parent, record.config.epochs) == (Parent(run=parent.id, epoch=1), 3)


@pytest.mark.slow
def test_several_checkpoints_and_values_are_one_group_with_one_cancel(store: RunStore, parent: Run) -> None:
    app = open_page("resume", run=parent.id, epoch="0")
    widget(app, "Checkpoints").set_value([0, 1]).run()
    widget(app, "Setting to vary").set_value("learning_rate").run()
    widget(app, "Values, separated by commas").set_value("0.1, 0.01, 0.001").run()
    widget(app, "Additional epochs").set_value(5_000).run()
    press(app, "Start 6 runs")
    children = [run for run in store.runs() if run.record.parent]
    made = sorted((run.record.first_epoch, run.record.config.learning_rate) for run in children)
    assert made == [(first, rate) for first in (1, 2) for rate in (0.001, 0.01, 0.1)]
    press(app, "Cancel all")
    assert {run.state() for run in children} <= {"stopped", "stopping"}


@pytest.mark.slow
def test_charts_follow_another_epoch_of_the_parent_and_another_name_of_the_child(store: RunStore, parent: Run) -> None:
    train(child := resume(store, parent, 0))
    app = open_page("resume", view="Helped")
    before = rows_of_charts(app)
    assert rows_of_charts(app.run()) == before
    with parent.metrics_path.open("a") as file:
        file.write(json.dumps({"kind": "epoch", **epoch_records(parent)[-1], "epoch": 3}) + "\n")
    longer = rows_of_charts(app.run())
    assert [one == other for one, other in zip(before, longer, strict=True)] == [True, False]
    child.write_labels(child.labels.model_copy(update={"name": "renamed"}))
    renamed = rows_of_charts(app.run())
    assert [one == other for one, other in zip(longer, renamed, strict=True)] == [False, False]


def test_charts_follow_what_the_address_asks_for(store: RunStore, parent: Run) -> None:
    train(child := resume(store, parent, 0))
    train(resume(store, parent, 1))
    asked = [{}, {"now": "first epoch"}, {"sort": "newest"}, {"focus": child.id}]
    drawn = [rows_of_charts(open_page("resume", view="Helped", **query)) for query in asked]
    assert all(one != other for one, other in combinations(drawn, 2))


def test_focus_is_chosen_in_a_box_too_and_stands_in_the_address(store: RunStore) -> None:
    parent = made_run(store, [0.9], name="base")
    first, second = (made_run(store, [loss], parent, 0, name=f"at {loss}") for loss in (0.8, 0.7))
    app = open_page("resume", view="Helped")
    unfocused, box = rows_of_charts(app), widget(app, "Focus a run")
    assert (box.value, box.options) == (None, ["at 0.8 · base epoch 0", "at 0.7 · base epoch 0"])
    box.set_value(second.id).run()
    assert app.query_params["focus"] == second.id
    assert all(one != other for one, other in zip(unfocused, rows_of_charts(app), strict=True))
    assert widget(open_page("resume", view="Helped", focus=first.id), "Focus a run").value == first.id


@pytest.mark.parametrize("now", ["first epoch", "latest"])
def test_comparison_has_its_sentence_and_writes_the_change_as_the_chart_does(
    store: RunStore, parent: Run, now: str
) -> None:
    train(child := resume(store, parent, 0))
    shown = texts(open_page("resume", view="Helped", focus=child.id, now=now)).replace("\\", "")
    assert "1 of 1 resumed run is below the loss of the checkpoint" in shown
    (row,) = compare(store)
    loss = row.now(now == "latest")
    assert loss is not None
    change = percent(relative_change(row, loss))
    assert change.startswith("−")
    assert f"**{loss.loss:.4f}** ({change}, {loss.answer};" in shown


def test_each_dataset_has_its_own_answer_and_charts(store: RunStore) -> None:
    easy, hard = made_run(store, [0.5]), made_run(store, [0.8], dataset="fashion-mnist")
    for parent, loss in ((easy, 0.2), (hard, 0.7)):
        made_run(store, [loss], parent, 0)
    moved = made_run(store, [0.1], hard, 0, dataset="synthetic")
    app = open_page("resume", view="Helped", focus=moved.id)
    shown = words(app)
    assert "**Fashion-MNIST** · 1 of 1 resumed run is below the loss of the checkpoint" in shown
    assert "lowest loss now 0.700" in shown
    assert "**synthetic garments** · 1 of 1 resumed run is below the loss of the checkpoint" in shown
    assert "lowest loss now 0.200" in shown
    assert "1 run that was resumed onto another dataset, model or source is not counted." in shown
    assert shown.count("Grey: resumed onto another dataset or model") == 1
    assert "lower, not counted;" in shown
    assert [as_read(heading.value) for heading in app.header] == ["Fashion-MNIST", "synthetic garments"]
    assert len(app.get("vega_lite_chart")) == 4
    assert [list(table.value["dataset"]) for table in app.dataframe] == [["fashion-mnist"], ["synthetic"] * 2]
    assert sorted(app.dataframe[1].value["answer"]) == ["lower", "lower, not counted"]
    assert '"label": "loss_now, latest"' in app.dataframe[1].proto.columns


def test_other_images_of_the_same_name_are_told_before_the_click_and_drawn_apart(store: RunStore, parent: Run) -> None:
    for run, loss in ((parent, 0.2), (made_run(store, [0.8]), 0.7)):
        child = made_run(store, [loss], run, 0)
    on_other_images(child)
    app = open_page("resume", view="Helped")
    assert [as_read(heading.value) for heading in app.header] == [
        "synthetic garments",
        "synthetic garments (images 1a2b3c4d)",
    ]
    assert len(app.get("vega_lite_chart")) == 4
    app = open_page("resume", run=on_other_images(parent).id, epoch="1")
    assert "This resumes on images other than those the parent was trained on." in [one.value for one in app.warning]


def test_comparison_without_resumed_runs_says_what_to_do(store: RunStore, parent: Run) -> None:
    assert "No run has been resumed yet" in texts(open_page("resume", view="Helped"))


def test_resumed_run_shows_its_three_losses_and_the_proof(store: RunStore, parent: Run) -> None:
    child = finish(resume(store, parent, 1))
    app = open_page("train", run=child.id)
    values = shown_numbers(app)
    check = child.load_check
    assert check is not None
    assert values["loss_last, stored"] == values["right after loading"] == f"{check.loss_check:.4f}"
    assert values["loss_now, first epoch"] == values["loss_now, latest"] == values["Test loss"]
    assert "Identical to the uninterrupted run up to epoch 2" in app.success[0].value


def test_child_shows_its_parents_new_name_and_the_old_one_once_that_is_deleted(store: RunStore, parent: Run) -> None:
    train(child := resume(store, parent, 1))
    parent.write_labels(parent.labels.model_copy(update={"name": "renamed"}))
    assert "resumed from **renamed**" in texts(open_page("train", run=child.id))
    store.delete(parent, force=True)
    app = open_page("train", run=child.id)
    assert "its run has been deleted" in texts(app)
    assert "resumed from **base**" in texts(app)


def test_lesson_begins_with_other_pixels_than_train_and_says_why(store: RunStore) -> None:
    lesson, train_form = open_page("lesson"), open_page("train")
    assert (widget(lesson, "Pixels").value, widget(train_form, "Pixels").value) == ("raw", "unit")
    assert "far less from unit pixels, from 0 to 1, with which Train begins" in words(lesson)


def test_lesson_says_how_far_it_is(store: RunStore) -> None:
    run = new_run(store, name="Lesson", epochs=2)
    set_running(run)
    where = {"epoch": 1, "batch": 0, "images_per_second": 256.0}
    run.write_status(run.status.model_copy(update=where))
    (bar,) = open_page("lesson", run=run.id).get("progress")
    assert (bar.proto.value, bar.proto.text) == (33, "Step 1 of 5 · about 4 s of training left")


@pytest.mark.slow
def test_lesson_names_its_step_until_its_last_run_has_finished(store: RunStore) -> None:
    run = trained(store, name="Lesson", epochs=2)
    train(child := resume(store, run, 0, 1, name="Lesson, resumed"))
    set_state(child, "stopped")
    app = open_page("lesson", run=run.id)
    assert [bar.proto.text for bar in app.get("progress")] == ["Step 4 of 5"]
    set_running(child)
    assert [bar.proto.text for bar in app.run().get("progress")] == ["Step 4 of 5"]
    set_finished(child)
    for at_end in (app.run(), open_page("lesson", run=run.id)):
        assert at_end.header[-1].value == "5. Did it help?"
        assert not at_end.get("progress")


def test_lesson_starts_from_one_button(store: RunStore) -> None:
    press(open_page("lesson"), "Run the lesson")
    (run,) = store.runs()
    assert (run.record.config.epochs, run.labels.tags) == (2, ("lesson",))
    queue.stop(run)
