"""Several people at once: each is told what became of what the other did, and none sees another one's choices."""

from collections.abc import Callable

import pytest

from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from tests.support.pages import open_page, press, words
from tests.support.runs import copied, new_run, set_running, set_state, trained


@pytest.fixture(scope="module")
def pair(module_store: RunStore) -> tuple[Run, Run]:
    return trained(module_store, epochs=1), trained(module_store, epochs=3)


OTHERS: dict[str, Callable[[RunStore, Run], None]] = {
    "delete": lambda store, run: store.delete(run, force=True),
    "delete checkpoint": lambda store, run: store.delete(run, run.checkpoint_path(1)),
    "run": lambda _store, run: set_running(run),
}


@pytest.mark.parametrize(
    ("page", "button", "state", "other", "told"),
    [
        ("train", "Continue", "stopped", "delete", "No run in"),
        ("train", "Stop", "queued", "delete", "No run in"),
        ("overview", "Save", "finished", "delete", "No run in"),
        ("overview", "Delete…", "finished", "delete", "No run in"),
        ("resume", "Start", "finished", "delete checkpoint", "has no checkpoint of epoch 1"),
        ("resume", "Start", "finished", "delete", "No run in"),
        ("checkpoints", "Delete…", "finished", "delete", "No run in"),
        ("checkpoints", "Delete…", "finished", "delete checkpoint", "has no saved file 'model_save/1'"),
        ("train", "Continue", "stopped", "run", "running"),
    ],
)
def test_who_presses_after_another_one_did_the_opposite_is_told(
    store: RunStore, pair: tuple[Run, Run], page: str, button: str, state: str, other: str, told: str
) -> None:
    _, run = (copied(one, store) for one in pair)
    set_state(run, state)
    set_running(new_run(store))  # so that nothing queued begins meanwhile
    address = {"run": run.id} if page in ("train", "overview") else {"run": run.id, "epoch": "1"}
    mine = open_page(page, **address)
    OTHERS[other](store, run)
    there = store.runs()
    assert told in words(press(mine, button))
    assert store.runs() == there


def test_labels_that_another_one_changed_are_not_replaced_before_that_was_said(store: RunStore) -> None:
    run = new_run(store, name="first")
    mine = open_page("overview", run=run.id)
    run.write_labels(Labels(name="theirs", notes="their note"))
    mine.text_area[0].set_value("my note")
    press(mine, "Save")
    assert "Somebody else has changed the name, tags or notes; the name is now theirs" in words(mine)
    assert run.labels == Labels(name="theirs", notes="their note")
    assert mine.text_area[0].value == "my note"
    press(mine, "Save")
    assert run.labels == Labels(name="first", notes="my note")


def test_stop_after_another_one_stopped_it_shows_it_stopped(store: RunStore) -> None:
    set_running(new_run(store))
    run = new_run(store)
    mine = open_page("train", run=run.id)
    queue.stop(run)
    press(mine, "Stop")
    assert ":gray-badge[:material/pause_circle: stopped]" in [element.value for element in mine.markdown]


@pytest.mark.slow
def test_choices_of_one_are_not_those_of_another(store: RunStore, pair: tuple[Run, Run]) -> None:
    copied(pair[1], store)
    untouched = {page: open_page(page) for page in ("train", "checkpoints", "resume")}
    first = {page: open_page(page) for page in ("train", "checkpoints", "resume")}
    first["train"].selectbox(key="train demo model").select("cnn").run()
    first["checkpoints"].multiselect[0].set_value(["model"]).run()
    first["resume"].number_input[0].set_value(7).run()
    for page, app in untouched.items():
        app.run()
        second = open_page(page)
        assert [widget.value for widget in [*second.selectbox, *second.multiselect, *second.number_input]] == [
            widget.value for widget in [*app.selectbox, *app.multiselect, *app.number_input]
        ]
