"""Overview through AppTest: the first screen, the filters, the order, and what several chosen runs offer."""

from collections.abc import Sequence
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.access import audit
from fashion_core.charts.comparison import comparison_chart
from fashion_core.resume.tables import compared_frame
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from fashion_core.ui import common
from fashion_core.ui.overview import filters, first_screen, sample, table
from fashion_core.ui.overview.filters import USUAL, Order
from fashion_core.ui.overview.texts import PROMISE
from tests.support.pages import dashboard, labels, open_page, press, rows_of_charts, sent, texts, widget, words
from tests.support.runs import epoch_row, new_run, on_other_images, resume, set_running, set_state, trained


def names(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["name"])


def open_with(runs: Sequence[Run], **query: str) -> AppTest:
    app = dashboard("overview", **query)
    app.query_params["run"] = [run.id for run in runs]
    app.run()
    assert not app.exception
    return app


def labelled(store: RunStore, name: str, *tags: str, notes: str = "", **settings: Any) -> Run:
    run = new_run(store, name=name, **settings)
    run.write_labels(Labels(name=name, notes=notes, tags=tags))
    set_state(run, "finished")
    return run


def test_empty_store_shows_the_promise_its_picture_and_two_ways_to_begin(store: RunStore) -> None:
    app = open_page("overview")
    assert [header.value for header in app.header] == [PROMISE]
    assert {one.label: one.disabled for one in app.button} == {"Watch it train": False, "Take the lesson": False}
    assert [len(chart.proto.datasets) > 0 for chart in app.get("vega_lite_chart")] == [True, True]
    new_run(store)
    app.run()
    assert PROMISE in [caption.value for caption in app.caption]
    assert not {"Watch it train", "Take the lesson"} & set(labels(app))
    assert not app.get("vega_lite_chart")


@pytest.mark.usefixtures("store")
def test_focus_in_the_picture_of_the_first_screen_is_no_part_of_the_address() -> None:
    app = open_page("overview", focus="2")
    addressed = rows_of_charts(app)
    assert addressed == rows_of_charts(open_page("overview"))
    app.session_state[first_screen.FOCUSED] = "2"
    assert all(one != other for one, other in zip(addressed, rows_of_charts(app.run()), strict=True))


@pytest.mark.usefixtures("store")
def test_lesson_is_one_press_away_from_the_first_screen() -> None:
    assert press(open_page("overview"), "Take the lesson").title[0].value == "The lesson"


def test_picture_of_the_first_screen_is_a_comparison_whose_runs_did_differently() -> None:
    compared = compared_frame(sample.rows(), True, "lineage")
    assert set(compared["answer"]) == {"lower", "higher"}
    assert len(comparison_chart(compared, None).frames["rows"]) == 5
    curves = sample.losses()
    assert [row.loss_last for row in sample.rows()] == [dict(curves[row.parent])[row.epoch] for row in sample.rows()]
    assert [curves[row.run][-1] for row in sample.rows()] == [
        (row.latest.epoch, row.latest.loss) for row in sample.rows() if row.latest
    ]


@pytest.mark.parametrize(
    ("query", "passing"),
    [
        ({}, ["broken", "Third", "second", "first"]),
        ({"dataset": "synthetic"}, ["second", "first"]),
        ({"model": "cnn"}, ["second"]),
        ({"state": "damaged"}, ["broken"]),
        ({"tag": "demo"}, ["Third", "first"]),
        ({"tag": "demo", "dataset": "synthetic"}, ["first"]),
        ({"text": "THIRD"}, ["Third"]),
        ({"text": "keep worth"}, ["second"]),
        ({"text": "demo fir"}, ["first"]),
        ({"text": "kept demo"}, ["Third"]),
    ],
)
def test_filters_leave_the_runs_that_pass_all_of_them(
    store: RunStore, query: dict[str, str], passing: list[str]
) -> None:
    labelled(store, "first", "demo")
    labelled(store, "second", "kept", model="cnn", notes="worth to keep")
    labelled(store, "Third", "demo", "kept", dataset="fashion-mnist")
    broken = new_run(store)
    broken.record_path.write_text("{}")
    app = open_page("overview", **query)
    assert names(app) == [broken.id if name == "broken" else name for name in passing]
    assert [chips.label for chips in app.button_group] == ["Dataset", "State", "Model", "Tag"]


@pytest.mark.parametrize("text", ["nan", "none", "[", "'"])
def test_search_finds_only_what_people_wrote(store: RunStore, text: str) -> None:
    labelled(store, "first", "demo")
    new_run(store).record_path.write_text("{}")
    assert "No run passes these filters." in words(open_page("overview", text=text))


def test_chips_are_offered_only_where_runs_differ(store: RunStore) -> None:
    labelled(store, "first")
    labelled(store, "second")
    assert not open_page("overview").button_group


def test_filter_is_in_the_address_at_once_and_leads_to_the_first_page(store: RunStore) -> None:
    labelled(store, "first", "demo")
    labelled(store, "second", dataset="fashion-mnist")
    app = open_page("overview", page="1")
    app.button_group(key="dataset").set_value(["synthetic"]).run()
    assert (app.query_params, names(app)) == ({"dataset": "synthetic"}, ["first"])
    widget(app, "Search").set_value("nothing like it").run()
    assert app.query_params == {"dataset": "synthetic", "text": "nothing like it"}
    assert "No run passes these filters." in words(app)
    press(app, "Clear filters")
    assert (app.query_params, names(app)) == ({}, ["second", "first"])


def test_order_by_a_number_ranks_one_dataset_and_puts_runs_without_it_last(store: RunStore) -> None:
    for name, dataset, loss in (("a", "synthetic", 0.3), ("b", "synthetic", 0.2), ("c", "fashion-mnist", 0.1)):
        run = labelled(store, name, dataset=dataset)
        metrics.append_row(run.metrics_path, {**epoch_row(0), "loss": loss, "accuracy": 1 - loss})
    labelled(store, "d")
    for sort, ranked in (("best_loss synthetic", ["b", "a"]), ("accuracy synthetic", ["b", "a"])):
        assert names(open_page("overview", sort=sort)) == [*ranked, "d", "c"]
        assert names(open_page("overview", sort=sort, reverse="true")) == [*ranked[::-1], "d", "c"]
    assert names(open_page("overview", reverse="true")) == ["a", "b", "c", "d"]
    app = open_page("overview", page="1")
    widget(app, "Sort by").select("name").run()
    assert (app.query_params, names(app)) == ({"sort": "name"}, ["a", "b", "c", "d"])


def test_order_by_epochs_and_by_parent_puts_runs_without_any_last(store: RunStore) -> None:
    for name, epoch in (("ten", 10), ("two", 2)):
        metrics.append_row(labelled(store, name, epochs=11).metrics_path, epoch_row(epoch))
    labelled(store, "none")
    assert names(open_page("overview", sort="parent")) == ["none", "two", "ten"]
    assert names(open_page("overview", sort="epochs")) == ["two", "ten", "none"]
    child = resume(store, trained(store, name="base", epochs=1), 0, 1)
    assert names(open_page("overview", sort="parent", reverse="true"))[0] == child.title


def test_click_on_a_title_sorts_by_it_then_the_other_way_round_then_as_usual() -> None:
    by_name = filters.after_click(USUAL, "name")
    assert by_name == Order("name")
    assert filters.after_click(by_name, "state") == Order("state")
    assert filters.after_click(by_name, "name") == Order("name", reverse=True)
    assert filters.after_click(Order("name", reverse=True), "name") == USUAL
    assert filters.after_click(USUAL, "newest") == Order("newest", reverse=True)


def test_order_by_a_column_that_is_not_shown_marks_none() -> None:
    titles = {"name": "name", "accuracy synthetic": "accuracy"}
    assert table.marked(titles, USUAL) == table.marked(titles, Order("best_loss fashion-mnist")) == []
    assert table.marked(titles, Order("accuracy synthetic")) == ["accuracy synthetic"]


def test_rows_that_the_address_names_are_chosen_in_the_table(store: RunStore) -> None:
    first, _, third = (labelled(store, name) for name in ("first", "second", "third"))
    app = open_with([first, third])
    assert '"rows": [0, 2]' in app.dataframe[0].proto.selection_state


def test_several_runs_lie_over_each_other_in_a_chart_a_dataset(store: RunStore) -> None:
    runs = [labelled(store, "twin"), labelled(store, "twin"), labelled(store, "other", dataset="fashion-mnist")]
    for run in runs:
        metrics.append_row(run.metrics_path, epoch_row(0))
    app = open_with([*runs, labelled(store, "queued")])
    assert "**4 runs**" in texts(app)
    first, second = (chart.proto.spec for chart in app.get("vega_lite_chart"))
    assert '"domain": ["other"]' in first
    assert all(f'"twin {run.id[-4:]}"' in second for run in runs[:2])
    assert "Without an epoch, and so without a curve: queued." in words(app)


def test_other_images_of_the_same_name_are_told_apart_and_not_ranked(store: RunStore) -> None:
    here, there = labelled(store, "here"), on_other_images(labelled(store, "there"))
    for run, loss in ((here, 0.3), (there, 0.2)):
        metrics.append_row(run.metrics_path, {**epoch_row(0), "loss": loss})
    for sort, ranked in (("synthetic", ["here", "there"]), ("synthetic-1a2b3c4d", ["there", "here"])):
        app = open_with([here, there], sort=f"best_loss {sort}")
        assert names(app) == ranked
        assert set(app.dataframe[0].value["dataset"]) == {"synthetic garments", "synthetic garments (images 1a2b3c4d)"}
        assert len(app.get("vega_lite_chart")) == 2
    assert "best loss, synthetic garments (images 1a2b3c4d)" in sent(app)
    assert names(open_page("overview", dataset="synthetic-1a2b3c4d")) == ["there"]


def test_comparing_runs_shows_their_results_and_only_the_settings_that_differ(store: RunStore) -> None:
    parent = trained(store, name="base", epochs=2)
    child = resume(store, parent, 1, 1, learning_rate=0.5)
    app = open_with([parent, child], show="Compare")
    shown = app.dataframe[1].value.T
    assert list(shown["Learning rate"]) == ["0.001", "0.5"]
    assert list(shown["Resumed from"]) == ["–", "base, epoch 1"]
    assert "Batch size" not in shown
    assert "Did resuming help?" in sent(app)


@pytest.mark.parametrize("damaged", ["run.json", "labels.json"])
def test_damaged_run_among_the_chosen_is_told_and_the_others_are_shown(store: RunStore, damaged: str) -> None:
    run, broken = labelled(store, "whole"), labelled(store, "broken")
    metrics.append_row(run.metrics_path, epoch_row(0))
    (broken.path / damaged).write_text("{}")
    compared, overlaid = open_with([run, broken], show="Compare"), open_with([run, broken])
    assert "whole" in compared.dataframe[1].value
    assert (len(compared.error), len(overlaid.error)) == ((1, 1) if damaged == "run.json" else (0, 0))
    assert len(overlaid.get("vega_lite_chart")) == 1
    for app in (compared, overlaid):
        app.query_params["run"] = [broken.id, labelled(store, "another").id]
        assert not app.run().exception


def in_dialog(piece: str, store: RunStore, runs: Sequence[Run], *more: list[str]) -> AppTest:
    """What a dialog holds, by itself: AppTest shows a dialog for one run of its page."""

    def script(piece: str, root: str, ids: list[str], more: list[list[str]]) -> None:
        from importlib import import_module
        from pathlib import Path

        from fashion_core.runs.store import RunStore

        module, _, function = piece.rpartition(".")
        store = RunStore(Path(root))
        getattr(import_module(module), function)(store, [store.at(run_id) for run_id in ids], *more)

    arguments = {"piece": f"fashion_core.ui.{piece}", "root": str(store.root), "ids": [run.id for run in runs]}
    app = AppTest.from_function(script, kwargs={**arguments, "more": more}).run()
    assert not app.exception
    return app


def test_several_runs_are_deleted_but_not_the_one_that_trains(store: RunStore) -> None:
    parent = trained(store, name="parent", epochs=1)
    child, busy = resume(store, parent, 0, 1), labelled(store, "busy")
    set_running(busy)
    app = in_dialog("checkpoints.housekeeping.ask_to_delete", store, [parent, child, busy])
    assert not app.checkbox  # the resumed run goes too
    press(app, "Delete")
    assert [run.id for run in store.runs()] == [busy.id]
    assert "is running; stop it first" in words(app)
    assert app.query_params == {"run": busy.id}
    assert [toast.value for toast in app.toast] == ["Deleted 2 runs."]
    assert "This deletes **busy** and all its checkpoints for good." in words(app)  # the others are gone
    press(app, "Delete")
    assert (app.query_params, len(app.error), len(app.toast)) == ({"run": busy.id}, 1, 0)
    done = [(line.what, line.run) for line in audit.read(store.root) if line.outcome == audit.DONE]
    assert done == [("delete", child.id), ("delete", parent.id)]


def test_parents_of_other_runs_are_deleted_only_once_that_is_confirmed(store: RunStore) -> None:
    parent, other = trained(store, name="parent", epochs=1), labelled(store, "other")
    child = resume(store, parent, 0, 1)
    app = in_dialog("checkpoints.housekeeping.ask_to_delete", store, [parent, other])
    assert f"Resumed from what is deleted: {child.title}" in words(app)
    assert app.checkbox[0].label == "Delete them even though other runs were resumed from them"
    assert app.button[0].disabled
    app.checkbox[0].check().run()
    press(app, "Delete")
    assert [run.id for run in store.runs()] == [child.id]


def test_several_runs_are_tagged_and_the_rest_of_their_labels_stays(store: RunStore) -> None:
    first, second = labelled(store, "first", "old", "both"), labelled(store, "second", notes="a note")
    damaged = labelled(store, "damaged")
    damaged.labels_path.write_text("{")
    app = in_dialog("overview.chosen.ask_tags", store, [first, second, damaged], ["both", "old"])
    widget(app, "Add").set_value(["both"])
    widget(app, "Remove").set_value(["old"]).run()
    press(app, "Save tags")
    assert first.labels == Labels(name="first", tags=("both",))
    assert second.labels == Labels(name="second", notes="a note", tags=("both",))
    assert "it is not JSON" in words(app)
    assert [line.what for line in audit.read(store.root)] == ["relabel", "relabel"]


def test_tag_that_reads_like_a_dataset_or_a_model_is_shown_as_written(store: RunStore) -> None:
    labelled(store, "first", "synthetic-v2", "cnn")
    chips = open_page("overview").button_group(key="tag")
    assert sorted(map(common.plain, ("synthetic-v2", "cnn"))) == sorted(
        option.content for option in chips.proto.options
    )


@pytest.mark.parametrize("button", ["Tag…", "Delete…"])
def test_several_runs_are_asked_about_before_anything_changes(store: RunStore, button: str) -> None:
    runs = [labelled(store, "first"), labelled(store, "second")]
    before = [run.labels for run in runs]
    app = press(open_with(runs), button)
    if button == "Tag…":
        assert [field.label for field in app.multiselect] == ["Add", "Remove"]
    else:
        assert "deletes these runs and all their checkpoints for good: **first**, **second**" in words(app)
    assert [run.labels for run in store.runs()][::-1] == before
