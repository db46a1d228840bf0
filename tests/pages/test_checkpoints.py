"""The Checkpoints page through AppTest; uploads, downloads and dialogs are in browser/test_checkpoints.py."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.formats import export, import_file
from fashion_core.models import build_model
from fashion_core.runs import tables, verify
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from fashion_core.ui import address
from tests.support.files import files_opened, flip_a_bit, settle
from tests.support.pages import labels, open_page, press, widget, words
from tests.support.runs import config, copied, new_run, set_running, trained

COMPARED = {"run": "{parent}", "epoch": "2", "show": "Compare"}
TIDY = {"view": "Verify and tidy up"}


@pytest.fixture(scope="module")
def shared(module_store: RunStore) -> RunStore:
    parent = trained(module_store, name="parent", optimizer="adam", epochs=3)
    child = config(name="child", optimizer="adam")
    module_store.create(child, parent.record.environment, Parent(run=parent.id, epoch=1))
    trained(module_store, name="cnn", model="cnn", epochs=1)
    return module_store


@pytest.fixture
def looked_at(shared: RunStore, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("FASHION_RUNS", str(shared.root))
    return shared


@pytest.fixture
def parent(shared: RunStore, store: RunStore) -> Run:
    return copied(named(shared, "parent"), store)


def named(store: RunStore, name: str) -> Run:
    return next(run for run in store.runs() if run.title == name)


def opened(store: RunStore, **query: str) -> AppTest:
    """The page at an address in which runs stand by their names."""
    ids = {run.title: run.id for run in store.runs()}
    return open_page("checkpoints", **{name: value.format_map(ids) for name, value in query.items()})


def table(app: AppTest) -> Any:
    return app.dataframe[0].value


def test_every_file_is_listed_without_opening_one_and_the_best_and_resumed_are_marked(looked_at: RunStore) -> None:
    with files_opened() as every:
        rows = table(open_page("checkpoints"))
    opened = [path for path in every if path.startswith(str(looked_at.root))]
    assert list(rows["file"]) == [
        "model_save/0", "model_weights.pth", "model.pth",
        "model_save/0", "model_save/1", "model_save/2", "model_weights.pth", "model.pth",
    ]  # fmt: skip
    assert len(opened) > len(rows)
    assert [path for path in opened if not path.endswith((".json", ".jsonl"))] == []
    parent = named(looked_at, "parent")
    of_parent = rows[rows["run"] == parent.id].set_index("file")
    assert of_parent.loc[f"model_save/{parent.best_epoch()}", "best"] == "★ best"
    assert list(rows["best"]).count("★ best") == 2
    assert of_parent.loc["model_save/1", "resumed"] == "↻ 1"
    assert list(of_parent["format"]) == ["checkpoint"] * 3 + ["weights only", "whole model"]
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
    app = open_page("checkpoints", **query)
    rows = table(app)
    assert [f"{name} {file}" for name, file in zip(rows["name"], rows["file"], strict=True)] == expected
    assert f"{len(expected)} file{'s' * (len(expected) != 1)}, " in words(app)


def test_filters_without_a_match_say_so_and_can_be_cleared(looked_at: RunStore) -> None:
    run = named(looked_at, "cnn").id
    app = open_page("checkpoints", at="99", of=run, format="model", best="true", page="1")
    assert "No saved file passes these filters." in words(app)
    press(app, "Clear filters")
    assert len(table(app)) == 8
    assert app.query_params == {}


def test_address_of_a_run_lists_its_files_alone(looked_at: RunStore) -> None:
    run = named(looked_at, "cnn")
    app = open_page("checkpoints", run=run.id)
    assert set(table(app)["run"]) == {run.id}
    assert widget(app, "Run").value == run.id
    widget(app, "Run").select("all").run()
    assert len(set(table(app)["run"])) == 2
    assert app.query_params == {}
    widget(app, "Run").select(run.id).run()
    assert app.query_params == {"of": run.id}


@pytest.mark.parametrize("name", ["of", "run"])
def test_run_without_a_file_is_no_mistake_of_the_address(looked_at: RunStore, name: str) -> None:
    waiting = new_run(looked_at)
    app = open_page("checkpoints", **{name: waiting.id})
    assert f"Run {waiting.id} has no saved file yet. The files of all runs are listed." in words(app)
    assert not app.error
    assert len(table(app)) == 8
    looked_at.delete(waiting)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"run": "nothing"}, "No run in"),
        ({"run": "nothing", "epoch": "1"}, "No run in"),
        ({"run": "{cnn}", "epoch": "7"}, "has no saved file 'model_save/7'"),
        ({"run": "{cnn}", "epoch": "one"}, "An epoch is a whole number such as 3, not 'one'"),
        ({"run": "{cnn}", "file": "../run.json"}, "has no saved file '../run.json'"),
        ({**COMPARED, "with": "{cnn}/model_save/0"}, "The two files hold different models"),
        ({**COMPARED, "with": "{parent}/model_save/9"}, "has no saved file 'model_save/9'"),
    ],
)
def test_wrong_address_is_a_sentence_below_all_files(looked_at: RunStore, query: dict[str, str], sentence: str) -> None:
    app = opened(looked_at, **query)
    assert len(app.error) == 1
    assert sentence in words(app)
    assert len(table(app)) == 8


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"run": "{parent}", "file": "model_weights.pth"}, "**weights only**"),
        ({"run": "{parent}", "file": "model.pth"}, "**weights only**"),
        ({"run": "{cnn}", "epoch": "0"}, "**exact**"),
    ],
)
def test_look_inside_tells_what_a_file_is_good_for(looked_at: RunStore, query: dict[str, str], said: str) -> None:
    app = opened(looked_at, **query)
    assert said in words(app)
    assert not app.error


def test_look_inside_shows_tensors_with_histograms_and_the_optimizers_state(looked_at: RunStore) -> None:
    app = opened(looked_at, run="{parent}", epoch="1")
    tensors, slots, *_ = (frame.value for frame in app.dataframe[1:] if "histogram" in frame.value)
    assert list(tensors["tensor"])[:2] == ["linear_relu_stack.0.weight", "linear_relu_stack.0.bias"]
    assert sum(tensors["histogram"].iloc[0]) == 784 * 512
    assert "linear_relu_stack.4.bias · exp_avg_sq" in set(slots["tensor"])
    assert {metric.label: metric.value for metric in app.metric}["Optimizer"] == "Adam"
    assert "**exact**" in words(app)
    assert "Resumed from it: child" in words(app)


def test_plain_pytorch_names_the_file_where_it_is(looked_at: RunStore) -> None:
    app = opened(looked_at, run="{parent}", epoch="2", show="In plain PyTorch")
    path = named(looked_at, "parent").checkpoint_path(2)
    assert f'torch.load("{path}", weights_only=True)' in app.code[0].value


def test_comparison_begins_with_the_epoch_before_and_takes_another_from_the_address(looked_at: RunStore) -> None:
    app = opened(looked_at, **COMPARED)
    assert "From model_save/1 of parent to this file the weights moved by" in words(app)
    same = opened(looked_at, **COMPARED, **{"with": "{parent}/model.pth"})
    assert "**The same weights** as model.pth of parent" in words(same)


@pytest.mark.slow
def test_the_same_model_five_ways(looked_at: RunStore) -> None:
    app = opened(looked_at, run="{parent}", epoch="2", show="Five ways")
    assert "**Weights only take 2.68 MB.**" in words(app)
    assert "The checkpoint is 3.0 times as large: Adam keeps two numbers for each weight." in words(app)
    ways = next(frame.value for frame in app.dataframe[1:] if "outputs" in frame.value).set_index("format")
    assert set(ways["outputs"]) == {"the same bits"}
    assert ways.loc["checkpoint", "optimizer"] == "✓ Adam"
    assert ways.loc["weights only", "optimizer"] == "– lost"


def test_damaged_file_is_named_marked_and_neither_compared_nor_handed_out(parent: Run) -> None:
    app = open_page("checkpoints", run=parent.id, epoch="0")
    assert not app.error
    flip_a_bit(parent.checkpoint_path(0))
    app.run()
    assert "Damaged: its SHA-256 is not the one that was recorded" in words(app)
    assert "you can't resume from it" in words(app)
    app = open_page("checkpoints", run=parent.id, epoch="0", show="Download")
    assert "It is damaged, so it can't be downloaded" in words(app)
    assert not app.get("download_button")
    app = open_page("checkpoints", run=parent.id, epoch="1", show="Compare")
    assert len(app.error) == 1
    assert "is damaged: its SHA-256 is not the one that was recorded" in words(app)
    list(verify.verify([parent]))
    rows = table(open_page("checkpoints")).set_index("file")
    assert list(rows.index[rows["damage"] == "⚠ damaged"]) == ["model_save/0"]


def test_verify_reads_one_run_or_all_and_marks_what_is_damaged(store: RunStore, shared: RunStore, parent: Run) -> None:
    other = copied(named(shared, "cnn"), store)
    app = press(open_page("checkpoints", **TIDY, of=other.id), "Verify this run")
    assert "All 3 files are exactly what was saved" in words(app)
    assert (other.verification_path.exists(), parent.verification_path.exists()) == (True, False)
    flip_a_bit(parent.weights_path)
    app = press(open_page("checkpoints", **TIDY), "Verify all")
    assert "1 of 8 files is damaged" in words(app)
    assert list(table(app)["file"]) == ["model_weights.pth"]
    assert parent.weights_path.exists()
    assert parent.known_damage(parent.weights_path)


def keep(run: Run, last: int) -> AppTest:
    """The page on which all but the last epochs of this run are chosen to be deleted, and ticked."""
    app = open_page("checkpoints", **TIDY, of=run.id)
    assert "Nothing to delete" in words(app)
    rule: Any = app.get("button_group")[0]
    rule.set_value(True).run()
    widget(app, "How many to keep").set_value(last).run()
    app.checkbox[0].check().run()
    return app


def test_keep_rule_shows_what_would_go_and_then_lets_it_go(store: RunStore) -> None:
    run = trained(store, name="long", epochs=6)
    store.create(config(name="child"), run.record.environment, Parent(run=run.id, epoch=1))
    app = keep(run, 2)
    best = run.best_epoch()
    going = [epoch for epoch in range(6) if epoch not in (1, 4, 5, best)]
    assert list(table(app)["epoch"]) == going
    assert run.epochs_saved() == list(range(6))
    press(app, f"Delete these {len(going)} checkpoints")
    assert run.epochs_saved() == [epoch for epoch in range(6) if epoch not in going]
    assert run.weights_path.exists()


def test_keep_rule_never_lets_a_damaged_checkpoint_go_or_stand_for_a_whole_one(store: RunStore) -> None:
    run = trained(store, epochs=4)
    for epoch in (1, 3):
        run.checkpoint_path(epoch).write_bytes(b"cut off")
    app = keep(run, 1)
    assert list(table(app)["epoch"]) == [0]
    press(app, "Delete this checkpoint")
    assert run.epochs_saved() == [1, 2, 3]


def test_press_on_an_older_preview_or_for_a_running_run_deletes_nothing(store: RunStore, parent: Run) -> None:
    app = keep(parent, 1)
    going = list(table(app)["epoch"])
    store.create(config(name="child"), parent.record.environment, Parent(run=parent.id, epoch=going[0]))
    press(app, f"Delete these {len(going)} checkpoints")
    assert list(table(app)["epoch"]) == going[1:]
    set_running(parent)
    app.checkbox[0].check().run()
    press(app, "Delete this checkpoint")
    assert "is running; stop it first" in words(app)
    assert parent.epochs_saved() == [0, 1, 2]


def test_imported_run_shows_on_every_page(store: RunStore) -> None:
    source = trained(store, name="source", epochs=1)
    run = import_file.import_file(store, source.weights_path, "theirs.pth", {})
    app = open_page("train", run=run.id)
    assert "imported from theirs.pth (weights); trained elsewhere" in words(app)
    assert set(labels(app)) & {"Stop", "Continue"} == set()
    assert list(open_page("overview").dataframe[0].value["state"]) == ["imported", "finished"]
    assert "**weights only**" in words(open_page("checkpoints", run=run.id, file="original"))


def test_the_graph_of_an_imported_pt2_is_said_not_to_be_examined_and_no_line_runs_it(
    store: RunStore, tmp_path: Path
) -> None:
    (tmp_path / "theirs.pt2").write_bytes(export.as_program(build_model("mlp", seed=2), {}))
    run = import_file.import_file(store, tmp_path / "theirs.pt2", "theirs.pt2", {})
    assert "graph is not examined and never run" in words(open_page("checkpoints", run=run.id, file="original"))
    for page, query in (("checkpoints", {"show": "In plain PyTorch"}), ("predict", {"view": "In plain PyTorch"})):
        app = open_page(page, run=run.id, file="original", **query)
        assert "model_weights_config.json" in app.code[0].value
        assert "export.load" not in app.code[0].value


def test_page_works_where_labels_and_records_are_damaged(parent: Run) -> None:
    parent.labels_path.write_text("{")
    parent.record_path.write_text("{")
    app = open_page("checkpoints", run=parent.id, epoch="0")
    assert set(table(app)["name"]) == {parent.id}
    assert len(app.error) == 1
    assert "is damaged" in words(app)


def test_more_files_than_a_page_holds_come_in_pages(looked_at: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [(str(row.run), str(row.file)) for row in tables.saved_frame(looked_at).itertuples()]
    run, file = every[-1]
    monkeypatch.setattr(address, "PAGE_ROWS", 3)
    pages = [table(open_page("checkpoints", page=str(number))) for number in (1, 2, 3)]
    assert [(row.run, row.file) for rows in pages for row in rows.itertuples()] == every
    chosen = open_page("checkpoints", run=run, file=file)
    assert (run, file) in [(row.run, row.file) for row in table(chosen).itertuples()]
    assert "2 of 8 files" in words(chosen)


def test_cut_and_missing_files_are_listed_as_damaged_at_once(parent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    assert table(open_page("checkpoints"))["damage"].isna().all()
    cut = f"model_save/{parent.best_epoch()}"
    (parent.path / cut).write_bytes(b"short")
    parent.model_path.unlink()
    app = open_page("checkpoints", run=parent.id, file="model.pth")
    assert "Damaged: the file is missing" in words(app)
    rows = table(app).set_index("file")
    assert list(rows.index[rows["damage"] == "⚠ damaged"]) == [cut, "model.pth"]
    assert list(rows["best"]).count("★ best") == 1
    assert rows.loc[cut, "best"] == ""
