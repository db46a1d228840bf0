"""The page of checkpoints through AppTest; uploads, downloads and dialogs are in test_browser_checkpoints.py."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.runs import machine, processes, tables, verify
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, Parent
from fashion_core.runs.store import RunStore
from fashion_core.ui import common
from tests.support.files import settle
from tests.support.pages import open_page, words
from tests.support.processes import ROOT
from tests.support.runs import config, copied, trained

SHOW = {"inside": "Look inside", "ways": "Five ways", "snippet": "In plain PyTorch", "compare": "Compare"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Iterator[RunStore]:
    """Runs that the tests only look at: an MLP with Adam and one resumed from its epoch 1, a CNN."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(synthetic_data))
        store = RunStore(tmp_path_factory.mktemp("runs"))
        parent = trained(store, name="parent", optimizer="adam", epochs=3)
        store.create(config(name="child", optimizer="adam"), environment(), parent=Parent(run=parent.id, epoch=1))
        trained(store, name="cnn", model="cnn", epochs=1)
        yield store


def environment() -> Environment:
    return Environment(python="3.11", torch="2.13", device="cpu", threads=1)


@pytest.fixture
def looked_at(shared: RunStore, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("FASHION_RUNS", str(shared.root))
    return shared


@pytest.fixture
def parent(shared: RunStore, store: RunStore) -> Run:
    """A run with three epochs, to be changed."""
    return copied(named(shared, "parent"), store)


def named(store: RunStore, name: str) -> Run:
    return next(run for run in store.runs() if run.title == name)


def table(app: AppTest) -> Any:
    return app.dataframe[0].value


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception


def test_empty_store_says_what_to_do_and_has_one_button(store: RunStore) -> None:
    app = open_page("checkpoints")
    assert "there is a run to look at" in words(app)
    assert [button.label for button in app.button] == ["Train a first run"]


def test_every_file_of_every_run_is_listed_without_opening_one(looked_at: RunStore) -> None:
    opened: list[str] = []
    recording = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if recording and event == "open" and str(looked_at.root) in str(arguments[0]):
            opened.append(str(arguments[0]))

    sys.addaudithook(note)
    rows = table(open_page("checkpoints"))
    recording = False
    assert list(rows["file"]) == [
        "model_save/0", "model_weights.pth", "model.pth",
        "model_save/0", "model_save/1", "model_save/2", "model_weights.pth", "model.pth",
    ]  # fmt: skip
    assert len(opened) > len(rows)
    assert [path for path in opened if not path.endswith((".json", ".jsonl"))] == []


def test_all_files_stay_in_the_list_where_the_address_names_an_unknown_run(looked_at: RunStore) -> None:
    app = open_page("checkpoints", run="20200101-000000-000-0000")
    assert [error.value for error in app.error if "has the id" in error.value]
    assert len(table(app)) == len(table(open_page("checkpoints")))


def test_list_marks_the_best_of_each_run_and_what_others_were_resumed_from(looked_at: RunStore) -> None:
    rows = table(open_page("checkpoints"))
    parent = named(looked_at, "parent")
    of_parent = rows[rows["run"] == parent.id].set_index("file")
    assert of_parent.loc[f"model_save/{parent.best_epoch()}", "best"] == "★ best"
    assert list(rows["best"]).count("★ best") == 2
    assert of_parent.loc["model_save/1", "resumed"] == "↻ 1"
    assert list(rows["resumed"]).count("") == len(rows) - 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"format": "model"}, ["cnn model.pth", "parent model.pth"]),
        ({"at": "1"}, ["parent model_save/1"]),
        ({"best": "true", "at": "0"}, ["cnn model_save/0"]),
    ],
)
def test_filters_stand_in_the_address(looked_at: RunStore, query: dict[str, str], expected: list[str]) -> None:
    rows = table(open_page("checkpoints", **query))
    assert [f"{name} {file}" for name, file in zip(rows["name"], rows["file"], strict=True)] == expected


def test_address_of_a_run_lists_its_files_alone(looked_at: RunStore) -> None:
    run = named(looked_at, "cnn")
    app = open_page("checkpoints", run=run.id)
    assert set(table(app)["run"]) == {run.id}
    assert app.query_params["of"] == run.id
    app.selectbox(key="list of").select("all").run()
    assert len(set(table(app)["run"])) == 2
    assert "of" not in app.query_params


def test_filters_of_one_viewer_are_not_those_of_another(looked_at: RunStore) -> None:
    one, other = open_page("checkpoints"), open_page("checkpoints")
    one.toggle(key="best").set_value(True).run()
    one.selectbox(key="list of").select(named(looked_at, "cnn").id).run()
    other.run()
    assert (len(table(one)), len(table(other))) == (1, 8)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"run": "nothing"}, "No run in"),
        ({"run": "nothing", "epoch": "1"}, "No run in"),
        ({"run": "cnn", "epoch": "7"}, "has no saved file 'model_save/7'"),
        ({"run": "cnn", "epoch": "one"}, "An epoch is a whole number such as 3, not 'one'"),
        ({"run": "cnn", "file": "../run.json"}, "has no saved file '../run.json'"),
    ],
)
def test_wrong_address_is_one_sentence(looked_at: RunStore, query: dict[str, str], sentence: str) -> None:
    if query["run"] == "cnn":
        query = {**query, "run": named(looked_at, "cnn").id}
    app = open_page("checkpoints", **query)
    assert len(app.error) == 1
    assert sentence in words(app)


@pytest.mark.parametrize(
    ("name", "query", "verdict"),
    [
        ("parent", {"epoch": "2"}, "exact"),
        ("parent", {"file": "model_weights.pth"}, "weights only"),
        ("parent", {"file": "model.pth"}, "weights only"),
        ("cnn", {"epoch": "0"}, "exact"),
    ],
)
def test_look_inside_tells_what_a_file_is_good_for(
    looked_at: RunStore, name: str, query: dict[str, str], verdict: str
) -> None:
    app = open_page("checkpoints", run=named(looked_at, name).id, **query)
    assert f"**{verdict}**" in words(app)
    assert not app.error


def test_look_inside_shows_tensors_with_histograms_and_the_optimizers_state(looked_at: RunStore) -> None:
    app = open_page("checkpoints", run=named(looked_at, "parent").id, epoch="2")
    tensors = next(frame.value for frame in app.dataframe[1:] if "histogram" in frame.value)
    assert list(tensors["tensor"])[:2] == ["linear_relu_stack.0.weight", "linear_relu_stack.0.bias"]
    assert sum(tensors["histogram"].iloc[0]) == 784 * 512
    slots = [frame.value for frame in app.dataframe[1:] if "histogram" in frame.value][1]
    assert "linear_relu_stack.4.bias · exp_avg_sq" in set(slots["tensor"])
    assert {metric.label: metric.value for metric in app.metric}["Optimizer"] == "Adam"


def test_resumed_runs_of_a_checkpoint_are_named(looked_at: RunStore) -> None:
    app = open_page("checkpoints", run=named(looked_at, "parent").id, epoch="1")
    assert "Resumed from it: child" in words(app)


def test_plain_pytorch_names_the_file_where_it_is(looked_at: RunStore) -> None:
    run = named(looked_at, "parent")
    app = open_page("checkpoints", run=run.id, epoch="2", show=SHOW["snippet"])
    assert f'torch.load("{run.checkpoint_path(2)}", weights_only=True)' in app.code[0].value


def test_comparison_begins_with_the_epoch_before_and_stands_in_the_address(looked_at: RunStore) -> None:
    run = named(looked_at, "parent")
    app = open_page("checkpoints", run=run.id, epoch="2", show=SHOW["compare"])
    assert "From model_save/1 of parent to this file the weights moved by" in words(app)
    assert app.query_params["with"] == f"{run.id}/model_save/1"
    shared = open_page("checkpoints", run=run.id, epoch="2", show=SHOW["compare"], **{"with": f"{run.id}/model.pth"})
    assert "**The same weights** as model.pth of parent" in words(shared)


def test_comparison_of_different_models_is_one_sentence(looked_at: RunStore) -> None:
    other = f"{named(looked_at, 'cnn').id}/model_save/0"
    run = named(looked_at, "parent").id
    app = open_page("checkpoints", run=run, epoch="2", show=SHOW["compare"], **{"with": other})
    assert len(app.error) == 1
    assert "These two hold different models" in words(app)


def test_comparison_with_a_file_that_is_not_there_is_one_sentence(looked_at: RunStore) -> None:
    run = named(looked_at, "parent").id
    app = open_page("checkpoints", run=run, epoch="2", show=SHOW["compare"], **{"with": f"{run}/model_save/9"})
    assert len(app.error) == 1
    assert "has no saved file 'model_save/9'" in words(app)


def test_the_same_model_five_ways(looked_at: RunStore) -> None:
    app = open_page("checkpoints", run=named(looked_at, "parent").id, epoch="2", show=SHOW["ways"])
    assert "**Weights only take 2.68 MB.**" in words(app)
    assert "The checkpoint is 3.0 times as large: Adam keeps two numbers for each weight." in words(app)
    ways = next(frame.value for frame in app.dataframe[1:] if "outputs" in frame.value).set_index("format")
    assert set(ways["outputs"]) == {"the same bits"}
    assert ways.loc["checkpoint", "optimizer"] == "✓ Adam"
    assert ways.loc["weights only", "optimizer"] == "– lost"


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damaged_file_is_named_marked_and_not_handed_out(parent: Run) -> None:
    flip_a_bit(parent.checkpoint_path(0))
    app = open_page("checkpoints", run=parent.id, epoch="0")
    assert "Damaged: its SHA-256 is not the one that was recorded" in words(app)
    assert "nothing can be resumed from it" in words(app)
    app = open_page("checkpoints", run=parent.id, epoch="0", show="Download")
    assert "It is damaged, so it can't be downloaded" in words(app)
    assert not app.get("download_button")
    list(verify.verify([parent]))
    rows = table(open_page("checkpoints")).set_index("file")
    assert list(rows.index[rows["damage"] == "⚠ damaged"]) == ["model_save/0"]


def test_file_that_was_replaced_is_looked_into_anew(parent: Run) -> None:
    app = open_page("checkpoints", run=parent.id, epoch="0")
    assert not app.error
    flip_a_bit(parent.checkpoint_path(0))
    app.run()
    assert "Damaged: its SHA-256 is not the one that was recorded" in words(app)


def test_comparison_of_a_damaged_file_is_refused(parent: Run) -> None:
    flip_a_bit(parent.checkpoint_path(0))
    app = open_page("checkpoints", run=parent.id, epoch="1", show=SHOW["compare"])
    assert len(app.error) == 1
    assert "is damaged: its SHA-256 is not the one that was recorded" in words(app)


def test_filter_that_nothing_passes_leaves_an_empty_table(looked_at: RunStore) -> None:
    app = open_page("checkpoints", at="99")
    assert table(app).empty
    assert "0 files" in words(app)


def test_missing_file_is_listed_as_damaged_and_says_so(parent: Run) -> None:
    parent.model_path.unlink()
    app = open_page("checkpoints", run=parent.id, file="model.pth")
    assert "Damaged: the file is missing" in words(app)
    assert "damage" in table(app)


def test_verify_all_counts_names_and_marks_what_is_damaged(store: RunStore) -> None:
    run = trained(store, name="hurt", epochs=1)
    trained(store, name="whole", epochs=1)
    flip_a_bit(run.weights_path)
    app = open_page("checkpoints", view="Verify and tidy up")
    press(app, "Verify all")
    assert "1 of 6 files is damaged" in words(app)
    assert list(app.dataframe[0].value["file"]) == ["model_weights.pth"]
    assert run.weights_path.exists()
    assert run.known_damage(run.weights_path)


def test_verify_this_run_reads_that_run_alone(store: RunStore) -> None:
    run, other = trained(store, epochs=1), trained(store, epochs=1)
    app = open_page("checkpoints", view="Verify and tidy up", of=run.id)
    press(app, "Verify this run")
    assert "All 3 files are exactly what was saved" in words(app)
    assert (run.verification_path.exists(), other.verification_path.exists()) == (True, False)


def keep(app: AppTest, last: int) -> None:
    rule: Any = app.get("button_group")[0]
    rule.set_value(True).run()
    next(box for box in app.number_input if box.label == "How many of the last").set_value(last).run()


def test_keep_rule_shows_what_would_go_and_then_lets_it_go(store: RunStore) -> None:
    run = trained(store, name="long", epochs=6)
    store.create(config(name="child"), environment(), parent=Parent(run=run.id, epoch=1))
    app = open_page("checkpoints", view="Verify and tidy up", of=run.id)
    assert "Nothing to delete" in words(app)
    keep(app, 2)
    best = run.best_epoch()
    going = [epoch for epoch in range(6) if epoch not in (1, 4, 5, best)]
    assert list(app.dataframe[0].value["epoch"]) == going
    assert run.epochs_saved() == list(range(6))
    app.checkbox[0].check().run()
    press(app, f"Delete these {len(going)} checkpoints")
    assert run.epochs_saved() == [epoch for epoch in range(6) if epoch not in going]
    assert run.weights_path.exists()


def test_keep_rule_never_lets_a_damaged_checkpoint_go_or_stand_for_a_whole_one(store: RunStore) -> None:
    run = trained(store, epochs=4)
    for epoch in (1, 3):
        run.checkpoint_path(epoch).write_bytes(b"cut off")
    app = open_page("checkpoints", view="Verify and tidy up", of=run.id)
    keep(app, 1)
    assert list(app.dataframe[0].value["epoch"]) == [0]
    app.checkbox[0].check().run()
    press(app, "Delete this checkpoint")
    assert run.epochs_saved() == [1, 2, 3]


def test_press_on_an_older_preview_deletes_nothing(store: RunStore) -> None:
    run = trained(store, epochs=4)
    app = open_page("checkpoints", view="Verify and tidy up", of=run.id)
    keep(app, 1)
    going = list(app.dataframe[0].value["epoch"])
    app.checkbox[0].check().run()
    store.create(config(name="child"), environment(), parent=Parent(run=run.id, epoch=going[0]))
    press(app, f"Delete these {len(going)} checkpoints")
    assert run.epochs_saved() == list(range(4))
    assert list(app.dataframe[0].value["epoch"]) == going[1:]


def test_running_run_keeps_its_checkpoints(parent: Run) -> None:
    with parent.writing():
        parent.write_status(
            parent.status.model_copy(update={"state": "running", "process": processes.identify(os.getpid())})
        )
    app = open_page("checkpoints", view="Verify and tidy up", of=parent.id)
    keep(app, 1)
    app.checkbox[0].check().run()
    press(app, f"Delete these {len(app.dataframe[0].value)} checkpoints")
    assert "is running; stop it first" in words(app)
    assert parent.epochs_saved() == [0, 1, 2]


def test_imported_run_shows_on_every_page(store: RunStore) -> None:
    source = trained(store, name="source", epochs=1)
    run = machine.import_file(store, source.weights_path, "theirs.pth", {})
    app = open_page("train", run=run.id)
    assert "imported from theirs.pth (weights); trained elsewhere" in words(app)
    assert {button.label for button in app.button} & {"Stop", "Continue"} == set()
    assert list(open_page("overview").dataframe[0].value["state"]) == ["imported", "finished"]
    assert "**weights only**" in words(open_page("checkpoints", run=run.id, file="original"))


def test_page_works_where_labels_and_records_are_damaged(store: RunStore) -> None:
    run = trained(store, name="source", epochs=1)
    run.labels_path.write_text("{")
    run.record_path.write_text("{")
    app = open_page("checkpoints")
    assert set(table(app)["name"]) == {run.id}
    app = open_page("checkpoints", run=run.id, epoch="0")
    assert len(app.error) == 1
    assert "is damaged" in words(app)


def test_pages_of_files_never_load_torch() -> None:
    from tests.support.processes import python

    code = f"""
import os, sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(ROOT / "pages" / "dashboard.py")!r}, default_timeout=60).switch_page("checkpoints.py")
assert not app.run().exception
assert "torch" not in sys.modules
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_more_files_than_a_page_holds_come_in_pages(looked_at: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [(str(row.run), str(row.file)) for row in tables.saved_frame(looked_at).itertuples()]
    run, file = every[-1]
    monkeypatch.setattr(common, "PAGE_ROWS", 3)
    pages = [table(open_page("checkpoints", page=str(number))) for number in (1, 2, 3)]
    assert [(row.run, row.file) for rows in pages for row in rows.itertuples()] == every
    chosen = open_page("checkpoints", run=run, file=file)
    assert (run, file) in [(row.run, row.file) for row in table(chosen).itertuples()]
    assert "2 of 8 files" in words(chosen)


def test_file_that_is_cut_short_is_listed_as_damaged_at_once(parent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    assert table(open_page("checkpoints"))["damage"].isna().all()
    parent.checkpoint_path(1).write_bytes(b"short")
    rows = table(open_page("checkpoints")).set_index("file")
    assert rows.loc["model_save/1", "damage"] == "⚠ damaged"
    assert rows.loc["model_save/0", "best"] == "★ best"
