"""Repeats with other seeds on the pages: asked for in both forms, and told wherever losses are."""

import pytest

from fashion_core.resume import answers, comparison
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui.live import snapshot
from tests.benchmarks.comparison import made_run
from tests.resume.test_repeats import made_seeds, one_of_three_diverged
from tests.support.pages import open_page, press, shown_numbers, texts, widget, words
from tests.support.runs import copied, new_run, set_running, trained

SEEDS = "Repeat: number of seeds"


@pytest.fixture(autouse=True)
def no_slot(store: RunStore) -> None:
    """What is queued stays in the queue."""
    set_running(new_run(store, name="in the slot"))


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, name="base", epochs=2)


def test_train_form_starts_a_run_for_each_seed_and_opens_the_first(store: RunStore) -> None:
    app = open_page("train")
    widget(app, SEEDS).set_value(3).run()
    press(app, "Start 3 runs")
    made = queue.under_way(store)[1:]
    assert [run.record.config.seed for run in made] == [0, 1, 2]
    assert app.query_params["run"] == made[0].id
    assert widget(app, "Seed").options == ["seed 0 · queued", "seed 1 · queued", "seed 2 · queued"]
    assert shown_numbers(app)["Test loss, mean of 3 seeds"] == "–"
    widget(app, "Seed").set_value(made[1].id).run()
    assert app.query_params["run"] == made[1].id
    press(app, "Stop all seeds")
    assert {run.state() for run in made} == {"stopped"}


def test_resume_form_repeats_each_run_and_shows_every_seed_before_the_click(store: RunStore, trained_once: Run) -> None:
    parent = copied(trained_once, store)
    app = open_page("resume", run=parent.id, epoch="0")
    widget(app, SEEDS).set_value(2).run()
    (plans,) = app.dataframe
    assert plans.value["verdict"].tolist() == ["exact", "approximate"]
    press(app, "Start 2 runs")
    first, second = queue.under_way(store)[1:]
    assert first.record.repeat
    assert second.record.repeat == first.record.repeat.model_copy(update={"index": 1})


def test_zero_epochs_with_several_seeds_is_one_sentence(store: RunStore, trained_once: Run) -> None:
    app = open_page("resume", run=copied(trained_once, store).id, epoch="0")
    widget(app, SEEDS).set_value(2).run()
    widget(app, "Additional epochs").set_value(0).run()
    assert [error.value for error in app.error] == ["Additional epochs should be at least 1, not 0."]


def test_mean_stands_in_the_comparison_on_the_run_and_in_the_list(store: RunStore) -> None:
    made = made_seeds(store, made_run(store, [0.5], name="base"), [0.40, 0.41, 0.405])
    (said,) = answers.answers_over_seeds(comparison.compare(store))
    assert said in words(open_page("resume", view="Helped"))
    numbers = shown_numbers(open_page("train", run=made[0].id))
    assert (numbers["Test loss, mean"], numbers["Change, mean"]) == ("0.4050", "−19.0%")
    (table,) = open_page("overview").dataframe
    assert table.value["seeds"].tolist()[:3] == ["0.4050 ± 0.0124 · 3 seeds"] * 3


def test_seed_that_failed_is_told_wherever_the_mean_is(store: RunStore, trained_once: Run) -> None:
    made = one_of_three_diverged(store, copied(trained_once, store))
    (table,) = open_page("overview").dataframe
    assert [text.partition("·")[2] for text in table.value["seeds"] if text] == [" 2 of 3 seeds (1 failed)"] * 3
    assert "2 of 3 seeds (1 failed) at epoch 2." in snapshot.take(store, made[0]).numbers
    assert "over 2 of 3 seeds (1 failed)" in words(open_page("resume", view="Helped"))


def test_last_one_of_its_seeds_shows_nothing_of_the_deleted_ones(store: RunStore) -> None:
    first, second = made_seeds(store, made_run(store, [0.5], name="base"), [0.40, 0.41])
    store.delete(second)
    app = open_page("train", run=first.id)
    assert not any("mean" in label for label in shown_numbers(app))
    assert "Seed" not in [box.label for box in app.selectbox]


def test_run_of_one_seed_shows_nothing_of_seeds(store: RunStore) -> None:
    app = open_page("train", run=made_run(store, [0.5]).id)
    assert "seed" not in texts(app)
