"""Overview and Train, and what holds on several pages, through AppTest; what only a browser shows is in browser/."""

import json
import time
from pathlib import Path

import pyarrow as pa
import pytest
from filelock import FileLock
from streamlit.testing.v1 import AppTest

from fashion_core.access import audit
from fashion_core.config import PRESETS, parse_config, settings
from fashion_core.resume import plan
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs import metrics, queue
from fashion_core.runs.schema import Labels, Parent, Source, State, Status
from fashion_core.runs.store import RunStore
from fashion_core.training import torchrun
from fashion_core.ui import address, common
from tests.support.commands import Capture, printed
from tests.support.files import forbid_listing
from tests.support.pages import as_read, dashboard, labels, open_page, press, sent, shown_numbers, texts, widget, words
from tests.support.processes import python
from tests.support.runs import batch_row, config, epoch_row, new_run, resume, set_running, set_state, train, trained


@pytest.mark.parametrize("page", ["checkpoints", "resume", "predict"])
def test_store_without_runs_or_files_says_what_to_do(store: RunStore, page: str) -> None:
    app = open_page(page)
    assert "there is a run to look at" in words(app)
    assert labels(app) == ["Watch it train"]
    new_run(store)
    app.run()
    assert [info.value[:17] for info in app.info] == ["No saved file yet"]
    assert "Watch it train" not in labels(app)


def test_overview_shows_a_damaged_run_beside_the_others(store: RunStore) -> None:
    new_run(store, name="whole")
    new_run(store, name="broken").record_path.write_text('{"future": 1}')
    table = open_page("overview").dataframe[0].value
    assert list(table["state"] == "damaged") == [True, False]


def test_overview_ranks_the_runs_of_one_dataset_alone(store: RunStore) -> None:
    set_state(new_run(store), "finished")
    assert titles(open_page("overview")) == ["best loss", "accuracy"]
    set_state(new_run(store, dataset="fashion-mnist"), "finished")
    assert titles(open_page("overview")) == [
        "best loss, Fashion-MNIST", "best loss, synthetic garments", "accuracy, Fashion-MNIST",
        "accuracy, synthetic garments",
    ]  # fmt: skip
    filtered = open_page("overview", dataset="synthetic", sort="best_loss fashion-mnist")
    assert titles(filtered) == ["best loss", "accuracy"]
    assert not filtered.error


def titles(app: AppTest) -> list[str]:
    """Of the columns with numbers, in their order."""
    proto = app.dataframe[0].proto
    config = json.loads(proto.columns)
    shown = (config.get(name, {}).get("label") or "" for name in proto.column_order)
    return [title for title in shown if title.startswith(("best loss", "accuracy"))]


@pytest.mark.parametrize(("page", "button"), [("overview", "Delete…"), ("train", "Stop")])
def test_damaged_labels_are_named_once_and_prevent_nothing(store: RunStore, page: str, button: str) -> None:
    run = new_run(store)
    run.labels_path.write_text("{")
    app = open_page(page, run=run.id)
    told = [element.value for element in (*app.warning, *app.error) if "labels" in element.value]
    assert told == [common.plain("Damaged file labels.json: it is not JSON.")]
    assert button in labels(app)
    assert common.plain(run.id) in texts(app) + "".join(title.value for title in app.title)


def test_page_opens_while_a_suspended_process_holds_the_queue(store: RunStore) -> None:
    run = new_run(store)
    with FileLock(store.root / ".queue.lock"):
        began = time.monotonic()
        assert open_page("train", run=run.id).title[0].value == common.plain(run.title)
        assert time.monotonic() - began < queue.QUEUE_SECONDS


def test_resumed_run_whose_status_was_emptied_is_shown(store: RunStore) -> None:
    parent = trained(store, epochs=2)
    (child,) = plan.create(store, parent, [ResumeRequest(1, 1, {})])
    child.status_path.write_text("")
    assert "Continue" in labels(open_page("train", run=child.id))
    with child.writing():
        child.write_status(Status(state="queued", queued_at=0, heartbeat=0))
    for page in ("train", "overview"):
        assert not open_page(page, run=child.id).error


def test_unreadable_folder_keeps_no_other_run_from_a_page(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, closed = trained(store, name="whole", epochs=1), trained(store, epochs=1)
    forbid_listing(monkeypatch, closed.checkpoint_folder)
    for page in ("checkpoints", "resume", "predict"):
        assert whole.title in widget(open_page(page), "Run").options, page


def test_boxes_name_runs_by_their_titles_and_by_their_ids_where_those_are_the_same(store: RunStore) -> None:
    twins = [trained(store, name="twin", epochs=1) for _ in range(2)]
    alone = trained(store, name="alone", epochs=1)
    named = {alone.title, *(f"twin · {run.id}" for run in twins)}
    for page in ("checkpoints", "resume", "predict"):
        assert set(widget(open_page(page), "Run").options) - {"All runs"} == named
    compared = open_page("checkpoints", run=alone.id, epoch="0", show="Compare", **{"with": twins[0].id})
    assert set(widget(compared, "Compare with").options) == named
    for run in twins:
        train(resume(store, run, 0, 1, seed=5))
    app = open_page("resume", view="Helped")
    assert set(widget(app, "Resumed from").options) == named - {"alone"}
    assert len(set(widget(app, "Focus a run").options)) == 2


def test_lesson_that_can_not_go_on_says_so_and_tries_again_only_when_asked(store: RunStore) -> None:
    run = trained(store, epochs=2, name="Lesson")
    store.delete(run, run.checkpoint_path(0))
    app = open_page("lesson", run=run.id)
    for _ in range(3):
        app.run()
    assert [line.what for line in audit.read(store.root)] == ["resume"]
    assert "has no checkpoint of epoch 0" in app.error[0].value.replace("\\", "")
    assert not [caption.value for caption in app.caption if "an operator opens" in caption.value]
    press(app, "Try again")
    assert [line.what for line in audit.read(store.root)] == ["resume", "resume"]


@pytest.mark.parametrize("damage", ["whole", "cut", "gone"])
def test_overview_saves_name_notes_and_tags_also_where_they_cannot_be_read(store: RunStore, damage: str) -> None:
    run = new_run(store, name="before")
    if damage == "cut":
        run.labels_path.write_text("{")
    if damage == "gone":
        run.labels_path.unlink()
    app = open_page("overview", run=run.id)
    assert widget(app, "Name").value == run.record.config.title
    widget(app, "Name").set_value("after")
    widget(app, "Tags, separated by commas").set_value("demo, best, demo")
    app.text_area[0].set_value("worth keeping")
    press(app, "Save")
    assert run.labels == Labels(name="after", notes="worth keeping", tags=("demo", "best"))
    assert run.damaged_labels_path.exists() == (damage == "cut")
    assert not app.warning
    assert [toast.value for toast in app.toast] == ["Saved the name, tags and notes."]
    assert not [caption.value for caption in app.caption if "can't be read" in caption.value]


def test_name_of_more_than_80_characters_is_said_and_stays_in_its_field(store: RunStore) -> None:
    run = new_run(store, name="before")
    app = open_page("overview", run=run.id)
    widget(app, "Name").set_value("x" * 81)
    press(app, "Save")
    assert "at most 80 characters, not 81" in words(app)
    assert (widget(app, "Name").value, run.labels.name) == ("x" * 81, "before")


def test_form_has_a_widget_for_every_setting_in_their_order_and_shows_the_plain_pytorch(store: RunStore) -> None:
    app = open_page("train")
    every = [f"train demo {setting.name}" for setting in settings()]
    keys = [str(field.key) for field in app.number_input if str(field.key).startswith("train demo ")]
    assert {*every} <= {*keys, *(field.key for field in [*app.text_input, *app.selectbox])}
    assert keys == sorted(keys, key=every.index)
    app.selectbox(key="train demo optimizer").select("adamw").run()
    assert "torch.optim.AdamW(" in app.code[0].value


def test_preset_fills_the_fields_which_come_with_their_values_not_before_them(store: RunStore) -> None:
    """A value that the session sets afterwards is lost where a click cuts the drawing short: the field said 0."""
    app = open_page("train")
    for preset in ("demo", "accurate-cnn"):
        app.selectbox(key="preset").select(preset).run()
        fields = [*app.number_input, *app.text_input]
        assert [field.proto.default for field in fields] == [field.value for field in fields]
        assert not [field.key for field in [*fields, *app.selectbox] if field.proto.set_value]
    assert app.selectbox(key="train accurate-cnn model").value == "cnn"
    assert app.selectbox(key="train accurate-cnn pixels").value == "standard"
    assert app.number_input(key="train accurate-cnn epochs").value == 12


def test_settings_of_a_run_are_a_table_and_fill_the_form_for_another_like_it(store: RunStore) -> None:
    given = {"optimizer": "adamw", "weight_decay": 0.05, "dataset": "fashion-mnist", "train_images": 0}
    run = new_run(store, name="mine", **given)
    app = open_page("train", run=run.id)
    shown = {setting: value for table in app.table for setting, value in table.value.itertuples(index=False)}
    assert {*shown} == {one.label for one in settings()} - {"Name"}
    some = [shown[name] for name in ("Dataset", "Optimizer", "Weight decay", "Training images")]
    assert [as_read(one) for one in some] == ["Fashion-MNIST", "adamw", "0.05", "all"]
    press(app, "Start another like this")
    assert app.query_params == {"like": run.id}
    assert app.selectbox[0].value == run.id
    fields = {str(field.key).split()[-1]: field.value for field in [*app.number_input, *app.selectbox, *app.text_input]}
    same = parse_config({one.name: fields[one.name] for one in settings()})
    assert same == run.record.config.model_copy(update={"name": ""})
    app.selectbox[0].select("demo").run()
    assert app.selectbox(key="train demo optimizer").value == "adam"


def test_run_for_several_hosts_shows_what_to_run_on_each(store: RunStore) -> None:
    run = queue.start(store, config(processes=64), here=False)
    assert torchrun.command(run.id) in [code.value for code in open_page("train", run=run.id).code]


def test_form_says_before_the_click_that_this_machine_has_too_few_cpus(store: RunStore) -> None:
    app = open_page("train")
    app.number_input(key="train demo processes").set_value(64).run()
    assert "64 processes are more than the" in app.error[0].value
    assert next(button for button in app.button if button.label == "Start").disabled


def test_form_says_that_a_run_like_a_resumed_one_is_not_resumed(store: RunStore) -> None:
    parent = trained(store, epochs=1)
    child = resume(store, parent, 0, 2)
    said = "This form starts a run from fresh weights, for 3 epochs in all"
    assert said in words(open_page("train", like=child.id))
    assert said not in words(open_page("train", like=parent.id))


def test_run_without_a_batch_promises_charts_only_while_it_waits(store: RunStore) -> None:
    set_running(starting := new_run(store, seed=1))  # it takes the slot
    run = new_run(store)
    for waiting in (run, starting):
        app = open_page("train", run=waiting.id)
        assert "The charts appear with the first batch." in words(app)
        assert len(app.get("vega_lite_chart")) == 0
    set_state(run, "failed")
    assert "There are no charts" in words(open_page("train", run=run.id))


def test_accuracy_chart_appears_with_the_first_epoch(store: RunStore) -> None:
    run = new_run(store)
    metrics.append_row(run.metrics_path, batch_row(0, 3, [4.0, 3.0]))
    set_state(run, "stopped")
    assert len(open_page("train", run=run.id).get("vega_lite_chart")) == 1
    metrics.append_row(run.metrics_path, epoch_row(0))
    assert len(open_page("train", run=run.id).get("vega_lite_chart")) == 2


def test_form_begins_with_the_settings_of_the_first_run_that_every_empty_page_offers(store: RunStore) -> None:
    app = open_page("train")
    fields = {str(field.key): field.value for field in [*app.number_input, *app.selectbox, *app.text_input]}
    assert parse_config({one.name: fields[f"train demo {one.name}"] for one in settings()}) == parse_config(
        PRESETS["demo"].values
    )


def test_tutorials_settings_say_what_to_expect_on_the_chosen_dataset_while_they_are_those(store: RunStore) -> None:
    app = open_page("train")
    assert "Expect" not in words(app)
    app.selectbox(key="preset").select("seed").run()
    assert "no more than chance" in words(app)
    app.selectbox(key="train seed dataset").select("fashion-mnist").run()
    assert "about half of the test images" in words(app)
    app.selectbox(key="train seed optimizer").select("adam").run()
    assert "Expect" not in words(app)


def test_preset_that_promises_a_figure_of_fashion_mnist_selects_it_and_says_that_it_is_missing(store: RunStore) -> None:
    app = open_page("train")
    app.selectbox(key="preset").select("accurate-cnn").run()
    assert app.selectbox(key="train accurate-cnn dataset").value == "fashion-mnist"
    assert "about 93 % of the test images" in words(app)
    assert "Fashion-MNIST is not on this machine yet" in words(app)


def test_device_that_is_not_here_is_one_sentence_and_leaves_nothing(store: RunStore) -> None:
    app = open_page("train")
    app.text_input(key="train demo device").set_value("cuda:77").run()
    assert "on this machine; choose one of auto, cpu" in press(app, "Start").error[0].value
    assert store.runs() == []


def test_fashion_mnist_that_is_not_here_disables_start_and_offers_the_download(store: RunStore) -> None:
    app = open_page("train")
    app.selectbox(key="train demo dataset").select("fashion-mnist").run()
    assert "is not on this machine yet" in app.warning[0].value
    assert [button.disabled for button in app.button if button.label == "Start"] == [True]
    assert [button.disabled for button in app.button if button.label == "Download Fashion-MNIST"] == [False]
    parent = trained(store, epochs=1)
    app = open_page("resume", run=parent.id, epoch="0")
    widget(app, "Dataset").select("fashion-mnist").run()
    assert [button.disabled for button in app.button if button.label == "Start"] == [True]
    app = open_page("lesson")
    widget(app, "Dataset").select("fashion-mnist").run()
    assert [button.disabled for button in app.button if button.label == "Run the lesson"] == [True]


def test_store_that_cannot_be_written_is_one_sentence(store: RunStore) -> None:
    store.root.touch()
    app = press(open_page("train"), "Start")
    assert len(app.error) == 1
    assert "choose another folder" in app.error[0].value


def test_chart_stands_before_the_first_epoch_and_spans_those_that_the_run_will_train(store: RunStore) -> None:
    parent = Parent(run="20200101-000000-000-0000", epoch=4)
    run = store.create(config(epochs=8), new_run(store).record.environment, parent)
    assert not open_page("train", run=run.id).get("vega_lite_chart"), "while it is queued"
    set_running(run)
    metrics.append_row(run.metrics_path, batch_row(5, 3, [4.0, 3.0]))
    (losses,) = open_page("train", run=run.id).get("vega_lite_chart")
    assert f'"domain": [0, {3 * run.record.config.batches_per_epoch}]' in losses.proto.spec
    metrics.append_row(run.metrics_path, epoch_row(5))
    _, accuracy = open_page("train", run=run.id).get("vega_lite_chart")
    (room,) = (sent.data.data for sent in accuracy.proto.datasets if sent.name == "room")
    (row,) = pa.ipc.open_stream(room).read_all().to_pylist()
    assert (row["first"], row["last"]) == (5, 7)


def test_finished_run_shows_its_numbers_and_no_action(store: RunStore) -> None:
    run = trained(store, name="done", epochs=2)
    app = open_page("train", run=run.id)
    assert shown_numbers(app)["Test loss"] == f"{run.file_info(run.weights_path).loss:.4f}"  # type: ignore[union-attr]
    assert set(labels(app)) & {"Stop", "Continue"} == set()


def test_epochs_read_the_same_everywhere(store: RunStore, capsys: Capture) -> None:
    parent = Parent(run="20200101-000000-000-0000", epoch=4)
    set_state(new := new_run(store), "stopped")
    run = store.create(config(epochs=8), new.record.environment, parent)
    set_running(run)
    run.write_status(run.status.model_copy(update={"epoch": 6, "batch": 2}))
    metrics.append_row(run.metrics_path, epoch_row(5))
    overview = open_page("overview")
    assert "epoch 6 (2 of 3), batch 2 of 8" in sent(overview)
    assert overview.dataframe[0].value["epochs"].tolist() == ["epoch 5 (1 of 3)", "0 of 2"]
    assert "epoch 6 (2 of 3), batch 2 of 8" in dashboard("train", run=run.id).run().get("bidi_component")[0].proto.json
    said, _ = printed(capsys, "show", run.id)
    assert "epoch 5 (1 of 3)  loss 1.0000" in said
    assert "epoch 5 (1 of 3): loss 1.0000" in said


def test_failed_run_shows_its_error_and_continue(store: RunStore) -> None:
    run = new_run(store)
    with run.writing():
        run.write_status(run.status.model_copy(update={"state": "failed", "error": "the disk is full."}))
    app = open_page("train", run=run.id)
    assert app.error[0].value == "The disk is full."
    assert "Continue" in labels(app)
    assert "diverges again" not in words(app)


def test_run_that_diverged_says_that_continue_does_so_again_and_leads_elsewhere(store: RunStore) -> None:
    run = trained(store, epochs=1)
    with run.writing():
        run.write_status(run.status.model_copy(update={"state": "failed", "diverged": True}))
    app = open_page("train", run=run.id)
    assert "and so diverges again: resume with a smaller learning rate instead." in words(app)
    assert "Continue" in labels(app)
    queries = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert queries["Resume from the last whole checkpoint"] == f"run={run.id}&epoch=0"
    run.remove_saved(run.checkpoint_path(0))
    assert "start another like this with a smaller learning rate" in words(open_page("train", run=run.id))


def test_more_runs_than_a_page_holds_come_in_pages(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        new_run(store, name=str(number))
    monkeypatch.setattr(address, "PAGE_ROWS", 2)
    shown = [list(open_page("overview", page=str(page)).dataframe[0].value["name"]) for page in (1, 2, 3, 9)]
    assert shown == [["4", "3"], ["2", "1"], ["0"], ["4", "3"]]


@pytest.mark.parametrize(("state", "told"), [("running", True), ("stopping", False)])
@pytest.mark.parametrize("page", ["overview", "train"])
def test_run_that_is_stopping_has_no_time_left(store: RunStore, page: str, state: State, told: bool) -> None:
    run = new_run(store)
    set_running(run)
    run.write_status(run.status.model_copy(update={"state": state, "images_per_second": 100.0}))
    app = open_page(page, run=run.id)
    shown = shown_numbers(app) if page == "train" else [progress.text for progress in app.get("progress")]
    assert any("left" in text for text in shown) == told


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("page", ["overview", "train", "checkpoints", "resume", "predict", "lesson"])
def test_store_that_the_system_refuses_is_one_sentence_on_each_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(tmp_path / ("a" * 300)))
    app = open_page(page)
    for button in ("Start", "Run the lesson"):
        if button in labels(app):
            press(app, button)
    assert ["its name is too long" in error.value for error in app.error] == [True]


IN_A_DELETED_FOLDER = """
import os, sys
from tests.support.pages import open_page, sent
app = open_page("overview")
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
app.run()
print(len(app.exception), *(error.value for error in app.error))
"""


def test_deleted_working_folder_is_one_sentence_on_a_page(tmp_path: Path) -> None:
    """In a process of its own: Streamlit reads its settings in the working folder."""
    done = python(IN_A_DELETED_FOLDER, arguments=(str(tmp_path),), FASHION_RUNS="")
    assert done.stdout.startswith("0 The working folder can't be used"), done.stderr
    assert done.stdout.count("\n") == 1


def test_overview_takes_names_as_people_write_them_and_none_that_cannot_be_seen(store: RunStore) -> None:
    run = new_run(store, name="before")
    app = open_page("overview", run=run.id)
    for written, kept in (("می\u200cشود", "می\u200cشود"), ("\u200d ", "before")):
        widget(app, "Name").set_value(written)
        widget(app, "Tags, separated by commas").set_value(f"{written}, \u200c")
        press(app, "Save")
        assert run.labels.name == kept
    assert run.labels.tags == ()


def test_notes_keep_their_lines(store: RunStore) -> None:
    source = Source(name="theirs.pth", format="weights", sha256="0" * 64)
    labels = Labels(name="run", notes="first\nsecond \x1b[31m")
    run = store.create(config(), new_run(store).record.environment, source=source, labels=labels)
    assert "first\nsecond �[31m" in words(open_page("train", run=run.id))
